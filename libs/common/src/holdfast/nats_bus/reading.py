"""Reading streams: `pull` and `follow`, both over pull requests with a bounded life.

A session is one subscription and one open request at a time. Whatever goes wrong (connection lost,
heartbeat missed, consumer gone) ends the session, and the next one begins where the reader stands:
a durable is rewound to what it saw acknowledged (CONSUMER.RESET), so order holds and nothing waits out
its ack time; a follower's consumer is made anew behind the last message seen.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, Literal, TypeVar

import nats.errors
from nats.aio.msg import Msg

from holdfast.bus import Delivery, Message, RequestFailed, StreamGone
from holdfast.nats_bus import api
from holdfast.nats_bus.connection import Connection

log = logging.getLogger(__name__)

ACK_WAIT_MS = 30_000
KEEP_MS = 10_000
"""How often messages that wait in this process for their turn are kept from coming again."""
EXPIRES_MS = 30_000
HEARTBEAT_MS = 5_000
SILENCE_MS = 2 * HEARTBEAT_MS + 1_000
FOLLOW_BATCH = 500
FOLLOWER_LIFE_MS = 60_000
"""The server removes a follower's consumer so long after its last request."""
REQUEST_GRACE_MS = 4_000
RETRY_MS = 250
NS_PER_MS = 1_000_000

_HEARTBEAT = "100"
_REQUEST_OVER = frozenset({"404", "408"})
"""Nothing there, or the request's time is up: ask again."""

Opened = TypeVar("Opened")


class SessionOver(Exception):
    """This session reads no further; says why."""


class Session:
    """One subscription on one consumer."""

    def __init__(self, connection: Connection, stream: str, consumer: str, batch: int) -> None:
        self._connection = connection
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._batch = batch
        self._epoch = connection.epoch
        self._inbox = connection.client.new_inbox()
        self._asked = 0
        self._over = ""
        self._wake = asyncio.Event()
        self.arrived: deque[Msg] = deque()
        """In this process and not handed out; at most one batch."""
        self.in_hand: Msg | None = None
        """Handed out, and its reader has not yet come back for the next."""

    async def messages(self) -> AsyncGenerator[Msg, None]:
        """Raise SessionOver."""
        connection = self._connection
        unwatch = connection.watch_changes(self._wake.set)
        subscription = None
        try:
            subscription = await connection.client.subscribe(self._inbox, cb=self._on_message)
            while True:
                yield await self._one()
        except nats.errors.Error as error:
            raise SessionOver(str(error)) from error
        finally:
            unwatch()
            if subscription and not connection.client.is_closed:
                await subscription.unsubscribe()

    async def _one(self) -> Msg:
        while True:
            if self._connection.epoch != self._epoch or not self._connection.is_up:
                raise SessionOver("connection lost")
            if self.arrived:
                return self.arrived.popleft()
            if self._over:
                raise SessionOver(self._over)
            if not self._asked:
                await self._ask()
            self._wake.clear()
            try:
                async with asyncio.timeout(SILENCE_MS / 1000):
                    await self._wake.wait()
            except TimeoutError:
                raise SessionOver(f"nothing heard for {SILENCE_MS} ms") from None

    async def _ask(self) -> None:
        request = {
            "batch": self._batch,
            "expires": EXPIRES_MS * NS_PER_MS,
            "idle_heartbeat": HEARTBEAT_MS * NS_PER_MS,
        }
        self._asked = self._batch
        await self._connection.client.publish(
            self._next, json.dumps(request).encode(), reply=self._inbox
        )

    async def _on_message(self, raw: Msg) -> None:
        status = (raw.headers or {}).get("Status")
        if not status or raw.reply:
            self.arrived.append(raw)
            self._asked -= 1
        elif status in _REQUEST_OVER:
            self._asked = 0
        elif status != _HEARTBEAT:
            self._over = f"{status} {(raw.headers or {}).get('Description', '').strip()}"
        self._wake.set()

    async def keep(self) -> None:
        """Tell the server that what waits here is being worked on."""
        if not self._connection.is_up or self._connection.epoch != self._epoch:
            return
        waiting = [self.in_hand] if self.in_hand else []
        for raw in (*waiting, *self.arrived):
            await self._connection.client.publish(raw.reply, b"+WPI")


