"""TransactionEvents of OCPP 2.x: which fact one becomes, what is asked about it, when it is a repeat.

    the same event     <=>  transaction, seqNo and content (whatever `offline` says: a queue may set it later)
    another content    ->   a conflict: the first counts, this one is kept and shown

The transaction id is the station's own, so an event whose start never came is recorded under it all the same. Holes
in the seqNos and events out of order are recorded as they come and never refused: they are seen in the facts. A begin
and an end are never given up for a seqNo: what ends an open session ends it, even if its seqNo was used before.
"""

from __future__ import annotations

from hashlib import sha256

import msgspec

from holdfast.contracts.decision import Authorised
from holdfast.contracts.envelope import Fact
from holdfast.contracts.rules import TokenType
from holdfast.contracts.session import (
    SessionAuthorised,
    SessionEventConflicted,
    SessionMetered,
    SessionStarted,
    SessionStopped,
    SessionStopRepeated,
)
from ocpp_edge.domain.calls import Call, Token, TransactionEvent
from ocpp_edge.domain.dedupe import digest
from ocpp_edge.domain.known import Known, Session, other_key

EventFact = (
    SessionStarted | SessionMetered | SessionStopped | SessionStopRepeated | SessionEventConflicted
)


def event_key(transaction_id: str, seq_no: int) -> str:
    return digest("event", transaction_id, seq_no)


def content_of(raw: str) -> str:
    """Digest of an event, alike for every way to write the same."""
    payload = msgspec.json.decode(raw)
    payload.pop("offline", None)
    return sha256(msgspec.json.encode(payload, order="sorted")).hexdigest()[:16]


def remembered(raw: str, answer: str) -> str:
    """As `Known.events` has it."""
    return f"{content_of(raw)} {answer}"


def repeat_of(known: Known, call: Call, event: TransactionEvent) -> str | None:
    """The stored answer, when this event took its effect before."""
    found = known.events.get(event_key(event.transaction_id, event.seq_no))
    if found is not None:
        content, _, answer = found.partition(" ")
        if content == content_of(call.raw):
            return answer
    return known.others.get(other_key(call.raw))


def request_id(charge_point: str, call: Call, event: TransactionEvent) -> str:
    """Of the question about its driver token: asked again, answered alike."""
    content = content_of(call.raw)
    return digest("event", charge_point, event.transaction_id, event.seq_no, content)


def asks(known: Known, event: TransactionEvent) -> Token | None:
    """The driver token that rule-service has to be asked about; None: there is none, or it was answered before."""
    return event.token if event.token and _vouched(known, event.token, event) is None else None


def starts_session(known: Known, event: TransactionEvent) -> bool:
    """The first driver token of a transaction, whether it comes with its start or later."""
    if event.kind == "Ended":
        return False
    session = known.sessions.get(event.transaction_id)
    return session is None or session.driver_token is None or not session.accepted


def place_of(known: Known, event: TransactionEvent) -> int | None:
    session = known.sessions.get(event.transaction_id)
    return event.evse if event.evse is not None or session is None else session.connector


def authorised_of(token: Token, given: Authorised) -> SessionAuthorised:
    verdict = given.verdict
    return SessionAuthorised(
        driver_token=token.driver_token,
        token_type=token.token_type,
        status=verdict.status,
        parent=verdict.parent,
        basis=verdict.basis,
        flagged=verdict.flagged,
        energy_wh_max=verdict.energy_wh_max,
        decision=given.decision,
    )


def fact_of(
    known: Known,
    charge_point: str,
    call: Call,
    event: TransactionEvent,
    authorised: SessionAuthorised | None = None,
) -> tuple[Fact, str]:
    """The fact to store, with its id. `authorised`: what rule-service has just said of its driver token."""
    if event.token and authorised is None:
        authorised = _vouched(known, event.token, event)
    id, seq_no = event.transaction_id, event.seq_no
    is_used = event_key(id, seq_no) in known.events
    session, ended = known.sessions.get(id), known.ended.get(id)
    begun = (session is not None and session.begun) or (ended is not None and ended.begun)
    match event.kind:
        case "Started" if not begun:
            started = _started(known, charge_point, call, event, authorised)
            return started, _id(started, seq_no)
        case "Updated" if not is_used:
            metered = _metered(known, charge_point, call, event, authorised)
            return metered, _id(metered, seq_no)
        case "Ended" if ended is None:
            stopped = _stopped(known, charge_point, call, event, authorised)
            return stopped, _id(stopped)
        case "Ended" if not is_used and ended is not None:
            repeated = SessionStopRepeated(
                charge_point=charge_point,
                session=known.key_of(charge_point, id),
                transaction_id=id,
                meter_stop_wh=event.end_wh,
                first_meter_stop_wh=ended.meter_stop_wh,
                message_id=call.message_id,
                action=call.action,
                version=call.version,
                seq_no=seq_no,
                authorised=authorised,
                raw=call.raw,
            )
            return repeated, _id(repeated, seq_no)
        case _:
            conflict = SessionEventConflicted(
                charge_point=charge_point,
                session=known.key_of(charge_point, id),
                transaction_id=id,
                seq_no=seq_no,
                event=event.kind,
                authorised=authorised,
                message_id=call.message_id,
                version=call.version,
                raw=call.raw,
            )
            return conflict, _id(conflict, seq_no, content_of(call.raw))


