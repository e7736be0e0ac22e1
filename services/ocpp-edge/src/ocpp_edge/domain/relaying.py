"""Questions that only the CSMS can answer (class R): handed on now, answered in its words, or declined at once.

    asked -> AskCsms -> CsmsAnswered -> its CALLRESULT or CALLERROR | the refusal of `refusals.py`

Nothing of it is kept: who is away for a question like this has missed it.
"""

from __future__ import annotations

from holdfast.ocpp import frames
from ocpp_edge.domain import refusals
from ocpp_edge.domain.dedupe import digest
from ocpp_edge.domain.events import Answer, AskCsms, CallReceived, CsmsAnswered, Effect
from ocpp_edge.domain.state import State

Step = tuple[State, list[Effect]]


def asked(state: State, event: CallReceived) -> Step:
    call = event.call
    request = digest("relay", state.charge_point, call.connection, call.message_id, call.raw)
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
    return state.with_live(relayed=left), [answer]
