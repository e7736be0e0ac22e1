"""`NatsBus`: everything a service does with its nats-server, on one connection."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import nats.errors
from nats.aio.msg import Msg

from holdfast.bus import (
    AdminRefused,
    Appending,
    Delivery,
    Handler,
    Message,
    Request,
    RequestFailed,
    ServerBus,
)
from holdfast.clock import Clock, SystemClock
from holdfast.contracts.rpc import Failure
from holdfast.health import Health
from holdfast.nats_bus import api
from holdfast.nats_bus.admin import Admin
from holdfast.nats_bus.appending import Appender, header_block
from holdfast.nats_bus.connection import CONNECT_MS, Connection, ServerUnusable, Target
from holdfast.nats_bus.reading import Reader
from holdfast.settings import ServiceConfig

log = logging.getLogger(__name__)

CLOUD_INBOX = "_INBOX.cp"
REQUESTS_MAX = 64
"""Requests one process works on at a time; more wait in its subscription."""


def inbox_of(site: str) -> str:
    """Fixed, because the leaf's permissions name them (nats.conf): nothing else may carry replies."""
    return f"_INBOX.{site}" if site else CLOUD_INBOX


class NatsBus(Admin):
    def __init__(self, connection: Connection, group: asyncio.TaskGroup) -> None:
        super().__init__(connection)
        self._group = group
        self._appender = Appender(connection)
        self._reader = Reader(connection)
        self._room = asyncio.Semaphore(REQUESTS_MAX)
        self._working: set[asyncio.Task[None]] = set()

    @staticmethod
    @asynccontextmanager
    async def connect(
        config: ServiceConfig, *, name: str, clock: Clock, health: Health
    ) -> AsyncIterator[ServerBus]:
        """Raise ServerUnusable, at once or later out of the block."""
        target = Target(
            url=config.nats_url,
            user=config.nats_user,
            password=config.password(),
            ca=config.nats_ca_file,
            inbox_prefix=inbox_of(config.site),
            name=name,
        )
        async with _open(target, clock=clock, health=health) as bus:
            yield bus

    # --- writing and reading ---

    def append(
        self,
        stream: str,
        subject: str,
        data: bytes,
        *,
        id: str,
        ttl_s: int | None = None,
        headers: Mapping[str, str] | None = None,
        last_seq: int | None = None,
    ) -> Appending:
        further = {**headers} if headers else {}
        if last_seq is not None:
            further["Nats-Expected-Last-Subject-Sequence"] = str(last_seq)
        if ttl_s is not None:
            further["Nats-TTL"] = str(ttl_s)
        return self._appender.append(
            stream,
            subject,
            data,
            header_block(stream, id, further),
            batchable=last_seq is None and ttl_s is None,
        )

    def pull(
        self, stream: str, durable: str, *, subjects: Sequence[str] = (), batch: int = 100
    ) -> AsyncIterator[Delivery]:
        return self._reader.pull(stream, durable, subjects, batch)

    def follow(
        self,
        stream: str,
        *,
        subjects: Sequence[str] = (),
        start: int | Literal["last-per-subject", "new"] = 1,
    ) -> AsyncIterator[Message]:
        return self._reader.follow(stream, subjects, start)

    async def folded(self, stream: str, durable: str, seq: int) -> None:
        await self._reader.folded(stream, durable, seq)

    async def get(self, stream: str, seq: int) -> Message | None:
        return await self.fetch(stream, seq)

    # --- requests ---

    async def request(self, subject: str, data: bytes, *, timeout_ms: int) -> bytes:
        return (await self._connection.request(subject, data, timeout_ms=timeout_ms)).data

    async def respond(self, subject: str, handler: Handler) -> None:
        async def take(raw: Msg) -> None:
            await self._room.acquire()
            self._spawn(self._answer(raw, handler))

        await self._connection.ready()
        # A queue, so that two processes of one service share the work.
        await self._connection.client.subscribe(
            subject, queue=self._connection.target.name, cb=take
        )
        await self._connection.heard()

    async def _answer(self, raw: Msg, handler: Handler) -> None:
        try:
            data = await handler(Request(subject=raw.subject, data=raw.data))
        except Exception as error:
            log.exception("handler failed", extra={"subject": raw.subject})
            data = Failure(error=f"{type(error).__name__}: {error}", retry=True).to_bytes()
        finally:
            self._room.release()
        if not raw.reply:
            return
        if len(data) > self._connection.client.max_payload:
            sentence = f"{raw.subject}: a reply of {len(data)} bytes is over the server's limit"
            data = Failure(error=f"{sentence}: ask for less", retry=False).to_bytes()
        try:
            await self._connection.client.publish(raw.reply, data)
        except nats.errors.Error as error:
            log.warning("reply not sent", extra={"subject": raw.subject, "why": repr(error)})

    # --- life ---

    async def start(self) -> None:
        """What goes on beside the service until `stop`."""
        await self._appender.open()
        self._spawn(self._reader.keep_waiting_messages())
        self._spawn(self._connection.watch())

    def stop(self) -> None:
        for task in self._working:
            task.cancel()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._group.create_task(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)


@asynccontextmanager
async def open_bus(
    url: str,
    *,
    user: str,
    password: str,
    ca: Path | None = None,
    inbox_prefix: str = CLOUD_INBOX,
    name: str,
    clock: Clock | None = None,
) -> AsyncIterator[NatsBus]:
    """For programs without a service's configuration: provisioning, tests. Raise ServerUnusable."""
    target = Target(
        url=url, user=user, password=password, ca=ca, inbox_prefix=inbox_prefix, name=name
    )
    async with _open(target, clock=clock or SystemClock(), health=None) as bus:
        yield bus


@asynccontextmanager
async def _open(target: Target, *, clock: Clock, health: Health | None) -> AsyncIterator[NatsBus]:
    connection = Connection(target, clock=clock, rng=random.Random(), health=health)
    await connection.open()
    failed: BaseException | None = None
    try:
        await _check_jetstream(connection)
        async with asyncio.TaskGroup() as group:
            bus = NatsBus(connection, group)
            await bus.start()
            try:
                yield bus
            except BaseException as error:  # noqa: BLE001  raised below as it is, not inside a group
                failed = error
            finally:
                bus.stop()
    except BaseExceptionGroup as ended:
        # Nothing but `watch` may fail in the group; then the block was only cancelled by it.
        raise _first(ended) from None
    finally:
        await connection.close()
    if failed is not None:
        raise failed


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


async def _check_jetstream(connection: Connection) -> None:
    """Raise ServerUnusable."""
    ends_ms = connection.clock.monotonic_ms() + CONNECT_MS
    while True:
        try:
            await api.call(connection, "INFO")
            return
        except (RequestFailed, AdminRefused) as error:
            if connection.clock.monotonic_ms() >= ends_ms:
                raise ServerUnusable(
                    f"nats-server at {connection.target.url} gives user "
                    f"{connection.target.user!r} no JetStream: enable it ({error})"
                ) from error
            await connection.clock.sleep_ms(200)


if TYPE_CHECKING:

    def _is_a_server_bus(bus: NatsBus) -> ServerBus:
        return bus
