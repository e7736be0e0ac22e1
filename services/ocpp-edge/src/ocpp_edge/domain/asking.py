"""Which of the waiting commands rule-service is asked about next, and which there is no use in asking about yet.

A command waits for its charge point (held), for an operator's word, or for a better time (parked): it is asked about
anew when that has come, and at its deadline, which ends it.
"""

from __future__ import annotations

from holdfast.contracts.command import Command, CommandHeld
from holdfast.contracts.decision import ConnectorState
from ocpp_edge.domain import words
from ocpp_edge.domain.dedupe import digest
from ocpp_edge.domain.events import Admitted, AskAdmit, Effect
from ocpp_edge.domain.known import Pending
from ocpp_edge.domain.state import Parked, Policy, State, record
from ocpp_edge.domain.targets import target

Step = tuple[State, list[Effect]]

PARKED_MS_MAX = 300_000
"""A command that waits for a better time is asked about at least so often: rules may have changed."""


def ask_next(policy: Policy, state: State, at_ms: int, mono_ms: int) -> Step:
    live = state.live
    if live.admitting or live.sending or live.outstanding:
        return state, []
    for pending in waiting(state):
        command = pending.command
        meets = target(state, command, at_ms)
        if at_ms <= command.deadline_ms and _waits(policy, state, pending, meets, mono_ms):
            continue
        ask = AskAdmit(
            request=digest("admit", command.charge_point, command.id, at_ms),
            command=command,
            version=state.version,
            target=meets,
            confirmed_by=pending.confirmed_by,
        )
        return state.with_live(admitting=command.id), [ask]
    return state, []


def _waits(
    policy: Policy, state: State, pending: Pending, meets: ConnectorState, mono_ms: int
) -> bool:
    """There is no use in asking about it now."""
    live, id = state.live, pending.command.id
    if pending.held and pending.confirmed_by is None:
        return True
    if held_id(pending.command) in live.recording or words.is_on_its_way(state, id):
        return True
    if live.connection is None and id in live.held:
        return True
    parked = live.parked.get(id)
    return (
        parked is not None
        and (parked.target, parked.mode) == (_sight(meets), policy.mode)
        and mono_ms - parked.since_mono_ms < PARKED_MS_MAX
    )


def _sight(meets: ConnectorState) -> ConnectorState:
    """Of what a command meets, what a better time can be told by: not every message that comes."""
    return meets.model_copy(
        update={"waiting_records": 0, "late_record_at_ms": None, "known_age_ms": None}
    )


def held_id(command: Command) -> str:
    return digest(CommandHeld.TYPE, command.charge_point, command.id)


def waiting(state: State) -> list[Pending]:
    busy = (state.live.admitting, state.live.sending)
    return [
        pending
        for command_id, pending in state.known.commands.items()
        if pending.dispatched_ms is None
        and command_id not in state.live.settling
        and command_id not in busy
    ]


def held(state: State, event: Admitted, command: Command) -> Step:
    fact = CommandHeld(
        charge_point=state.charge_point,
        command=command,
        reason=event.admission.verdict.reason,
        decision=event.admission.decision,
    )
    state, effect = record(state, fact, held_id(command), cause=fact.decision)
    return state, [effect]


def parked(policy: Policy, state: State, event: Admitted, command: Command) -> State:
    parked = Parked(
        target=_sight(target(state, command, event.at_ms)),
        mode=policy.mode,
        since_mono_ms=event.mono_ms,
    )
    return state.with_live(parked={**state.live.parked, command.id: parked})
