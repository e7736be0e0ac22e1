"""Everything that is not transactional: answered whatever the lane waits for.

Where a fact is journaled, its answer follows it; but an answer is given also when the disk refuses, for
here the charge point has nothing to keep.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from ocpp_edge.domain import answers, newest, relaying, said, thinning
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
from ocpp_edge.domain.known import CONNECTORS_MAX, said_place
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
            return _said(policy, state, event, kept)
        case Relay():
            return relaying.asked(state, event)
        case Authorize(has_certificate=True):
            return relaying.asked(state, event)
        case Status() as status:
            return _status(policy, state, event, status)
        case Authorize() as asked:
            return _authorize(policy, state, event, asked)
        case Boot() as boot:
            booted = _booted(state.charge_point, call, boot)
            return _recorded(policy, state, event, call.action, booted)
        case Data() as data:
            return _data(state, event, data)
        case Start() | Stop() | TransactionEvent():
            raise AssertionError("transactional CALLs go through the lane")
        case _:
            assert_never(call.request)


def _data(state: State, event: CallReceived, data: Data) -> Step:
    """Its answer is the CSMS's; what was said is kept, whatever becomes of that."""
    call = event.call
    if said.in_flight(state.live.relayed, call):
        return relaying.asked(state, event)
    fact = DataTransferred(
        charge_point=state.charge_point,
        vendor=data.vendor,
        message_id=call.message_id,
        version=call.version,
        raw=call.raw,
    )
    state, id = said.own_id(state, fact.TYPE, call)
    state, effect = record(state, fact, id, cause=call.message_id)
    state, effects = relaying.asked(state, event)
    return state, [effect, *effects]


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
    answer = _answer(call, payload, verdict.status.value)
    return _asked_no_more(state, event.request, answer)


def not_authorised(state: State, call: Call, event: NotAuthorised) -> Step:
    sentence = "no decision could be made: ask again"
    answer = Answer(
        connection=call.connection,
        frame=frames.error(call.message_id, frames.Code.INTERNAL, sentence, call.version),
        action=call.action,
        result="no decision",
    )
    return _asked_no_more(state, event.request, answer)


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
    place = f"{event.call.action}/{status.connector}/{status.plug}"
    # While one is on its way nobody knows whether it will stand.
    changed = is_remembered and (said.is_on_its_way(state, place) or not is_same)
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
    return _recorded(policy, state, event, place, fact)


def _authorize(policy: Policy, state: State, event: CallReceived, asked: Authorize) -> Step:
    call = event.call
    if not policy.new_sessions:
        payload = answers.to_authorize_without_storage(call.version, event.at_ms)
        return state, [_answer(call, payload, "no storage")]
    before = said.in_flight(state.live.asked, call)
    if before is not None:
        return said.joined(state, before, call), []
    state, request = said.own_id(state, "authorize", call)
    ask = AskAuthorise(
        request=request,
        driver_token=asked.driver_token or NO_TOKEN,
        token_type=asked.token_type,
        starts_session=False,
    )
    return state.with_live(asked={**state.live.asked, request: call}), [ask]


def _asked_no_more(state: State, request: str, answer: Answer) -> Step:
    asked = {one: call for one, call in state.live.asked.items() if one != request}
    state, again = said.waiting(state.with_live(asked=asked), request)
    return state, [answer] * (1 + len(again))  # under the same message id


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


def _said(policy: Policy, state: State, event: CallReceived, kept: Kept) -> Step:
    call = event.call
    fact = ChargePointSaid(
        charge_point=state.charge_point,
        version=call.version,
        action=call.action,
        kind=kept.kind.value,
        key=kept.key,
        message_id=call.message_id,
        raw=call.raw,
    )
    place = said_place(fact.kind, fact.action, fact.key)
    if kept.kind is Class.LATEST:
        state = newest.superseded(state, kept.key)
    return _recorded(policy, state, event, place, fact, outlives=True)


def _newest(policy: Policy, state: State, event: CallReceived, latest: Latest | Meter) -> Step:
    """Of those for whom there is no room telemetry is all that is left."""
    state = said.forgotten(state, event.call.action)
    step = newest.came(policy, state, event, newest.key_of(event.call.action, latest))
    if step is None:
        return _sampled(policy, state, event)
    state, effects = step
    return state, [*_answered(policy, event, "accepted"), *effects]


def not_stored(
    policy: Policy, state: State, calls: Sequence[Call], event: NotStored
) -> list[Effect]:
    kept = [one for one in calls if isinstance(one.request, Kept)]
    others = [one for one in calls if not isinstance(one.request, Kept)]
    effects: list[Effect] = [answer_of(policy, one, event.at_ms, "not stored") for one in others]
    connection = state.live.connection
    if connection is not None and any(one.connection == connection for one in kept):
        # Acknowledged it would be forgotten; an open socket without answers is no place for it either.
        why = f"not stored: {event.why}"
        effects.append(CloseConnection(connection=connection, reason=why))
    return effects


def _recorded(
    policy: Policy,
    state: State,
    event: CallReceived,
    place: str,
    fact: Fact,
    *,
    outlives: bool = False,
) -> Step:
    before = said.repeat_of(state, place, event)
    if before is None:
        state, effect = said.anew(state, event, place, fact, outlives=outlives)
        return state, [effect]
    state = said.again(state, event, place, before)
    return state, _answered(policy, event, "repeat") if before.is_stored else []


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
    state, id = said.own_id(state, fact.TYPE, call)
    state, effect = record(state, fact, id, cause=call.message_id)
    return state, [effect]


def _answered(policy: Policy, event: CallReceived, result: str) -> list[Effect]:
    """None for a SEND."""
    if not event.call.is_answered:
        return []
    return [answer_of(policy, event.call, event.at_ms, result)]


def _answer(call: Call, payload: str, result: str) -> Answer:
    return Answer(
        connection=call.connection,
        frame=frames.result(call.message_id, payload),
        action=call.action,
        result=result,
    )
