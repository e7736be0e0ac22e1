"""What the facts in the journal make known of one charge point.

    fold(known, seq, at_ms, fact) -> known

Live and at a restart the same facts go through it, so what was durable is what is known. Folding a fact
twice changes nothing that counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from holdfast import local_state
from holdfast.contracts.charge_point import (
    AvailabilityChanged,
    ChargePointBooted,
    ChargePointConnected,
    ChargePointDisconnected,
    ChargePointSaid,
    ChargingProfileInstalled,
    ConnectorStatusChanged,
    DataTransferred,
)
from holdfast.contracts.command import (
    CommandDispatched,
    CommandHeld,
    CommandObserved,
    CommandReceived,
    CommandSettled,
    CommandWorded,
)
from holdfast.contracts.envelope import Fact
from holdfast.contracts.rules import TokenStatus
from holdfast.contracts.session import (
    SessionCapNotKept,
    SessionEventConflicted,
    SessionMessageUnmatched,
    SessionMetered,
    SessionStarted,
    SessionStopped,
    SessionStopRepeated,
)
from holdfast.empty import NOTHING
from holdfast.local_state import LocalState
from holdfast.ocpp.actions import Sender, row
from holdfast.ocpp.moments import moment_ms
from holdfast.records import replace
from ocpp_edge.domain import answers, consequences, energy_cap, event_fold, installed
from ocpp_edge.domain.command_fold import (
    command_folded,
    newest,
    observed,
    watched,
    without,
    without_all,
    worded,
)
from ocpp_edge.domain.known import (
    ENDED_MAX,
    OPEN_SESSIONS_MAX,
    PAST_STARTS_MAX,
    PLUGS_MAX,
    Booted,
    Connector,
    Ended,
    Known,
    LastSaid,
    PastStart,
    Session,
    Thinned,
    other_key,
    said_place,
    start_key,
)
from ocpp_edge.domain.transaction_events import EventFact, content_of

_FROM_A_CALL = (
    ChargePointBooted,
    ConnectorStatusChanged,
    DataTransferred,
    SessionStarted,
    SessionMetered,
    SessionStopped,
    SessionStopRepeated,
    SessionEventConflicted,
    SessionMessageUnmatched,
)
LATE_MS = 60_000
"""A message that is so much older than its arrival comes out of the charge point's own queue (or its clock is
wrong: then it may be, which is what counts)."""


def fold(known: Known, seq: int, at_ms: int, fact: Fact) -> Known:
    local = local_state.fold(known.local, at_ms, fact)
    if isinstance(fact, SessionMetered) and not event_fold.is_of_2x(fact):  # nine of ten
        known = _metered(known, max(known.seq, seq), at_ms, fact, local)
        return watched(_thinned(known, seq, fact), fact)
    known = _folded(known, at_ms, fact)
    if isinstance(fact, SessionMetered):
        known = _thinned(known, seq, fact)
    last = _last_said(known, at_ms, fact)
    return replace(known, local=local, last_said=last, seq=max(known.seq, seq))


def _last_said(known: Known, at_ms: int, fact: Fact) -> LastSaid | None:
    if isinstance(fact, ChargePointSaid):
        said = row(fact.version, Sender.CHARGE_POINT, fact.action)
        if said is not None and said.send:
            return known.last_said  # nobody waits for an answer to it
        place = said_place(fact.kind, fact.action, fact.key)
        return LastSaid(place=place, content=other_key(fact.raw), at_ms=at_ms)
    return None if isinstance(fact, _FROM_A_CALL) else known.last_said


def _folded(known: Known, at_ms: int, fact: Fact) -> Known:  # noqa: C901  one case per kind of fact
    match fact:
        case ChargePointConnected():
            return replace(known, connection=fact.connection, version=fact.version)
        case ChargePointDisconnected():
            return _disconnected(known, fact)
        case ChargePointBooted():
            booted = Booted(at_ms=at_ms, vendor=fact.vendor, model=fact.model)
            return watched(_past(replace(known, booted=booted)), fact)
        case ConnectorStatusChanged():
            return watched(_status_folded(known, at_ms, fact), fact)
        case (
            SessionStarted()
            | SessionMetered()
            | SessionStopped()
            | SessionStopRepeated()
            | SessionEventConflicted()
        ):
            known = replace(known, late_record_at_ms=_late(known, at_ms, fact))
            return watched(_session_folded(known, at_ms, fact), fact)
        case SessionCapNotKept():
            return _given_up(known, fact)
        case SessionMessageUnmatched():
            return _answered(known, fact.raw)
        case CommandReceived() | CommandDispatched() | CommandSettled():
            return command_folded(known, at_ms, fact)
        case CommandHeld() | CommandWorded():
            return worded(known, fact)
        case CommandObserved() | AvailabilityChanged() | ChargingProfileInstalled():
            known = replace(known, due=without(known.due, consequences.id_of(fact)))
            return observed(known, fact) if isinstance(fact, CommandObserved) else known
        case ChargePointSaid():
            return replace(known, installed=installed.after_said(known.installed, fact))
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
    fact: EventFact,
) -> Known:
    if event_fold.is_of_2x(fact):
        return event_fold.folded(known, at_ms, fact)
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
        energy_wh_max=fact.energy_wh_max,
    )
    known = replace(
        known,
        ended_starts=without(known.ended_starts, key),
        installed=installed.after_start(known.installed, fact.raw),
    )
    sessions = {**known.sessions, session.transaction_id: session}
    return replace(known, sessions=newest(sessions, OPEN_SESSIONS_MAX))


def _stopped(known: Known, fact: SessionStopped) -> Known:
    known = _answered(known, fact.raw)  # a stop that says -1 is recognised by nothing else
    if fact.transaction_id in known.ended:
        return known
    ended = Ended(
        meter_stop_wh=fact.meter_stop_wh,
        at=fact.at,
        reason=fact.reason,
        content=content_of(fact.raw),
    )
    session = known.sessions.get(fact.transaction_id)
    if session:
        left = installed.after_stop(known.installed, session.connector, session.transaction_id)
        known = replace(known, installed=left)
    return replace(
        known,
        ended_starts=_ended_starts(known, session),
        sessions=without(known.sessions, fact.transaction_id),
        ended=newest({**known.ended, fact.transaction_id: ended}, ENDED_MAX),
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
    return newest({**known.ended_starts, key: past}, PAST_STARTS_MAX)


def _past(known: Known) -> Known:
    """A boot: without a clock the next session may look like one that ended before it."""
    ended = known.ended_starts
    if not ended:
        return known
    return replace(
        known,
        starts=known.starts.without(ended),
        ended_starts=NOTHING,
        past_starts=newest({**without_all(known.past_starts, ended), **ended}, PAST_STARTS_MAX),
    )


def _metered(known: Known, seq: int, at_ms: int, fact: SessionMetered, local: LocalState) -> Known:
    """All at once, for it is folded more often than all others together."""
    sessions = known.sessions
    session = sessions.get(fact.transaction_id)
    if session is not None and not session.named and _named(fact):
        session = replace(session, named=True)
        sessions = {**sessions, session.transaction_id: session}
    if session is not None and fact.readings:
        highest_wh = max(reading.energy_wh for reading in fact.readings)
        session = replace(
            session,
            last_wh=max(highest_wh, session.last_wh or highest_wh),
            read_at_ms=max(at_ms, session.read_at_ms),
            stop_failed=session.stop_failed or energy_cap.shows_failed(session, at_ms, fact),
        )
        sessions = {**sessions, session.transaction_id: session}
    return replace(
        known,
        seq=seq,
        local=local,
        late_record_at_ms=_late(known, at_ms, fact),
        sessions=sessions,
        others=known.others.remembering(other_key(fact.raw), "{}"),
        last_said=None,
    )


def _named(fact: SessionMetered) -> bool:
    """Said under the session's own id, not -1; looked at until it was once."""
    said = json.loads(fact.raw).get("transactionId")
    return bool(said == fact.transaction_id)