def _id(fact: EventFact, *more: str | int) -> str:
    """Never that of a session of 1.6 whose integer looks like this transaction's text."""
    return digest("event", fact.TYPE, fact.charge_point, str(fact.transaction_id), *more)


def _started(
    known: Known,
    charge_point: str,
    call: Call,
    event: TransactionEvent,
    authorised: SessionAuthorised | None,
) -> SessionStarted:
    """Recorded whatever the verdict: it happened."""
    return SessionStarted(
        charge_point=charge_point,
        connector=place_of(known, event),
        session=known.key_of(charge_point, event.transaction_id),
        transaction_id=event.transaction_id,
        driver_token=authorised.driver_token if authorised else None,
        token_type=authorised.token_type if authorised else TokenType.ID_TAG,
        meter_start_wh=event.begin_wh,
        at=event.at,
        status=authorised.status if authorised else None,
        parent=authorised.parent if authorised else None,
        basis=authorised.basis if authorised else None,
        flagged=authorised.flagged if authorised else False,
        energy_wh_max=authorised.energy_wh_max if authorised else None,
        decision=authorised.decision if authorised else None,
        message_id=call.message_id,
        action=call.action,
        version=call.version,
        plug=event.plug,
        seq_no=event.seq_no,
        offline=event.offline,
        trigger=event.trigger,
        charging_state=event.charging_state,
        remote_start_id=event.remote_start_id,
        reservation_id=event.reservation_id,
        raw=call.raw,
    )


def _metered(
    known: Known,
    charge_point: str,
    call: Call,
    event: TransactionEvent,
    authorised: SessionAuthorised | None,
) -> SessionMetered:
    return SessionMetered(
        charge_point=charge_point,
        connector=place_of(known, event),
        session=known.key_of(charge_point, event.transaction_id),
        transaction_id=event.transaction_id,
        readings=event.readings,
        message_id=call.message_id,
        action=call.action,
        version=call.version,
        plug=event.plug,
        at=event.at,
        seq_no=event.seq_no,
        offline=event.offline,
        trigger=event.trigger,
        charging_state=event.charging_state,
        authorised=authorised,
        raw=call.raw,
    )


def _stopped(
    known: Known,
    charge_point: str,
    call: Call,
    event: TransactionEvent,
    authorised: SessionAuthorised | None,
) -> SessionStopped:
    return SessionStopped(
        charge_point=charge_point,
        session=known.key_of(charge_point, event.transaction_id),
        transaction_id=event.transaction_id,
        meter_stop_wh=event.end_wh,
        at=event.at,
        reason=event.reason or "Local",  # it may be omitted where it is Local (2.x, ReasonEnumType)
        message_id=call.message_id,
        action=call.action,
        version=call.version,
        connector=place_of(known, event),
        plug=event.plug,
        seq_no=event.seq_no,
        offline=event.offline,
        trigger=event.trigger,
        authorised=authorised,
        raw=call.raw,
    )


def _vouched(known: Known, token: Token, event: TransactionEvent) -> SessionAuthorised | None:
    """What this session's driver token was told, when it is that one again and was accepted."""
    session = known.sessions.get(event.transaction_id)
    if session is None or session.vouched is None or event.kind == "Started":
        return None
    return session.vouched if session.accepted and is_same(session, token) else None


def is_same(session: Session, token: Token) -> bool:
    return (
        session.driver_token is not None
        and session.token_type is token.token_type
        and session.driver_token.casefold() == token.driver_token.casefold()
    )
