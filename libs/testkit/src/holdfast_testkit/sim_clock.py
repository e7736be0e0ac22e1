"""Virtual time: a loop that jumps to its next timer, and the injected clock and ids that run on it."""

from __future__ import annotations

import asyncio
import functools
import random
from base64 import b32encode
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

import async_solipsism

START_MS = 1_750_000_000_000
"""2025-06-15T15:06:40Z: a fixed beginning, so that two runs print the same times."""
STEP_MS_MAX = 12 * 3_600_000
"""The loop takes a single wait of 24 h or more for a deadlock; longer sleeps go in steps."""
DAY_MS = 24 * 3_600_000

Result = TypeVar("Result")
Params = ParamSpec("Params")


def run_virtual(main: Coroutine[Any, Any, Result], *, within_ms: int = 30 * DAY_MS) -> Result:
    """Run `main` on virtual time; what it leaves running is cancelled.

    When every task waits for something that never comes, the loop raises SleepForeverError.
    Past `within_ms` of virtual time it ends with TimeoutError: a simulation must end.
    """

    async def bounded() -> Result:
        async with asyncio.timeout(within_ms / 1000):
            return await main

    with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
        return runner.run(bounded())


def virtual_time(test: Callable[Params, Coroutine[Any, Any, None]]) -> Callable[Params, None]:
    """Decorator: an async test runs on virtual time."""

    @functools.wraps(test)
    def run(*args: Params.args, **kwargs: Params.kwargs) -> None:
        run_virtual(test(*args, **kwargs))

    return run


class SimClock:
    """The loop's time as the injected `Clock`; the wall clock may drift and be stepped."""

    def __init__(self, *, start_ms: int = START_MS, drift_ppm: float = 0) -> None:
        self._loop = asyncio.get_running_loop()
        self._begun_s = self._loop.time()
        self._start_ms = start_ms
        self._drift_ppm = drift_ppm

    def monotonic_ms(self) -> int:
        return round((self._loop.time() - self._begun_s) * 1000)

    def now_ms(self) -> int:
        elapsed_ms = self.monotonic_ms()
        return self._start_ms + elapsed_ms + round(elapsed_ms * self._drift_ppm / 1e6)

    async def sleep_ms(self, duration_ms: int) -> None:
        left_ms = max(0, duration_ms)
        while left_ms > STEP_MS_MAX:
            await asyncio.sleep(STEP_MS_MAX / 1000)
            left_ms -= STEP_MS_MAX
        await asyncio.sleep(left_ms / 1000)

    def step_ms(self, by_ms: int) -> None:
        """Step the wall clock; the monotonic one goes on."""
        self._start_ms += by_ms


class SimIds:
    """Ids drawn from the simulation's one source of chance."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def new(self) -> str:
        return b32encode(self._rng.randbytes(16)).decode().rstrip("=").lower()

    def incarnation(self) -> str:
        return "".join(self._rng.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(8))
