"""What TransactionEvents (OCPP 2.x) make known of a charge point's sessions. A part of `fold.py`."""

from __future__ import annotations

from holdfast.contracts.rules import TokenStatus
from holdfast.contracts.session import (
    SessionAuthorised,
    SessionEventConflicted,
    SessionMetered,
    SessionStarted,
    SessionStopped,
    session_key,
)
from holdfast.records import replace
from ocpp_edge.domain import answers, energy_cap, installed
from ocpp_edge.domain.command_fold import newest, without
from ocpp_edge.domain.known import ENDED_MAX, OPEN_SESSIONS_MAX, Ended, Known, Session, other_key
from ocpp_edge.domain.transaction_events import EventFact, event_key, remembered


def is_of_2x(fact: EventFact) -> bool:
    return isinstance(fact.transaction_id, str)


def folded(known: Known, at_ms: int, fact: EventFact) -> Known:
    known = _remembered(_unmarked(known, fact), fact)
    match fact:
        case SessionStarted():
            return _started(known, at_ms, fact)
        case SessionMetered():
            return _metered(known, at_ms, fact)
        case SessionStopped():
            return _stopped(known, fact)
        case _:
            return known


def _unmarked(known: Known, fact: EventFact) -> Known:
    """Written before the mark was. Beyond the bound no further ones: so many never run across one update."""
    id = str(fact.transaction_id)
    is_marked = fact.session == session_key(fact.charge_point, id)
    if is_marked or id in known.unmarked or len(known.unmarked) >= ENDED_MAX:
        return known
    return replace(known, unmarked=known.unmarked | {id})


def _remembered(known: Known, fact: EventFact) -> Known:
    """The first event of a seqNo counts; one that contradicts it is recognised by its payload alone."""
    answer = answers.to_fact(fact)
    key = event_key(str(fact.transaction_id), fact.seq_no or 0)
    if isinstance(fact, SessionEventConflicted) or key in known.events:
        return replace(known, others=known.others.remembering(other_key(fact.raw), answer))
    return replace(known, events=known.events.remembering(key, remembered(fact.raw, answer)))


def _started(known: Known, at_ms: int, fact: SessionStarted) -> Known:
    id = fact.transaction_id
    known = replace(known, installed=installed.after_start(known.installed, fact.raw))
    ended = known.ended.get(id)
    if ended is not None:  # its end overtook it
        return replace(known, ended={**known.ended, id: replace(ended, begun=True)})
    before = known.sessions.get(id)
    if before is not None and before.begun:
        return known
    session = before or _new(fact, at_ms)
    session = replace(
        session,
        connector=session.connector if fact.connector is None else fact.connector,
        meter_start_wh=session.meter_start_wh
        if fact.meter_start_wh is None
        else fact.meter_start_wh,
        message_id=fact.message_id,
        at=fact.at,
        begun=True,
        charging_state=session.charging_state or fact.charging_state,
    )
    return _open(known, _with_token(session, _told(fact)))


def _told(fact: SessionStarted) -> SessionAuthorised | None:
    if fact.driver_token is None or fact.status is None or fact.basis is None:
        return None
    return SessionAuthorised(
        driver_token=fact.driver_token,
        token_type=fact.token_type,
        status=fact.status,
        parent=fact.parent,
        basis=fact.basis,
        flagged=fact.flagged,
        energy_wh_max=fact.energy_wh_max,
        decision=fact.decision or "",
    )


def _metered(known: Known, at_ms: int, fact: SessionMetered) -> Known:
    id = fact.transaction_id
    if id in known.ended:
        return known
    session = known.sessions.get(id) or _new(fact, at_ms)
    session = replace(
        session,
        connector=session.connector if fact.connector is None else fact.connector,
        charging_state=fact.charging_state or session.charging_state,
    )
    if fact.readings:
        readings_wh = [reading.energy_wh for reading in fact.readings]
        highest_wh = max(readings_wh)
        start_wh = session.meter_start_wh
        session = replace(
            session,
            last_wh=max(highest_wh, session.last_wh or highest_wh),
            # Where the start carried no register, the first one is what there is to count from.
            meter_start_wh=readings_wh[0] if start_wh is None else start_wh,
            read_at_ms=max(at_ms, session.read_at_ms),
            stop_failed=session.stop_failed or energy_cap.shows_failed(session, at_ms, fact),
        )
    return _open(known, _with_token(session, fact.authorised))


def _stopped(known: Known, fact: SessionStopped) -> Known:
    id = fact.transaction_id
    if id in known.ended:
        return known
    session = known.sessions.get(id)
    place = session.connector if session and session.connector is not None else fact.connector
    ended = Ended(
        meter_stop_wh=fact.meter_stop_wh,
        at=fact.at,
        reason=fact.reason,
        begun=session is not None and session.begun,
    )
    return replace(
        known,
        installed=installed.after_stop(known.installed, place, id),
        sessions=without(known.sessions, id),
        ended=newest({**known.ended, id: ended}, ENDED_MAX),
    )


def _new(fact: SessionStarted | SessionMetered, at_ms: int) -> Session:
    return Session(
        transaction_id=fact.transaction_id,
        connector=fact.connector,
        driver_token=None,
        meter_start_wh=None,
        message_id=fact.message_id,
        at=fact.at or "",
        started_at_ms=at_ms,
        begun=False,
    )


def _with_token(session: Session, told: SessionAuthorised | None) -> Session:
    """The first driver token that is accepted is the session's; before that the last one shown."""
    if told is None:
        return session
    if session.vouched is not None and session.vouched.status is TokenStatus.ACCEPTED:
        return session
    return replace(
        session,
        driver_token=told.driver_token,
        token_type=told.token_type,
        vouched=told,
        accepted=told.status is TokenStatus.ACCEPTED,
        energy_wh_max=told.energy_wh_max,
    )


def _open(known: Known, session: Session) -> Known:
    sessions = {**known.sessions, session.transaction_id: session}
    return replace(known, sessions=newest(sessions, OPEN_SESSIONS_MAX))
