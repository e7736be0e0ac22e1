"""A charge point's connection as the service sees it: over a WebSocket, or in memory in a simulation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from holdfast.ocpp.versions import OcppVersion, version_of

GOING_AWAY, POLICY, INTERNAL = 1001, 1008, 1011
"""WebSocket close codes."""


class Connection(Protocol):
    @property
    def version(self) -> OcppVersion:
        """What was agreed on at the handshake."""
        ...

    async def receive(self) -> str | bytes:
        """The next frame. Raise holdfast.ocpp.websocket.ConnectionEnded."""
        ...

    def offer_to(self, taker: Callable[[str | bytes], bool]) -> None:
        """While somebody waits in `receive`, a frame may be offered here first: False, and `receive` returns it."""
        ...

    def send_now(self, frame: str) -> bool:
        """Without waiting. False: it is not sent, for the other end does not read what it was sent before.

        To a connection that has ended nothing is sent; `receive` says so.
        """
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


def version_offered(subprotocols: Iterable[str]) -> OcppVersion | None:
    """The first that is spoken here: a charge point offers them in the order it would like them (OCPP-J 3.1.2)."""
    found = (version_of(one.strip()) for one in subprotocols)
    return next((one for one in found if one is not None), None)
