"""Facts of the journal into the queue, in their order, each once.

What was read before, by whatever process, is known by its place. A full queue takes nothing more: what comes
then is read again from the stream when there is room, so a charge point that the CSMS does not take costs
no memory and holds up no other.
"""

from __future__ import annotations

from dataclasses import replace

from csms_bridge.domain.events import Effect, Journaled, Note, Refill, Refilled
from csms_bridge.domain.kept import Boot, Kept, Latest, met, with_latest, with_open
from csms_bridge.domain.outgoing import (
    Item,
    Part,
    Place,
    connector_key,
    item_of,
    latest_key,
)
from csms_bridge.domain.state import Policy, State
from holdfast.contracts.charge_point import (
    ChargePointBooted,
    ChargePointConnected,
    ChargePointDisconnected,
    ChargePointSaid,
    ConnectorStatusChanged,
)
from holdfast.contracts.csms import OpenDelivery, Phase, Trouble
from holdfast.ocpp.actions import Class

NEWS_MS_MAX = 60_000
"""What its site recorded longer ago is no news, whatever held it up; clocks differ by less."""
CONNECTORS_MAX = 64
"""Whose newest status is kept; OCPP has no bound, a charge point has."""
STATUS_CHARACTERS_MAX = 4_000
"""A longer one, which is padding, is not kept: all of them are in one record. Live it goes up like any other. So with
the newest of class L."""


def journaled(policy: Policy, state: State, event: Journaled) -> State:
    state = newest(state, event)
    is_news = event.live and event.at_ms - event.recorded_at_ms <= NEWS_MS_MAX
    if not is_news:
        state = state.with_live(replayed_mono_ms=event.mono_ms)
    live, kept = state.live, state.kept
    if event.again and (live.refilling_after is None or live.refill_is_cut):
        return state
    if live.spilled_after is not None and not event.again:
        return state.with_live(spilled_to=max(live.spilled_to, event.stream_seq))
    if live.fed is not None and kept.is_past(event.place, live.fed):
        return state
    item = item_of(event.place, event.stream_seq, event.recorded_at_ms, event.fact, live=is_news)
    if item is None or kept.is_handled(item):
        return state
    if not state.room(policy.queue_max):
        return _spilled(state, event)
    return _queued(state.with_live(fed=event.place), item)


def _spilled(state: State, event: Journaled) -> State:
    return state.with_live(
        spilled_after=event.stream_seq - 1,
        spilled_to=max(state.live.spilled_to, event.stream_seq),
        refill_is_cut=event.again,
    )


def is_to_refill(policy: Policy, state: State) -> bool:
    """Half of the room is free."""
    return 2 * state.room(policy.queue_max) >= policy.queue_max


def refill(policy: Policy, state: State) -> tuple[State, list[Effect]]:
    live = state.live
    after = live.spilled_after
    if after is None or live.refilling_after is not None or not is_to_refill(policy, state):
        return state, []
    ask = Refill(after_seq=after, limit=state.room(policy.queue_max))
    return state.with_live(refilling_after=after), [ask]


def refilled(state: State, event: Refilled) -> tuple[State, list[Effect]]:
    live, after = state.live, state.live.spilled_after
    state = state.with_live(refilling_after=None, refill_is_cut=False)
    if after is None or live.refilling_after is None:
        return state, []
    effects: list[Effect] = []
    if event.gone_to > live.refilling_after:
        state, effects = _gone(state, live.refilling_after, event)
    reached = after if live.refill_is_cut else max(after, event.to_seq)
    reached = max(reached, event.gone_to)
    left = None if reached >= live.spilled_to else reached
    return state.with_live(spilled_after=left), effects


def _gone(state: State, after: int, event: Refilled) -> tuple[State, list[Effect]]:
    """Nobody waits for what will never come, and nobody is told that nothing is missing."""
    what = (
        f"entries {after + 1} to {event.gone_to} of the stream were gone before there was room for "
        "them: what they held of this charge point is in the archive, and not at the CSMS"
    )
    delivery = OpenDelivery(
        backend=state.backend,
        charge_point=state.charge_point,
        trouble=Trouble.QUARANTINED,
        what=what,
    )
    note = Note(level="warning", what="gone before it was read", names=(("why", what),))
    return state.with_kept(with_open(state.kept, delivery)), [note]


