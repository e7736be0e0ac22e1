"""Decisions: a rule applied to inputs, with all that is needed to apply it again."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field

from holdfast.contracts.command import Command, Disposition
from holdfast.contracts.envelope import Contract, Fact
from holdfast.contracts.mode import Mode
from holdfast.contracts.rules import ListedToken, TokenStatus


class Basis(StrEnum):
    """What an authorisation rests on."""

    CLOUD = "cloud"
    LIST = "list"
    CACHE = "cache"
    UNKNOWN_POLICY = "unknown-token policy"


class CloudAnswer(StrEnum):
    """How asking the cloud ended."""

    NOT_ASKED = "not asked"
    ANSWERED = "answered"
    TOO_LATE = "too late"
    """No answer within the budget."""
    UNREACHABLE = "unreachable"
    NOT_AWAITED = "not awaited"
    """Asked beside; the local answer did not wait for it."""


class CachedToken(Contract):
    """An earlier answer of the cloud."""

    status: TokenStatus
    parent: str | None = None
    valid_until_ms: int | None = None
    answered_at_ms: int


class AuthoriseInputs(Contract):
    """Everything the verdict was computed from (I5)."""

    kind: Literal["authorise"] = "authorise"
    at_ms: int
    mode: Mode
    driver_token_hash: str
    """Keyed hash: the token itself is in no decision, log or metric."""
    listed: ListedToken | None
    """With its driver_token replaced by the hash."""
    list_version: int
    cached: CachedToken | None
    cloud: CloudAnswer
    cloud_status: TokenStatus | None
    cloud_parent: str | None = None


class AuthoriseVerdict(Contract):
    kind: Literal["authorise"] = "authorise"
    status: TokenStatus
    basis: Basis
    parent: str | None = None
    flagged: bool = False
    """Accepted by the unknown-token policy: must never later pass as a whitelist authorisation."""


class ConnectorState(Contract):
    """What ocpp-edge knows of the target when it asks for admission."""

    connected: bool
    """The charge point has an open OCPP connection."""
    status: str | None
    """Last StatusNotification of the connector; None when none came."""
    transaction_id: int | None
    """Running on the connector (or the one the command names)."""
    booted_at_ms: int | None


class AdmitInputs(Contract):
    kind: Literal["admit"] = "admit"
    at_ms: int
    mode: Mode
    command: Command
    target: ConnectorState


class AdmitVerdict(Contract):
    kind: Literal["admit"] = "admit"
    admitted: bool
    disposition: Disposition | None
    """None when admitted: it is not at its end yet."""
    reason: str = ""


class DecisionMade(Fact):
    """A rule was applied. `evaluate(rules of rules_version, inputs)` gives this verdict again."""

    TYPE: ClassVar[str] = "decision.made"

    decision: str
    charge_point: str
    rules_version: int
    clause: str
    """Path in the bundle, e.g. `authorise.autonomous.unknown`."""
    inputs: AuthoriseInputs | AdmitInputs = Field(discriminator="kind")
    verdict: AuthoriseVerdict | AdmitVerdict = Field(discriminator="kind")
    explanation: str
    """One sentence for the operator."""


class Authorise(Contract):
    """Request of `rpc.authorise` (site) and `up.authorise` (cloud)."""

    request: str
    """Id of the asking frame: the same request asked again gives the same decision."""
    charge_point: str
    driver_token: str = Field(min_length=1, max_length=255)
    budget_ms: int = Field(800, ge=0, le=10_000)
    """Of `up.authorise`: so long the site waits, by its rules. Whoever is asked on answers before that."""


class Authorised(Contract):
    decision: str
    verdict: AuthoriseVerdict
    rules_version: int
    clause: str
    explanation: str


class CloudVerdict(Contract):
    """Reply of `up.authorise`."""

    known: bool
    status: TokenStatus
    parent: str | None = None
    valid_until_ms: int | None = None


class Admit(Contract):
    """Request of `rpc.admit`."""

    request: str = ""
    """Id of this asking: asked again with it gives the same decision. A command that waited is asked about
    anew, with another. Empty: every asking is a new one."""
    command: Command
    target: ConnectorState


class Admitted(Contract):
    decision: str
    verdict: AdmitVerdict
    clause: str
    explanation: str
