"""Questions that only the CSMS can answer (class R): handed on now, answered in its words, or declined at once.

    asked -> AskCsms -> CsmsAnswered -> its CALLRESULT or CALLERROR | the refusal of `refusals.py`

Nothing of it is kept: who is away for a question like this has missed it.
"""

from __future__ import annotations

from holdfast.ocpp import frames
from ocpp_edge.domain import refusals, said
from ocpp_edge.domain.events import Answer, AskCsms, CallReceived, CsmsAnswered, Effect
from ocpp_edge.domain.state import State

Step = tuple[State, list[Effect]]


def asked(state: State, event: CallReceived) -> Step:
    call = event.call
    before = said.in_flight(state.live.relayed, call)
    if before is not None:
        return said.joined(state, before, call), []
    state, request = said.own_id(state, "relay", call)
    state = state.with_live(relayed={**state.live.relayed, request: call})
    return state, [AskCsms(request=request, call=call)]


def answered(state: State, event: CsmsAnswered) -> Step:
    call = state.live.relayed.get(event.request)
    if call is None:  # its connection is gone
        return state, []
    left = {one: value for one, value in state.live.relayed.items() if one != event.request}
    reply = event.reply
    if reply.raw is not None:
        frame, result = frames.result(call.message_id, reply.raw), "relayed"
    elif reply.code is not None:
        frame = frames.error_named(call.message_id, reply.code, reply.description)
        result = "relayed error"
    else:
        frame = frames.result(call.message_id, refusals.of(call, event.at_ms))
        result = "refused"
    answer = Answer(connection=call.connection, frame=frame, action=call.action, result=result)
    state, again = said.waiting(state.with_live(relayed=left), event.request)
    return state, [answer] * (1 + len(again))  # under the same message id
