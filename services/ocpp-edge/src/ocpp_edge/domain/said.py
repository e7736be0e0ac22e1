"""What a charge point says besides its transactions: said again because no answer came, or said anew.

    repeat_of(state, ...) -> Said       again: its CALL waits with the first one, or is answered at once
                             None       anew: recorded, with an id of its own

What tells the two apart, and nothing else does:

    the same is said, and what was said before it of its kind ...
    has no answer yet                                       again, whatever the message id
    was answered, and nothing else came on the connection   again under the same message id; under another one anew
    was answered, and the connection ended upon it          again: nothing shows that the answer arrived (T, G, L; for
                                                            an hour; after a restart of ours what was stored last)
    was answered, and something else came after it          anew: a charge point goes on when it has its answer
    is not the newest of its kind any more                  anew: it is what stands now

So a message id that a charge point uses for one thing after the other names the last of them. Where a charge point
does not wait for its answers this errs towards storing a thing twice, never towards losing one.
"""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.contracts.envelope import Fact
from holdfast.empty import NOTHING
from holdfast.records import replace
from ocpp_edge.domain.calls import Call
from ocpp_edge.domain.dedupe import digest
from ocpp_edge.domain.events import CallReceived, Record
from ocpp_edge.domain.known import other_key
from ocpp_edge.domain.state import Joined, Said, State, record

SAID_MAX = 64
"""Remembered of one charge point; at the bound the oldest that is stored is forgotten."""
UNHEARD_MS_MAX = 3_600_000
"""So long after its connection ended a charge point may send something again."""


def heard(state: State, call: Call) -> State:
    """It goes on: it has the answers that it was given on this connection."""
    if not call.is_answered:
        return state  # a SEND waits for nothing
    left = {
        place: one
        for place, one in state.live.said.items()
        if not one.is_stored or one.connection != call.connection or _is_same(one, call)
    }
    return state if len(left) == len(state.live.said) else state.with_live(said=left or NOTHING)


def repeat_of(state: State, place: str, event: CallReceived) -> Said | None:
    """After `heard`."""
    one, call = state.live.said.get(place), event.call
    if one is None or one.content != other_key(call.raw):
        return None
    if one.connection == call.connection:
        return one
    is_old = one.is_stored and event.mono_ms - one.mono_ms >= UNHEARD_MS_MAX
    return one if one.outlives and not is_old else None


def is_on_its_way(state: State, place: str) -> bool:
    one = state.live.said.get(place)
    return one is not None and not one.is_stored


def anew(
    state: State, event: CallReceived, place: str, fact: Fact, *, outlives: bool
) -> tuple[State, Record]:
    """Recorded; the CALL is answered when it is stored. `outlives`: sent again on another connection it is the same."""
    state, id = own_id(state, fact.TYPE, event.call)
    call = event.call
    state, effect = record(state, fact, id, cause=call.message_id, call=call)
    one = Said(
        id=id,
        connection=call.connection,
        message_id=call.message_id,
        content=other_key(call.raw),
        mono_ms=event.mono_ms,
        outlives=outlives,
    )
    return state.with_live(said=_with(state.live.said, place, one)), effect


def again(state: State, event: CallReceived, place: str, one: Said) -> State:
    """The newest CALL of it is the one whose answer counts."""
    call = event.call
    now = replace(
        one, connection=call.connection, message_id=call.message_id, mono_ms=event.mono_ms
    )
    state = state.with_live(said=_with(state.live.said, place, now))
    return state if one.is_stored else joined(state, one.id, call)


def left_behind(state: State) -> Mapping[str, Said]:
    """By a connection that ended: what may be sent again on the next, or is on its way."""
    said = state.live.said
    left = {place: one for place, one in said.items() if one.outlives or not one.is_stored}
    return left or NOTHING


def forgotten(state: State, place: str) -> State:
    """Something of its kind was said that is not journaled: it is the newest no more."""
    return state.with_live(said=_without(state.live.said, place)) if state.live.said else state


def stored(state: State, id: str) -> State:
    for place, one in state.live.said.items():
        if one.id == id:
            return state.with_live(said={**state.live.said, place: replace(one, is_stored=True)})
    return state


def refused(state: State, id: str) -> State:
    """Certainly not stored."""
    left = {place: one for place, one in state.live.said.items() if one.id != id}
    return state if len(left) == len(state.live.said) else state.with_live(said=left)


def restarted(state: State, at_ms: int, mono_ms: int) -> State:
    """What was stored last may be what the life before had no time to answer."""
    last = state.known.last_said
    if last is None or at_ms - last.at_ms >= UNHEARD_MS_MAX:
        return state
    one = Said(
        id="",
        connection="",
        message_id="",
        content=last.content,
        mono_ms=mono_ms,
        outlives=True,
        is_stored=True,
    )
    return state.with_live(said={last.place: one})


# --- CALLs that wait for the outcome of one before them ---


def joined(state: State, id: str, call: Call) -> State:
    """`id`: of a fact on its way, or of a question."""
    return state.with_live(joined=(*state.live.joined, Joined(of=id, call=call)))


def waiting(state: State, id: str) -> tuple[State, tuple[Call, ...]]:
    """No more: here they are."""
    calls = tuple(one.call for one in state.live.joined if one.of == id)
    if not calls:
        return state, ()
    return state.with_live(joined=tuple(one for one in state.live.joined if one.of != id)), calls


def in_flight(questions: Mapping[str, Call], call: Call) -> str | None:
    """The question that this CALL asks again before it has its answer."""
    for request, one in questions.items():
        is_same_id = (one.connection, one.message_id) == (call.connection, call.message_id)
        if is_same_id and (one.action, one.raw) == (call.action, call.raw):
            return request
    return None


def own_id(state: State, kind: str, call: Call) -> tuple[State, str]:
    """Of a fact, or a question: no other one has it, whatever message id and payload are used again."""
    number = state.live.numbered + 1
    id = digest(kind, state.charge_point, call.connection, number)
    return state.with_live(numbered=number), id


def _is_same(one: Said, call: Call) -> bool:
    return one.message_id == call.message_id and one.content == other_key(call.raw)


def _with(said: Mapping[str, Said], place: str, one: Said) -> Mapping[str, Said]:
    changed = {**_without(said, place), place: one}
    if len(changed) > SAID_MAX:
        oldest = next((place for place, one in changed.items() if one.is_stored), None)
        return _without(changed, oldest) if oldest is not None else changed
    return changed


def _without(said: Mapping[str, Said], place: str) -> dict[str, Said]:
    return {one: value for one, value in said.items() if one != place}
