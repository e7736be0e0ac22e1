"""Sessions: one OCPP transaction each, normalised over versions, with the raw payload beside it.

A session's key is `<charge point>/<transaction id>` (`session_key`). Transaction ids are unique over restarts and
incarnations, so the parts of a session that a wiped disk tore apart find each other again. In 1.6 the site gives
them out (integers), in 2.x the station does (a text of its own). A session of 2.x is made of TransactionEvents:
Started, Updated and Ended are `SessionStarted`, `SessionMetered` and `SessionStopped`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from holdfast.contracts.decision import AuthMethod, Basis
from holdfast.contracts.driver_tokens import TokenStatus, TokenType
from holdfast.contracts.envelope import Contract, Fact
from holdfast.contracts.transaction import TransactionId as TransactionId
from holdfast.ocpp.versions import OcppVersion

SeqRange = tuple[int, int]
"""From and to, both included."""


def session_key(charge_point: str, transaction_id: TransactionId) -> str:
    """`<charge point>/<transaction id>`. A station's text that reads like a site's integer is marked: a charge point
    whose firmware goes from 1.6 to 2.x may have a session of each.
    """
    if isinstance(transaction_id, str) and _reads_like_ours(transaction_id):
        return f"{charge_point}/={transaction_id}"
    return f"{charge_point}/{transaction_id}"


def _reads_like_ours(text: str) -> bool:
    """Like an integer; or like one that is marked."""
    return text.startswith("=") or (text.isascii() and text.removeprefix("-").isdecimal())


def may_stop(
    started: SessionStarted, token_type: TokenType, driver_token: str, parent: str | None
) -> bool:
    """The driver token that started a session may stop it, and so may one of the same group (OCPP 1.6 4.10, 2.x E07).

    `parent` comes from the stopper's own verdict; whether that one is accepted is the caller's question.
    """
    is_same = (
        started.driver_token is not None
        and token_type is started.token_type
        and _same(driver_token, started.driver_token)
    )
    return is_same or (
        parent is not None and started.parent is not None and _same(parent, started.parent)
    )


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


class Reading(Contract):
    """One value of the lifetime energy register."""

    at: str
    """As the charge point said it: its clock, its format."""
    energy_wh: int


class SessionAuthorised(Contract):
    """What a driver was told about the idToken that a TransactionEvent carried."""

    driver_token: str
    token_type: TokenType
    status: TokenStatus
    parent: str | None = None
    basis: Basis
    flagged: bool = False
    energy_wh_max: int | None = None
    decision: str


class SessionStarted(Fact):
    TYPE: ClassVar[str] = "session.started"

    charge_point: str
    connector: int | None
    """1.6: connectorId. 2.x: evse.id; None where a station does not know it yet (token first, cable later)."""
    connectors: int | None = None
    """1.6: how many the charge point itself said it has (NumberOfConnectors) by then; None: it was not asked."""
    session: str
    transaction_id: TransactionId
    driver_token: str | None
    """Needed for billing and the CSMS. Never logged, never a metric label. None: the cable came first (2.x)."""
    meter_start_wh: int | None
    """None: the event carried no energy register (2.x)."""
    at: str
    """The charge point's timestamp; may be older than the envelope's: it may come from an offline queue."""
    status: TokenStatus | None
    """What the charge point was told; None where it asked nothing."""
    parent: str | None = None
    """Group of the driver token, as it was told: a repeated start gets the same answer, after a restart too."""
    basis: Basis | None
    flagged: bool
    energy_wh_max: int | None = None
    """Cap of a session that the rule for unknown driver tokens accepted: ocpp-edge stops it there."""
    token_type: TokenType = TokenType.ID_TAG
    decision: str | None
    """None where no driver token came: there was nothing to decide."""
    message_id: str
    action: str = "StartTransaction"
    version: OcppVersion = OcppVersion.V16
    plug: int | None = None
    """2.x: the connectorId on that EVSE."""
    seq_no: int | None = None
    offline: bool = False
    """The station says that it happened while it was offline."""
    trigger: str | None = None
    """triggerReason."""
    charging_state: str | None = None
    remote_start_id: int | None = None
    """Of the RequestStartTransaction that began it."""
    reservation_id: int | None = None
    raw: str


class SessionMetered(Fact):
    """A MeterValues of a transaction; or (2.x) a TransactionEvent Updated, whatever it carries."""

    TYPE: ClassVar[str] = "session.metered"

    charge_point: str
    connector: int | None
    session: str
    transaction_id: TransactionId
    readings: tuple[Reading, ...]
    """Energy.Active.Import.Register in Wh; empty when the message had other measurands only."""
    left_out: int = 0
    """So many messages of this session's periodic meter values before this one were left out by rule (`buffering`)."""
    message_id: str
    action: str = "MeterValues"
    version: OcppVersion = OcppVersion.V16
    plug: int | None = None
    at: str | None = None
    """The event's own timestamp (2.x)."""
    seq_no: int | None = None
    offline: bool = False
    trigger: str | None = None
    charging_state: str | None = None
    left_out_seq: tuple[SeqRange, ...] = ()
    """seqNos left out by rule since the last one that was kept: they are no gap."""
    uncounted: bool = False
    """`left_out` is what is known at least: ocpp-edge was restarted since the last one that was kept, and may have left
    out more right before."""
    uncounted_seq: tuple[SeqRange, ...] = ()
    """2.x: seqNos between the last one that was kept before that restart and this one, of which nobody knows: left out
    by rule, or never came."""
    thinning: bool = False
    """The rules thinned when it was stored: between it and the next one of its session some may be left out. After a
    message without it nothing is."""
    authorised: SessionAuthorised | None = None
    """Where the event carried an idToken."""
    raw: str


