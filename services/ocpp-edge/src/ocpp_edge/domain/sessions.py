"""Transactional CALLs: which session a message belongs to, and what is recorded of it. Never guessed.

    fact_of(known, call, ...) -> the fact to store, with its id        (None: a repeat, nothing to store)

A positive id that this charge point does not know may be of an earlier life of the site's disk: where it can be,
it is recorded under that id, so that the cloud can join the parts. -1 means a session whose id the charge point
never got: none of those that it has used the id of. Every message is acknowledged; what belongs to no session is
kept as unmatched.
"""

from __future__ import annotations

import msgspec

from holdfast.contracts.decision import Authorised
from holdfast.contracts.envelope import Fact
from holdfast.contracts.session import (
    SessionMessageUnmatched,
    SessionMetered,
    SessionStarted,
    SessionStopped,
    SessionStopRepeated,
    session_key,
)
from holdfast.contracts.transaction import TransactionId
from ocpp_edge.domain import answers, transaction_events
from ocpp_edge.domain.calls import Call, Meter, Start, Stop, TransactionEvent
from ocpp_edge.domain.dedupe import digest
from ocpp_edge.domain.known import Ended, Known, Session, other_key, start_key


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What the site knows of a transaction id beyond this charge point."""

    owner: str | None
    """The charge point that the id was given to; None when the site does not know it."""
    lowest: int
    highest: int
    """No id below or above them was ever given out here."""


class Unmatched(msgspec.Struct, frozen=True, kw_only=True):
    reason: str


def repeat_of(known: Known, call: Call) -> str | None:
    """The stored answer, when this CALL took its effect before."""
    match call.request:
        case Start() as start:
            key = _key(start)
            past = known.past_starts.get(key)
            if key not in known.starts and past and past.message_id == call.message_id:
                return past.answer
            return known.starts.get(key)
        case TransactionEvent() as event:
            return transaction_events.repeat_of(known, call, event)
        case Stop() as stop if stop.transaction_id in known.ended:
            if _values(call, stop) == known.ended[stop.transaction_id]:
                return answers.EMPTY
    return known.others.get(other_key(call.raw))


def start_id(known: Known, charge_point: str, start: Start) -> str:
    """Of the fact, and of the question whether it is authorised: asked again, answered alike. A session that
    looks like one of the charge point's old life is another one.
    """
    key = _key(start)
    past = known.past_starts.get(key)
    after = (past.transaction_id,) if past else ()
    return digest("session.started", charge_point, key, *after)


def started(
    charge_point: str,
    call: Call,
    verdict: Authorised,
    transaction_id: int,
    connectors: int | None = None,
) -> Fact:
    """Recorded whatever the verdict: it happened."""
    start = call.request
    assert isinstance(start, Start)
    return SessionStarted(
        charge_point=charge_point,
        connector=start.connector,
        connectors=connectors,
        session=session_key(charge_point, transaction_id),
        transaction_id=transaction_id,
        driver_token=start.driver_token,
        meter_start_wh=start.meter_start_wh,
        at=start.at,
        status=verdict.verdict.status,
        parent=verdict.verdict.parent,
        basis=verdict.verdict.basis,
        flagged=verdict.verdict.flagged,
        energy_wh_max=verdict.verdict.energy_wh_max,
        decision=verdict.decision,
        message_id=call.message_id,
        raw=call.raw,
    )


def fact_of(known: Known, charge_point: str, call: Call, origin: Origin) -> tuple[Fact, str]:
    """The fact of a MeterValues or StopTransaction, and its id."""
    assert isinstance(call.request, Meter | Stop)
    transaction_id = _bound(known, charge_point, call.request, origin)
    if isinstance(transaction_id, Unmatched):
        fact = SessionMessageUnmatched(
            charge_point=charge_point,
            transaction_id=call.request.transaction_id or 0,
            message_id=call.message_id,
            action=call.action,
            reason=transaction_id.reason,
            raw=call.raw,
        )
        return fact, digest(fact.TYPE, charge_point, other_key(call.raw))
    if isinstance(call.request, Meter):
        return _metered(charge_point, call, call.request, transaction_id)
    return _stopped(known, charge_point, call, call.request, transaction_id)


def _bound(
    known: Known, charge_point: str, request: Meter | Stop, origin: Origin
) -> TransactionId | Unmatched:
    transaction_id = request.transaction_id
    assert transaction_id is not None
    if transaction_id <= 0:
        return _bound_without_id(known, request)
    if transaction_id in known.sessions or transaction_id in known.ended:
        return transaction_id
    if origin.owner not in (None, charge_point):
        return Unmatched(reason="the transaction is another charge point's")
    if not origin.lowest <= transaction_id <= origin.highest:
        return Unmatched(reason="no such transaction was ever begun here")
    return transaction_id


def _bound_without_id(known: Known, request: Meter | Stop) -> TransactionId | Unmatched:
    """OCPP 1.6 errata 3.18: a charge point that got no answer to its start writes -1."""
    if isinstance(request, Meter):
        session = known.session_on(request.connector)
        if session is None or isinstance(session.transaction_id, str):
            return Unmatched(reason=f"no session is open on connector {request.connector}")
        if session.named:
            reason = f"the session on connector {request.connector} was metered under its own id"
            return Unmatched(reason=reason)
        return session.transaction_id
    running = [one for one in known.running() if isinstance(one.transaction_id, int)]
    candidates = [one for one in running if not one.named and _may_end(one, request)]
    if len(candidates) == 1:
        return candidates[0].transaction_id
    return Unmatched(
        reason=f"the stop does not say which session it ends: {len(candidates)} of the {len(running)} "
        "that are open can be meant"
    )


def _may_end(session: Session, stop: Stop) -> bool:
    """The start that the stop belongs to may never have come here: then it is none of those that are open."""
    if (
        stop.driver_token
        and stop.driver_token.casefold() != (session.driver_token or "").casefold()
    ):
        return False
    return session.meter_start_wh is None or stop.meter_stop_wh >= session.meter_start_wh


def _metered(
    charge_point: str, call: Call, meter: Meter, transaction_id: TransactionId
) -> tuple[Fact, str]:
    fact = SessionMetered(
        charge_point=charge_point,
        connector=meter.connector,
        session=session_key(charge_point, transaction_id),
        transaction_id=transaction_id,
        readings=meter.readings,
        message_id=call.message_id,
        raw=call.raw,
    )
    return fact, digest(fact.TYPE, charge_point, other_key(call.raw))


def _stopped(
    known: Known, charge_point: str, call: Call, stop: Stop, transaction_id: TransactionId
) -> tuple[Fact, str]:
    session = session_key(charge_point, transaction_id)
    first = known.ended.get(transaction_id)
    if first is not None:
        repeated = SessionStopRepeated(
            charge_point=charge_point,
            session=session,
            transaction_id=transaction_id,
            meter_stop_wh=stop.meter_stop_wh,
            first_meter_stop_wh=first.meter_stop_wh,
            message_id=call.message_id,
            raw=call.raw,
        )
        return repeated, digest(repeated.TYPE, charge_point, other_key(call.raw))
    fact = SessionStopped(
        charge_point=charge_point,
        session=session,
        transaction_id=transaction_id,
        meter_stop_wh=stop.meter_stop_wh,
        at=stop.at,
        reason=stop.reason,
        message_id=call.message_id,
        raw=call.raw,
    )
    return fact, digest(fact.TYPE, charge_point, transaction_id)


def _key(start: Start) -> str:
    return start_key(start.connector, start.driver_token, start.meter_start_wh, start.at)


def _values(call: Call, stop: Stop) -> Ended:
    return Ended(
        meter_stop_wh=stop.meter_stop_wh,
        at=stop.at,
        reason=stop.reason,
        content=transaction_events.content_of(call.raw),
    )
