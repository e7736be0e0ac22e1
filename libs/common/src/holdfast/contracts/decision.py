"""Decisions: a rule applied to inputs, with all that is needed to apply it again."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field

from holdfast.contracts.command import Command, Disposition
from holdfast.contracts.driver_tokens import (
    ListedToken,
    TokenStatus,
    TokenType,
    Whitelist,
)
from holdfast.contracts.envelope import Contract, Fact
from holdfast.contracts.mode import Mode
from holdfast.contracts.numbers import Moment
from holdfast.contracts.transaction import TransactionId


class Basis(StrEnum):
    """What an authorisation rests on."""

    CLOUD = "cloud"
    LIST = "list"
    CACHE = "cache"
    UNKNOWN_POLICY = "unknown-token policy"
    FREE_VEND = "free vend"
    """The rule for unknown driver tokens gives energy away."""


class AuthMethod(StrEnum):
    """As a CDR states it (OCPI)."""

    AUTH_REQUEST = "AUTH_REQUEST"
    """Somebody who answers for the driver was asked."""
    WHITELIST = "WHITELIST"
    """The site decided by a list, or an earlier answer, that vouches for the driver."""


def auth_method(
    basis: Basis | None, *, flagged: bool, status: TokenStatus | None
) -> AuthMethod | None:
    """The one place where a CDR's method comes from. None: nobody vouched for the driver, so there is none to state.

    What the rule for unknown driver tokens let charge is flagged *and* has a basis of its own: either keeps it
    from passing as a whitelist authorisation.
    """
    if flagged or status is not TokenStatus.ACCEPTED:
        return None
    match basis:
        case Basis.CLOUD:
            return AuthMethod.AUTH_REQUEST
        case Basis.LIST | Basis.CACHE:
            return AuthMethod.WHITELIST
        case Basis.UNKNOWN_POLICY | Basis.FREE_VEND | None:
            return None


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
    whitelist: Whitelist | None = None


class Revocation(Contract):
    """The newest word of cloud or CSMS against a driver token: Blocked, Expired or Invalid. It does not age."""

    status: TokenStatus
    said_at_ms: int
    """Clock of the site."""
    known: bool = True
    """False: Invalid, said about a driver token that the site did not know either: a stranger, no more."""


class RunningSession(Contract):
    """A session of the same driver token that runs on another connector of the site."""

    session: str
    charge_point: str
    connector: int | None
    started_at_ms: int
    """Clock of the site; 0: not known."""


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
    token_type: TokenType = TokenType.ID_TAG
    revoked: Revocation | None = None
    group: ListedToken | None = None
    """What the list says of the driver token's group, its name replaced by the hash."""
    starts_session: bool = False
    """A start, not only the question whether it would be accepted."""
    running: tuple[RunningSession, ...] = ()


class AuthoriseVerdict(Contract):
    kind: Literal["authorise"] = "authorise"
    status: TokenStatus
    basis: Basis
    parent: str | None = None
    """Group of the driver token: who belongs to the same may stop what this one started (`may_stop`)."""
    flagged: bool = False
    """Accepted by the unknown-token policy: must never later pass as a whitelist authorisation (`auth_method`)."""
    energy_wh_max: int | None = None
    """Cap of a session accepted by the unknown-token policy; None: none."""


class RunningOn(Contract):
    """A session that runs on the charge point."""

    connector: int | None
    transaction_id: TransactionId
    started_at_ms: int = 0
    """Clock of the site; 0: not known."""


class ProfileInstalled(Contract):
    """A charging profile that the charge point has accepted, in what matters of it."""

    connector: int
    profile_id: int
    purpose: str
    stack_level: int
    transaction_id: TransactionId | None = None
    lowest_a: float
    """Of its whole schedule, per phase; watts are taken for three phases of 230 V."""
    highest_a: float
    ends: bool = False
    """It has a validTo or a duration: what lies below it comes out again."""
    ends_at_ms: int | None = None
    """Where that can be told from the profile alone."""


