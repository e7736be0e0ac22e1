"""An upstream connection as the service sees it: over a WebSocket, or in memory in a test."""

from __future__ import annotations

from typing import Protocol

from csms_bridge.adapters.backends import Backend
from holdfast.ocpp.versions import OcppVersion


class NotReached(Exception):
    """No connection came about. `refused`: the CSMS said no; with `local`, we did before it was asked."""

    def __init__(self, why: str, *, refused: bool, local: bool = False) -> None:
        super().__init__(why)
        self.refused = refused
        self.local = local


class Upstream(Protocol):
    async def receive(self) -> str | bytes:
        """The next frame. Raise holdfast.ocpp.websocket.ConnectionEnded."""
        ...

    async def send(self, frame: str) -> None:
        """Raise holdfast.ocpp.websocket.ConnectionEnded."""
        ...

    async def close(self, reason: str) -> None:
        """Bounded in time; closing twice is once."""
        ...


class Dial(Protocol):
    async def __call__(self, backend: Backend, charge_point: str, version: OcppVersion) -> Upstream:
        """Raise NotReached."""
        ...
