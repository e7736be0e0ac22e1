"""How long to wait before trying an outside thing again: doubling, bounded, jittered."""

from __future__ import annotations

import random

from holdfast.clock import Clock

FIRST_MS = 100
LAST_MS = 5_000


class Backoff:
    def __init__(self, clock: Clock, rng: random.Random, last_ms: int = LAST_MS) -> None:
        self._clock = clock
        self._rng = rng
        self._last_ms = last_ms
        self._next_ms = FIRST_MS

    async def wait(self) -> None:
        """Half of the delay is certain, half is chance, so that many who fail together do not return together."""
        delay_ms = self._next_ms // 2 + self._rng.randint(0, self._next_ms // 2)
        self._next_ms = min(self._next_ms * 2, self._last_ms)
        await self._clock.sleep_ms(delay_ms)

    def reset(self) -> None:
        self._next_ms = FIRST_MS