def newest(state: State, event: Journaled) -> State:
    """What only its newest counts of: the connection, the boot, the status of each connector."""
    kept = met(state.kept, event.place.incarnation)
    match event.fact:
        case ChargePointConnected() | ChargePointDisconnected():
            kept, state = _presence(kept, state, event, event.fact)
        case ChargePointBooted() as fact if _is_newer(kept, event.place, kept.boot):
            boot = Boot(place=event.place, raw=fact.raw, version=fact.version)
            is_other = kept.boot is not None and kept.boot.version is not boot.version
            earlier = kept.boot if is_other else kept.earlier_boot
            kept = replace(kept, boot=boot, earlier_boot=earlier)
        case ConnectorStatusChanged() as fact:
            kept, state = _status(kept, state, event.place, fact)
        case ChargePointSaid(kind=Class.LATEST.value) as fact:
            kept = _latest(kept, event.place, fact)
        case _:
            pass
    return state.with_kept(kept)


def _presence(
    kept: Kept,
    state: State,
    event: Journaled,
    fact: ChargePointConnected | ChargePointDisconnected,
) -> tuple[Kept, State]:
    said = kept.connection_said
    if said is not None and kept.is_past(event.place, said):
        return kept, state
    kept = replace(kept, connection_said=event.place)
    if isinstance(fact, ChargePointConnected):
        if fact.version is not kept.speaks:
            # What was said in the one before is no status of this one.
            kept = replace(kept, speaks=fact.version, statuses={})
        return replace(kept, connection=fact.connection), state.with_live(left_mono_ms=None)
    if fact.connection != kept.connection:
        return kept, state  # a late end of an older connection
    return replace(kept, connection=None), state.with_live(left_mono_ms=event.mono_ms)


def _status(
    kept: Kept, state: State, place: Place, fact: ConnectorStatusChanged
) -> tuple[Kept, State]:
    connector, raw = connector_key(fact), fact.raw
    known = kept.statuses.get(connector)
    has_room = known is not None or len(kept.statuses) < CONNECTORS_MAX
    if not has_room or not _is_newer(kept, place, known):
        return kept, state
    if len(raw) > STATUS_CHARACTERS_MAX:
        # Neither is the one before it the newest any more.
        statuses = {one: kept.statuses[one] for one in kept.statuses if one != connector}
        return replace(kept, statuses=statuses), state
    status = Boot(place=place, raw=raw, version=fact.version)
    statuses = {**kept.statuses, connector: status}
    told = state.live.told - {connector}
    return replace(kept, statuses=statuses), state.with_live(told=told)


def _latest(kept: Kept, place: Place, fact: ChargePointSaid) -> Kept:
    key = latest_key(fact)
    known = kept.latest.get(key)
    if known is not None and kept.is_past(place, known.place):
        return kept
    is_kept = len(fact.raw) <= STATUS_CHARACTERS_MAX
    latest = Latest(
        place=place,
        action=fact.action,
        raw=fact.raw if is_kept else "",
        version=fact.version,
        told=not is_kept,
    )
    return with_latest(kept, key, latest)


def _is_newer(kept: Kept, place: Place, known: Boot | None) -> bool:
    return known is None or not kept.is_past(place, known.place)


def _queued(state: State, item: Item) -> State:
    """Live is what happened while the site was connected and happens while the CSMS takes it: the rest is replayed."""
    live = state.live
    is_news = item.live and live.phase is Phase.ACCEPTED
    match item.part:
        case Part.BOOT if not is_news:
            # Said before anything else, as it is whenever a connection opens.
            return state.with_live(boot_due=True)
        case Part.STATUS | Part.LATEST if not is_news:
            return state  # its connector's newest is told once
        case Part.ERROR | Part.GUARANTEED if live.errors or not is_news:
            # In their order: a live one does not overtake a replayed one.
            return state.with_live(errors=(*live.errors, item))
        case _:
            return state.with_live(queue=(*live.queue, item))
