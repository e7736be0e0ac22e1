"""What is known of one charge point: a fold over the facts in the journal, and over nothing else.

    fold(known, seq, at_ms, fact) -> known

Live and at a restart the same facts go through it, so what was durable is what is known. Folding a fact
twice changes nothing that counts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeVar

from holdfast.contracts.charge_point import (
    AvailabilityChanged,
    ChargePointBooted,
    ChargePointConnected,
    ChargePointDisconnected,
    ChargingProfileInstalled,
    ConnectorStatusChanged,
)
from holdfast.contracts.command import (
    Command,
    CommandDispatched,
    CommandObserved,
    CommandReceived,
    CommandSettled,
    Disposition,
)
from holdfast.contracts.envelope import Fact
from holdfast.contracts.rules import TokenStatus
from holdfast.contracts.session import (
    SessionMessageUnmatched,
    SessionMetered,
    SessionStarted,
    SessionStopped,
    SessionStopRepeated,
)
from ocpp_edge.domain import answers, consequences, dedupe
from ocpp_edge.domain.dedupe import Memory

FOLD_VERSION = 2
"""Raised with every change that gives the same facts another `Known`: then the journal is folded anew."""

OPEN_SESSIONS_MAX = 32
"""Beyond it the oldest is forgotten: its messages are recorded all the same, by their transaction id."""
ENDED_MAX = 256
PAST_STARTS_MAX = 128
CONNECTORS_MAX = 64
"""Further connectors are not remembered; their status goes to telemetry."""
UNCERTAIN_MAX = 32

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """An open session."""

    transaction_id: int
    connector: int
    driver_token: str
    meter_start_wh: int
    message_id: str
    """Of its start."""
    at: str
    started_at_ms: int = 0
    """Clock of the site; 0: from a snapshot of before this was kept."""
    accepted: bool = True
    """What the charge point was told: it soon ends one that was not accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastStart:
    """The start of a session that has ended."""

    transaction_id: int
    message_id: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The first stop of a session: the one that counts."""

    meter_stop_wh: int
    at: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    status: str
    error_code: str


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    seq: int = 0
    """Of the last fact folded in."""
    connection: str | None = None
    """Connected by the journal; whether it still lives only the process knows that has the socket."""
    booted: Booted | None = None
    connectors: Mapping[int, Connector] = field(default_factory=dict)
    sessions: Mapping[int, Session] = field(default_factory=dict)
    """Open ones by transaction id, in the order they began."""
    ended: Mapping[int, Ended] = field(default_factory=dict)
    starts: Memory = field(default_factory=lambda: Memory(limit=128))
    ended_starts: Mapping[str, PastStart] = field(default_factory=dict)
    """By business key: those of `starts` whose session has ended. They are past at the next boot."""
    past_starts: Mapping[str, PastStart] = field(default_factory=dict)
    """By business key, the newest whose session ended before a boot: known by its message id, too, or not."""
    others: Memory = field(default_factory=lambda: Memory(limit=384))
    commands: Mapping[str, Pending] = field(default_factory=dict)
    """In the order they came."""
    settled: Memory = field(default_factory=lambda: Memory(limit=256))
    uncertain: Mapping[str, Pending] = field(default_factory=dict)
    """Settled as uncertain: watched for what the charge point does."""
    due: Mapping[str, consequences.Consequence] = field(default_factory=dict)
    """Facts that follow from stored ones and are not stored themselves yet, by their id."""
    downlink_seq: int = 0

    def session_on(self, connector: int) -> Session | None:
        """The newest: a connector has one transaction at a time, so an older open one has lost its stop."""
        on_it = [one for one in self.sessions.values() if one.connector == connector]
        return on_it[-1] if on_it else None

    def running(self) -> list[Session]:
        """At most one per connector."""
        return list({one.connector: one for one in self.sessions.values()}.values())

    def transaction_ids(self) -> tuple[int, ...]:
        return (*self.ended, *self.sessions)


def fold(known: Known, seq: int, at_ms: int, fact: Fact) -> Known:
    known = _folded(known, at_ms, fact)
    return replace(known, seq=max(known.seq, seq))


def start_key(connector: int, driver_token: str, meter_start_wh: int, at: str) -> str:
    return dedupe.digest("start", connector, driver_token, meter_start_wh, at)


def other_key(raw: str) -> str:
    return dedupe.digest("payload", raw)


def _folded(known: Known, at_ms: int, fact: Fact) -> Known:
    match fact:
        case ChargePointConnected():
            return replace(known, connection=fact.connection)
        case ChargePointDisconnected():
            return _disconnected(known, fact)
        case ChargePointBooted():
            booted = Booted(at_ms=at_ms, vendor=fact.vendor, model=fact.model)
            return _watched(_past(replace(known, booted=booted)), fact)
        case ConnectorStatusChanged():
            connector = Connector(status=fact.status, error_code=fact.error_code)
            return replace(known, connectors={**known.connectors, fact.connector: connector})
        case SessionStarted() | SessionMetered() | SessionStopped() | SessionStopRepeated():
            return _watched(_session_folded(known, at_ms, fact), fact)
        case SessionMessageUnmatched():
            return _answered(known, fact.raw)
        case CommandReceived() | CommandDispatched() | CommandSettled():
            return _command_folded(known, at_ms, fact)
        case CommandObserved() | AvailabilityChanged() | ChargingProfileInstalled():
            known = replace(known, due=_without(known.due, consequences.id_of(fact)))
            if isinstance(fact, CommandObserved):
                known = replace(known, uncertain=_without(known.uncertain, fact.command_id))
            return known
        case _:
            return known


def _disconnected(known: Known, fact: ChargePointDisconnected) -> Known:
    """The late close of an old connection touches nothing."""
    if fact.connection != known.connection:
        return known
    return replace(known, connection=None)


def _answered(known: Known, raw: str) -> Known:
    return replace(known, others=known.others.remembering(other_key(raw), "{}"))


def _session_folded(
    known: Known,
    at_ms: int,
    fact: SessionStarted | SessionMetered | SessionStopped | SessionStopRepeated,
) -> Known:
    match fact:
        case SessionStarted():
            return _started(known, at_ms, fact)
        case SessionStopped():
            return _stopped(known, fact)
        case _:
            return _answered(known, fact.raw)


def _started(known: Known, at_ms: int, fact: SessionStarted) -> Known:
    key = start_key(fact.connector, fact.driver_token, fact.meter_start_wh, fact.at)
    past = known.past_starts.get(key)
    if past and past.transaction_id == fact.transaction_id:
        return known
    known = replace(known, starts=known.starts.remembering(key, answers.to_start(fact)))
    if fact.transaction_id in known.ended or fact.transaction_id in known.sessions:
        return known
    session = Session(
        transaction_id=fact.transaction_id,
        connector=fact.connector,
        driver_token=fact.driver_token,
        meter_start_wh=fact.meter_start_wh,
        message_id=fact.message_id,
        at=fact.at,
        started_at_ms=at_ms,
        accepted=fact.status is TokenStatus.ACCEPTED,
    )
    known = replace(known, ended_starts=_without(known.ended_starts, key))
    sessions = {**known.sessions, session.transaction_id: session}
    return replace(known, sessions=_newest(sessions, OPEN_SESSIONS_MAX))


def _stopped(known: Known, fact: SessionStopped) -> Known:
    known = _answered(known, fact.raw)  # a stop that says -1 is recognised by nothing else
    if fact.transaction_id in known.ended:
        return known
    ended = Ended(meter_stop_wh=fact.meter_stop_wh, at=fact.at, reason=fact.reason)
    return replace(
        known,
        ended_starts=_ended_starts(known, known.sessions.get(fact.transaction_id)),
        sessions=_without(known.sessions, fact.transaction_id),
        ended=_newest({**known.ended, fact.transaction_id: ended}, ENDED_MAX),
    )


def _ended_starts(known: Known, session: Session | None) -> Mapping[str, PastStart]:
    if session is None:
        return known.ended_starts
    key = start_key(session.connector, session.driver_token, session.meter_start_wh, session.at)
    answer = known.starts.get(key)
    if answer is None:
        return known.ended_starts
    past = PastStart(
        transaction_id=session.transaction_id, message_id=session.message_id, answer=answer
    )
    return _newest({**known.ended_starts, key: past}, PAST_STARTS_MAX)


def _past(known: Known) -> Known:
    """A boot: without a clock the next session may look like one that ended before it."""
    ended = known.ended_starts
    return replace(
        known,
        starts=known.starts.without(ended),
        ended_starts={},
        past_starts=_newest({**_without_all(known.past_starts, ended), **ended}, PAST_STARTS_MAX),
    )


def _command_folded(
    known: Known, at_ms: int, fact: CommandReceived | CommandDispatched | CommandSettled
) -> Known:
    command = fact.command
    match fact:
        case CommandReceived():
            known = replace(known, downlink_seq=max(known.downlink_seq, fact.downlink_seq))
            if command.id in known.settled or command.id in known.commands:
                return known
            return replace(known, commands={**known.commands, command.id: Pending(command=command)})
        case CommandDispatched():
            pending = Pending(command=command, dispatched_ms=at_ms)
            return replace(known, commands={**known.commands, command.id: pending})
        case CommandSettled():
            pending = known.commands.get(command.id, Pending(command=command))
            known = replace(
                known,
                commands=_without(known.commands, command.id),
                settled=known.settled.remembering(command.id, fact.disposition),
            )
            if fact.disposition is Disposition.UNCERTAIN:
                uncertain = {**known.uncertain, command.id: pending}
                return replace(known, uncertain=_newest(uncertain, UNCERTAIN_MAX))
            return _due(known, consequences.of_settled(fact))


def _watched(known: Known, fact: Fact) -> Known:
    """Does this settle a command that was uncertain?"""
    for pending in known.uncertain.values():
        # One that an earlier life of the disk may have sent was sent after it was issued.
        sent_ms = pending.dispatched_ms or pending.command.issued_at_ms
        seen = consequences.observed(pending.command, sent_ms, fact)
        known = _due(known, seen)
    return known


def _due(known: Known, follows: consequences.Consequence | None) -> Known:
    if follows is None:
        return known
    return replace(known, due={**known.due, consequences.id_of(follows): follows})


def _without(mapping: Mapping[Key, Value], key: Key) -> dict[Key, Value]:
    return {one: value for one, value in mapping.items() if one != key}


def _without_all(mapping: Mapping[Key, Value], keys: Collection[Key]) -> dict[Key, Value]:
    return {one: value for one, value in mapping.items() if one not in keys}


def _newest(mapping: Mapping[Key, Value], limit: int) -> dict[Key, Value]:
    return dict(islice(mapping.items(), max(0, len(mapping) - limit), None))