def _thinned(known: Known, seq: int, fact: SessionMetered) -> Known:
    session = known.sessions.get(fact.transaction_id)
    if session is None or (session.thinned is None and not fact.thinning):
        return known
    thinned = Thinned(seq=seq, seq_no=fact.seq_no) if fact.thinning else None
    session = replace(session, thinned=thinned)
    return replace(known, sessions={**known.sessions, session.transaction_id: session})


def place_status(plugs: Iterable[str]) -> str:
    """What the connectors of one EVSE come to: it charges one car at a time, and one good connector is enough."""
    stands = set(plugs)
    return next((one for one in _PLACE_IS if one in stands), "Unavailable")


_PLACE_IS = ("Occupied", "Reserved", "Available", "Faulted", "Unavailable")


def _given_up(known: Known, fact: SessionCapNotKept) -> Known:
    session = known.sessions.get(fact.transaction_id)
    if session is None:
        return known
    session = replace(session, cap_given_up=True)
    return replace(known, sessions={**known.sessions, session.transaction_id: session})


def _late(
    known: Known,
    at_ms: int,
    fact: EventFact,
) -> int | None:
    match fact:
        case SessionStarted() | SessionStopped():
            said = fact.at
        case SessionMetered(at=str() as at):
            said = at
        case SessionMetered() if fact.readings:
            said = fact.readings[-1].at
        case _:
            return known.late_record_at_ms
    said_ms = moment_ms(said)
    is_late = said_ms is not None and said_ms < at_ms - LATE_MS
    return at_ms if is_late else known.late_record_at_ms


def _status_folded(known: Known, at_ms: int, fact: ConnectorStatusChanged) -> Known:
    before = known.connectors.get(fact.connector)
    plugs = dict(before.plugs) if before else {}
    if fact.plug is not None and (fact.plug in plugs or len(plugs) < PLUGS_MAX):
        plugs[fact.plug] = fact.status
    status = place_status(plugs.values()) if plugs else fact.status
    is_same = before is not None and before.status == status
    since_ms = before.since_ms if is_same and before else at_ms
    now = Connector(status=status, error_code=fact.error_code, since_ms=since_ms, plugs=plugs)
    return replace(known, connectors={**known.connectors, fact.connector: now})
