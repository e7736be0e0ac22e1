"""One connection to a CSMS, from handshake to end: frames out in order, frames in as fast as answers are taken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from csms_bridge.adapters.upstream import Upstream
from holdfast.ocpp.websocket import ConnectionEnded

FRAMES_AHEAD_MAX = 64


class Line:
    def __init__(self) -> None:
        self._frames: asyncio.Queue[str | None] = asyncio.Queue(FRAMES_AHEAD_MAX)
        self._taken = asyncio.Event()

    def put(self, frame: str | None) -> bool:
        """None closes it. False: the socket takes nothing, and the frame is dropped. Its end never is."""
        if frame is None and self._frames.full():
            self._frames.get_nowait()
        try:
            self._frames.put_nowait(frame)
        except asyncio.QueueFull:
            return False
        return True

    async def talk(self, upstream: Upstream, heard: Callable[[str | bytes], None]) -> str:
        """Until either side ends it; says how."""
        why = "closed by us"
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen(upstream, heard))
                while (frame := await self._next()) is not None:
                    await upstream.send(frame)
                raise _Closed
        except* _Closed:
            pass
        except* ConnectionEnded as ended:
            why = str(ended.exceptions[0])
        return why

    async def _listen(self, upstream: Upstream, heard: Callable[[str | bytes], None]) -> None:
        """Whoever asks faster than it takes the answers is read no further."""
        while True:
            await self._room()
            heard(await upstream.receive())

    async def _next(self) -> str | None:
        frame = await self._frames.get()
        self._taken.set()
        return frame

    async def _room(self) -> None:
        while self._frames.qsize() >= FRAMES_AHEAD_MAX // 2:
            self._taken.clear()
            await self._taken.wait()


class _Closed(Exception):
    """By us."""