class NatsDelivery:
    def __init__(
        self, connection: Connection, raw: Msg, message: Message, attempts: int, done: deque[int]
    ) -> None:
        self._connection = connection
        self._reply = raw.reply
        self._done = done
        self.message = message
        self.attempts = attempts

    async def ack(self) -> None:
        """Sent, not confirmed: a lost one means that the message comes again."""
        self._done.append(self.message.seq)
        await self._send(b"+ACK")

    async def again(self, delay_ms: int) -> None:
        await self._send(b"-NAK " + json.dumps({"delay": delay_ms * NS_PER_MS}).encode())

    async def _send(self, data: bytes) -> None:
        self._connection.check_open()
        if self._connection.is_up:
            await self._connection.client.publish(self._reply, data)


class Reader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pulling: set[Session] = set()
        self._folds: set[tuple[str, str]] = set()
        """Durables that are there, by stream: those of folds that read nothing."""

    async def keep_waiting_messages(self) -> None:
        """For ever, beside all pulls of the process."""
        while True:
            await self._connection.clock.sleep_ms(KEEP_MS)
            for session in list(self._pulling):
                try:
                    await session.keep()
                except nats.errors.Error as error:
                    log.debug("messages not kept", extra={"why": str(error)})

    async def pull(
        self, stream: str, durable: str, subjects: Sequence[str], batch: int
    ) -> AsyncIterator[Delivery]:
        life = _Life(self._connection, stream)
        while True:
            session = await life.attempt(partial(self._rewound, stream, durable, subjects, batch))
            if session is None:
                continue
            try:
                self._pulling.add(session)
                async with aclosing(self._deliveries(session, stream, batch)) as deliveries:
                    async for delivery in deliveries:
                        yield delivery
            except SessionOver as over:
                await life.pause(durable, over)
            finally:
                self._pulling.discard(session)

    async def folded(self, stream: str, durable: str, seq: int) -> None:
        if (stream, durable) not in self._folds:
            # First: nobody answers a reset of what is not there.
            body = {"stream_name": stream, "config": _durable(durable, FOLLOW_BATCH)}
            await api.call(self._connection, f"CONSUMER.DURABLE.CREATE.{stream}.{durable}", body)
            self._folds.add((stream, durable))
        try:
            verb = f"CONSUMER.RESET.{stream}.{durable}"
            await api.call(self._connection, verb, {"seq": seq + 1})
        except (RequestFailed, StreamGone):
            self._folds.discard((stream, durable))
            raise

    async def _rewound(
        self, stream: str, durable: str, subjects: Sequence[str], batch: int
    ) -> Session:
        config = _durable(durable, batch)
        if subjects:
            config["filter_subjects"] = list(subjects)
        # Makes it, or brings it up to date.
        verb = f"CONSUMER.DURABLE.CREATE.{stream}.{durable}"
        info = await api.call(self._connection, verb, {"stream_name": stream, "config": config})
        await self._outlive_requests(stream, durable, info["num_waiting"])
        session = Session(self._connection, stream, durable, batch)
        await api.call(self._connection, f"CONSUMER.RESET.{stream}.{durable}")
        return session

    async def _outlive_requests(self, stream: str, durable: str, waiting: int) -> None:
        """A dead reader's request is served for two seconds more (a server with leaves takes it for alive):
        it would take messages after the reset, and they would come again out of order.
        """
        ends_ms = self._connection.clock.monotonic_ms() + REQUEST_GRACE_MS
        while waiting and self._connection.clock.monotonic_ms() < ends_ms:
            await self._connection.clock.sleep_ms(RETRY_MS)
            info = await api.call(self._connection, f"CONSUMER.INFO.{stream}.{durable}")
            waiting = info["num_waiting"]

    async def _deliveries(
        self, session: Session, stream: str, batch: int
    ) -> AsyncGenerator[NatsDelivery, None]:
        done: deque[int] = deque(maxlen=2 * batch)
        async with aclosing(session.messages()) as messages:
            async for raw in messages:
                delivered = api.Delivered(raw.reply)
                if delivered.attempts > 1 and delivered.seq in done:
                    # It came again while its acknowledgement was on the way.
                    await self._connection.client.publish(raw.reply, b"+ACK")
                    continue
                message = api.delivered_message(stream, raw, delivered)
                session.in_hand = raw
                yield NatsDelivery(self._connection, raw, message, delivered.attempts, done)
                session.in_hand = None

    async def follow(
        self,
        stream: str,
        subjects: Sequence[str],
        start: int | Literal["last-per-subject", "new"],
    ) -> AsyncIterator[Message]:
        life = _Life(self._connection, stream)
        position = start
        while True:
            if position == "new":
                end = await life.attempt(partial(self._end, stream))
                if end is None:
                    continue
                position = end + 1
            session = await life.attempt(partial(self._follower, stream, subjects, position))
            if session is None:
                continue
            try:
                async with aclosing(session.messages()) as messages:
                    async for raw in messages:
                        message = api.delivered_message(stream, raw, api.Delivered(raw.reply))
                        yield message
                        # Later ones only: a superseded message in between does no harm to a fold.
                        position = message.seq + 1
            except SessionOver as over:
                await life.pause("follower", over)

    async def _end(self, stream: str) -> int:
        info = await api.call(self._connection, f"STREAM.INFO.{stream}")
        last_seq: int = info["state"]["last_seq"]
        return last_seq

    async def _follower(self, stream: str, subjects: Sequence[str], position: int | str) -> Session:
        name = f"follow_{self._connection.client._nuid.next().decode()}"
        config: dict[str, Any] = {
            "name": name,
            "ack_policy": "none",
            "inactive_threshold": FOLLOWER_LIFE_MS * NS_PER_MS,
            "mem_storage": True,
            "num_replicas": 1,
            "filter_subjects": list(subjects) or [">"],
        }
        if isinstance(position, int):
            # The server refuses a start of 0.
            config |= {"deliver_policy": "by_start_sequence", "opt_start_seq": max(1, position)}
        else:
            config |= {"deliver_policy": "last_per_subject"}
        body = {"stream_name": stream, "config": config, "action": "create"}
        await api.call(self._connection, f"CONSUMER.CREATE.{stream}.{name}", body)
        return Session(self._connection, stream, name, FOLLOW_BATCH)


