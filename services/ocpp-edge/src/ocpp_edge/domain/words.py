"""An operator's word about a command: confirm or cancel, once, journaled, and too late once it was sent.

arrived -> worded (stored) -> the lane goes on: asked about anew, or ended as cancelled
"""

from __future__ import annotations

from holdfast.contracts.command import CommandWorded, Word
from ocpp_edge.domain.dedupe import digest
from ocpp_edge.domain.events import Effect, WordArrived, WordTaken
from ocpp_edge.domain.state import State, record

Step = tuple[State, list[Effect]]


def id_of(charge_point: str, command_id: str, word: Word) -> str:
    return digest(CommandWorded.TYPE, charge_point, command_id, word.value)


def arrived(state: State, event: WordArrived) -> Step:
    word = event.word
    id = id_of(state.charge_point, word.id, word.word)
    if id in state.live.recording:
        return state, []
    if _was_said(state, word.id, word.word):
        return state, [WordTaken(command_id=word.id, word=word.word, taken=True)]
    too_late = _too_late(state, word.id)
    fact = CommandWorded(
        charge_point=state.charge_point,
        command_id=word.id,
        word=word.word,
        by=word.by,
        taken=not too_late,
        reason=too_late,
    )
    state, effect = record(state, fact, id, cause=word.id)
    return state, [effect]


def stored(fact: CommandWorded) -> list[Effect]:
    taken = WordTaken(
        command_id=fact.command_id, word=fact.word, taken=fact.taken, reason=fact.reason
    )
    return [taken]


def is_on_its_way(state: State, command_id: str) -> bool:
    """Nothing is sent before it is clear whether it was cancelled."""
    return id_of(state.charge_point, command_id, Word.CANCEL) in state.live.recording


def _was_said(state: State, command_id: str, word: Word) -> bool:
    pending = state.known.commands.get(command_id)
    if pending is None:
        return False
    said = pending.confirmed_by if word is Word.CONFIRM else pending.cancelled_by
    return said is not None


def _too_late(state: State, command_id: str) -> str:
    pending, live = state.known.commands.get(command_id), state.live
    if pending is None:
        ended = state.known.settled.get(command_id)
        return f"the command has ended: {ended}" if ended else "no such command waits"
    if pending.dispatched_ms is not None or live.sending == command_id:
        return "the command was sent already"
    if command_id in live.settling:
        return f"the command has ended: {live.settling[command_id].disposition}"
    if pending.cancelled_by is not None:
        return f"the command was cancelled by {pending.cancelled_by}"
    return ""
