"""Writes mode changes into the journal, in order and without holes, however long the disk refuses; and which
overrides are over, their time being up.

What they say is in force at once; the entry follows. Each keeps its id over all attempts.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from holdfast.backoff import Backoff
from holdfast.bus import AppendRefused
from holdfast.contracts.envelope import Entry
from holdfast.contracts.mode import Override, OverrideEnded
from holdfast.health import Health
from holdfast.recorder import Recorder
from mode_manager.domain.events import ChangeMode, Effect, EndOverride
from mode_manager.domain.overrides import sort
from mode_manager.memory import Memory

log = logging.getLogger(__name__)

WAITING_MAX = 64
"""At the bound the two newest waiting changes become one: history thins out, but keeps no hole. Overrides that are
over come beside them, one of a kind at most: none begins while the disk refuses."""
CONDITION = "mode journaled"
ENDS_S = 2
"""Whoever begins or ends an override waits no longer for the ends before it: the disk refuses, or is slow."""


class EndsWait(Exception):
    """An override is over and the journal does not say so yet."""


class Writer:
    def __init__(
        self, recorder: Recorder, memory: Memory, backoff: Backoff, health: Health
    ) -> None:
        self._recorder = recorder
        self._memory = memory
        self._backoff = backoff
        self._health = health
        self._waiting: deque[Effect] = deque()
        self._woken = asyncio.Event()
        self.turn = asyncio.Lock()
        """Held by whoever says in the journal which overrides stand."""
        self._written = asyncio.Condition()
        self.overrides: Callable[[], tuple[Override, ...]] = tuple
        """Those that stand at the moment of writing."""

    @property
    def is_done(self) -> bool:
        """Every change is in the journal."""
        return not self._waiting

    def add(self, effect: Effect) -> None:
        self._waiting.append(effect)
        if len(self._waiting) > WAITING_MAX:
            self._merge_newest()
        self._woken.set()

    @asynccontextmanager
    async def turn_of_newest(self) -> AsyncIterator[None]:
        """The turn, once every end before it is written: else an entry would say that an override no longer stands
        before the one that ends it, which nobody would write after a crash. Raise EndsWait.
        """
        try:
            async with asyncio.timeout(ENDS_S):
                await self._turn_after_ends()
        except TimeoutError:
            raise EndsWait from None
        try:
            yield
        finally:
            self.turn.release()

    async def _turn_after_ends(self) -> None:
        while True:
            async with self._written:
                await self._written.wait_for(lambda: not self._ends_wait)
            await self.turn.acquire()
            if not self._ends_wait:
                return
            self.turn.release()

    @property
    def _ends_wait(self) -> bool:
        return any(isinstance(one, EndOverride) for one in self._waiting)

    async def run(self) -> None:
        while True:
            if not self._waiting:
                self._woken.clear()
                await self._woken.wait()
            effect = self._waiting[0]
            try:
                entry = await self._write(effect)
            except AppendRefused as error:
                self._health.wrong(CONDITION, f"{_named(effect)} is not stored: {error}")
                log.warning("mode change not stored, tried again", extra={"why": str(error)})
                await self._backoff.wait()
                continue
            self._waiting.popleft()
            async with self._written:
                self._written.notify_all()
            if isinstance(effect, ChangeMode):
                self._memory.keep(effect.fact, entry.seq)
            self._health.ok(CONDITION)
            self._backoff.reset()

    async def _write(self, effect: Effect) -> Entry:
        if isinstance(effect, ChangeMode):
            return await self._recorder.record(effect.fact, id=effect.id, cause=effect.cause)
        async with self.turn:
            # One whose own end is still to be written stands in the journal until then.
            later = (one.override for one in self._waiting if isinstance(one, EndOverride))
            left = (*self.overrides(), *(one for one in later if one != effect.override))
            fact = OverrideEnded(
                override=effect.override,
                by=None,
                why="its time is up",
                ended_at_ms=effect.ended_at_ms,
                standing=sort(left),
            )
            return await self._recorder.record(fact, id=effect.id, cause=effect.override.id)

    def _merge_newest(self) -> None:
        """Of the changes; what stands between them stays where it is."""
        changes = [one for one in self._waiting if isinstance(one, ChangeMode)]
        if len(changes) < WAITING_MAX:
            return
        before, newest = changes[-2:]
        self._waiting.remove(before)
        self._waiting.remove(newest)
        merged = merge(before, newest)
        if merged:
            self._waiting.append(merged)


def _named(effect: Effect) -> str:
    if isinstance(effect, EndOverride):
        return f"the end of {effect.override.kind.value}"
    return f"mode {effect.fact.mode.value}"


def merge(before: ChangeMode, newest: ChangeMode) -> ChangeMode | None:
    """One change from where the first began to where the second ended; None when that is the same mode."""
    if before.fact.previous is newest.fact.mode:
        return None
    fact = newest.fact.model_copy(update={"previous": before.fact.previous})
    return ChangeMode(id=newest.id, fact=fact, cause=newest.cause)
