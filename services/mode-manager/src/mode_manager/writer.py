"""Writes mode changes into the journal, in order and without holes, however long the disk refuses.

The mode is in force at once; the entry follows. Each change keeps its id over all attempts.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from holdfast.backoff import Backoff
from holdfast.bus import AppendRefused
from holdfast.health import Health
from holdfast.recorder import Recorder
from mode_manager.domain.events import ChangeMode
from mode_manager.memory import Memory

log = logging.getLogger(__name__)

WAITING_MAX = 64
"""At the bound the two newest waiting changes become one: history thins out, but keeps no hole."""
CONDITION = "mode journaled"


class Writer:
    def __init__(
        self, recorder: Recorder, memory: Memory, backoff: Backoff, health: Health
    ) -> None:
        self._recorder = recorder
        self._memory = memory
        self._backoff = backoff
        self._health = health
        self._waiting: deque[ChangeMode] = deque()
        self._woken = asyncio.Event()

    @property
    def is_done(self) -> bool:
        """Every change is in the journal."""
        return not self._waiting

    def add(self, change: ChangeMode) -> None:
        self._waiting.append(change)
        if len(self._waiting) > WAITING_MAX:
            newest, before = self._waiting.pop(), self._waiting.pop()
            merged = merge(before, newest)
            if merged:
                self._waiting.append(merged)
        self._woken.set()

    async def run(self) -> None:
        while True:
            if not self._waiting:
                self._woken.clear()
                await self._woken.wait()
            change = self._waiting[0]
            try:
                entry = await self._recorder.record(change.fact, id=change.id, cause=change.cause)
            except AppendRefused as error:
                self._health.wrong(CONDITION, f"mode {change.fact.mode} is not stored: {error}")
                log.warning("mode change not stored, tried again", extra={"why": str(error)})
                await self._backoff.wait()
                continue
            self._waiting.popleft()
            self._memory.keep(change.fact, entry.seq)
            self._health.ok(CONDITION)
            self._backoff.reset()


def merge(before: ChangeMode, newest: ChangeMode) -> ChangeMode | None:
    """One change from where the first began to where the second ended; None when that is the same mode."""
    if before.fact.previous is newest.fact.mode:
        return None
    fact = newest.fact.model_copy(update={"previous": before.fact.previous})
    return ChangeMode(id=newest.id, fact=fact, cause=newest.cause)
