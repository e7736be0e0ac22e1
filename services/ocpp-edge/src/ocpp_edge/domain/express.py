"""Everything that is not transactional: answered whatever the lane waits for.

Where a fact is journaled, its answer follows it; but an answer is given also when the disk refuses, for
here the charge point has nothing to keep.
"""

from __future__ import annotations

from typing import assert_never

from holdfast.contracts.charge_point import (
    ChargePointBooted,
    ChargePointSaid,
    ChargePointSampled,
    ConnectorStatusChanged,
    DataTransferred,
    FrameRefused,
)
from holdfast.contracts.envelope import Fact
from holdfast.ocpp import frames
from holdfast.ocpp.actions import Class
from ocpp_edge.domain import answers, newest, relaying, thinning
from ocpp_edge.domain.calls import (
    Authorize,
    Boot,
    Call,
    Data,
    Heartbeat,
    Kept,
    Latest,
    Meter,
    Relay,
    Start,
    Status,
    Stop,
    TransactionEvent,
)
from ocpp_edge.domain.dedupe import digest
from ocpp_edge.domain.events import (
    Answer,
    AskAuthorise,
    Authorised,
    CallReceived,
    CloseConnection,
    Effect,
    FrameWrong,
    NotAuthorised,
    NotStored,
    Sample,
)
from ocpp_edge.domain.known import CONNECTORS_MAX
from ocpp_edge.domain.lane import NO_TOKEN
from ocpp_edge.domain.state import Policy, State, record

Step = tuple[State, list[Effect]]

FRAME_CHARACTERS_MAX = 2_000
"""Of a refused frame, so much is kept."""


def received(policy: Policy, state: State, event: CallReceived) -> Step:  # noqa: C901  one case per kind of request
    call = event.call
    match call.request:
        case Latest() | Meter() as latest if call.is_answered and policy.new_sessions:
            return _newest(policy, state, event, latest)
        case Heartbeat() | Latest() | Meter():
            return _sampled(policy, state, event)
        case Kept() as kept:
            return _said(state, call, kept)
        case Relay():
            return relaying.asked(state, event)
        case Authorize(has_certificate=True):
            return relaying.asked(state, event)
        case Status() as status:
            return _status(policy, state, event, status)
        case Authorize() as asked:
            return _authorize(policy, state, event, asked)
        case Boot() as boot:
            return _recorded(state, call, _booted(state.charge_point, call, boot))
        case Data(vendor=vendor):
            data = DataTransferred(
                charge_point=state.charge_point,
                vendor=vendor,
                message_id=call.message_id,
                version=call.version,
                raw=call.raw,
            )
            # Its answer is the CSMS's; what was said is kept, whatever becomes of that.
            state, effect = record(state, data, _once(state, call), cause=call.message_id)
            state, effects = relaying.asked(state, event)
            return state, [effect, *effects]
        case Start() | Stop() | TransactionEvent():
            raise AssertionError("transactional CALLs go through the lane")
        case _:
            assert_never(call.request)


def answer_of(policy: Policy, call: Call, at_ms: int, result: str) -> Answer:
    match call.request:
        case Boot():
            payload = answers.to_boot(at_ms, policy.heartbeat_s)
        case Heartbeat():
            payload = answers.to_heartbeat(at_ms)
        case _:
            payload = answers.to_opaque(call.action)
    return _answer(call, payload, result)


def authorised(state: State, call: Call, event: Authorised) -> Step:
    verdict = event.authorisation.verdict
    payload = answers.to_authorize(call.version, verdict.status, verdict.parent)
    return _asked_no_more(state, event.request), [_answer(call, payload, verdict.status.value)]


def not_authorised(state: State, call: Call, event: NotAuthorised) -> Step:
    sentence = "no decision could be made: ask again"
    answer = Answer(
        connection=call.connection,
        frame=frames.error(call.message_id, frames.Code.INTERNAL, sentence, call.version),
        action=call.action,
        result="no decision",
    )
    return _asked_no_more(state, event.request), [answer]


def refused(state: State, event: FrameWrong) -> Step:
    """A frame that can't be served. The connection stays."""
    wrong, version = event.wrong, event.version
    answered_id, code = wrong.answered_id(version), frames.name_of(wrong.code, version)
    fact = FrameRefused(
        charge_point=state.charge_point,
        reason=wrong.reason.value,
        code=code if answered_id else None,
        frame=event.frame[:FRAME_CHARACTERS_MAX],
        version=version,
    )
    effects: list[Effect] = [Sample(fact=fact, cause=answered_id or event.connection)]
    if answered_id:
        answer = Answer(
            connection=event.connection,
            frame=frames.error(answered_id, wrong.code, wrong.sentence, version),
            action="refused frame",
            result=wrong.code.value,
        )
        effects.append(answer)
    return state, effects


