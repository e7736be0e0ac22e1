"""One life of one socket, with its id: what is read, what is to be sent, and how it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple

from holdfast.clock import Clock
from holdfast.ocpp.websocket import ConnectionEnded
from ocpp_edge.adapters.connection import GOING_AWAY, POLICY, Connection

log = logging.getLogger(__name__)

OUTBOX_MAX = 128
"""Frames a charge point may leave unread; beyond it, it is too slow and its connection closed."""
OUTBOX_FULL = 32
"""From here on nothing more is read from it until it reads."""
TURN_BYTES, TURN_FRAME_BYTES = 16 * 1024, 512
"""Read from one charge point at a time, before others have their turn; a frame counts as so much at least."""


class Reader(NamedTuple):
    """Whoever reads what comes over a link."""

    take: Callable[[str | bytes], None]
    has_room: Callable[[], bool]
    is_late: Callable[[], bool]
    """It may have to wait before the next frame is read."""
    wait_ms: Callable[[], int]
    """How long."""


class Link:
    """Idle, it is one task that waits in `receive`: no queue, no task of its own to send."""

    __slots__ = (
        "_clock",
        "_end",
        "_fault",
        "_outbox",
        "_reader",
        "_reading",
        "_sending",
        "_turn",
        "_waits",
        "alive_until_mono_ms",
        "connection",
        "heard_mono_ms",
        "id",
        "remote",
        "said",
        "security_profile",
        "version",
    )

    def __init__(
        self, id: str, connection: Connection, remote: str, security_profile: int, clock: Clock
    ) -> None:
        self.id = id
        self.connection = connection
        self.remote = remote
        self.security_profile = security_profile
        self.version = connection.version
        self.said: frozenset[str] = frozenset()
        """Kinds of refused frames logged already: once each."""
        self.heard_mono_ms = clock.monotonic_ms()
        """When its last frame came, or it."""
        self.alive_until_mono_ms = 0
        """It answered a ping not long before."""
        self._clock = clock
        self._outbox: list[str] = []
        """What the other end does not take at once."""
        self._sending: asyncio.Task[None] | None = None
        """While something is in it."""
        self._reading: asyncio.Task[None] | None = None
        self._waits: asyncio.Future[None] | None = None
        """For room."""
        self._reader: Reader | None = None
        self._turn = TURN_BYTES
        self._fault: Exception | None = None
        """Of ours, while a frame was taken."""
        self._end: tuple[int, str] | None = None

    @property
    def address(self) -> str:
        """The other end's, without the port."""
        return self.remote.rpartition(":")[0] or self.remote

    @property
    def is_closing(self) -> bool:
        return self._end is not None

    def send(self, frame: str) -> None:
        if self._end:
            return
        if not self._outbox and self.connection.send_now(frame):
            return
        if len(self._outbox) >= OUTBOX_MAX:
            self.close("it does not read what it is sent", POLICY)
            return
        self._outbox.append(frame)
        if self._sending is None:
            self._sending = asyncio.get_running_loop().create_task(self._send())

    def close(self, reason: str, code: int = GOING_AWAY) -> None:
        """From our side; the first reason counts."""
        if self._end:
            return
        self._end = (code, reason)
        # Nothing cancels itself: it looks when it comes back from what it does.
        if self._reading and self._reading is not asyncio.current_task():
            self._reading.cancel()

    async def run(self, reader: Reader) -> str:
        """Until the connection is over; the reason."""
        lost = "connection lost"
        task = asyncio.current_task()
        assert task is not None
        cancelled_before = task.cancelling()
        self._reading = task if self._end is None else None
        self._reader = reader
        self.connection.offer_to(self._taken)
        try:
            while self._end is None:
                await self._read(reader)
        except ConnectionEnded as ended:
            lost = str(ended)
        except asyncio.CancelledError:
            if self._fault:
                task.uncancel()
                raise self._fault from None
            if self._end is None or task.uncancel() > cancelled_before:
                raise  # not by `close`
        finally:
            self._reading = None
            if self._sending:
                self._sending.cancel()
        return self._end[1] if self._end else lost

    async def shut(self) -> None:
        """Say goodbye, in bounded time."""
        await self.connection.close(*(self._end or (GOING_AWAY, "")))

    def made_room(self) -> None:
        if self._waits and not self._waits.done():
            self._waits.set_result(None)

    async def _read(self, reader: Reader) -> None:
        """What is not taken at once."""
        late_ms = reader.wait_ms()
        if late_ms or self._turn <= 0:
            await self._clock.sleep_ms(late_ms)
            self._turn = TURN_BYTES
        # Room first: else each of many short connections would bring one frame beyond the bound.
        while not self._has_room(reader):
            self._waits = asyncio.get_running_loop().create_future()
            await self._waits
        frame = await self.connection.receive()
        if self._end is None:  # else not taken, so not acknowledged: the charge point keeps it
            self._takes(reader, frame)

    def _taken(self, frame: str | bytes) -> bool:
        """At once, in the moment it comes. False: it has to wait for something."""
        reader = self._reader
        if self._end or self._fault or reader is None or self._turn <= 0:
            return False
        if reader.is_late() or not self._has_room(reader):
            return False
        try:
            self._takes(reader, frame)
        except Exception as fault:
            log.exception("a fault of ours")
            self._fault = fault
            if self._reading:
                self._reading.cancel()
        return True

    def _has_room(self, reader: Reader) -> bool:
        return len(self._outbox) < OUTBOX_FULL and reader.has_room()

    def _takes(self, reader: Reader, frame: str | bytes) -> None:
        self._turn -= max(len(frame), TURN_FRAME_BYTES)
        reader.take(frame)

    async def _send(self) -> None:
        """What is in the outbox, in its order, as fast as the other end reads."""
        try:
            while self._outbox:
                await self.connection.send(self._outbox[0])
                self._outbox.pop(0)
                self.made_room()
        except ConnectionEnded:  # `receive` says so, too, to whoever waits for room now
            self._outbox.clear()
            self.made_room()
        finally:
            self._sending = None
