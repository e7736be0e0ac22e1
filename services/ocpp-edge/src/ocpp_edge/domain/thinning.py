"""What the rules leave out of what is stored, and how it is said. A charge point is answered all the same.

    samples     of each kind and connector one in `telemetry_every_ms`
    readings    of a session's periodic meter values one in `meter_values_every_ms`, by the charge point's own clock:
                what it sends out of its memory all at once is of many moments, and is kept

What was left out is counted in the next one that is kept (or in the session's stop). So that no restart loses any
unsaid, one is left out only behind a reading that was stored with `thinning`: then the journal says where some may be
missing. What has been left out is written down now and then (`to_save`), not each time; the first reading after a
restart is kept, and tells what was written, and that there may be more (`uncounted`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from holdfast.contracts.envelope import Fact
from holdfast.contracts.session import SessionMetered, SessionStopped
from holdfast.contracts.transaction import TransactionId
from holdfast.ocpp.moments import moment_ms
from holdfast.records import replace
from ocpp_edge.domain.calls import Call, Heartbeat, Latest, Meter, Status, TransactionEvent
from ocpp_edge.domain.events import CallReceived, Stored
from ocpp_edge.domain.known import CONNECTORS_MAX, Session
from ocpp_edge.domain.left_out import Untold, between, is_in, with_seq, without_seq
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
    if before is None or not before.thinning or not _may_thin(policy, state, event, meter, fact):
        return None
    if fact.seq_no is not None and is_in(before.left_out_seq, fact.seq_no):
        return state  # sent again: counted once
    ranges = before.left_out_seq
    if fact.seq_no is not None:
        if fact.seq_no <= max(before.seq_no or 0, ranges[-1][1] if ranges else 0):
            return None  # out of order: after a restart nobody would look for it there
        ranges = with_seq(ranges, fact.seq_no)
        if len(ranges) > RANGES_MAX:
            return None  # the list of what is missing must never be cut
    at_ms, every_ms = moment_ms(meter.at), policy.meter_values_every_ms
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
    if not _thins(policy, event.at_ms):
        return False
    session = state.known.sessions.get(fact.transaction_id)
    # A cap is watched by these readings, and an uncertain command may be settled by one.
    watched = session is None or session.energy_wh_max is not None or bool(state.known.uncertain)
    is_news = session is not None and fact.charging_state not in (None, session.charging_state)
    return meter.is_intermediate and not watched and not is_news


def _thins(policy: Policy, at_ms: int) -> bool:
    return bool(policy.meter_values_every_ms) and at_ms >= policy.meter_values_from_ms


def said(policy: Policy, state: State, at_ms: int, fact: Fact) -> Fact:
    """With the count of what was left out before it, and whether more may be left out behind it."""
    if not isinstance(fact, SessionMetered | SessionStopped):
        return fact
    update = _untold(state, fact)
    if isinstance(fact, SessionMetered) and _thins(policy, at_ms):
        update["thinning"] = True
    return fact.model_copy(update=update) if update else fact


def _untold(state: State, fact: SessionMetered | SessionStopped) -> dict[str, Any]:
    kept = state.live.metered.get(fact.transaction_id)
    if kept is not None:
        if not kept.left_out:
            return {}
        return {"left_out": kept.left_out, "left_out_seq": kept.left_out_seq}
    session = state.known.sessions.get(fact.transaction_id)
    if session is None or session.thinned is None:
        return {}
    # The first one since a restart.
    before, seq_no = session.thinned, fact.seq_no
    saved = _saved(state, session) or Untold(after=before.seq)
    count, ranges = saved.left_out, saved.left_out_seq
    if seq_no is not None and is_in(ranges, seq_no):
        count, ranges = count - 1, without_seq(ranges, seq_no)  # it comes again, and is kept now
    elif seq_no is None and fact.message_id == saved.last_left_out:
        count -= 1
    told: dict[str, Any] = {"left_out": count, "left_out_seq": ranges}
    if saved.is_whole:
        return told
    if seq_no is None or before.seq_no is None or seq_no <= before.seq_no:
        return {**told, "uncounted": True}
    holes = between(before.seq_no, seq_no, ranges)
    return {**told, "uncounted": bool(holes), "uncounted_seq": holes}


def to_save(state: State, *, is_whole: bool) -> dict[TransactionId, Untold]:
    """What a restart would forget, of each session. `is_whole`: nothing is left out any more."""
    untold: dict[TransactionId, Untold] = {}
    for id, session in state.known.sessions.items():
        if session.thinned is None:
            continue
        kept = state.live.metered.get(id)
        if kept is None:
            saved = _saved(state, session)
            if saved is not None:
                untold[id] = saved  # of the life before, and still not told
        elif kept.left_out or is_whole:
            untold[id] = Untold(
                after=session.thinned.seq,
                left_out=kept.left_out,
                left_out_seq=kept.left_out_seq,
                last_left_out=kept.last_left_out,
                is_whole=is_whole,
            )
    return untold


def _saved(state: State, session: Session) -> Untold | None:
    saved = state.live.untold.get(session.transaction_id)
    is_of_it = saved and session.thinned and saved.after == session.thinned.seq
    return saved if is_of_it else None


def stored(state: State, event: Stored, call: Call | None) -> State:
    """A session's fact is in the journal, and with it what it said; what was left out meanwhile counts anew."""
    match event.fact:
        case SessionMetered(transaction_id=transaction_id, left_out=told):
            before = state.live.metered.get(transaction_id)
            left = max(0, before.left_out - told) if before else 0
            meter = call.request if call else None
            at_ms = moment_ms(meter.at) if isinstance(meter, Meter | TransactionEvent) else None
            ranges = before.left_out_seq if before and left else ()
            kept = Kept(
                mono_ms=event.mono_ms,
                at_ms=at_ms,
                left_out=left,
                left_out_seq=ranges,
                seq_no=event.fact.seq_no,
                thinning=event.fact.thinning,
            )
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


def _without(mapping: Mapping[Key, Kept], key: Key) -> dict[Key, Kept]:
    return {one: value for one, value in mapping.items() if one != key}
