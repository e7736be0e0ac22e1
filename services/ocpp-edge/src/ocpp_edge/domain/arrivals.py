"""A command comes: it is taken into the journal, or was before, or its id belongs to another one."""

from __future__ import annotations

from holdfast.contracts.command import Command, CommandReceived
from ocpp_edge.domain import identity
from ocpp_edge.domain.dedupe import digest
from ocpp_edge.domain.events import (
    CommandArrived,
    CommandNotTaken,
    CommandTaken,
    Effect,
    NotStored,
)
from ocpp_edge.domain.state import State, record

Step = tuple[State, list[Effect]]


def received_id(command: Command) -> str:
    return digest(CommandReceived.TYPE, command.charge_point, command.id)


def arrived(state: State, event: CommandArrived) -> Step:
    command, content = event.command, identity.content(event.command)
    before = identity.content_known(state, command.id)
    if before is None:
        fact = CommandReceived(
            charge_point=state.charge_point, command=command, downlink_seq=event.downlink_seq
        )
        state = state.with_live(arriving={**state.live.arriving, command.id: content})
        state, effect = record(state, fact, received_id(command), cause=command.id)
        return state, [effect]
    if before not in (content, ""):
        return state, [_used(command.id, content)]
    if command.id in state.live.arriving:
        return state, []
    ended = state.known.settled.get(command.id)
    reason = f"it was given before, and has ended: {ended}" if ended else ""
    return state, [CommandTaken(command_id=command.id, content=content, reason=reason)]


def received(state: State, fact: CommandReceived) -> Step:
    """Stored. What stands in the journal under this id counts, whatever we were about to write."""
    id, stands = fact.command.id, identity.content(fact.command)
    wanted = state.live.arriving.get(id, stands)
    state = _arrived(state, id)
    if wanted != stands:
        return state, [_used(id, wanted)]
    return state, [CommandTaken(command_id=id, content=stands)]


def not_received(state: State, event: NotStored, fact: CommandReceived) -> Step:
    id = fact.command.id
    if event.final:
        state = _arrived(state, id)
    content = identity.content(fact.command)
    return state, [CommandNotTaken(command_id=id, content=content, why=event.why)]


def _arrived(state: State, id: str) -> State:
    arriving = {one: content for one, content in state.live.arriving.items() if one != id}
    return state.with_live(arriving=arriving)


def _used(id: str, content: str) -> CommandTaken:
    return CommandTaken(command_id=id, content=content, taken=False, reason=identity.used(id))
