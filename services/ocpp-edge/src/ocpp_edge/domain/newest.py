"""Class L that the site does not need itself: how things go on, readings of no session, events below an alert.

It is answered at once and never waits for the disk. The CSMS gets the newest of each key, so that goes into the
journal: at once, or, where one of its key did within the last second (or as long as the rules thin), when that is over.
What waits is replaced by a newer one of its key, which says how many it took the place of.

    came -> recorded, if its key is due          else it waits -> (a newer one of its key takes its place)
                                                               -> recorded with the first tick when it is due
"""

from __future__ import annotations

from holdfast.contracts.charge_point import ChargePointSaid
from holdfast.ocpp.actions import Class
from ocpp_edge.domain import said
from ocpp_edge.domain.calls import Latest, Meter
from ocpp_edge.domain.dedupe import digest
from ocpp_edge.domain.events import CallReceived, Effect
from ocpp_edge.domain.state import Policy, State, Waiting, record

Step = tuple[State, list[Effect]]

EVERY_MS = 1_000
KEYS_MAX = 64
"""Recorded in one second, and waiting: of each charge point."""
CHARACTERS_MAX = 16_000
"""Of one that waits: sixty-four of the largest frames would be too much for one charge point."""
RECORDING_MAX = 8
"""Facts on their way to the journal: beyond, what only its newest counts of makes way for what matters."""


def key_of(call_action: str, request: Latest | Meter) -> str:
    """What the newest takes the place of."""
    match request:
        case Latest(key=key):
            return key
        case Meter(connector=connector):
            return digest(call_action, connector)


def came(policy: Policy, state: State, event: CallReceived, key: str) -> Step | None:
    """None: too many wait already, or it is too long to wait."""
    waiting = state.live.newest_waiting
    before = waiting.get(key)
    if before is None and _is_due(state, key, event.mono_ms):
        return _recorded(policy, state, key, Waiting(event=event), event.mono_ms)
    if len(event.call.raw) > CHARACTERS_MAX or (before is None and len(waiting) >= KEYS_MAX):
        return None
    newer = Waiting(event=event, left_out=before.left_out + 1 if before else 0)
    return state.with_live(newest_waiting={**waiting, key: newer}), []


def superseded(state: State, key: str) -> State:
    """One of its key is stored by another way: how it ended."""
    if key not in state.live.newest_waiting:
        return state
    waiting = {one: known for one, known in state.live.newest_waiting.items() if one != key}
    return state.with_live(newest_waiting=waiting)


def due(policy: Policy, state: State, mono_ms: int) -> Step:
    effects: list[Effect] = []
    for key, waiting in state.live.newest_waiting.items():
        if _is_due(state, key, mono_ms):
            state, recorded = _recorded(policy, superseded(state, key), key, waiting, mono_ms)
            effects += recorded
    return state, effects


def _is_due(state: State, key: str, mono_ms: int) -> bool:
    until = state.live.newest_until
    if len(state.live.recording) >= RECORDING_MAX or until.get(key, mono_ms) > mono_ms:
        return False
    return len(until) < KEYS_MAX or sum(one > mono_ms for one in until.values()) < KEYS_MAX


def _recorded(policy: Policy, state: State, key: str, waiting: Waiting, mono_ms: int) -> Step:
    call, request = waiting.event.call, waiting.event.call.request
    is_thinned = isinstance(request, Meter) or (
        isinstance(request, Latest) and request.connector is not None
    )
    every_ms = max(EVERY_MS, policy.telemetry_every_ms) if is_thinned else EVERY_MS
    until = {one: at for one, at in state.live.newest_until.items() if at > mono_ms}
    fact = ChargePointSaid(
        charge_point=state.charge_point,
        version=call.version,
        action=call.action,
        kind=Class.LATEST.value,
        key=key,
        message_id=call.message_id,
        left_out=waiting.left_out,
        raw=call.raw,
    )
    state, id = said.own_id(state, fact.TYPE, call)
    until[key] = mono_ms + every_ms
    state, effect = record(state, fact, id, cause=call.message_id, newest_until=until)
    return state, [effect]
