"""What is known of one charge point: what `fold.py` makes of the facts in the journal, and of nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

from holdfast.contracts.command import Command
from holdfast.contracts.numbers import Payload
from holdfast.contracts.rules import TokenType
from holdfast.contracts.session import SessionAuthorised, session_key
from holdfast.contracts.transaction import TransactionId
from holdfast.empty import nothing
from holdfast.local_state import LocalState
from holdfast.ocpp.actions import Class
from holdfast.ocpp.versions import OcppVersion
from ocpp_edge.domain import consequences, dedupe
from ocpp_edge.domain.dedupe import Memory, no_memory
from ocpp_edge.domain.installed import NOTHING_INSTALLED, Installed

FOLD_VERSION = 9
"""Raised with every change that gives the same facts another `Known`: then the journal is folded anew."""

OPEN_SESSIONS_MAX = 32
"""Beyond it the oldest is forgotten: its messages are recorded all the same, by their transaction id."""
ENDED_MAX = 256
PAST_STARTS_MAX = 128
CONNECTORS_MAX = 64
"""Further connectors are not remembered; their status goes to telemetry."""
UNCERTAIN_MAX = 32
PLUGS_MAX = 16
"""Of one EVSE."""
EVENTS_MAX = 512
"""Eight hours of one session with a reading each minute."""


def _key_text(id: TransactionId) -> str:
    return f"={id}" if isinstance(id, str) else str(id)


def _key(text: object) -> object:
    if not isinstance(text, str):
        return text
    return text[1:] if text.startswith("=") else int(text)


TransactionKey = Annotated[
    TransactionId, PlainSerializer(_key_text, return_type=str), BeforeValidator(_key)
]
"""As a key of JSON, where 1001 and "1001" would be one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinned:
    """A reading that was stored while the rules thinned."""

    seq: int
    """In the journal."""
    seq_no: int | None = None
    """2.x: the station's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """An open session."""

    transaction_id: TransactionId
    connector: int | None
    driver_token: str | None
    meter_start_wh: int | None
    message_id: str
    """Of its start."""
    at: str
    started_at_ms: int = 0
    """Clock of the site; 0: from a snapshot of before this was kept."""
    accepted: bool = True
    """What the charge point was told: it soon ends one that was not accepted."""
    energy_wh_max: int | None = None
    """Cap of the rule for strangers."""
    last_wh: int | None = None
    """Highest reading of the register."""
    read_at_ms: int = 0
    """When the last reading was journaled."""
    stops: int = 0
    """So many of its own the site has issued: the cap was reached."""
    stop_ended_ms: int | None = None
    """When the last one got its disposition; None: it has none yet, or a person cancelled it."""
    stop_failed: bool = False
    """The last one is known to have done nothing."""
    cap_given_up: bool = False
    token_type: TokenType = TokenType.ID_TAG
    vouched: SessionAuthorised | None = None
    """2.x: what was told of its driver token."""
    charging_state: str | None = None
    """2.x: the last that was journaled."""
    begun: bool = True
    """False: its start is not known here (2.x: it goes by the station's own id all the same)."""
    named: bool = False
    """1.6: the charge point has used its id, so it is none of those that it means by -1."""
    thinned: Thinned | None = None
    """Its last reading, if some may have been left out behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastStart:
    """The start of a session that has ended."""

    transaction_id: TransactionId
    message_id: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The first stop of a session: the one that counts."""

    meter_stop_wh: int | None
    at: str
    reason: str
    begun: bool = True
    """Its start is known here, too."""
    content: str = ""
    """Digest of the payload (1.6): values alone would take a stop with signed readings for one without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    status: str
    error_code: str
    since_ms: int = 0
    """When it came, clock of the site; 0: from a snapshot of before this was kept."""
    plugs: Mapping[int, str] = field(default_factory=nothing)
    """2.x: the status of each connector on the EVSE; `status` is what they come to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Booted:
    at_ms: int
    vendor: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A command received and not yet settled."""

    command: Command
    dispatched_ms: int | None = None
    """None: it waits."""
    held: bool = False
    """For an operator's word."""
    confirmed_by: str | None = None
    cancelled_by: str | None = None
    overtaken: Mapping[str, str] = field(default_factory=nothing)
    """Parts of it that newer commands set, each with the command's id."""
    sent: Payload | None = None
    """Where that is not all of it."""
    sent_without: str = ""

    @property
    def as_sent(self) -> Command:
        if self.sent is None:
            return self.command
        return self.command.model_copy(update={"payload": self.sent})


NOTHING_LOCAL = LocalState()


@dataclass(frozen=True, slots=True, kw_only=True)
class LastSaid:
    """What the charge point said last, if that was nothing of a transaction: its answer may not have left."""

    place: str
    content: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    seq: int = 0
    """Of the last fact folded in."""
    connection: str | None = None
    """Connected by the journal; whether it still lives only the process knows that has the socket."""
    version: OcppVersion | None = None
    """Of its last connection."""
    booted: Booted | None = None
    connectors: Mapping[int, Connector] = field(default_factory=nothing)
    sessions: Mapping[TransactionKey, Session] = field(default_factory=nothing)
    """Open ones by transaction id, in the order they began."""
    ended: Mapping[TransactionKey, Ended] = field(default_factory=nothing)
    starts: Memory = field(default_factory=partial(no_memory, 128))
    ended_starts: Mapping[str, PastStart] = field(default_factory=nothing)
    """By business key: those of `starts` whose session has ended. They are past at the next boot."""
    past_starts: Mapping[str, PastStart] = field(default_factory=nothing)
    """By business key, the newest whose session ended before a boot: known by its message id, too, or not."""
    others: Memory = field(default_factory=partial(no_memory, 384))
    events: Memory = field(default_factory=partial(no_memory, EVENTS_MAX))
    """TransactionEvents by transaction and seqNo: digest of the content, and the answer."""
    commands: Mapping[str, Pending] = field(default_factory=nothing)
    """In the order they came."""
    settled: Memory = field(default_factory=partial(no_memory, 256))
    contents: Memory = field(default_factory=partial(no_memory, 256))
    """Of `settled`: what the command was, see `identity.py`."""
    uncertain: Mapping[str, Pending] = field(default_factory=nothing)
    """Settled as uncertain: watched for what the charge point does."""
    due: Mapping[str, consequences.Consequence] = field(default_factory=nothing)
    """Facts that follow from stored ones and are not stored themselves yet, by their id."""
    installed: Installed = NOTHING_INSTALLED
    late_record_at_ms: int | None = None
    """When the newest message came that the charge point had kept for a while: it may hold more."""
    last_said: LastSaid | None = None
    """None: something else came after it."""
    read_only: frozenset[str] = frozenset()
    """Configuration keys of 1.6 that were told to be so."""
    unmarked: frozenset[str] = frozenset()
    """Transactions of 2.x whose facts were given a key without the mark that `session_key` puts before such texts
    now: they keep it to their end, or would be torn in two."""
    local: LocalState = NOTHING_LOCAL
    """What stands at the charge point, value by value, with when it was told."""
    downlink_seq: int = 0

    def key_of(self, charge_point: str, transaction_id: TransactionId) -> str:
        """Of a session, for its facts."""
        if transaction_id in self.unmarked:
            return f"{charge_point}/{transaction_id}"
        return session_key(charge_point, transaction_id)

    def session_on(self, connector: int) -> Session | None:
        """The newest: a connector has one transaction at a time, so an older open one has lost its stop."""
        on_it = [one for one in self.sessions.values() if one.connector == connector]
        return on_it[-1] if on_it else None

    def running(self) -> list[Session]:
        """At most one per connector; and those of which the charge point has not said where (2.x)."""
        newest = {one.connector: one for one in self.sessions.values() if one.connector is not None}
        nowhere = [one for one in self.sessions.values() if one.connector is None]
        return [*newest.values(), *nowhere]

    def transaction_ids(self) -> tuple[int, ...]:
        """Those that the site gave out (1.6)."""
        return tuple(one for one in (*self.ended, *self.sessions) if isinstance(one, int))


def start_key(
    connector: int | None, driver_token: str | None, meter_start_wh: int | None, at: str
) -> str:
    return dedupe.digest("start", connector, driver_token, meter_start_wh, at)


def said_place(kind: str, action: str, key: str) -> str:
    """Of what a fresh one takes the place. Of class L by the action alone: where a payload has no key, each is a key of
    its own, and yet the next one is what stands.
    """
    return action if kind == Class.LATEST.value else f"{action}/{key}"


@lru_cache(maxsize=64)
def other_key(raw: str) -> str:
    """Asked for three times while a message is handled."""
    return dedupe.digest("payload", raw)
