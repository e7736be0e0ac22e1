"""What the rules leave out of what is stored, and how it is said. A charge point is answered all the same.

    samples     of each kind and connector one in `telemetry_every_ms`
    readings    of a session's periodic meter values one in `meter_values_every_ms`, by the charge point's own clock:
                what it sends out of its memory all at once is of many moments, and is kept

What was left out is counted in the next one that is kept (or in the session's stop). A restart forgets the
count: then the first one after it is kept, and what was left out right before it is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from holdfast.contracts.envelope import Fact
from holdfast.contracts.session import SeqRange, SessionMetered, SessionStopped
from holdfast.records import replace
from ocpp_edge.domain.calls import Call, Heartbeat, Latest, Meter, Status, TransactionEvent
from ocpp_edge.domain.events import CallReceived, Stored
from ocpp_edge.domain.known import CONNECTORS_MAX
from ocpp_edge.domain.state import Kept, Policy, State

Key = TypeVar("Key")
Kind = tuple[str, int]

RANGES_MAX = 64
"""Of seqNos left out in a row of one session; then the next one is kept, and names them."""


# --- telemetry ---


@dataclass(frozen=True, slots=True)
class Sampled:
    state: State
    is_kept: bool
    left_out: int = 0
    """Of its kind, since the one kept before."""


def sampled(policy: Policy, state: State, event: CallReceived) -> Sampled:
    """Is this one kept?"""
    kind = _kind(event.call)
    if kind is None:
        return Sampled(state, is_kept=True)
    before = state.live.samples.get(kind)
    if before is not None and event.mono_ms - before.mono_ms < policy.telemetry_every_ms:
        more = replace(before, left_out=before.left_out + 1)
        return Sampled(_with_sample(state, kind, more), is_kept=False)
    state = _with_sample(state, kind, Kept(mono_ms=event.mono_ms))
    return Sampled(state, is_kept=True, left_out=before.left_out if before else 0)


def _kind(call: Call) -> Kind | None:
    """None: never left out. Of diagnostics and firmware every word is kept, for the last one tells how it ended."""
    match call.request:
        case Heartbeat():
            return call.action, 0
        case Status(connector=connector, plug=plug):
            return f"{call.action} {plug}" if plug is not None else call.action, connector
        case Meter(connector=connector):
            return call.action, connector
        case Latest(connector=int() as connector):
            return call.action, connector
        case _:
            return None


def _with_sample(state: State, kind: Kind, kept: Kept) -> State:
    samples = state.live.samples
    if kind not in samples and len(samples) >= CONNECTORS_MAX:
        return state  # further connectors are not remembered, so nothing of them is left out
    return state.with_live(samples={**samples, kind: kept})


# --- meter values of sessions ---


def leaves_out(policy: Policy, state: State, event: CallReceived, fact: Fact) -> State | None:
    """The state in which this reading is left out; None: it is stored."""
    meter = event.call.request
    if not isinstance(meter, Meter | TransactionEvent) or not isinstance(fact, SessionMetered):
        return None
    before = state.live.metered.get(fact.transaction_id)
    if before is None or not _may_thin(policy, state, event, meter, fact):
        return None
    if fact.seq_no is not None and is_in(before.left_out_seq, fact.seq_no):
        return state  # sent again: counted once
    ranges = before.left_out_seq
    if fact.seq_no is not None:
        ranges = with_seq(ranges, fact.seq_no)
        if len(ranges) > RANGES_MAX:
            return None  # the list of what is missing must never be cut
    at_ms, every_ms = moment(meter.at), policy.meter_values_every_ms
    if at_ms is None or before.at_ms is None or not 0 <= at_ms - before.at_ms < every_ms:
        return None
    if event.mono_ms - before.mono_ms >= every_ms:
        return None  # a charge point whose clock stands still
    if event.call.message_id == before.last_left_out:
        return state  # sent again: counted once
    more = replace(
        before,
        left_out=before.left_out + 1,
        last_left_out=event.call.message_id,
        left_out_seq=ranges,
    )
    return state.with_live(metered={**state.live.metered, fact.transaction_id: more})


def _may_thin(
    policy: Policy,
    state: State,
    event: CallReceived,
    meter: Meter | TransactionEvent,
    fact: SessionMetered,
) -> bool:
    if not policy.meter_values_every_ms or event.at_ms < policy.meter_values_from_ms:
        return False
    session = state.known.sessions.get(fact.transaction_id)
    # A cap is watched by these readings, and an uncertain command may be settled by one.
    watched = session is None or session.energy_wh_max is not None or bool(state.known.uncertain)
    is_news = session is not None and fact.charging_state not in (None, session.charging_state)
    return meter.is_intermediate and not watched and not is_news


def said(state: State, fact: Fact) -> Fact:
    """With the count of what was left out before it."""
    if not isinstance(fact, SessionMetered | SessionStopped):
        return fact
    before = state.live.metered.get(fact.transaction_id)
    if before is None or not before.left_out:
        return fact
    update = {"left_out": before.left_out, "left_out_seq": before.left_out_seq}
    return fact.model_copy(update=update)


def stored(state: State, event: Stored, call: Call | None) -> State:
    """A session's fact is in the journal, and with it what it said; what was left out meanwhile counts anew."""
    match event.fact:
        case SessionMetered(transaction_id=transaction_id, left_out=told):
            before = state.live.metered.get(transaction_id)
            left = max(0, before.left_out - told) if before else 0
            meter = call.request if call else None
            at_ms = moment(meter.at) if isinstance(meter, Meter | TransactionEvent) else None
            ranges = before.left_out_seq if before and left else ()
            kept = Kept(mono_ms=event.mono_ms, at_ms=at_ms, left_out=left, left_out_seq=ranges)
            open_ones = {
                one: value
                for one, value in state.live.metered.items()
                if one in state.known.sessions
            }
            if transaction_id in state.known.sessions:
                open_ones[transaction_id] = kept
            return state.with_live(metered=open_ones)
        case SessionStopped(transaction_id=transaction_id):
            return state.with_live(metered=_without(state.live.metered, transaction_id))
        case _:
            return state


def is_in(ranges: tuple[SeqRange, ...], seq_no: int) -> bool:
    return any(first <= seq_no <= last for first, last in ranges)


def with_seq(ranges: tuple[SeqRange, ...], seq_no: int) -> tuple[SeqRange, ...]:
    """With one more, in order, neighbours joined."""
    joined: list[SeqRange] = []
    for first, last in sorted((*ranges, (seq_no, seq_no))):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(last, joined[-1][1])
        else:
            joined.append((first, last))
    return tuple(joined)


def moment(at: str | None) -> int | None:
    """None: no time that can be told."""
    if at is None:
        return None
    try:
        found = datetime.fromisoformat(at)
        return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def _without(mapping: Mapping[Key, Kept], key: Key) -> dict[Key, Kept]:
    return {one: value for one, value in mapping.items() if one != key}
