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
    Appending,
    AppendRefused,
    BusClosed,
    BusError,
    Conflict,
    NotAcknowledged,
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

    __slots__ = (
        "batch", "batchable", "data", "done", "ends", "headers", "nobody_until", "stream", "subject",
    )  # fmt: skip

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
        now_s = loop.time()
        self.ends = now_s + ACK_MS / 1000
        """Then it is given up."""
        self.nobody_until = now_s + NOBODY_MS / 1000
        """So long a subject that nobody takes is tried again."""
        self.done: asyncio.Future[Stored] = loop.create_future()


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
        self._under_way = 0
        """Sent or gathered, and not settled."""
        self._for_room: deque[asyncio.Future[None]] = deque()
        self._asking: set[asyncio.Task[None]] = set()
        """About subjects that nobody takes."""
        self._sweep: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        inbox = self._connection.client.new_inbox()
        self._inbox = inbox.encode()
        await self._connection.take_directly(f"{inbox}.*", self._on_ack)
        self._connection.watch_changes(self._on_change)

    def append(
        self, stream: str, subject: str, data: bytes, headers: bytes, *, batchable: bool = True
    ) -> Appending:
        """Begun when this returns, where there is room: whoever awaits it may hear AppendRefused or StreamGone."""
        if not self._connection.is_up or self._under_way >= IN_FLIGHT_MAX:
            return self._append_later(stream, subject, data, headers, batchable)
        self._under_way += 1
        return self._begin(stream, subject, data, headers, batchable)

    async def _append_later(
        self, stream: str, subject: str, data: bytes, headers: bytes, batchable: bool
    ) -> Stored:
        """Once there is room, and a connection."""
        if self._under_way >= IN_FLIGHT_MAX:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._for_room.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._leaves()
                raise
        else:
            self._under_way += 1
        try:
            self._connection.check_open()
            if not self._connection.is_up:
                await self._returns(stream)
        except BaseException:
            self._leaves()
            raise
        return await self._begin(stream, subject, data, headers, batchable)

    def _begin(
        self, stream: str, subject: str, data: bytes, headers: bytes, batchable: bool
    ) -> asyncio.Future[Stored]:
        """It has its place among those under way."""
        one = _Append(stream, subject, data, headers, batchable)
        if len(data) + len(headers) > self._connection.client.max_payload:
            self._fail(one, AppendRefused(f"{len(data)} bytes are over the server's limit"))
        else:
            self._gathers(one)
        return one.done

    def _leaves(self) -> None:
        """Its place goes to the one that has waited longest."""
        while self._for_room:
            turn = self._for_room.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._under_way -= 1

    def _gathers(self, one: _Append) -> None:
        self._gathered.append(one)
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_at(one.ends, self._give_up)
        self._send()

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
            self._heard(one, ack)
        if self._gathered:
            self._send()

    def _heard(self, one: _Append, ack: _Ack | None) -> None:
        """What the server says of one message; None: nobody takes its subject."""
        if ack is None:
            self._without_taker(one)
        elif ack.error is None and ack.stream == one.stream:
            self._stored(one, ack.seq, ack.duplicate)
        else:
            self._fail(one, _refusal(one.stream, ack))

    def _stored(self, one: _Append, seq: int, duplicate: bool = False) -> None:
        self._leaves()
        if not one.done.done():  # else nobody waits for it any more
            one.done.set_result(Stored(one.stream, seq, duplicate))

    def _batch_done(self, batch: list[_Append], ack: _Ack | None) -> None:
        self._batches -= 1
        batch[-1].batch = None
        if ack is not None and ack.error is None and ack.count == len(batch):
            if ack.stream != batch[0].stream:
                for one in batch:
                    self._fail(one, _refusal(one.stream, ack))
                return
            for seq, one in enumerate(batch, ack.seq - len(batch) + 1):
                self._stored(one, seq)
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
        """And with it the batch that it is the last of."""
        batch = one.batch
        if batch is not None:
            self._batches -= 1
            one.batch = None
        for each in batch or (one,):
            self._leaves()
            if not each.done.done():
                each.done.set_exception(error)

    def _without_taker(self, one: _Append) -> None:
        """Nobody takes its subject: again, for as long as a server needs to start; then it is asked why."""
        loop = asyncio.get_running_loop()
        if loop.time() < one.nobody_until:
            pause_s = self._connection.rng.randint(RETRY_MS // 2, RETRY_MS) / 1000
            loop.call_later(pause_s, self._again, one)
            return
        asking = loop.create_task(self._asks_why(one))
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)

    def _again(self, one: _Append) -> None:
        if self._connection.is_open:
            one.ends = asyncio.get_running_loop().time() + ACK_MS / 1000
            self._gathers(one)
        else:
            self._fail(one, BusClosed("closed"))

    async def _asks_why(self, one: _Append) -> None:
        self._fail(one, await self._nobody_took_it(one.stream, one.subject))

    async def _nobody_took_it(self, stream: str, subject: str) -> BusError:
        """Not there, or the server can't say: a server that is starting must not look like a lost disk."""
        try:
            found = await api.call(self._connection, "STREAM.NAMES", {"subject": subject})
        except BusError as error:
            return NotAcknowledged(f"{stream}: {error}")
        names = found.get("streams") or []
        if not names:
            return StreamGone(f"no stream takes {subject}; {stream} is gone")
        if stream not in names:
            return WrongStream(f"{subject} belongs to {names[0]}, not to {stream}")
        return NotAcknowledged(f"{stream}: nobody answered; append again with the same id")


_FIRST_LINE = b"NATS/1.0\r\n"
_BATCHED = f"NATS/1.0\r\n{api.BATCH_ID}: %b\r\n{api.BATCH_SEQUENCE}: %d\r\n".encode()
_COMMIT = f"{api.BATCH_COMMIT}: 1\r\n".encode()
_NEWLINES = str.maketrans("\r\n", "  ")


def header_block(stream: str, id: str, further: Mapping[str, str]) -> bytes:
    """Of a message that only this stream may take, and that is stored once."""
    if "\n" in id or "\r" in id:
        id = id.translate(_NEWLINES).strip()
    lines = "".join(
        f"{name}: {value.translate(_NEWLINES).strip()}\r\n" for name, value in further.items()
    )
    return f"NATS/1.0\r\n{lines}{api.EXPECTED_STREAM}: {stream}\r\n{api.ID}: {id}\r\n\r\n".encode()


def _is_over(sent: tuple[bytes, _Append]) -> bool:
    return sent[1].ends <= asyncio.get_running_loop().time()


def _late(one: _Append) -> NotAcknowledged:
    return NotAcknowledged(
        f"{one.stream}: no acknowledgement in {ACK_MS} ms; append again with the same id"
    )


def _refusal(stream: str, ack: _Ack) -> AppendRefused:
    error = ack.error
    if not error:
        # Another server's stream behind the leaf took it: it is not on this site's disk.
        return WrongStream(f"{ack.stream!r} acknowledged what is for {stream}")
    sentence = f"{stream}: {error.description} ({error.err_code})"
    if error.err_code in FULL_CODES:
        return StreamFull(sentence)
    if error.err_code == WRONG_STREAM:
        return WrongStream(f"{sentence}; the subject belongs to {ack.stream!r}")
    if error.err_code in WRONG_LAST_SEQUENCE:
        return Conflict(sentence)
    if error.code in api.CODES_TO_RETRY:
        return NotAcknowledged(sentence)
    return AppendRefused(sentence)
