"""Frames over a WebSocket, whichever end opened it: ocpp-edge is dialled, csms-bridge dials."""

from __future__ import annotations

import logging
from typing import Generic, TypeVar

from websockets.asyncio.connection import Connection
from websockets.exceptions import ConnectionClosed

quiet = logging.getLogger("holdfast.websockets")
"""For the library: it logs a traceback for every handshake that fails; we count them."""
quiet.setLevel(logging.CRITICAL)

REASON_CHARACTERS_MAX = 100
"""Of a close frame, which holds 123 bytes."""

Socket = TypeVar("Socket", bound=Connection)


class ConnectionEnded(Exception):
    """Closed by either side, or lost; says how."""


class FrameSocket(Generic[Socket]):
    def __init__(self, socket: Socket) -> None:
        self._socket = socket

    async def receive(self) -> str | bytes:
        """The next frame. Raise ConnectionEnded."""
        try:
            return await self._socket.recv()
        except ConnectionClosed as closed:
            raise ConnectionEnded(how_it_ended(closed)) from None

    async def send(self, frame: str) -> None:
        """Raise ConnectionEnded."""
        try:
            await self._socket.send(frame)
        except ConnectionClosed as closed:
            raise ConnectionEnded(how_it_ended(closed)) from None


def how_it_ended(closed: ConnectionClosed) -> str:
    how = closed.rcvd or closed.sent
    return f"closed {how.code} {how.reason}".strip() if how else "connection lost"
