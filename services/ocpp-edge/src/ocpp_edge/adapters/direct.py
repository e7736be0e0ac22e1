"""A WebSocket whose frames go straight from the transport to whoever receives them, and straight back.

The library does the handshake, control frames, fragments, limits and closing. What it does for every message
besides (a generator per frame, a queue, locks, a task to write) costs more than all we do with a message; so the
ordinary case, one whole text frame that came in one piece between two others, is taken here by hand. Anything
else goes the library's way, and nobody sees a difference: `test_direct.py` compares them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from websockets.asyncio.server import Server
from websockets.datastructures import Headers
from websockets.frames import DATA_OPCODES, TEXT, CloseCode, Frame
from websockets.http11 import Request
from websockets.protocol import CLOSED, OPEN

from holdfast.ocpp.websocket import quiet
from ocpp_edge.adapters.watched import WatchedSocket

try:
    from websockets.speedups import apply_mask
except ImportError:  # no compiler where it was installed
    from websockets.utils import apply_mask

FRAMES_AHEAD_MAX = 16
"""Frames read ahead of the one being served; then TCP makes the charge point wait."""
FRAGMENTS_MAX = 256
"""Of one message; the library counts their bytes, and they may have none."""

_WHOLE_TEXT = 0x81
_MASKED = 0x80
_LENGTH_16 = 126


LOOK_EVERY_S = 1.0


class _NoQueue:
    """Where the library keeps messages for its own `recv`, which nobody calls here."""

    def close(self) -> None: ...


_NO_QUEUE: Any = _NoQueue()


class DirectSocket(WatchedSocket):
    __slots__ = (
        "_arrived",
        "_fragments",
        "_has_failed",
        "_is_between",
        "_is_held",
        "_is_text",
        "_receiver",
        "ping_due_s",
        "pinged_s",
        "taker",
    )

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._arrived: list[str | bytes] = []
        """A handful at most; an empty list costs nothing, an empty deque 600 bytes on each idle connection."""
        self._fragments: list[bytes] | None = None
        self._is_text = True
        """Of the message in `_fragments`."""
        self._receiver: asyncio.Future[None] | None = None
        self.taker: Callable[[str | bytes], bool] | None = None
        """While somebody waits for a frame, it goes here first: no future, no task that wakes for each."""
        self._is_held = False
        """Too much has arrived: the transport reads no more."""
        self._has_failed = False
        """For what it sent: what comes after that is not looked at."""
        self.ping_due_s = 0.0
        self.pinged_s: float | None = None
        """When it was asked whether it lives, and has not answered."""
        self._is_between = False
        """Two frames, that is, with nothing of the next one here."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.recv_messages = _NO_QUEUE
        waiters: Any = []  # a deque of the library's: see `_arrived`
        self.drain_waiters = waiters

    # --- in ---

    async def next_frame(self) -> str | bytes:
        """Raise ConnectionClosed."""
        while not self._arrived:
            if self.protocol.state is CLOSED:
                raise self.close_exc
            self._receiver = asyncio.get_running_loop().create_future()
            try:
                await self._receiver
            finally:
                self._receiver = None
        if self._is_held and len(self._arrived) <= FRAMES_AHEAD_MAX // 4:
            self._is_held = False
            self.transport.resume_reading()
        return self._arrived.pop(0)

    def data_received(self, data: bytes) -> None:
        if self._is_between:
            payload = self._whole_text(data)
            if payload is not None:
                self.messages += 1
                self._arrive(payload, is_text=True)
                return
        super().data_received(data)
        protocol = self.protocol
        self._is_between = (
            protocol.state is OPEN
            and not protocol.reader.buffer
            and not protocol.extensions
            and protocol.current_size is None
            and self._is_between_frames()
        )

    def _whole_text(self, data: bytes) -> bytes | None:
        """The payload, where the data is one text frame and nothing else."""
        size = len(data) - 6
        if size < 0 or data[0] != _WHOLE_TEXT or self.protocol.state is not OPEN:
            return None
        begin, said = 2, data[1] - _MASKED
        if said == _LENGTH_16:
            begin, said, size = 4, int.from_bytes(data[2:4], "big"), size - 2
            if said < _LENGTH_16:
                return None
        elif said > _LENGTH_16:
            return None  # a length of 64 bits
        limit = self.protocol.max_message_size
        if said != size or said > 0xFFFF or (limit is not None and said > limit):
            return None
        return apply_mask(data[begin + 4 :], data[begin : begin + 4])

    def process_event(self, event: Any) -> None:
        if not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            self.pinged_s = None
            super().process_event(event)
            return
        if self._has_failed:
            return
        if self._fragments is None:
            self._fragments, self._is_text = [], event.opcode is TEXT
        self._fragments.append(bytes(event.data))
        if event.fin:
            self.messages += 1
            whole, self._fragments = b"".join(self._fragments), None
            self._arrive(whole, is_text=self._is_text)
        elif len(self._fragments) >= FRAGMENTS_MAX:
            self._fail(CloseCode.MESSAGE_TOO_BIG, "too many fragments")

    def _arrive(self, data: bytes, *, is_text: bool) -> None:
        try:
            frame = data.decode() if is_text else data
        except UnicodeDecodeError as error:
            self._fail(CloseCode.INVALID_DATA, f"{error.reason} at position {error.start}")
            return
        receiver = self._receiver
        if receiver and not receiver.done() and self.taker and self.taker(frame):
            return
        self._arrived.append(frame)
        if len(self._arrived) > FRAMES_AHEAD_MAX and not self._is_held:
            self._is_held = True
            self.transport.pause_reading()
        self._wake()

    def _fail(self, code: CloseCode, why: str) -> None:
        self._has_failed = True
        if self.protocol.state is OPEN:
            self.protocol.fail(code, why)
            self.send_data()
            self.close_deadline = self.loop.time() + (self.close_timeout or 0)
            self.loop.call_at(self.close_deadline, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._wake()

    def _wake(self) -> None:
        if self._receiver and not self._receiver.done():
            self._receiver.set_result(None)

    # --- out ---

    def send_now(self, frame: str) -> bool:
        """False: the other end does not read what it was sent."""
        protocol = self.protocol
        if protocol.state is not OPEN:
            return True
        if self.paused:
            return False
        data = frame.encode()
        if protocol.extensions or protocol.expect_continuation_frame:
            protocol.send_text(data)
            self.send_data()
            return True
        size = len(data)
        if size < _LENGTH_16:
            head = b"\x81%c" % size
        elif size <= 0xFFFF:
            head = b"\x81\x7e" + size.to_bytes(2, "big")
        else:
            head = b"\x81\x7f" + size.to_bytes(8, "big")
        self.transport.write(head + data)
        return True

    # --- idle ---

    def look(self, now_s: float, interval_s: float, timeout_s: float) -> None:
        """Is it there? As the library's own keepalive, without a task and a timer for each."""
        if self.protocol.state is not OPEN:
            return
        if self.pinged_s is None:
            if now_s >= self.ping_due_s:
                if self.ping_due_s:
                    self.pinged_s = now_s
                    self.protocol.send_ping(_PING)
                    self.send_data()
                self.ping_due_s = now_s + interval_s
        elif now_s - self.pinged_s >= timeout_s:
            self._fail(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")

    def forget_handshake(self) -> None:
        """An idle connection needs none of it: a fifth of what one holds. The library's parser keeps the request
        as long as it lives, so its headers are let go by themselves.
        """
        if self.request:
            self.request.headers.clear()
        unneeded: Any = None
        self.request, self.response = _SEEN, None
        self.request_rcvd = self.id = self.protocol.id = unneeded
        self.logger = self.protocol.logger = quiet


async def keep_alive(servers: Sequence[Server], interval_s: float, timeout_s: float) -> None:
    """Ping every connection from time to time, until cancelled; close those that do not answer."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(min(LOOK_EVERY_S, interval_s / 4))
        for server in servers:
            for socket in list(server.all_connections):
                if isinstance(socket, DirectSocket):
                    socket.look(loop.time(), interval_s, timeout_s)


_PING = b"alive"
_SEEN = Request("", Headers())
"""The library only looks whether there was one."""
