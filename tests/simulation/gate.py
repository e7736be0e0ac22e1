"""Where a csms-bridge meets the simulated CSMS: its `dial`, without a network."""

from __future__ import annotations

from collections.abc import Callable

from csms_bridge.adapters.backends import Backend
from csms_bridge.adapters.upstream import NotReached, Upstream
from holdfast.ocpp.versions import OcppVersion
from holdfast.ocpp.websocket import ConnectionEnded
from simulation.charge_point import LineEnded
from simulation.csms import Connection, SimCsms, Unreached


class Gate:
    """The way out of one process; when that dies, every connection ends with it."""

    def __init__(self, csms: SimCsms, on_send: Callable[[], None]) -> None:
        self._csms = csms
        self._on_send = on_send
        self._connections: list[Connection] = []
        self._life = 1

    async def dial(self, backend: Backend, charge_point: str, version: OcppVersion) -> Upstream:
        life = self._life
        try:
            await self._csms.handshake()
        except Unreached as why:
            raise NotReached(str(why), refused=False) from None
        if life != self._life:
            raise NotReached("this process is dead", refused=False)
        connection = self._csms.open(charge_point, version.value)
        self._connections = [one for one in self._connections if not one.is_over]
        self._connections.append(connection)
        return _Upstream(connection, self._on_send)

    def shut(self) -> None:
        """The process died: the kernel closes what it held."""
        self._life += 1
        for connection in self._connections:
            connection.lose()
        self._connections.clear()


class _Upstream:
    """The bridge's end: a frame sent is an effect, after which the process may die."""

    def __init__(self, connection: Connection, on_send: Callable[[], None]) -> None:
        self._connection = connection
        self._on_send = on_send

    async def receive(self) -> str | bytes:
        try:
            return await self._connection.receive()
        except LineEnded:
            raise ConnectionEnded("connection lost") from None

    async def send(self, frame: str) -> None:
        try:
            await self._connection.send(frame)
        except LineEnded:
            raise ConnectionEnded("connection lost") from None
        self._on_send()

    async def close(self, reason: str) -> None:
        await self._connection.close()