def _durable(name: str, batch: int) -> dict[str, Any]:
    return {
        "durable_name": name,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": ACK_WAIT_MS * NS_PER_MS,
        "max_ack_pending": batch,
        "max_deliver": -1,
    }


class _Life:
    """One life of one stream as its reader sees it: it ends when the stream is gone or made anew."""

    def __init__(self, connection: Connection, stream: str) -> None:
        self._connection = connection
        self._stream = stream
        self._created: str | None = None

    async def attempt(self, opening: Callable[[], Awaitable[Opened]]) -> Opened | None:
        """None after a failure that another attempt may mend. Raise StreamGone, AdminRefused."""
        try:
            await self._connection.ready()
            await self._check()
            return await opening()
        except RequestFailed as error:
            await self.pause(self._stream, error)
            return None

    async def _check(self) -> None:
        created = (await api.call(self._connection, f"STREAM.INFO.{self._stream}"))["created"]
        if self._created not in (None, created):
            raise StreamGone(f"{self._stream} was made anew: what was read is gone")
        self._created = created

    async def pause(self, reader: str, why: Exception) -> None:
        log.info(
            "reading begins anew", extra={"stream": self._stream, "reader": reader, "why": why}
        )
        await self._connection.clock.sleep_ms(self._connection.rng.randint(RETRY_MS // 2, RETRY_MS))
