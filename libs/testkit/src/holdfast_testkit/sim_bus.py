"""The bus, simulated: one client of a simulated server, with the verbs and faults services may meet.

    bus = SimBus(clock)              a server with a disk, and a first client of it
    edge = bus.client("ocpp-edge")   another process; `edge.close()` is its death

A SimBus is used wherever a `ServerBus` is asked for.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from holdfast.bus import (
    BusClosed,
    Conflict,
    CopySpec,
    Delivery,
    Handler,
    Message,
    NotAcknowledged,
    Request,
    RequestFailed,
    RequestTimedOut,
    ServerBus,
    Stored,
    StreamFull,
    StreamGone,
    StreamSpec,
    StreamState,
    WrongStream,
)
from holdfast.clock import Clock
from holdfast.contracts.rpc import Failure
from holdfast_testkit.sim_disk import Cursor, SimConsumer, SimDisk, SimStream
from holdfast_testkit.sim_options import SimOptions
from holdfast_testkit.sim_server import API_MS, SimServer

log = logging.getLogger(__name__)

ACK_WAIT_MS = 30_000
IN_FLIGHT_MAX = 64
"""Requests one client works on at a time; more wait."""


class _Given(NamedTuple):
    """What an append asks to be stored."""

    subject: str
    data: bytes
    id: str
    ttl_s: int | None
    headers: Mapping[str, str]
    last_seq: int | None


class SimBus:
    def __init__(
        self,
        clock: Clock,
        *,
        domain: str = "",
        disk: SimDisk | None = None,
        options: SimOptions | None = None,
        rng: random.Random | None = None,
        trace: list[str] | None = None,
        server: SimServer | None = None,
        name: str = "test",
    ) -> None:
        self.server = server or SimServer(
            clock, domain=domain, disk=disk, options=options, rng=rng, trace=trace
        )
        self.name = name
        self._clock = clock
        self._open = True
        self._working: dict[asyncio.Task[None], None] = {}
        """In the order in which they began: a set's would be that of addresses."""
        self._room = asyncio.Semaphore(IN_FLIGHT_MAX)

    # --- the test's side ---

    @property
    def disk(self) -> SimDisk:
        return self.server.disk

    def client(self, name: str) -> SimBus:
        """Another process on the same server."""
        return SimBus(self._clock, server=self.server, name=name)

    def close(self) -> None:
        """This client's process dies: its calls raise BusClosed, its handlers are cancelled."""
        self._open = False
        for task in self._working:
            task.cancel()
        self.server.forget(self)

    def crash(self, *, wipe: bool = False) -> None:
        """The server dies; with `wipe`, so does its disk. Clients wait or raise, as with a real one."""
        self.server.crash()
        if wipe:
            self.disk.wipe()

    def start(self) -> None:
        self.server.start()

    def check_open(self) -> None:
        if not self._open:
            raise BusClosed(f"the connection of {self.name} is closed")

    # --- writing ---

    async def append(
        self,
        stream: str,
        subject: str,
        data: bytes,
        *,
        id: str,
        ttl_s: int | None = None,
        headers: Mapping[str, str] | None = None,
        last_seq: int | None = None,
    ) -> Stored:
        server = self.server
        if not await server.until_up(API_MS, self):
            raise NotAcknowledged(f"{stream}: no answer in {API_MS} ms")
        bound = server.stream_of(subject)
        if bound is None:
            await asyncio.sleep(API_MS / 1000)  # as with a real one: it may be just starting
            self.check_open()
            if server.is_up and server.stream_of(subject) is None:
                raise StreamGone(f"no stream takes {subject}; {stream} is gone")
            raise NotAcknowledged(f"{stream}: no answer in {API_MS} ms")
        if bound.name != stream:
            raise WrongStream(f"{subject} belongs to {bound.name}, not to {stream}")
        life = server.life
        message = _Given(subject, data, id, ttl_s, headers or {}, last_seq)
        stored = self._store(bound, message)
        server.note(f"{self.name} append {stream} {stored.seq} {id}")
        server.changed()
        server.did(self, "append", stream, stored.seq)
        if server.options.append_ms_max:
            await asyncio.sleep(server.rng.randint(0, server.options.append_ms_max) / 1000)
        self.check_open()
        lost = not server.is_up or server.life != life
        if lost or server.chance(server.options.ack_loss_ratio):
            server.note(f"{self.name} ack lost {stream} {stored.seq}")
            await asyncio.sleep(API_MS / 1000)
            raise NotAcknowledged(f"{stream}: no answer in {API_MS} ms")
        return stored

    def _store(self, bound: SimStream, given: _Given) -> Stored:
        now_ms = self._clock.now_ms()
        bound.expire(now_ms)
        if given.last_seq is not None:
            newest = bound.last_of(given.subject)
            if (newest.seq if newest else 0) != given.last_seq:
                raise Conflict(f"{bound.name}: wrong last sequence: {newest and newest.seq}")
        known = bound.duplicate_of(given.id, now_ms) if given.id else None
        if known is not None:
            return Stored(bound.name, known, True)
        if self.disk.refuse_writes:
            raise StreamFull(f"{bound.name}: insufficient storage")
        seq = bound.store(
            given.subject,
            given.data,
            id=given.id,
            headers=given.headers,
            ttl_s=given.ttl_s,
            now_ms=now_ms,
        )
        return Stored(bound.name, seq, False)

    # --- reading ---

    async def pull(
        self, stream: str, durable: str, *, subjects: Sequence[str] = (), batch: int = 100
    ) -> AsyncIterator[Delivery]:
        server = self.server
        while True:
            await server.until_up(None, self)
            held, life = server.stream(stream), server.life
            reading = _Reading(self, held, durable, subjects, batch)
            while server.life == life:
                if not server.is_up:
                    await server.until_up(None, self)
                    continue
                self._check_same(held)
                delivery = reading.next()
                if delivery is None:
                    await server.change(reading.due_in_ms())
                    self.check_open()
                    continue
                yield delivery
                if not server.chance(server.options.duplicate_ratio):
                    await asyncio.sleep(0)
                    self.check_open()
                    continue
                server.note(f"{self.name} duplicate {stream} {delivery.message.seq}")
                yield delivery.repeated()

    async def follow(
        self,
        stream: str,
        *,
        subjects: Sequence[str] = (),
        start: int | Literal["last-per-subject", "new"] = 1,
    ) -> AsyncIterator[Message]:
        server = self.server
        await server.until_up(None, self)
        held = server.stream(stream)
        match start:
            case "new":
                cursor = Cursor(held, subjects, held.last_seq + 1)
            case "last-per-subject":
                cursor = Cursor(held, subjects, held.last_seq + 1)
                cursor.put_first(held.last_per_subject(subjects))
            case _:
                cursor = Cursor(held, subjects, start)
        while True:
            await server.until_up(None, self)
            self._check_same(held)
            message = cursor.next()
            if message is None:
                await server.change()
            else:
                yield message

    def _check_same(self, held: SimStream) -> None:
        now = self.server.stream(held.name)
        if now.life != held.life:
            raise StreamGone(f"{held.name} was made anew: what was read is gone")

    async def folded(self, stream: str, durable: str, seq: int) -> None:
        consumers = (await self.server.reach(self)).stream(stream).consumers
        consumers.setdefault(durable, SimConsumer(durable, ())).stand(seq)

    async def last(self, stream: str, subject: str) -> Message | None:
        return (await self.server.reach(self)).stream(stream).last_of(subject)

    async def get(self, stream: str, seq: int) -> Message | None:
        return (await self.server.reach(self)).stream(stream).messages.get(seq)

    async def state(self, stream: str) -> StreamState:
        server = await self.server.reach(self)
        return server.stream(stream).state(self._clock.now_ms(), self._clock.monotonic_ms())

    async def held(self, stream: str, subject: str) -> int:
        server = await self.server.reach(self)
        return server.stream(stream).held(subject)

    async def stream_of(self, subject: str) -> str | None:
        found = (await self.server.reach(self)).stream_of(subject)
        return found.name if found else None

    # --- requests ---

    async def request(self, subject: str, data: bytes, *, timeout_ms: int) -> bytes:
        server = self.server
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await server.until_up(None, self)
                life = server.life
                reply = await server.ask(Request(subject=subject, data=data))
                if server.life != life or not server.is_up:
                    await asyncio.get_running_loop().create_future()  # lost with the server
                return reply
        except TimeoutError:
            raise RequestTimedOut(f"{subject}: no answer in {timeout_ms} ms") from None

    async def respond(self, subject: str, handler: Handler) -> None:
        self.check_open()
        self.server.listen(subject, self, handler)

    def answer(self, handler: Handler, request: Request) -> asyncio.Future[bytes]:
        """Works on although the asker may give up; cancelled only when this client dies."""
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def work() -> None:
            async with self._room:
                try:
                    data = await handler(request)
                except Exception as error:
                    log.exception("handler failed", extra={"subject": request.subject})
                    data = Failure(error=f"{type(error).__name__}: {error}", retry=True).to_bytes()
            if not reply.done():
                reply.set_result(data)

        task = asyncio.get_running_loop().create_task(work())
        self._working[task] = None
        task.add_done_callback(lambda done: self._working.pop(done, None))
        return reply

    # --- administration ---

    async def streams(self, prefix: str) -> Sequence[StreamState]:
        server = await self.server.reach(self)
        names = sorted(name for name in server.disk.streams if name.startswith(prefix))
        return [await self.state(name) for name in names]

    async def ensure_stream(self, spec: StreamSpec) -> bool:
        return self._ensure(await self.server.reach(self), spec)

    async def ensure_copy(self, spec: CopySpec) -> bool:
        return self._ensure(await self.server.reach(self), spec)

    def _ensure(self, server: SimServer, spec: StreamSpec | CopySpec) -> bool:
        made = server.ensure(spec)
        if made:
            server.did(self, "ensure", spec.name)
        return made

    async def bind_consumer(
        self, stream: str, consumer: str, deliver: str, subject: str, *, domain: str | None = None
    ) -> None:
        server = await self.server.reach(self, domain)
        server.bind_consumer(stream, consumer, deliver, subject)
        self.server.did(self, "bind", stream)

    async def has_consumer(self, stream: str, consumer: str, *, domain: str | None = None) -> bool:
        return consumer in (await self.server.reach(self, domain)).stream(stream).consumers

    async def release_subjects(self, stream: str, parked: str) -> None:
        await self._retire(stream, parked)

    async def retire_copy(self, stream: str, parked: str) -> None:
        await self._retire(stream, parked)

    async def _retire(self, stream: str, parked: str) -> None:
        server = await self.server.reach(self)
        server.stream(stream).retire(parked)
        server.did(self, "retire", stream)

    async def delete_stream(self, stream: str) -> None:
        server = await self.server.reach(self)
        server.disk.streams.pop(stream, None)
        server.changed()
        server.did(self, "delete", stream)

    async def trim(self, stream: str, below_seq: int) -> None:
        server = await self.server.reach(self)
        server.stream(stream).trim(below_seq)
        server.note(f"trim {stream} {below_seq}")
        server.changed()
        server.did(self, "trim", stream, below_seq)

    async def fold_floor(self, stream: str) -> int | None:
        consumers = (await self.server.reach(self)).stream(stream).consumers.values()
        floors = [one.floor for one in consumers if one.name.startswith("fold_")]
        return min(floors, default=None)

    async def fetch(self, stream: str, seq: int, *, domain: str) -> Message | None:
        return (await self.server.reach(self, domain)).stream(stream).messages.get(seq)

    async def pause_consumer(self, stream: str, consumer: str, until_ms: int | None) -> None:
        server = await self.server.reach(self)
        held = server.stream(stream).consumers.get(consumer)
        if held is None:
            raise RequestFailed(f"{stream} has no consumer {consumer}")
        held.paused_until_ms = until_ms or 0
        server.changed()
        server.did(self, "pause", stream)


