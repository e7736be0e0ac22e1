"""Where long blocking calls run: in a thread, so that a slow database never delays an answer that somebody waits for.

On virtual time they run in place: a simulated loop can't wait for a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from holdfast.clock import Clock, SystemClock

Params = ParamSpec("Params")
Result = TypeVar("Result")


class Offload:
    def __init__(self, clock: Clock) -> None:
        self._in_threads = isinstance(clock, SystemClock)

    async def __call__(
        self, work: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs
    ) -> Result:
        if self._in_threads:
            return await asyncio.to_thread(work, *args, **kwargs)
        return work(*args, **kwargs)
