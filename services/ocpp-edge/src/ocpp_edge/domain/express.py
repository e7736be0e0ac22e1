"""Everything that is not transactional: answered whatever the lane waits for.

Where a fact is journaled, its answer follows it; but an answer is given also when the disk refuses, for
here the charge point has nothing to keep.
"""

from __future__ import annotations

from typing import assert_never

from holdfast.contracts.charge_point import (
    ChargePointBooted,
    ChargePointSampled,
    ConnectorStatusChanged,
    DataTransferred,
    FrameRefused,
)
from holdfast.contracts.envelope import Fact
from holdfast.ocpp import frames
from ocpp_edge.domain import answers, thinning
from ocpp_edge.domain.calls import (
    Authorize,
    Boot,
    Call,
    Data,
    Heartbeat,
    Meter,
    Notice,
    Start,
    Status,
    Stop,
)
from ocpp_edge.domain.dedupe import digest
from ocpp_edge.domain.events import (
    Answer,
    AskAuthorise,
    Authorised,
    CallReceived,
    Effect,
    FrameWrong,
    NotAuthorised,
    Sample,
)
from ocpp_edge.domain.known import CONNECTORS_MAX
from ocpp_edge.domain.lane import NO_TOKEN
from ocpp_edge.domain.state import Policy, State, record

Step = tuple[State, list[Effect]]

FRAME_CHARACTERS_MAX = 2_000
"""Of a refused frame, so much is kept."""


def received(policy: Policy, state: State, event: CallReceived) -> Step:
    call = event.call
    match call.request:
        case Heartbeat() | Notice() | Meter():
            return _sampled(policy, state, event)
        case Status() as status:
            return _status(policy, state, event, status)
        case Authorize(driver_token=driver_token):
            return _authorize(policy, state, event, driver_token)
        case Boot() as boot:
            return _recorded(state, call, _booted(state.charge_point, call, boot))
        case Data(vendor=vendor):
            data = DataTransferred(
                charge_point=state.charge_point,
                vendor=vendor,
                message_id=call.message_id,
                raw=call.raw,
            )
            return _recorded(state, call, data)
        case Start() | Stop():
            raise AssertionError("transactional CALLs go through the lane")
        case _:
            assert_never(call.request)


def answer_of(policy: Policy, call: Call, at_ms: int, result: str) -> Answer:
    match call.request:
        case Boot():
            payload = answers.to_boot(at_ms, policy.heartbeat_s)
        case Heartbeat():
            payload = answers.to_heartbeat(at_ms)
        case Data():
            payload = answers.to_data()
        case _:
            payload = answers.EMPTY
    return _answer(call, payload, result)


def authorised(state: State, call: Call, event: Authorised) -> Step:
    verdict = event.authorisation.verdict
    payload = answers.to_authorize(verdict.status, verdict.parent)
    return _asked_no_more(state, event.request), [_answer(call, payload, verdict.status.value)]


def not_authorised(state: State, call: Call, event: NotAuthorised) -> Step:
    sentence = "no decision could be made: ask again"
    answer = Answer(
        connection=call.connection,
        frame=frames.error(call.message_id, frames.Code.INTERNAL, sentence),
        action=call.action,
        result="no decision",
    )
    return _asked_no_more(state, event.request), [answer]


def refused(state: State, event: FrameWrong) -> Step:
    """A frame that can't be served. The connection stays."""
    wrong = event.wrong
    fact = FrameRefused(
        charge_point=state.charge_point,
        reason=wrong.reason.value,
        code=wrong.code.value if wrong.message_id else None,
        frame=event.frame[:FRAME_CHARACTERS_MAX],
    )
    effects: list[Effect] = [Sample(fact=fact, cause=wrong.message_id or event.connection)]
    if wrong.message_id:
        answer = Answer(
            connection=event.connection,
            frame=frames.error(wrong.message_id, wrong.code, wrong.sentence),
            action="refused frame",
            result=wrong.code.value,
        )
        effects.append(answer)
    return state, effects


def _status(policy: Policy, state: State, event: CallReceived, status: Status) -> Step:
    connectors = state.known.connectors
    before = connectors.get(status.connector)
    is_remembered = before is not None or len(connectors) < CONNECTORS_MAX
    is_same = before and (before.status, before.error_code) == (status.status, status.error_code)
    changed = is_remembered and not is_same
    if not changed and status.error_code == "NoError":
        return _sampled(policy, state, event)
    call = event.call
    fact = ConnectorStatusChanged(
        charge_point=state.charge_point,
        connector=status.connector,
        status=status.status,
        error_code=status.error_code,
        message_id=call.message_id,
        raw=call.raw,
    )
    return _recorded(state, call, fact)


def _authorize(policy: Policy, state: State, event: CallReceived, driver_token: str) -> Step:
    call = event.call
    if not policy.new_sessions:
        payload = answers.to_authorize_without_storage(event.at_ms)
        return state, [_answer(call, payload, "no storage")]
    request = digest("authorize", _once(state, call))
    ask = AskAuthorise(request=request, driver_token=driver_token or NO_TOKEN, starts_session=False)
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
        status="Accepted",
        raw=call.raw,
    )


def _recorded(state: State, call: Call, fact: Fact) -> Step:
    state, effect = record(state, fact, _once(state, call), cause=call.message_id, call=call)
    return state, [effect]


def _sampled(policy: Policy, state: State, event: CallReceived) -> Step:
    call = event.call
    found = thinning.sampled(policy, state, event)
    if not found.is_kept:
        return found.state, [answer_of(policy, call, event.at_ms, "left out")]
    fact = ChargePointSampled(
        charge_point=state.charge_point,
        action=call.action,
        message_id=call.message_id,
        left_out=found.left_out,
        raw=call.raw,
    )
    answer = answer_of(policy, call, event.at_ms, "accepted")
    return found.state, [answer, Sample(fact=fact, cause=call.message_id)]


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