class _Reading:
    """One `pull` while its server lives."""

    def __init__(
        self, bus: SimBus, stream: SimStream, durable: str, subjects: Sequence[str], batch: int
    ) -> None:
        self.bus = bus
        self.stream = stream
        self.consumer = stream.consumers.setdefault(durable, SimConsumer(durable, ()))
        self.consumer.subjects = tuple(subjects)
        self.consumer.rewind()
        self._cursor = Cursor(stream, subjects, self.consumer.floor + 1)
        self._batch = batch

    def next(self) -> SimDelivery | None:
        consumer, now_ms = self.consumer, self.bus.server.clock.monotonic_ms()
        due = sorted(seq for seq, at_ms in consumer.handed.items() if at_ms <= now_ms)
        for seq in due:
            message = self.stream.messages.get(seq)
            if message is not None:
                return self._hand_out(message, now_ms)
            consumer.ack(seq)  # trimmed or expired meanwhile
        if len(consumer.handed) >= self._batch:
            return None
        message = self._cursor.next()
        return self._hand_out(message, now_ms) if message else None

    def _hand_out(self, message: Message, now_ms: int) -> SimDelivery:
        consumer, seq = self.consumer, message.seq
        consumer.delivered = max(consumer.delivered, seq)
        consumer.handed[seq] = now_ms + ACK_WAIT_MS
        consumer.attempts[seq] = consumer.attempts.get(seq, 0) + 1
        return SimDelivery(self, message, consumer.attempts[seq])

    def due_in_ms(self) -> int | None:
        """Until the next one comes again; None when nothing is in hand."""
        if not self.consumer.handed:
            return None
        now_ms = self.bus.server.clock.monotonic_ms()
        return max(1, min(self.consumer.handed.values()) - now_ms)


class SimDelivery:
    def __init__(self, reading: _Reading, message: Message, attempts: int) -> None:
        self._reading = reading
        self.message = message
        self.attempts = attempts

    def repeated(self) -> SimDelivery:
        return SimDelivery(self._reading, self.message, self.attempts + 1)

    async def ack(self) -> None:
        """Sent, not confirmed, as with a real one: lost when the server is down."""
        bus = self._reading.bus
        await asyncio.sleep(0)
        bus.check_open()
        if bus.server.is_up:
            self._reading.consumer.ack(self.message.seq)
            bus.server.changed()
            bus.server.did(bus, "ack", self.message.stream, self.message.seq)

    async def again(self, delay_ms: int) -> None:
        bus = self._reading.bus
        await asyncio.sleep(0)
        bus.check_open()
        if bus.server.is_up and self.message.seq in self._reading.consumer.handed:
            self._reading.consumer.handed[self.message.seq] = (
                bus.server.clock.monotonic_ms() + delay_ms
            )
            bus.server.changed()


if TYPE_CHECKING:

    def _is_a_server_bus(bus: SimBus) -> ServerBus:
        return bus
