"""Recovery: steps with evidence, open points, and the report of a disruption."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from holdfast.contracts.envelope import Contract, Fact


class Step(StrEnum):
    """In this order (architecture 5). Each ends done, not applicable, or as an open point."""

    LINK_STABLE = "link stable"
    JOURNAL_COPIED = "journal copied"
    RULES_CURRENT = "rules current"
    LIMITS_FRESH = "limits fresh"
    COMMANDS_TRIAGED = "commands triaged"
    CSMS_CAUGHT_UP = "csms caught up"
    DIGESTS_AGREE = "digests agree"
    REPORT_WRITTEN = "report written"


class StepOutcome(StrEnum):
    DONE = "done"
    NOT_APPLICABLE = "not applicable"
    NOT_COMPARABLE = "not comparable"
    """Fold versions differ: said, never a blocked recovery."""
    OPEN = "open"
    """The bound was reached first; or all that is left is what the CSMS refuses."""


class RecoveryStarted(Fact):
    """Names the head that steps 2 and 7 look at, so that a restart takes up the same one."""

    TYPE: ClassVar[str] = "recovery.started"

    disruption: str
    head_seq: int
    bound_at_ms: int


class RecoveryStepped(Fact):
    TYPE: ClassVar[str] = "recovery.stepped"

    disruption: str
    step: Step
    outcome: StepOutcome
    evidence: str


class OpenPoint(Contract):
    """Something named that is not settled."""

    step: Step
    what: str


class RecoveryFinished(Fact):
    """mode-manager takes the site to connected on this."""

    TYPE: ClassVar[str] = "recovery.finished"

    disruption: str
    open_points: tuple[OpenPoint, ...]


class DriverImpact(Contract):
    """What drivers felt, counted from decisions and sessions of the disruption."""

    served: int
    refused: int
    refused_because: dict[str, int]


class DisruptionReported(Fact):
    """The report of one disruption, every figure counted from journal entries `from_seq..to_seq`."""

    TYPE: ClassVar[str] = "disruption.reported"

    disruption: str
    began_ms: int
    ended_ms: int
    modes: tuple[str, ...]
    reasons: tuple[str, ...]
    from_seq: int
    to_seq: int
    entries: int
    sessions_started: int
    sessions_stopped: int
    commands: dict[str, int]
    """Disposition to count."""
    driver_impact: DriverImpact
    open_points: tuple[OpenPoint, ...]


class DigestRequest(Contract):
    """Request of `up.digest`: the digest of all sessions of this incarnation up to `seq`."""

    incarnation: str
    seq: int
    fold_version: int


class Digest(Contract):
    incarnation: str
    seq: int
    fold_version: int
    digest: str | None
    """None: not there yet (behind `seq`), ask again; or never, when `reason` says why."""
    sessions: int
    reason: str = ""
    """Why this digest can't be compared (another fold version, a hole, too long ago); empty when it can."""


class RecoveryStatus(Contract):
    """Reply of `rpc.recovery`."""

    disruption: str | None
    """The one being recovered, None when none is."""
    steps: tuple[RecoveryStepped, ...]
    open_points: tuple[OpenPoint, ...]
    """Of the last finished recovery, until they are settled."""
