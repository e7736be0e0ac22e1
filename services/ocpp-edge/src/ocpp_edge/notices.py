"""What operators should know of the door, written into the journal in bounded measure however fast it happens.

noticed -> told at once, if its like was not told within the last minute and there is room
        `-> else counted, and told with the next
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

from holdfast.bus import AppendRefused
from holdfast.clock import Clock
from holdfast.contracts.registry import EntryProblem, EntryRefused
from holdfast.recorder import Recorder

log = logging.getLogger(__name__)

EVERY_MS = 60_000
KINDS_MAX = 64
"""Told apart; further ones are counted together by what the problem is."""
AT_ONCE_MAX, AGAIN_EVERY_MS = 20, 30_000
"""So many facts in a row, then one each half minute: 2,880 a day at most, whatever happens at the door."""


@dataclass(slots=True)
class _Kind:
    detail: str
    waiting: int = 0
    told_ms: int | None = None


_Key = tuple[EntryProblem, str | None, str | None]


class Notices:
    def __init__(self, recorder: Recorder, clock: Clock) -> None:
        self._recorder, self._clock = recorder, clock
        self._kinds: dict[_Key, _Kind] = {}
        self._room = float(AT_ONCE_MAX)
        self._counted_ms = clock.monotonic_ms()
        self._news = asyncio.Event()

    def noticed(
        self, problem: EntryProblem, claimed: str | None, address: str | None, detail: str = ""
    ) -> None:
        key: _Key = (problem, claimed, address)
        if key not in self._kinds and len(self._kinds) >= KINDS_MAX:
            key = (problem, None, None)
        kind = self._kinds.setdefault(key, _Kind(detail))
        kind.waiting += 1
        kind.detail = detail
        self._news.set()

    def mended(
        self, claimed: str, problems: Collection[EntryProblem], address: str | None = None
    ) -> None:
        """What waits to be told of these is over, and would be read as if it were not. None: from wherever it came."""
        for (problem, who, where), kind in self._kinds.items():
            if who == claimed and problem in problems and address in (None, where):
                kind.waiting = 0

    async def run(self) -> None:
        """Tell, for ever. Raise IncarnationChanged."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_MS / 1000 if self._kinds else None):
                    await self._news.wait()
            self._news.clear()
            await self._tell()
            await self._clock.sleep_ms(1_000)

    async def _tell(self) -> None:
        now_ms = self._clock.monotonic_ms()
        for key, kind in list(self._kinds.items()):
            is_due = kind.told_ms is None or now_ms - kind.told_ms >= EVERY_MS
            if not is_due:
                continue
            if not kind.waiting:
                del self._kinds[key]  # a minute without it
                continue
            if not self._has_room(now_ms):
                continue
            problem, claimed, address = key
            times, kind.waiting, kind.told_ms = kind.waiting, 0, now_ms
            fact = EntryRefused(
                problem=problem, claimed=claimed, address=address, detail=kind.detail, times=times
            )
            try:
                await self._recorder.record(fact)
            except AppendRefused as error:
                kind.waiting += times
                log.warning("notice not journaled yet", extra={"why": str(error)})
                return
            self._room -= 1

    def _has_room(self, now_ms: int) -> bool:
        self._room += (now_ms - self._counted_ms) / AGAIN_EVERY_MS
        self._room, self._counted_ms = min(self._room, AT_ONCE_MAX), now_ms
        return self._room >= 1
