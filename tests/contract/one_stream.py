"""One journal stream and few verbs on it: what the bus suites share."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from holdfast.bus import Delivery, Message, ServerBus, StreamSpec

S = "JOURNAL_berlin01_aaaaaaaa"
SUBJECTS = "hf.berlin01.journal.>"
A, B = "hf.berlin01.journal.a.x", "hf.berlin01.journal.b.y"
PATIENCE_S = 60


def spec(
    name: str = S,
    subjects: tuple[str, ...] = (SUBJECTS,),
    bytes_max: int = 1 << 24,
    **more: object,
) -> StreamSpec:
    settings = {"when_full": "refuse"} | more
    return StreamSpec(name=name, subjects=subjects, bytes_max=bytes_max, **settings)


async def fill(bus: ServerBus, count: int, subjects: Sequence[str] = (A,), begin: int = 1) -> None:
    for number in range(begin, begin + count):
        subject = subjects[(number - 1) % len(subjects)]
        await bus.append(S, subject, str(number).encode(), id=f"id-{number}")


async def read_on(source: AsyncIterator[object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        async for _ in source:
            pass


async def take(source: AsyncIterator[Message], count: int) -> list[Message]:
    taken: list[Message] = []
    async with asyncio.timeout(PATIENCE_S), aclosing(source) as messages:
        async for message in messages:
            taken.append(message)
            if len(taken) == count:
                return taken
    return taken


async def pulled(source: AsyncIterator[Delivery], count: int, ack: bool = True) -> list[Message]:
    taken: list[Message] = []
    async with asyncio.timeout(PATIENCE_S), aclosing(source) as deliveries:
        async for delivery in deliveries:
            if ack:
                await delivery.ack()
            taken.append(delivery.message)
            if len(taken) == count:
                return taken
    return taken


def seqs(messages: Sequence[Message]) -> list[int]:
    return [message.seq for message in messages]
