"""Time, asked of one injected object: a wall clock that may step, and a monotonic one for durations."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now_ms(self) -> int:
        """Wall clock, UTC: for records and schedules. May step."""
        ...

    def monotonic_ms(self) -> int:
        """For durations and timeouts. Never steps back."""
        ...

    async def sleep_ms(self, duration_ms: int) -> None: ...


class SystemClock:
    """The operating system's clocks."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    async def sleep_ms(self, duration_ms: int) -> None:
        await asyncio.sleep(max(0, duration_ms) / 1000)


def iso(at_ms: int) -> str:
    """ISO-8601 with milliseconds and Z: for OCPP payloads and for people, nowhere else."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_ms % 1000:03d}Z"
