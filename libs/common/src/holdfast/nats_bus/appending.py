"""Append: one publish, one acknowledgement, and never a doubt about which stream gave it.

All acknowledgements of a process come in on one subscription, told apart by a counter (a third of the
cost of a request each). At most `IN_FLIGHT_MAX` wait for theirs; more wait for room.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping

import nats.errors
from nats.aio.msg import Msg

from holdfast.bus import (
    AppendRefused,
    BusClosed,
    Conflict,
    NotAcknowledged,
    RequestFailed,
    Stored,
    StreamFull,
    StreamGone,
    WrongStream,
)
from holdfast.nats_bus import api
from holdfast.nats_bus.connection import Connection

ACK_MS = 5_000
RETRY_MS = 200
NOBODY_MS = ACK_MS - 2 * RETRY_MS
"""How long a subject that no stream takes may be one of a server that is starting."""
IN_FLIGHT_MAX = 512
"""A disk that syncs each message takes about 500 a second: more in flight would only time out."""
FULL_CODES = frozenset({10077, 10047, 10023})
"""Store failed (limit reached, disk full or broken), insufficient storage, insufficient resources."""
WRONG_STREAM = 10060
WRONG_LAST_SEQUENCE = frozenset({10071, 10164})
_NO_RESPONDERS = "503"


class Appender:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._inbox = ""
        self._tokens = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[Msg]] = {}
        self._room = asyncio.Semaphore(IN_FLIGHT_MAX)

    async def open(self) -> None:
        self._inbox = self._connection.client.new_inbox()
        await self._connection.client.subscribe(f"{self._inbox}.*", cb=self._on_ack)
        self._connection.watch_changes(self._on_change)

    async def append(
        self, stream: str, subject: str, data: bytes, headers: Mapping[str, str]
    ) -> Stored:
        """Raise AppendRefused, StreamGone."""
        async with self._room:
            try:
                async with asyncio.timeout(ACK_MS / 1000):
                    ack = await self._acknowledged(subject, data, headers)
            except TimeoutError:
                raise NotAcknowledged(
                    f"{stream}: no acknowledgement in {ACK_MS} ms; append again with the same id"
                ) from None
        if ack is None:
            return await self._nobody_took_it(stream, subject)
        return _read_ack(stream, ack)

    async def _acknowledged(
        self, subject: str, data: bytes, headers: Mapping[str, str]
    ) -> Msg | None:
        """None when no stream takes the subject, for as long as a server needs to start."""
        connection = self._connection
        ends_ms = connection.clock.monotonic_ms() + NOBODY_MS
        while True:
            ack = await self._publish(subject, data, headers)
            if not _nobody(ack):
                return ack
            if connection.clock.monotonic_ms() >= ends_ms:
                return None
            await connection.clock.sleep_ms(connection.rng.randint(RETRY_MS // 2, RETRY_MS))

    async def _publish(self, subject: str, data: bytes, headers: Mapping[str, str]) -> Msg:
        await self._connection.ready()
        token = str(next(self._tokens))
        future: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._waiting[token] = future
        try:
            await self._connection.client.publish(
                subject, data, reply=f"{self._inbox}.{token}", headers=dict(headers)
            )
            return await future
        except nats.errors.MaxPayloadError:
            raise AppendRefused(f"{len(data)} bytes are over the server's limit") from None
        except nats.errors.Error as error:
            self._connection.check_open()
            raise NotAcknowledged(f"{subject}: {error}") from error
        finally:
            self._waiting.pop(token, None)

    async def _on_ack(self, ack: Msg) -> None:
        future = self._waiting.get(ack.subject.rpartition(".")[2])
        if future and not future.done():
            future.set_result(ack)

    def _on_change(self) -> None:
        """An acknowledgement does not survive its connection: say so now, not after the time-out."""
        if self._connection.is_up:
            return
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(
                    BusClosed("closed")
                    if self._connection.client.is_closed
                    else NotAcknowledged("connection lost before the acknowledgement")
                )

    async def _nobody_took_it(self, stream: str, subject: str) -> Stored:
        """Not there, or the server can't say: a server that is starting must not look like a lost disk."""
        try:
            found = await api.call(self._connection, "STREAM.NAMES", {"subject": subject})
        except RequestFailed as error:
            raise NotAcknowledged(f"{stream}: {error}") from error
        names = found.get("streams") or []
        if not names:
            raise StreamGone(f"no stream takes {subject}; {stream} is gone")
        if stream not in names:
            raise WrongStream(f"{subject} belongs to {names[0]}, not to {stream}")
        raise NotAcknowledged(f"{stream}: nobody answered; append again with the same id")


def _nobody(ack: Msg) -> bool:
    return not ack.data and (ack.headers or {}).get("Status") == _NO_RESPONDERS


def _read_ack(stream: str, ack: Msg) -> Stored:
    document = json.loads(ack.data)
    error = document.get("error")
    if error:
        sentence = f"{stream}: {error.get('description', 'refused')} ({error.get('err_code')})"
        if error.get("err_code") in FULL_CODES:
            raise StreamFull(sentence)
        if error.get("err_code") == WRONG_STREAM:
            raise WrongStream(f"{sentence}; the subject belongs to {document.get('stream')!r}")
        if error.get("err_code") in WRONG_LAST_SEQUENCE:
            raise Conflict(sentence)
        if error.get("code") in api.CODES_TO_RETRY:
            raise NotAcknowledged(sentence)
        raise AppendRefused(sentence)
    if document["stream"] != stream:
        # Another server's stream behind the leaf took it: it is not on this site's disk.
        raise WrongStream(f"{document['stream']!r} acknowledged what is for {stream}")
    return Stored(stream, document["seq"], document.get("duplicate", False))
