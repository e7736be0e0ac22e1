"""The transactional lane: starts, readings and stops of one charge point, strictly in their order.

    received -> (authorised) -> stored -> acknowledged        a repeat: -> the stored answer

or the socket is closed, and the charge point keeps what it was not acknowledged. Never "retry later": an
open socket without answers is where charge points delete data.
"""

from __future__ import annotations

from holdfast.contracts.rules import TokenType
from holdfast.local_state.configuration import connectors_of
from holdfast.ocpp import frames
from ocpp_edge.domain import answers, sessions, thinning, transaction_events
from ocpp_edge.domain.calls import Call, Start, Token, TransactionEvent
from ocpp_edge.domain.events import (
    Answer,
    AskAuthorise,
    Authorised,
    CallReceived,
    CloseConnection,
    Effect,
    NotStored,
    Stored,
)
from ocpp_edge.domain.state import Policy, State, record

Step = tuple[State, list[Effect]]

NO_TOKEN = "(none)"  # noqa: S105  what is asked about where a charge point sends an empty idTag


def queued(policy: Policy, state: State, event: CallReceived) -> Step:
    state = state.with_live(lane=(*state.live.lane, event))
    return _begin(policy, state) if len(state.live.lane) == 1 else (state, [])


def authorised(policy: Policy, state: State, event: Authorised) -> Step:
    call = _asking(state, event.request)
    if call is None:
        return state, []
    verdict = event.authorisation
    match call.request:
        case TransactionEvent(token=Token() as token) as request:
            told = transaction_events.authorised_of(token, verdict)
            fact, id = transaction_events.fact_of(
                state.known, state.charge_point, call, request, told
            )
            fact = thinning.said(policy, state, event.at_ms, fact)
        case _ if event.transaction_id is not None:
            has = connectors_of(state.known.local)
            fact = sessions.started(state.charge_point, call, verdict, event.transaction_id, has)
            id = event.request
        case _:
            return state, []
    state, effect = record(state, fact, id, cause=verdict.decision, call=call, storing=id)
    return state, [effect]


def not_authorised(state: State, request: str) -> Step:
    call = _asking(state, request)
    if call is None:
        return state, []
    return _closed(state, call.connection, "no decision on a start could be made in time")


def stored(policy: Policy, state: State, event: Stored, call: Call | None) -> Step:
    """The fact that the lane waited for is in the journal."""
    state = thinning.stored(state, event, call)
    lane = state.live.lane
    effects: list[Effect] = []
    if call is not None and lane and lane[0].call is call:
        effects.append(_answer(call, answers.to_fact(event.fact), "stored"))
        lane = lane[1:]
    state, begun = _begin(policy, state.with_live(storing=None, lane=lane))
    return state, [*effects, *begun]


def not_stored(policy: Policy, state: State, event: NotStored, call: Call | None) -> Step:
    if event.final:
        state = state.with_live(storing=None)
    if call is not None and call.connection == state.live.connection:
        return _closed(state, call.connection, f"not stored: {event.why}")
    return _begin(policy, state)


def timed_out(policy: Policy, state: State, mono_ms: int) -> Step:
    lane = state.live.lane
    if not lane or mono_ms - lane[0].mono_ms < policy.transaction_ms_max:
        return state, []
    why = f"not acknowledged within {policy.transaction_ms_max} ms"
    return _closed(state, lane[0].connection, why)


def _begin(policy: Policy, state: State) -> Step:
    """Work on the first, unless the outcome of the one before is still open."""
    effects: list[Effect] = []
    while state.live.lane and state.live.storing is None:
        event = state.live.lane[0]
        answer = sessions.repeat_of(state.known, event.call)
        result = "repeat"
        if answer is None:
            after, begun = _first_time(policy, state, event)
            if begun:
                return after, [*effects, *begun]
            state, answer, result = after, answers.EMPTY, "left out"
        effects.append(_answer(event.call, answer, result))
        state = state.with_live(lane=state.live.lane[1:])
    return state, effects


def _first_time(policy: Policy, state: State, event: CallReceived) -> Step:
    """Nothing to do: a reading that the rules leave out."""
    call = event.call
    if isinstance(call.request, Start):
        ask = AskAuthorise(
            request=sessions.start_id(state.known, state.charge_point, call.request),
            driver_token=call.request.driver_token or NO_TOKEN,
            starts_session=True,
            connector=call.request.connector if call.request.driver_token else None,
        )
        return state, [ask]
    if isinstance(call.request, TransactionEvent):
        token = transaction_events.asks(state.known, call.request)
        if token is not None:
            return state, [_ask(state, call, call.request, token)]
        fact, id = transaction_events.fact_of(state.known, state.charge_point, call, call.request)
    else:
        assert event.origin is not None
        fact, id = sessions.fact_of(state.known, state.charge_point, call, event.origin)
    without = thinning.leaves_out(policy, state, event, fact)
    if without is not None:
        return without, []
    fact = thinning.said(policy, state, event.at_ms, fact)
    state, effect = record(state, fact, id, cause=call.message_id, call=call, storing=id)
    return state, [effect]


def _ask(state: State, call: Call, event: TransactionEvent, token: Token) -> AskAuthorise:
    has_token = token.driver_token and token.token_type is not TokenType.NO_AUTHORIZATION
    return AskAuthorise(
        request=transaction_events.request_id(state.charge_point, call, event),
        driver_token=token.driver_token or NO_TOKEN,
        token_type=token.token_type,
        starts_session=transaction_events.starts_session(state.known, event),
        connector=transaction_events.place_of(state.known, event) if has_token else None,
        has_own_id=True,
    )


def _asking(state: State, request: str) -> Call | None:
    """The start, or event, at the head of the lane, if it is the one that asked."""
    if not state.live.lane or state.live.storing is not None:
        return None
    call = state.live.lane[0].call
    match call.request:
        case Start() as start:
            id = sessions.start_id(state.known, state.charge_point, start)
        case TransactionEvent() as event:
            id = transaction_events.request_id(state.charge_point, call, event)
        case _:
            return None
    return call if id == request else None


def _closed(state: State, connection: str, why: str) -> Step:
    """Close, and forget what came over it: the charge point has it, and sends it again."""
    return state.with_live(lane=()), [CloseConnection(connection=connection, reason=why)]


def _answer(call: Call, payload: str, result: str) -> Answer:
    return Answer(
        connection=call.connection,
        frame=frames.result(call.message_id, payload),
        action=call.action,
        result=result,
    )
