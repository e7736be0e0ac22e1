"""One life of one socket, with its id: what is read, what is to be sent, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from holdfast.clock import Clock
from holdfast.ocpp.websocket import ConnectionEnded
from ocpp_edge.adapters.connection import GOING_AWAY, POLICY, Connection

OUTBOX_MAX = 128
"""Frames a charge point may leave unread; beyond it, it is too slow and its connection closed."""
OUTBOX_FULL = 32
"""From here on nothing more is read from it until it reads."""
TURN_BYTES, TURN_FRAME_BYTES = 16 * 1024, 512
"""Read from one charge point at a time, before others have their turn; a frame counts as so much at least."""


class Link:
    def __init__(
        self, id: str, connection: Connection, remote: str, security_profile: int, clock: Clock
    ) -> None:
        self.id = id
        self.connection = connection
        self.remote = remote
        self.security_profile = security_profile
        self.version = connection.version
        self.said: set[str] = set()
        """Kinds of refused frames logged already: once each."""
        self.heard_mono_ms = clock.monotonic_ms()
        """When its last frame came, or it."""
        self.alive_until_mono_ms = 0
        """It answered a ping not long before."""
        self._clock = clock
        self._outbox: asyncio.Queue[str] = asyncio.Queue(OUTBOX_MAX)
        self._drained = asyncio.Event()
        self._closing = asyncio.Event()
        self._end: tuple[int, str] | None = None

    @property
    def address(self) -> str:
        """The other end's, without the port."""
        return self.remote.rpartition(":")[0] or self.remote

    @property
    def is_closing(self) -> bool:
        return self._closing.is_set()

    def send(self, frame: str) -> None:
        if self._closing.is_set():
            return
        try:
            self._outbox.put_nowait(frame)
        except asyncio.QueueFull:
            self.close("it does not read what it is sent", POLICY)

    def close(self, reason: str, code: int = GOING_AWAY) -> None:
        """From our side; the first reason counts."""
        self._end = self._end or (code, reason)
        self._closing.set()

    async def run(
        self,
        take: Callable[[str | bytes], None],
        has_room: Callable[[], bool],
        wait_ms: Callable[[], int],
    ) -> str:
        """Until the connection is over; the reason. `wait_ms`: how long the next frame is left unread."""
        lost = "connection lost"
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(take, has_room, wait_ms))
                group.create_task(self._send())
                await self._closing.wait()
                raise _Over
        except* _Over:
            pass
        except* ConnectionEnded as ended:
            lost = str(ended.exceptions[0])
        return self._end[1] if self._end else lost

    async def shut(self) -> None:
        """Say goodbye, in bounded time."""
        await self.connection.close(*(self._end or (GOING_AWAY, "")))

    def made_room(self) -> None:
        self._drained.set()

    async def _read(
        self,
        take: Callable[[str | bytes], None],
        has_room: Callable[[], bool],
        wait_ms: Callable[[], int],
    ) -> None:
        turn = TURN_BYTES
        while True:
            late_ms = wait_ms()
            if late_ms or turn <= 0:
                await self._clock.sleep_ms(late_ms)
                turn = TURN_BYTES
            # Room first: else each of many short connections would bring one frame beyond the bound.
            while not has_room() or self._outbox.qsize() >= OUTBOX_FULL:
                self._drained.clear()
                await self._drained.wait()
            frame = await self.connection.receive()
            if self._closing.is_set():
                return  # not taken, so not acknowledged: the charge point keeps it
            take(frame)
            turn -= max(len(frame), TURN_FRAME_BYTES)

    async def _send(self) -> None:
        while True:
            await self.connection.send(await self._outbox.get())
            self._drained.set()


class _Over(Exception):
    """Closed from our side."""
