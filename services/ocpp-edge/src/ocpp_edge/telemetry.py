"""Telemetry on its way out: a bounded queue that nobody waits for. At the bound, new ones are dropped."""

from __future__ import annotations

import asyncio

from holdfast.bus import AppendRefused
from holdfast.contracts.envelope import Fact
from holdfast.recorder import Recorder
from ocpp_edge.metrics import Metrics

QUEUE_MAX = 1_000
QUEUE_CHARACTERS_MAX = 8 << 20
"""Of what charge points wrote, in all that waits: a thousand of the largest frames would be too much."""
WRITERS = 4


class Telemetry:
    def __init__(self, recorder: Recorder, metrics: Metrics) -> None:
        self._recorder = recorder
        self._metrics = metrics
        self._queue: asyncio.Queue[tuple[Fact, str]] = asyncio.Queue(QUEUE_MAX)
        self._characters = 0

    def offer(self, fact: Fact, cause: str) -> None:
        size = _size(fact)
        if self._queue.full() or self._characters + size > QUEUE_CHARACTERS_MAX:
            self._metrics.telemetry_dropped.inc()
            return
        self._characters += size
        self._queue.put_nowait((fact, cause))

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(WRITERS):
                group.create_task(self._write())

    async def _write(self) -> None:
        while True:
            fact, cause = await self._queue.get()
            self._characters -= _size(fact)
            try:
                await self._recorder.record(fact, cause=cause)
            except AppendRefused:
                self._metrics.telemetry_dropped.inc()


def _size(fact: Fact) -> int:
    return len(getattr(fact, "raw", ""))
