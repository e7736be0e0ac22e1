"""Telemetry on its way out: a bounded queue that nobody waits for. At the bound, new ones are dropped."""

from __future__ import annotations

import asyncio

from holdfast.bus import AppendRefused
from holdfast.contracts.envelope import Fact
from holdfast.recorder import Recorder
from ocpp_edge.metrics import Metrics

QUEUE_MAX = 1_000
WRITERS = 4


class Telemetry:
    def __init__(self, recorder: Recorder, metrics: Metrics) -> None:
        self._recorder = recorder
        self._metrics = metrics
        self._queue: asyncio.Queue[tuple[Fact, str]] = asyncio.Queue(QUEUE_MAX)

    def offer(self, fact: Fact, cause: str) -> None:
        try:
            self._queue.put_nowait((fact, cause))
        except asyncio.QueueFull:
            self._metrics.telemetry_dropped.inc()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(WRITERS):
                group.create_task(self._write())

    async def _write(self) -> None:
        while True:
            fact, cause = await self._queue.get()
            try:
                await self._recorder.record(fact, cause=cause)
            except AppendRefused:
                self._metrics.telemetry_dropped.inc()
