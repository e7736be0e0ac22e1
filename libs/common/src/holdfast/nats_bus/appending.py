"""Append: one acknowledgement for each, and never a doubt about which stream gave it.

All acknowledgements of a process come in on one subscription, told apart by a counter (a third of the
cost of a request each). What is appended goes out in its order:

    at once, one by one    while few wait for the server
    as atomic batches      once `BATCH_MIN` or more wait: a disk that syncs does it once for all of them

A batch is stored whole or not at all. Where one is refused (a message that is stored already is in it, or the
stream takes none) its messages go out one by one, and each hears its own outcome.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Mapping

import msgspec

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

log = logging.getLogger(__name__)

ACK_MS = 5_000
RETRY_MS = 200
SWEEP_S = 0.05
NOBODY_MS = ACK_MS - 2 * RETRY_MS
"""How long a subject that no stream takes may be one of a server that is starting."""
IN_FLIGHT_MAX = 512
"""Appends that wait for the server; more wait for room. A disk that syncs each message takes about 500 a second:
more in flight would only time out."""
SINGLES_MAX = 12
"""Of those so many on their way one by one; what comes then is gathered."""
BATCH_MIN = 24
"""Fewer that wait than this go faster one by one (measured, docs/adr/0019)."""
BATCH_MAX = 256
"""The server takes 1,000 at most, and copies of a batch are held in memory until it is whole."""
BATCHES_MAX = 1
"""On their way at a time: what comes while the disk syncs is the next one. Several at a time are no faster."""
FULL_CODES = frozenset({10077, 10047, 10023})
"""Store failed (limit reached, disk full or broken), insufficient storage, insufficient resources."""
WRONG_STREAM = 10060
WRONG_LAST_SEQUENCE = frozenset({10071, 10164})
NO_BATCHES = 10174
"""The stream takes no atomic batches."""
_NO_RESPONDERS = b" 503"


class _Problem(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = "refused"


class _Ack(msgspec.Struct):
    """What the server says of a publish, or of a whole batch."""

    stream: str = ""
    seq: int = 0
    """Of a batch: its last message's."""
    duplicate: bool = False
    count: int = 0
    error: _Problem | None = None


_decode = msgspec.json.Decoder(_Ack).decode


class _Append:
    """One message on its way."""

    __slots__ = ("batch", "batchable", "data", "done", "ends", "headers", "stream", "subject")

    def __init__(
        self, stream: str, subject: str, data: bytes, headers: bytes, batchable: bool
    ) -> None:
        self.stream = stream
        self.subject = subject
        self.data = data
        self.headers = headers
        self.batchable = batchable
        self.batch: list[_Append] | None = None
        """Those that went out together with it; only of the last one, whose acknowledgement is for all."""
        loop = asyncio.get_running_loop()
        self.ends = loop.time() + ACK_MS / 1000
        """Then it is given up."""
        self.done: asyncio.Future[_Ack | None] = loop.create_future()
        """None: nobody takes its subject."""


