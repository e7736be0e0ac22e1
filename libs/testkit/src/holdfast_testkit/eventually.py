"""Wait for a condition, on virtual or real time, instead of sleeping for luck."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import async_solipsism

from holdfast.bus import BusError

REAL_S = 60
Value = TypeVar("Value")


async def eventually(
    look: Callable[[], Awaitable[Value] | Value], *, within_s: float = 10, every_s: float = 0.05
) -> Value:
    """The first true value that `look` (async or not) gives; a BusError counts as not yet.

    On virtual time `within_s` is a bound on what is looked at. On real time it is only when to give up, and that is
    never within a minute: a machine that is busy, or stands still for a while, is no defect.
    Raise AssertionError with the last thing seen.
    """
    loop = asyncio.get_running_loop()
    if not isinstance(loop, async_solipsism.EventLoop):
        within_s = max(within_s, REAL_S)
    ends_at = loop.time() + within_s
    while True:
        seen: object
        try:
            value = look()
            seen = await value if isinstance(value, Awaitable) else value
            if seen:
                return seen
        except BusError as error:
            seen = error
        if loop.time() >= ends_at:
            raise AssertionError(f"not within {within_s} s; last seen: {seen!r}")
        await asyncio.sleep(every_s)
