"""A backend that a charge point has had nothing to do with: from where on it is told.

From the start of the oldest session that runs now. What began and ended before is not its concern; the newest
boot and statuses are. A charge point whose first fact this is is told from there.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import NamedTuple

from csms_bridge.adapters.source import Found, Source
from csms_bridge.domain import taking
from csms_bridge.domain.events import Journaled
from csms_bridge.domain.kept import met
from csms_bridge.domain.outgoing import Place
from csms_bridge.domain.state import State
from holdfast.contracts.session import SessionStarted, SessionStopped
from holdfast.contracts.transaction import TransactionId


async def attached(source: Source, state: State, stream_seq: int) -> State:
    """`stream_seq`: of the fact that made it known, or just after what was read. Raise StreamGone, RequestFailed."""
    newest = await source.newest_seq(state.site, state.charge_point)
    if newest == 0:
        return state
    running: dict[TransactionId, _Start] = {}
    last: tuple[Place, int] | None = None
    stream = source.follow_charge_point(state.site, state.charge_point, 1)
    async with aclosing(stream) as entries:
        async for found, pending in entries:
            if found.stream_seq >= stream_seq:
                break
            if found.fact is not None:
                event = Journaled(
                    at_ms=0,
                    mono_ms=0,
                    place=found.place,
                    stream_seq=found.stream_seq,
                    recorded_at_ms=found.at_ms,
                    fact=found.fact,
                    live=False,
                )
                state = taking.newest(state, event)
                _follow(running, found)
            last = (found.place, found.stream_seq)
            if pending == 0 or found.stream_seq >= newest:
                break
    if last is None:
        return state
    return _from(state, running, last)


class _Start(NamedTuple):
    place: Place
    stream_seq: int
    connector: int | None
    """None: not known yet (2.x, a driver token before the cable)."""


def _follow(running: dict[TransactionId, _Start], found: Found) -> None:
    """A newer start on its connector ends a session whose own stop was lost."""
    match found.fact:
        case SessionStarted(transaction_id=local, connector=connector):
            for other in [one for one, start in running.items() if start.connector == connector]:
                if connector is not None:
                    del running[other]
            running[local] = _Start(found.place, found.stream_seq, connector)
        case SessionStopped(transaction_id=local):
            running.pop(local, None)


def _from(state: State, running: dict[TransactionId, _Start], last: tuple[Place, int]) -> State:
    place, _ = last
    kept = replace(met(state.kept, place.incarnation), attached=place)
    if not running:
        kept = replace(kept, transactional=place, guaranteed=place)
        return state.with_kept(kept)
    oldest = min(running.values(), key=lambda one: one.stream_seq)
    before = Place(oldest.place.incarnation, oldest.place.seq - 1)
    kept = replace(kept, transactional=before, guaranteed=place)
    return state.with_kept(kept).with_live(spilled_after=oldest.stream_seq - 1, spilled_to=last[1])
