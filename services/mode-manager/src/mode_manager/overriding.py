"""Answers those who begin or end a local override: journaled first, then in force, then answered.

One request at a time, and never beside the writer's own word about overrides: the newest entry in the
journal says all that stands.
"""

from __future__ import annotations

import logging

from holdfast import subjects
from holdfast.bus import AppendRefused, Bus, NotAcknowledged
from holdfast.contracts.mode import (
    BeginOverride,
    EndOverride,
    Override,
    OverrideBegun,
    OverrideEnded,
    OverrideReceipt,
)
from holdfast.ids import Ids
from holdfast.recorder import Recorder
from holdfast.rpc import serve
from mode_manager.domain import overrides
from mode_manager.domain.events import OverridesStand
from mode_manager.manager import Manager
from mode_manager.writer import EndsWait, Writer

log = logging.getLogger(__name__)


class Desk:
    def __init__(self, ids: Ids, recorder: Recorder, writer: Writer, manager: Manager) -> None:
        self._ids = ids
        self._recorder = recorder
        self._writer = writer
        self._manager = manager

    async def answer(self, bus: Bus, site: str) -> None:
        await serve(bus, subjects.rpc(site, "override"), BeginOverride, self._begin)
        await serve(bus, subjects.rpc(site, "override-end"), EndOverride, self._end)

    async def _begin(self, asked: BeginOverride, _: str) -> OverrideReceipt:
        try:
            async with self._writer.turn_of_newest():
                return await self._begun(asked)
        except EndsWait:
            return _ENDS_WAIT

    async def _end(self, asked: EndOverride, _: str) -> OverrideReceipt:
        try:
            async with self._writer.turn_of_newest():
                return await self._ended(asked)
        except EndsWait:
            return _ENDS_WAIT

    async def _begun(self, asked: BeginOverride) -> OverrideReceipt:
        at_ms = self._manager.moment().at_ms
        decided = overrides.begin(self._manager.overrides, asked, at_ms, self._ids.new())
        if isinstance(decided, overrides.Refusal):
            return OverrideReceipt(accepted=False, reason=decided.why)
        override, replaced = decided.override, decided.replaced
        fact = OverrideBegun(
            override=override,
            replaces=replaced.id if replaced else None,
            standing=decided.standing,
        )
        try:
            entry = await self._recorder.record(fact, id=override.id)
        except AppendRefused as error:
            return _not_stored(error)
        self._stand(entry.seq, decided.standing, cause=override.id)
        instead = f"in place of the one {overrides.said(replaced)}" if replaced else ""
        return OverrideReceipt(accepted=True, reason=instead, override=override)

    async def _ended(self, asked: EndOverride) -> OverrideReceipt:
        at_ms = self._manager.moment().at_ms
        decided = overrides.end(self._manager.overrides, asked, at_ms)
        if isinstance(decided, overrides.Refusal):
            return OverrideReceipt(accepted=False, reason=decided.why)
        left = self._manager.overrides
        for override in decided:
            left = tuple(one for one in left if one.id != override.id)
            try:
                await self._record_end(override, left, asked.by.strip(), at_ms)
            except AppendRefused as error:
                return _not_stored(error)
        others = ", ".join(override.kind.value for override in decided[1:])
        reason = f"ended too: {others}" if others else ""
        return OverrideReceipt(accepted=True, reason=reason, override=decided[0])

    async def _record_end(
        self, override: Override, left: overrides.Overrides, by: str, at_ms: int
    ) -> None:
        fact = OverrideEnded(
            override=override, by=by, why=f"ended by {by}", ended_at_ms=at_ms, standing=left
        )
        id = overrides.ended_id(override)
        entry = await self._recorder.record(fact, id=id, cause=override.id)
        self._stand(entry.seq, left, cause=id)

    def _stand(self, seq: int, standing: overrides.Overrides, *, cause: str) -> None:
        moment = self._manager.moment()
        self._manager.feed(OverridesStand(moment=moment, seq=seq, overrides=standing, cause=cause))


_ENDS_WAIT = OverrideReceipt(
    accepted=False,
    reason="the journal does not say yet that the one before is over: ask again in a moment",
)


def _not_stored(error: AppendRefused) -> OverrideReceipt:
    log.warning("override not stored", extra={"why": str(error)})
    if isinstance(error, NotAcknowledged):
        now = "the journal did not confirm it: look at the mode's status before asking again"
    else:
        now = f"the journal does not take it, so nothing was changed ({error})"
    return OverrideReceipt(accepted=False, reason=now)