class SessionStopped(Fact):
    TYPE: ClassVar[str] = "session.stopped"

    charge_point: str
    session: str
    transaction_id: TransactionId
    meter_stop_wh: int | None
    """None: the event carried no energy register (2.x)."""
    at: str
    reason: str
    left_out: int = 0
    """As for `SessionMetered`."""
    message_id: str
    action: str = "StopTransaction"
    version: OcppVersion = OcppVersion.V16
    connector: int | None = None
    """2.x, where the event named the EVSE."""
    plug: int | None = None
    seq_no: int | None = None
    offline: bool = False
    trigger: str | None = None
    left_out_seq: tuple[SeqRange, ...] = ()
    uncounted: bool = False
    uncounted_seq: tuple[SeqRange, ...] = ()
    authorised: SessionAuthorised | None = None
    raw: str


class SessionStopRepeated(Fact):
    """A second, different stop of a session: the first sound one counts, the difference is shown."""

    TYPE: ClassVar[str] = "session.stop-repeated"

    charge_point: str
    session: str
    transaction_id: TransactionId
    meter_stop_wh: int | None
    first_meter_stop_wh: int | None
    message_id: str
    action: str = "StopTransaction"
    version: OcppVersion = OcppVersion.V16
    seq_no: int | None = None
    authorised: SessionAuthorised | None = None
    raw: str


class SessionEventConflicted(Fact):
    """A TransactionEvent whose seqNo its transaction has already used for another one: the first counts, this is kept
    and shown.
    """

    TYPE: ClassVar[str] = "session.event-conflicted"

    charge_point: str
    session: str
    transaction_id: TransactionId
    seq_no: int
    event: str
    """Started, Updated or Ended."""
    authorised: SessionAuthorised | None = None
    message_id: str
    action: str = "TransactionEvent"
    version: OcppVersion = OcppVersion.V201
    raw: str


class SessionMessageUnmatched(Fact):
    """A transactional message of a session this site never heard of: acknowledged, kept, never guessed onto another."""

    TYPE: ClassVar[str] = "session.message-unmatched"

    charge_point: str
    transaction_id: TransactionId
    message_id: str
    action: str
    version: OcppVersion = OcppVersion.V16
    reason: str
    raw: str


class SessionCapNotKept(Fact):
    """The site tried to stop a stranger's session at its energy cap, in vain, and has given up: it runs on."""

    TYPE: ClassVar[str] = "session.cap-not-kept"

    charge_point: str
    connector: int | None
    session: str
    transaction_id: TransactionId
    energy_wh_max: int
    used_wh: int
    """When it was given up."""
    stops: int
    """So many were tried; each is a command of its own, with its disposition."""


class SessionState(StrEnum):
    RUNNING = "running"
    STOPPED = "stopped"
    FRAGMENT = "fragment"
    """Parts without a start: the disk that had it is gone, or it never came."""


class SessionDoubt(Contract):
    """One figure of a session that should not be billed unseen, by a clause of `billing` or by plain sense."""

    clause: str
    """Empty: no rule allows it."""
    says: str


class SessionView(Contract):
    """One session as the reconciler knows it, its parts of several incarnations joined."""

    site: str
    session: str
    charge_point: str
    connector: int | None
    connectors: int | None = None
    """How many the charge point said it has, when the session started; None: not known."""
    transaction_id: TransactionId
    state: SessionState
    meter_start_wh: int | None
    meter_stop_wh: int | None
    energy_wh: int | None
    """Stop (or, while it runs, the last reading) less start; None when one is missing or the register ran
    backwards."""
    started_at: str | None
    """As the charge point said it."""
    stopped_at: str | None
    reason: str | None
    last_reading_wh: int | None
    last_reading_at: str | None
    readings: int
    status: TokenStatus | None
    basis: Basis | None
    flagged: bool
    auth_method: AuthMethod | None = None
    """What a CDR may state; None: nobody vouched for the driver."""
    duplicates: int
    """Repeated facts that were dropped."""
    stops_differing: int
    """Later stops that contradict the first, which counts."""
    incarnations: tuple[str, ...]
    """The lives of the disk that hold its parts, oldest first."""
    started_seen_ms: int | None = None
    """Site clock, when its start was journaled."""
    stopped_seen_ms: int | None = None
    highest_reading_wh: int | None = None
    left_out: int = 0
    """Messages of periodic readings that the rules left out, as far as was counted."""
    left_out_uncounted: bool = False
    """There may be more of them: what ocpp-edge left out right before a restart of its own is not known."""
    seq_missing: tuple[SeqRange, ...] = ()
    """Of a transaction of 2.x: seqNos up to the highest known that never came, and that no rule left out."""
    seq_uncounted: tuple[SeqRange, ...] = ()
    """Of a transaction of 2.x: seqNos of which nobody knows, for that reason: left out by rule, or never came."""
    doubts: tuple[SessionDoubt, ...] = ()
    """By the rules in force when it was asked."""


class SessionsRequest(Contract):
    """Request of `rpc.sessions` (site) and `hf.cloud.rpc.sessions`."""

    site: str
    after: str = ""
    """Cursor of the reply before; empty for the beginning."""
    limit: int = Field(500, ge=1, le=1000)
    newest_first: bool = False
    """By the order in which the sessions were first seen."""


class Sessions(Contract):
    sessions: tuple[SessionView, ...]
    next: str | None
    counts: dict[str, int] = Field(default_factory=dict)
    """All sessions of the site by state."""