class Appender:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._inbox = b""
        self._tokens = itertools.count(1)
        self._waiting: dict[bytes, _Append] = {}
        """Sent, by token, the oldest first."""
        self._gathered: deque[_Append] = deque()
        """Not sent yet."""
        self._batches = 0
        """On their way."""
        self._without: set[str] = set()
        """Streams that take no batches."""
        self._room = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._sweep: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        inbox = self._connection.client.new_inbox()
        self._inbox = inbox.encode()
        await self._connection.take_directly(f"{inbox}.*", self._on_ack)
        self._connection.watch_changes(self._on_change)

    async def append(
        self,
        stream: str,
        subject: str,
        data: bytes,
        headers: Mapping[str, str],
        *,
        batchable: bool = True,
    ) -> Stored:
        """Raise AppendRefused, StreamGone."""
        connection = self._connection
        block = _header_block(headers)
        async with self._room:
            ends_ms = connection.clock.monotonic_ms() + NOBODY_MS
            while True:
                connection.check_open()
                if not connection.is_up:
                    await self._returns(stream)
                if len(data) + len(block) > connection.client.max_payload:
                    raise AppendRefused(f"{len(data)} bytes are over the server's limit")
                one = _Append(stream, subject, data, block, batchable)
                self._gathered.append(one)
                if self._sweep is None:
                    self._sweep = asyncio.get_running_loop().call_at(one.ends, self._give_up)
                self._send()
                ack = await one.done
                if ack is not None:
                    return _stored(stream, ack)
                if connection.clock.monotonic_ms() >= ends_ms:
                    break  # no stream took it for as long as a server needs to start
                await connection.clock.sleep_ms(connection.rng.randint(RETRY_MS // 2, RETRY_MS))
        return await self._nobody_took_it(stream, subject)

    async def _returns(self, stream: str) -> None:
        try:
            async with asyncio.timeout(ACK_MS / 1000):
                await self._connection.ready()
        except TimeoutError:
            raise NotAcknowledged(f"{stream}: no connection to append on") from None

    # --- sending ---

    def _send(self) -> None:
        """What may go out now, in the order it came."""
        gathered = self._gathered
        while gathered and self._connection.is_up:
            if len(gathered) < BATCH_MIN:
                if self._batches or len(self._waiting) >= SINGLES_MAX:
                    return
                self._publish(gathered.popleft())
                continue
            if self._batches >= BATCHES_MAX:
                return
            batch = self._next_batch()
            if len(batch) >= BATCH_MIN:
                self._publish_batch(batch)
            elif len(self._waiting) < SINGLES_MAX or not gathered[0].batchable:
                self._publish(gathered.popleft())
            else:
                return

    def _next_batch(self) -> list[_Append]:
        """The first ones that may go out together."""
        stream = self._gathered[0].stream
        if stream in self._without:
            return []
        together = itertools.takewhile(
            lambda one: one.batchable and one.stream == stream, self._gathered
        )
        return list(itertools.islice(together, BATCH_MAX))

    def _publish(self, one: _Append) -> None:
        self._write(one, one.headers, self._token(one))

    def _publish_batch(self, batch: list[_Append]) -> None:
        for _ in batch:
            self._gathered.popleft()
        self._batches += 1
        last = batch[-1]
        last.batch = batch
        token = self._token(last)
        name = token[len(self._inbox) + 1 :]
        for place, one in enumerate(batch, 1):
            head = _BATCHED % (name, place)
            if one is last:
                head += _COMMIT
            self._write(one, head + one.headers[len(_FIRST_LINE) :], token if one is last else b"")

    def _token(self, one: _Append) -> bytes:
        token = b"%d" % next(self._tokens)
        self._waiting[token] = one
        return b"%b.%b" % (self._inbox, token)

    def _write(self, one: _Append, headers: bytes, reply: bytes) -> None:
        size = len(headers)
        self._connection.write(
            b"HPUB %b %b %d %d\r\n%b%b\r\n"
            % (one.subject.encode(), reply, size, size + len(one.data), headers, one.data)
        )

    # --- what comes back ---

    def _on_ack(self, subject: bytes, data: bytes, headers: bytes) -> None:
        one = self._waiting.pop(subject[len(self._inbox) + 1 :], None)
        if one is None:
            return
        if not data and headers and _NO_RESPONDERS in headers[:16]:
            ack = None
        else:
            try:
                ack = _decode(data)
            except msgspec.MsgspecError as error:
                self._fail(one, NotAcknowledged(f"{one.stream}: not an acknowledgement: {error}"))
                self._send()
                return
        if one.batch is not None:
            self._batch_done(one.batch, ack)
        else:
            _resolve(one, ack)
        self._send()

    def _batch_done(self, batch: list[_Append], ack: _Ack | None) -> None:
        self._batches -= 1
        batch[-1].batch = None
        if ack is not None and ack.error is None and ack.count == len(batch):
            first = ack.seq - len(batch) + 1
            for seq, one in enumerate(batch, first):
                _resolve(one, _Ack(stream=ack.stream, seq=seq))
            return
        if ack is not None and ack.error is not None and ack.error.err_code == NO_BATCHES:
            self._without.add(batch[0].stream)
            log.info("stream takes no batches", extra={"stream": batch[0].stream})
        # Nothing of it is stored. One by one each hears its own outcome.
        for one in batch:
            self._publish(one)

    def _give_up(self) -> None:
        """What waited too long may or may not be stored."""
        loop = asyncio.get_running_loop()
        self._sweep = None
        for token, one in list(itertools.takewhile(_is_over, self._waiting.items())):
            del self._waiting[token]
            self._fail(one, _late(one))
        while self._gathered and self._gathered[0].ends <= loop.time():
            one = self._gathered.popleft()
            self._fail(one, _late(one))
        oldest = [
            *itertools.islice(self._waiting.values(), 1),
            *itertools.islice(self._gathered, 1),
        ]
        if oldest:
            ends = min(one.ends for one in oldest)
            self._sweep = loop.call_at(max(ends, loop.time() + SWEEP_S), self._give_up)
        self._send()

    def _on_change(self) -> None:
        """An acknowledgement does not survive its connection: say so now, not after the time-out."""
        if self._connection.is_up:
            self._send()
            return
        closed = self._connection.client.is_closed
        lost = list(self._waiting.values())
        self._waiting.clear()
        if closed:
            lost += self._gathered
            self._gathered.clear()
        for one in lost:
            self._fail(
                one,
                BusClosed("closed")
                if closed
                else NotAcknowledged("connection lost before the acknowledgement"),
            )

    def _fail(self, one: _Append, error: Exception) -> None:
        batch = one.batch
        if batch is not None:
            self._batches -= 1
            one.batch = None
        for each in batch or (one,):
            if not each.done.done():
                each.done.set_exception(error)

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


_FIRST_LINE = b"NATS/1.0\r\n"
_BATCHED = f"NATS/1.0\r\n{api.BATCH_ID}: %b\r\n{api.BATCH_SEQUENCE}: %d\r\n".encode()
_COMMIT = f"{api.BATCH_COMMIT}: 1\r\n".encode()
_NEWLINES = str.maketrans("\r\n", "  ")


def _header_block(headers: Mapping[str, str]) -> bytes:
    lines = "".join(
        f"{name}: {value.translate(_NEWLINES).strip()}\r\n" for name, value in headers.items()
    )
    return b"%b%b\r\n" % (_FIRST_LINE, lines.encode())


def _is_over(sent: tuple[bytes, _Append]) -> bool:
    return sent[1].ends <= asyncio.get_running_loop().time()


def _late(one: _Append) -> NotAcknowledged:
    return NotAcknowledged(
        f"{one.stream}: no acknowledgement in {ACK_MS} ms; append again with the same id"
    )


def _resolve(one: _Append, ack: _Ack | None) -> None:
    if not one.done.done():  # nobody waits for it any more
        one.done.set_result(ack)


def _stored(stream: str, ack: _Ack) -> Stored:
    error = ack.error
    if error:
        sentence = f"{stream}: {error.description} ({error.err_code})"
        if error.err_code in FULL_CODES:
            raise StreamFull(sentence)
        if error.err_code == WRONG_STREAM:
            raise WrongStream(f"{sentence}; the subject belongs to {ack.stream!r}")
        if error.err_code in WRONG_LAST_SEQUENCE:
            raise Conflict(sentence)
        if error.code in api.CODES_TO_RETRY:
            raise NotAcknowledged(sentence)
        raise AppendRefused(sentence)
    if ack.stream != stream:
        # Another server's stream behind the leaf took it: it is not on this site's disk.
        raise WrongStream(f"{ack.stream!r} acknowledged what is for {stream}")
    return Stored(stream, ack.seq, ack.duplicate)
