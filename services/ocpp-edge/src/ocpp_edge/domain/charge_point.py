"""One charge point: what to answer, what to store, what to send.

    decide(policy, state, event) -> (state, effects)

A transactional CALL is stored and then acknowledged, or the socket is closed (`lane.py`); Authorize,
Heartbeat and status may overtake it (`express.py`); commands go the other way (`commands.py`); what is
told of connections is bounded (`connections.py`). At a restart the same function folds the journal, its
effects unheard.
"""

from __future__ import annotations

from typing import assert_never

from holdfast.contracts.charge_point import ChargePointConnected, ChargePointDisconnected
from holdfast.contracts.command import (
    CommandDispatched,
    CommandReceived,
    CommandSettled,
    CommandWorded,
)
from holdfast.empty import NOTHING
from holdfast.records import replace
from ocpp_edge.domain import (
    arrivals,
    commands,
    connections,
    express,
    lane,
    newest,
    relaying,
    said,
    words,
)
from ocpp_edge.domain.calls import Call, Meter, Start, Stop, TransactionEvent
from ocpp_edge.domain.events import (
    Admitted,
    Authorised,
    CallAnswered,
    CallReceived,
    CommandArrived,
    Connected,
    CsmsAnswered,
    Disconnected,
    Effect,
    Event,
    FrameWrong,
    NotAdmitted,
    NotAuthorised,
    NotStored,
    Restarted,
    Stored,
    Tick,
    WordArrived,
    WordNotTaken,
)
from ocpp_edge.domain.fold import fold
from ocpp_edge.domain.known import Known
from ocpp_edge.domain.state import Policy, State

Step = tuple[State, list[Effect]]


def decide(policy: Policy, state: State, event: Event) -> Step:
    if _is_of_the_past(state, event):
        return state, []
    state, effects = _on(policy, state, event)
    if isinstance(event, NotStored) or (isinstance(event, NotAdmitted) and event.reason is None):
        return state, effects  # the next tick tries again, not this very moment
    if state.live.news:
        state, news = connections.advance(state)
        effects = [*effects, *news]
    state, further = commands.advance(policy, state, event.at_ms, event.mono_ms)
    return state, [*effects, *further] if further else effects


def _is_of_the_past(state: State, event: Event) -> bool:
    """What still comes from a connection that was replaced touches nothing."""
    if isinstance(event, CallReceived | CallAnswered | FrameWrong):
        return event.connection != state.live.connection
    return False


def _on(policy: Policy, state: State, event: Event) -> Step:  # noqa: C901, PLR0912  one case per event
    match event:
        case CallReceived():
            return _received(policy, state, event)
        case FrameWrong():
            return express.refused(state, event)
        case Stored():
            return _stored(policy, state, event)
        case NotStored():
            return _not_stored(policy, state, event)
        case Authorised():
            return _authorised(policy, state, event)
        case NotAuthorised():
            return _not_authorised(state, event)
        case CsmsAnswered():
            return relaying.answered(state, event)
        case Connected():
            return connections.connected(state, event), []
        case Disconnected():
            return connections.disconnected(state, event), []
        case Restarted():
            state = state.with_live(untold=event.untold)
            return connections.restarted(said.restarted(state, event.at_ms, event.mono_ms)), []
        case CommandArrived():
            return arrivals.arrived(state, event)
        case WordArrived():
            return words.arrived(state, event)
        case Admitted():
            return commands.admitted(policy, state, event)
        case NotAdmitted():
            return commands.not_admitted(state, event)
        case CallAnswered():
            return commands.answered(state, event)
        case Tick():
            state, told = newest.due(policy, state, event.mono_ms)
            state = commands.timed_out(state, event.mono_ms)
            state, closed = lane.timed_out(policy, state, event.mono_ms)
            return state, [*told, *closed]
        case _:
            assert_never(event)


# --- calls and decisions ---


def _received(policy: Policy, state: State, event: CallReceived) -> Step:
    if state.live.said:
        state = said.heard(state, event.call)
    match event.call.request:
        case Start() | Stop() | TransactionEvent():
            return lane.queued(policy, state, event)
        case Meter(transaction_id=transaction_id) if transaction_id is not None:
            return lane.queued(policy, state, event)
        case _:
            return express.received(policy, state, event)


def _authorised(policy: Policy, state: State, event: Authorised) -> Step:
    call = state.live.asked.get(event.request)
    if call is not None:
        return express.authorised(state, call, event)
    return lane.authorised(policy, state, event)


def _not_authorised(state: State, event: NotAuthorised) -> Step:
    call = state.live.asked.get(event.request)
    if call is not None:
        return express.not_authorised(state, call, event)
    return lane.not_authorised(state, event.request)


# --- the journal ---


def _stored(policy: Policy, state: State, event: Stored) -> Step:
    known = fold(state.known, event.seq, event.entry_at_ms, event.fact)
    state, call = _landed(state, event.id, known)
    match event.fact:
        case CommandReceived() as fact:
            return arrivals.received(state, fact)
        case CommandDispatched() as fact:
            return commands.dispatched(policy, state, event, fact)
        case CommandSettled() as fact:
            return commands.settled(state, fact), []
        case CommandWorded() as fact:
            return state, words.stored(fact)
        case _ if state.live.storing == event.id:
            return lane.stored(policy, state, event, call)
        case _:
            state, again = said.waiting(said.stored(state, event.id), event.id)
            calls = again if call is None else (call, *again)
            return state, [express.answer_of(policy, one, event.at_ms, "stored") for one in calls]


def _not_stored(policy: Policy, state: State, event: NotStored) -> Step:
    if event.final:
        state, call = _landed(state, event.id, state.known)
    else:
        # The shell goes on trying: it stays on its way, but nobody waits for its answer any more.
        call = state.live.recording.get(event.id)
        state = state.with_live(recording={**state.live.recording, event.id: None})
    match event.fact:
        case CommandReceived() as fact:
            return arrivals.not_received(state, event, fact)
        case CommandWorded(command_id=command_id, word=word):
            return state, [WordNotTaken(command_id=command_id, word=word, why=event.why)]
        case CommandDispatched():
            return state.with_live(sending=None) if event.final else state, []
        case ChargePointConnected() | ChargePointDisconnected() as fact:
            return connections.refused(state, fact) if event.final else state, []
        case _ if state.live.storing == event.id:
            return lane.not_stored(policy, state, event, call)
        case _:
            if event.final:
                state = said.refused(state, event.id)
            state, again = said.waiting(state, event.id)
            calls = again if call is None else (call, *again)
            return state, express.not_stored(policy, state, calls, event)


def _landed(state: State, id: str, known: Known) -> tuple[State, Call | None]:
    """A fact is no longer on its way; and the CALL that waits for it."""
    live = state.live
    recording = dict(live.recording)
    call = recording.pop(id, None)
    news = None if live.news_on_its_way == id else live.news_on_its_way
    live = replace(live, recording=recording or NOTHING, news_on_its_way=news)
    return replace(state, known=known, live=live), call