def _status(policy: Policy, state: State, event: CallReceived, status: Status) -> Step:
    connectors = state.known.connectors
    before = connectors.get(status.connector)
    is_remembered = before is not None or len(connectors) < CONNECTORS_MAX
    stood = before.plugs.get(status.plug) if before and status.plug is not None else None
    if before is not None and status.plug is None:
        stood = before.status
    is_same = before and (stood, before.error_code) == (status.status, status.error_code)
    changed = is_remembered and not is_same
    if not changed and status.error_code == "NoError":
        return _sampled(policy, state, event)
    call = event.call
    fact = ConnectorStatusChanged(
        charge_point=state.charge_point,
        connector=status.connector,
        plug=status.plug,
        status=status.status,
        error_code=status.error_code,
        message_id=call.message_id,
        version=call.version,
        raw=call.raw,
    )
    return _recorded(state, call, fact)


def _authorize(policy: Policy, state: State, event: CallReceived, asked: Authorize) -> Step:
    call = event.call
    if not policy.new_sessions:
        payload = answers.to_authorize_without_storage(call.version, event.at_ms)
        return state, [_answer(call, payload, "no storage")]
    request = digest("authorize", _once(state, call))
    ask = AskAuthorise(
        request=request,
        driver_token=asked.driver_token or NO_TOKEN,
        token_type=asked.token_type,
        starts_session=False,
    )
    return state.with_live(asked={**state.live.asked, request: call}), [ask]


def _asked_no_more(state: State, request: str) -> State:
    return state.with_live(
        asked={one: call for one, call in state.live.asked.items() if one != request}
    )


def _booted(charge_point: str, call: Call, boot: Boot) -> ChargePointBooted:
    return ChargePointBooted(
        charge_point=charge_point,
        message_id=call.message_id,
        vendor=boot.vendor,
        model=boot.model,
        serial=boot.serial,
        firmware=boot.firmware,
        reason=boot.reason,
        version=call.version,
        status="Accepted",
        raw=call.raw,
    )


def _said(state: State, call: Call, kept: Kept) -> Step:
    """A repeat has the id it had, so within the stream's own window it is stored once. Who says the same thing
    later means it.
    """
    fact = ChargePointSaid(
        charge_point=state.charge_point,
        version=call.version,
        action=call.action,
        kind=kept.kind.value,
        key=kept.key,
        message_id=call.message_id,
        raw=call.raw,
    )
    id = digest(fact.TYPE, state.charge_point, kept.key, call.raw)
    if kept.kind is Class.LATEST:
        state = newest.superseded(state, kept.key)
    state, effect = record(state, fact, id, cause=call.message_id, call=call)
    return state, [effect]


def _newest(policy: Policy, state: State, event: CallReceived, latest: Latest | Meter) -> Step:
    """Of those for whom there is no room telemetry is all that is left."""
    step = newest.came(policy, state, event, newest.key_of(event.call.action, latest))
    if step is None:
        return _sampled(policy, state, event)
    state, effects = step
    return state, [*_answered(policy, event, "accepted"), *effects]


def not_stored(policy: Policy, state: State, call: Call, event: NotStored) -> Step:
    if isinstance(call.request, Kept):
        # Acknowledged it would be forgotten; an open socket without answers is no place for it either.
        if call.connection != state.live.connection:
            return state, []
        why = f"not stored: {event.why}"
        return state, [CloseConnection(connection=call.connection, reason=why)]
    return state, [answer_of(policy, call, event.at_ms, "not stored")]


def _recorded(state: State, call: Call, fact: Fact) -> Step:
    state, effect = record(state, fact, _once(state, call), cause=call.message_id, call=call)
    return state, [effect]


def _sampled(policy: Policy, state: State, event: CallReceived) -> Step:
    call = event.call
    found = thinning.sampled(policy, state, event)
    if not found.is_kept:
        return found.state, _answered(policy, event, "left out")
    if not call.is_answered:
        return _streamed(found.state, call)
    fact = ChargePointSampled(
        charge_point=state.charge_point,
        action=call.action,
        message_id=call.message_id,
        left_out=found.left_out,
        version=call.version,
        raw=call.raw,
    )
    answered = _answered(policy, event, "accepted")
    return found.state, [*answered, Sample(fact=fact, cause=call.message_id)]


def _streamed(state: State, call: Call) -> Step:
    """A SEND: the CSMS that took the stream gets it out of the journal. Nobody waits until it is stored."""
    connector = call.request.connector if isinstance(call.request, Latest) else None
    fact = ChargePointSaid(
        charge_point=state.charge_point,
        version=call.version,
        action=call.action,
        kind=Class.LATEST.value,
        key=digest(call.action, connector),
        message_id=call.message_id,
        raw=call.raw,
    )
    state, effect = record(state, fact, _once(state, call), cause=call.message_id)
    return state, [effect]


def _answered(policy: Policy, event: CallReceived, result: str) -> list[Effect]:
    """None for a SEND."""
    if not event.call.is_answered:
        return []
    return [answer_of(policy, event.call, event.at_ms, result)]


def _once(state: State, call: Call) -> str:
    """Id of what a CALL led to, where only a repeat on the same connection is the same: a charge point
    that boots anew may use the same message ids again, with the same payload.
    """
    return digest(call.action, state.charge_point, call.connection, call.message_id, call.raw)


def _answer(call: Call, payload: str, result: str) -> Answer:
    return Answer(
        connection=call.connection,
        frame=frames.result(call.message_id, payload),
        action=call.action,
        result=result,
    )
