"""A stream read in order and without a hole that is not the stream's own.

A durable hands out messages in order, but after a lost connection later ones may come before an earlier
one comes again. The fold takes nothing out of order, so what is missing before a message is first read
from the stream itself; what is not there either is gone, and the fold names the hole. The same catching
up serves a start with an empty, older or newly versioned store.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import cast

from holdfast.bus import Bus, Delivery, Message, RequestFailed, StreamState
from holdfast.clock import Clock

log = logging.getLogger(__name__)

BATCH_MAX = 100
"""Messages per transaction: whatever came while the last one was written, at most so many."""
BACKOFF_MS_MAX = 5_000

Take = Callable[[Sequence[Message]], Awaitable[None]]
"""Returns when everything up to the last of these is committed."""


async def read_in_order(bus: Bus, stream: str, durable: str, read_up_to: int, take: Take) -> None:
    """For ever. A message is acknowledged once `take` has committed it. Raise StreamGone."""
    reader = _Reader(bus, stream, read_up_to, take)
    handed: asyncio.Queue[Delivery] = asyncio.Queue(maxsize=BATCH_MAX)

    async def hand_over() -> None:
        async for delivery in bus.pull(stream, durable, batch=BATCH_MAX):
            await handed.put(delivery)

    async with asyncio.TaskGroup() as group:
        group.create_task(hand_over())
        while True:
            batch = [await handed.get()]
            while len(batch) < BATCH_MAX and not handed.empty():
                batch.append(handed.get_nowait())
            await reader.read([delivery.message for delivery in batch])
            for delivery in batch:
                await delivery.ack()


async def catch_up(bus: Bus, stream: str, read_up_to: int, to_seq: int, take: Take) -> None:
    """Read what the stream holds after `read_up_to` up to `to_seq`."""
    if read_up_to >= to_seq:
        return
    batch: list[Message] = []
    messages = cast("AsyncGenerator[Message, None]", bus.follow(stream, start=read_up_to + 1))
    async with aclosing(messages):
        async for message in messages:
            if message.seq <= to_seq:
                batch.append(message)
            at_end = message.seq >= to_seq or message.pending == 0
            if batch and (at_end or len(batch) >= BATCH_MAX):
                await take(batch)
                batch = []
            if at_end:
                return


async def state_when_there(
    bus: Bus, stream: str, subject: str, *, clock: Clock, rng: random.Random
) -> StreamState:
    """The server may be starting, and the stream that takes `subject` may not be made yet. Raise StreamGone."""
    wait_ms = 100
    while True:
        try:
            if await bus.stream_of(subject) is not None:
                return await bus.state(stream)
        except RequestFailed as error:
            log.warning("stream state not known yet", extra={"stream": stream, "why": str(error)})
        await clock.sleep_ms(rng.randint(wait_ms // 2, wait_ms))
        wait_ms = min(wait_ms * 2, BACKOFF_MS_MAX)


class _Reader:
    def __init__(self, bus: Bus, stream: str, read_up_to: int, take: Take) -> None:
        self._bus = bus
        self._stream = stream
        self._seq = read_up_to
        self._take = take

    async def read(self, messages: Sequence[Message]) -> None:
        batch: list[Message] = []
        for message in messages:
            if message.seq <= self._seq:
                continue
            if message.seq > self._seq + 1:
                await self._commit(batch)
                batch = []
                await self._fill(message.seq - 1)
            batch.append(message)
            self._seq = message.seq
        await self._commit(batch)

    async def _commit(self, batch: Sequence[Message]) -> None:
        if batch:
            await self._take(batch)

    async def _fill(self, to_seq: int) -> None:
        await catch_up(self._bus, self._stream, self._seq, to_seq, self._take)
        self._seq = to_seq