class ConnectorState(Contract):
    """What ocpp-edge knows of the target when it asks for admission."""

    connected: bool
    """The charge point has an open OCPP connection."""
    status: str | None
    """Last StatusNotification of the connector; None when none came."""
    transaction_id: TransactionId | None
    """Running on the connector (or the one the command names)."""
    booted_at_ms: int | None
    running: tuple[RunningOn, ...] | None = None
    """Everything that runs on the charge point. None in a decision of an earlier version: nothing was protected."""
    status_since_ms: int | None = None
    """When `status` came."""
    reserved_for_other: bool = False
    """The connector is reserved, and not for the driver token that the command names."""
    token_sessions: tuple[str, ...] = ()
    """Sessions of the command's driver token anywhere at the site."""
    waiting_records: int = 0
    """Messages of the charge point that are not in the journal yet."""
    late_record_at_ms: int | None = None
    """When the newest message came that the charge point had kept: it may hold more."""
    list_version: int | None = None
    """Of the charge point's local list; None: the site does not know it."""
    list_broken: bool = False
    """A list or changes to one did not arrive: later changes have no ground."""
    reservation_over: bool = False
    """The reservation that the command names has ended, as far as the site knows."""
    profiles: tuple[ProfileInstalled, ...] = ()
    known_age_ms: int | None = None
    """Of a question that could be answered out of what the charge point has told before: how old the oldest part of
    that is. None: it can't."""


class AdmitInputs(Contract):
    kind: Literal["admit"] = "admit"
    at_ms: int
    mode: Mode
    command: Command
    target: ConnectorState
    confirmed_by: str | None = None
    """Who gave the word that the rules may want."""


class WaitsFor(StrEnum):
    """What a command waits for that may be delivered, but not now."""

    WORD = "an operator's word"
    TIME = "a better time"
    """Its mode, or the end of a session that is protected."""


class AdmitVerdict(Contract):
    kind: Literal["admit"] = "admit"
    admitted: bool
    disposition: Disposition | None
    """None when admitted, or when it waits: it is not at its end yet."""
    reason: str = ""
    waits_for: WaitsFor | None = None
    from_known: bool = False
    """Answered out of what is known, and not delivered."""


class Considered(Contract):
    """One clause that was looked at on the way to a verdict, and what it said: what "why not?" asks about."""

    clause: str
    """Path in the bundle, e.g. `authorise.autonomous.cache`."""
    said: str
    """What it would have given alone, and why it did not decide: one sentence."""
    decided: bool = False
    """The one clause that gave the verdict."""


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
    considered: tuple[Considered, ...] = ()
    """In the order they were looked at. Empty in a decision of an earlier version."""


RUNNING_MAX = 32
"""Running sessions that a question names; further ones change no verdict."""


class Authorise(Contract):
    """Request of `rpc.authorise` (site) and `up.authorise` (cloud)."""

    request: str
    """Id of the asking frame: the same request asked again gives the same decision."""
    charge_point: str
    driver_token: str = Field(min_length=1, max_length=255)
    budget_ms: int = Field(800, ge=0, le=10_000)
    """Of `up.authorise`: so long the site waits, by its rules. Whoever is asked on answers before that."""
    token_type: TokenType = TokenType.ID_TAG
    starts_session: bool = False
    """Of `rpc.authorise`: a session begins with it. Only then one that runs already stands in its way."""
    running: tuple[RunningSession, ...] = Field((), max_length=RUNNING_MAX)
    """Of `rpc.authorise`: sessions of the same driver token, of the same type, on other connectors of the site."""


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
    valid_until_ms: Moment | None = None
    whitelist: Whitelist | None = None


class Admit(Contract):
    """Request of `rpc.admit`."""

    request: str = ""
    """Id of this asking: asked again with it gives the same decision. A command that waited is asked about
    anew, with another. Empty: every asking is a new one."""
    command: Command
    target: ConnectorState
    confirmed_by: str | None = None


class Admitted(Contract):
    decision: str
    verdict: AdmitVerdict
    clause: str
    explanation: str
