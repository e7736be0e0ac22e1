"""A charge point's connection as the service sees it: over a WebSocket, or in memory in a simulation."""

from __future__ import annotations

from typing import Protocol

PROTOCOL = "ocpp1.6"

GOING_AWAY, POLICY, INTERNAL = 1001, 1008, 1011
"""WebSocket close codes."""


class Connection(Protocol):
    async def receive(self) -> str | bytes:
        """The next frame. Raise holdfast.ocpp.websocket.ConnectionEnded."""
        ...

    async def send(self, frame: str) -> None:
        """Raise holdfast.ocpp.websocket.ConnectionEnded."""
        ...

    async def answers_ping(self, within_s: float) -> bool: ...
    async def close(self, code: int, reason: str) -> None:
        """Bounded in time; closing twice is once."""
        ...


class Reception(Protocol):
    """Where the door leads to."""

    @property
    def turns_away(self) -> bool:
        """Nobody is let in now; they may come again."""
        ...

    async def serve(
        self, identity: str, connection: Connection, remote: str, security_profile: int
    ) -> None:
        """One authenticated connection, to its end. `remote` is the other end's address."""
        ...
