"""Modes, the pulse that decides them, and what a mode change says."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from holdfast.contracts.envelope import Contract, Fact
from holdfast.contracts.numbers import Moment


class Mode(StrEnum):
    """A site is always in exactly one."""

    CONNECTED = "connected"
    DEGRADED = "degraded"
    AUTONOMOUS = "autonomous"
    RECOVERY = "recovery"


class Reason(StrEnum):
    """Why a site is not (or is again) in `connected`. Each names one impairment or one improvement."""

    STARTED = "started"
    PULSE_LATE = "pulse late"
    PULSE_LOST = "pulse lost"
    UPLINK_UNSTABLE = "uplink unstable"
    SYNC_STALLED = "sync stalled"
    CSMS = "csms"
    RULES_STALE = "rules stale"
    RULES_EXPIRED = "rules expired"
    STORAGE = "storage"
    CLOCK = "clock"
    MAINTENANCE = "maintenance"
    """An override: people made the site autonomous until its end."""
    PLANNED = "planned disruption"
    """An override: this disruption was announced. It stands beside the others and brings no mode by itself."""
    JOURNAL = "journal"
    """The site's journal service gives no head: nothing can be verified."""
    PULSES_STABLE = "pulses stable"
    IMPAIRMENT_OVER = "impairment over"
    RECOVERED = "recovered"
    OPEN_POINTS = "open points"
    """Recovery reached its bound; what is unsettled is named."""


class CsmsState(StrEnum):
    NONE = "none"
    """No CSMS behind this site: its absence is no impairment."""
    UP = "up"
    DOWN = "down"


class Head(Contract):
    """The site's signed statement of how far its journal reaches: the checkpoint a pulse carries."""

    incarnation: str
    seq: int
    """0 for a journal with nothing in it yet."""
    hash: str
    """Chain hash at `seq`, hex."""
    signature: str
    """Ed25519 of the site key over `chain.statement(site, incarnation, seq, hash)`, hex."""


class Pulse(Contract):
    """Site to cloud, every `pulse_ms` of the rules, on `hf.<site>.up.pulse`."""

    at_ms: int
    mode: Mode
    head: Head | None
    """None when the site's journal service did not answer: the uplink can be judged all the same."""
    rules_version: int
    backlog: int
    """Journal entries above the last known watermark."""


class PulseReply(Contract):
    """Cloud to site."""

    at_ms: int
    """Cloud clock, UTC."""
    incarnation: str | None
    """The incarnation the watermark is of."""
    watermark: int
    desired_rules_version: int
    """0 when the cloud has published none to this site."""
    csms: CsmsState = CsmsState.NONE
    fork: bool = False
    """The cloud holds another history for this incarnation (an old disk was restored): open a new one."""


class ModeChanged(Fact):
    """The site's mode changed. The history of these has no holes (I6)."""

    TYPE: ClassVar[str] = "mode.changed"

    previous: Mode | None
    """None only for the first of an incarnation."""
    mode: Mode
    reasons: tuple[Reason, ...]
    """All that stand, the first is the one that brought the change; then those that came and went unnamed
    since the change before."""
    since_ms: int
    """When the mode began; `at_ms` of the envelope may be later if the disk refused for a while."""
    disruption: str | None
    """Id of the disruption that runs from leaving `connected` to returning to it."""
    detail: str = ""


class OverrideKind(StrEnum):
    """What people may say about a site's mode."""

    MAINTENANCE = "maintenance"
    """The site is made autonomous until the end: no pulse is needed, drivers are decided locally."""
    PLANNED_DISRUPTION = "planned-disruption"
    """Announced: no mode is forced; the reason is shown beside the others, and nobody is alarmed."""


class Override(Contract):
    """One local override, announced or standing. A site has one of a kind at a time."""

    id: str
    kind: OverrideKind
    from_ms: int
    """It stands from here (site clock, UTC) ..."""
    until_ms: int
    """... and ends here by itself."""
    by: str
    why: str


class BeginOverride(Contract):
    """Request of `rpc.override`; reply is `OverrideReceipt`."""

    kind: OverrideKind
    from_ms: Moment | None = None
    """None, or a moment that is past: from now on."""
    until_ms: Moment
    by: str = Field(min_length=1, max_length=100)
    why: str = Field(min_length=1, max_length=500)


class EndOverride(Contract):
    """Request of `rpc.override-end`; reply is `OverrideReceipt`."""

    by: str = Field(min_length=1, max_length=100)
    kind: OverrideKind | None = None
    """None: whatever is announced or stands."""


class OverrideReceipt(Contract):
    """Journaled before it is given."""

    accepted: bool
    reason: str = ""
    """Why not; or what else was done, e.g. that an older override was replaced."""
    override: Override | None = None
    """The one that began, or ended; None when refused."""


class OverrideBegun(Fact):
    """People announced an override, or began it at once; an older one of its kind is over with this."""

    TYPE: ClassVar[str] = "override.begun"

    override: Override
    replaces: str | None = None
    """Id of the older one of its kind."""
    standing: tuple[Override, ...]
    """All that are announced or stand from this entry on, so that the newest entry alone says it."""


class OverrideEnded(Fact):
    TYPE: ClassVar[str] = "override.ended"

    override: Override
    by: str | None
    """None: by itself, its time being up."""
    why: str
    ended_at_ms: int
    standing: tuple[Override, ...]
    """All that are announced or stand from this entry on."""


class ModeStatus(Contract):
    """Reply of `rpc.mode`: the mode that stands now, journaled or not yet."""

    mode: Mode
    reasons: tuple[Reason, ...]
    since_ms: int
    disruption: str | None
    journaled: bool
    """False while the disk refuses: the change is in force and will be written when it can be."""
    pulse_answered_at_ms: int | None
    """Site clock; None when none was answered since start."""
    watermark: int
    head_seq: int | None
    desired_rules_version: int
    csms: CsmsState
    override: Override | None = None
    """The one that stands, maintenance before a planned disruption; else the next announced."""
    overrides: tuple[Override, ...] = ()
    """All that stand or are announced, that one first."""
    stable_link: bool
    """Pulses have been answered without a miss for the rule's time: step 1 of recovery."""
