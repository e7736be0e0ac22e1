"""What the charge points of one site say together: is the CSMS up, has it everything, what does it refuse."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from csms_bridge.domain.kept import Kept
from csms_bridge.domain.outgoing import Item, Place
from csms_bridge.domain.state import State
from holdfast.contracts.csms import CaughtUp, OpenDelivery, Phase, Trouble, UpstreamView
from holdfast.contracts.mode import CsmsState

NAMED_MAX = 5

ANSWERS = frozenset({Phase.PENDING, Phase.REJECTED, Phase.ACCEPTED})


def csms_state(
    before: CsmsState, states: Iterable[State], mono_ms: int, down_after_ms: int
) -> CsmsState:
    """Down when it answers no charge point and one has been trying for so long. While none tries, as before.

    One charge point that is rejected is an open point: the CSMS that rejects it is up.
    """
    tries = False
    for state in states:
        live = state.live
        if live.phase in ANSWERS and live.silent_since_mono_ms is None:
            return CsmsState.UP
        since = live.silent_since_mono_ms
        tries = tries or (since is not None and mono_ms - since >= down_after_ms)
    if tries:
        return CsmsState.DOWN
    return CsmsState.UP if before is CsmsState.NONE else before


def caught_up(csms: CsmsState, states: Sequence[State], at: Place | None, asked: Place) -> CaughtUp:
    """`at`: up to where the site's journal is read."""
    behind = {
        state.charge_point: count
        for state in states
        if not _is_refused(state) and (count := _waiting_up_to(state, asked))
    }
    return CaughtUp(
        csms=csms,
        read=at is not None and _reaches(states, at, asked),
        behind=tuple(sorted(behind)[:NAMED_MAX]),
        behind_count=len(behind),
        waiting=sum(behind.values()),
        open_points=tuple(
            f"{one.backend}, {one.charge_point}: {one.what}"
            for state in states
            for one in open_deliveries(state)
        ),
    )


def open_deliveries(state: State) -> list[OpenDelivery]:
    """What is named, one for what is no longer, and that the charge point is not accepted at all."""
    named = [
        one.model_copy(update={"what": f"{one.what}; {one.messages} messages of this session"})
        if one.messages > 1
        else one
        for one in state.kept.open
    ]
    if state.kept.open_unnamed:
        what = f"{state.kept.open_unnamed} further messages are in quarantine"
        named.append(_about(state, Trouble.QUARANTINED, what))
    if _is_refused(state):
        what = f"not accepted: {state.live.problem or 'no reason given'}; {state.waiting} messages wait"
        named.append(_about(state, Trouble.REJECTED, what))
    return named


def view(state: State) -> UpstreamView:
    live, oldest = state.live, state.oldest
    return UpstreamView(
        backend=state.backend,
        primary=live.primary,
        charge_point=state.charge_point,
        phase=live.phase,
        since_ms=live.since_ms,
        problem=live.problem,
        waiting=state.waiting,
        oldest_at_ms=oldest.at_ms if oldest else None,
        delivered=state.kept.delivered,
        version=live.version if live.connection else state.kept.speaks,
        transactions={str(local): csms for local, csms in state.kept.running().items()},
        left_out_seq={id: one.left_out for id, one in state.kept.passed.items() if one.left_out},
        uncounted_seq={id: one.uncounted for id, one in state.kept.passed.items() if one.uncounted},
        clock_offset_ms=live.clock_offset_ms,
    )


def unhandled_since(states: Iterable[State], read_seq: int) -> int:
    """Everything up to here in the stream needs no reading again."""
    floor = read_seq
    for state in states:
        heads: list[Item] = [lane[0] for lane in (state.live.queue, state.live.errors) if lane]
        for head in heads:
            floor = min(floor, head.stream_seq - 1)
        if state.live.spilled_after is not None:
            floor = min(floor, state.live.spilled_after)
    return floor


def _waiting_up_to(state: State, asked: Place) -> int:
    """Of a charge point that spilled, at least one: the rest is not counted before it is read. It lies after
    what was taken into the queue.
    """
    kept, live = state.kept, state.live
    count = sum(_is_up_to(kept, item.place, asked) for item in (*live.queue, *live.errors))
    is_beyond = live.fed is not None and not _is_up_to(kept, live.fed, asked)
    is_more = live.spilled_after is not None and not is_beyond
    return count or (1 if is_more else 0)


def _is_up_to(kept: Kept, place: Place, asked: Place) -> bool:
    if place.incarnation == asked.incarnation:
        return place.seq <= asked.seq
    return asked.incarnation not in kept.lives or kept.is_past(place, asked)


def _reaches(states: Sequence[State], at: Place, asked: Place) -> bool:
    if at.incarnation == asked.incarnation:
        return at.seq >= asked.seq
    # Read beyond it: some charge point has met both lives.
    return any(
        asked.incarnation in state.kept.lives and state.kept.is_past(asked, at) for state in states
    )


def _is_refused(state: State) -> bool:
    """Also while it is tried again: an open point does not come and go with every try."""
    return state.live.is_refused


def _about(state: State, trouble: Trouble, what: str) -> OpenDelivery:
    return OpenDelivery(
        backend=state.backend, charge_point=state.charge_point, trouble=trouble, what=what
    )
