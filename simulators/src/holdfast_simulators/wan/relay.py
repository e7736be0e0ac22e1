"""One relayed connection: two pumps, each with a bounded store of bytes on their way.

    socket -> read -> [chunks with the time they are due] -> weather -> write -> other socket

Sockets are written directly, without a transport's buffer: a buffer would go on sending in a black hole.
"""

from __future__ import annotations

import asyncio
import select
import socket
import struct
import time
from dataclasses import dataclass, field

from holdfast_simulators.wan.weather import Direction, Weather

CHUNK_BYTES = 16 * 1024
HANG_UP = getattr(select, "POLLRDHUP", select.POLLHUP)
"""Linux tells of a peer that left even while bytes of it are unread."""
CHUNKS_MAX = 64
"""1 MiB on the way in each direction; then the sender is left waiting."""


@dataclass(slots=True)
class Carried:
    """Bytes passed and lost, for reports."""

    passed: dict[Direction, int] = field(default_factory=lambda: dict.fromkeys(Direction, 0))
    lost: dict[Direction, int] = field(default_factory=lambda: dict.fromkeys(Direction, 0))


class Relay:
    def __init__(self, near: socket.socket, weather: Weather, carried: Carried) -> None:
        self._near = near
        self._far: socket.socket | None = None
        self._weather = weather
        self._carried = carried
        self.has_hole = False
        """Bytes of it vanished: it must not live on."""

    async def run(self, target: tuple[str, int]) -> None:
        """Until both directions have ended, or one broke."""
        await self._weather.until_clear()
        self._far = await _connect(target)
        try:
            async with asyncio.TaskGroup() as group:
                for direction, source, sink in (
                    (Direction.UP, self._near, self._far),
                    (Direction.DOWN, self._far, self._near),
                ):
                    chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_MAX)
                    group.create_task(self._read(source, chunks))
                    group.create_task(self._write(direction, sink, chunks))
        except* OSError:
            self.reset()

    @property
    def is_held(self) -> bool:
        """Accepted in bad weather, and not yet led to the other side."""
        return self._far is None

    @property
    def is_left(self) -> bool:
        """The near side has hung up."""
        asked = select.poll()
        asked.register(self._near, HANG_UP)
        return bool(asked.poll(0))

    def reset(self) -> None:
        for one in (self._near, self._far):
            if one is not None and one.fileno() >= 0:
                reset(one)

    def close(self) -> None:
        for one in (self._near, self._far):
            if one is not None:
                one.close()

    async def _read(
        self, source: socket.socket, chunks: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._weather.until_bytes_move()
            chunk = await loop.sock_recv(source, CHUNK_BYTES)
            await chunks.put((time.monotonic() + self._weather.delay_ms / 1_000, chunk))
            if not chunk:
                return

    async def _write(
        self,
        direction: Direction,
        sink: socket.socket,
        chunks: asyncio.Queue[tuple[float, bytes]],
    ) -> None:
        while True:
            due_s, chunk = await chunks.get()
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            await self._weather.until_bytes_move()
            if self._weather.loses(direction):
                self._lose(direction, chunk)
            elif chunk:
                await self._send(direction, sink, memoryview(chunk))
            else:
                sink.shutdown(socket.SHUT_WR)
            if not chunk:
                return

    def _lose(self, direction: Direction, chunk: bytes | memoryview) -> None:
        # A lost end of stream is a hole too: the other side never learns of it.
        self.has_hole = True
        self._carried.lost[direction] += len(chunk)

    async def _send(self, direction: Direction, sink: socket.socket, rest: memoryview) -> None:
        while rest:
            piece = rest[: self._weather.piece_bytes()]
            await self._weather.until_bytes_move()
            if self._weather.loses(direction):
                self._lose(direction, rest)
                return
            try:
                sent = sink.send(piece)
            except BlockingIOError:
                await _until_writable(sink)
                continue
            self._carried.passed[direction] += sent
            await self._weather.until_carried(direction, sent)
            rest = rest[sent:]


async def _connect(target: tuple[str, int]) -> socket.socket:
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(*target, type=socket.SOCK_STREAM)
    family, kind, protocol, _, address = infos[0]
    far = socket.socket(family, kind, protocol)
    far.setblocking(False)
    far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        await loop.sock_connect(far, address)
    except BaseException:
        far.close()
        raise
    return far


async def _until_writable(sink: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def set_ready() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_writer(sink, set_ready)
    try:
        await ready
    finally:
        loop.remove_writer(sink)


def reset(connection: socket.socket) -> None:
    """Close with RST, so that the other side knows at once."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
