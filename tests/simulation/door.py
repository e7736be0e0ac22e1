"""Where simulated charge points meet ocpp-edge: its `listen`, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from holdfast.ocpp.versions import OcppVersion
from holdfast.ocpp.websocket import ConnectionEnded
from ocpp_edge.adapters.connection import Connection, Reception
from ocpp_edge.adapters.in_memory import InMemoryConnection, pair
from ocpp_edge.config import Config
from ocpp_edge.domain.door import BASIC
from ocpp_edge.gate import Gate
from simulation.charge_point import LineEnded


class Door:
    """Open while an ocpp-edge listens; when that process dies, every connection ends with it."""

    def __init__(self, on_send: Callable[[], None]) -> None:
        self._on_send = on_send
        self._lines: list[InMemoryConnection] = []
        self._group: asyncio.TaskGroup | None = None
        self._reception: Reception | None = None

    async def listen(self, config: Config, gate: Gate, reception: Reception) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group, self._reception = group, reception
                await asyncio.get_running_loop().create_future()
        finally:
            if self._reception is reception:
                self.shut()

    def shut(self) -> None:
        """The process died: the kernel closes what it held."""
        self._group = self._reception = None
        for line in self._lines:
            line.lose()
        self._lines.clear()

    def connect(self, identity: str, version: OcppVersion = OcppVersion.V16) -> Line | None:
        """None: nobody listens, or nobody is let in."""
        reception = self._reception
        if self._group is None or reception is None or reception.turns_away:
            return None
        edge_end, own_end = pair()
        edge_end.version = own_end.version = version
        self._lines.append(own_end)
        end = _EdgeEnd(edge_end, self._on_send)
        self._group.create_task(_serve(reception, identity, end))
        return Line(own_end, edge_end)


async def _serve(reception: Reception, identity: str, connection: Connection) -> None:
    await reception.serve(identity, connection, "simulated", BASIC)


class Line:
    """A charge point's end."""

    def __init__(self, own: InMemoryConnection, peer: InMemoryConnection) -> None:
        self._own = own
        self._peer = peer

    async def receive(self) -> str:
        try:
            frame = await self._own.receive()
        except ConnectionEnded:
            raise LineEnded from None
        if isinstance(frame, bytes):
            raise LineEnded
        return frame

    async def send(self, frame: str) -> None:
        try:
            await self._own.send(frame)
        except ConnectionEnded:
            raise LineEnded from None

    def lose(self) -> None:
        self._own.lose()

    async def vanish(self) -> None:
        """Over for this end only: the other one hears nothing more, not even that."""
        try:
            await self._peer.send(b"")
        except ConnectionEnded:
            return
        self._own.is_silent = True


class _EdgeEnd:
    """ocpp-edge's end: a frame sent is an effect, after which the process may die."""

    def __init__(self, connection: InMemoryConnection, on_send: Callable[[], None]) -> None:
        self._connection = connection
        self._on_send = on_send

    @property
    def version(self) -> OcppVersion:
        return self._connection.version

    async def receive(self) -> str | bytes:
        return await self._connection.receive()

    def offer_to(self, taker: Callable[[str | bytes], bool]) -> None:
        self._connection.offer_to(taker)

    def send_now(self, frame: str) -> bool:
        sent = self._connection.send_now(frame)
        if sent:
            self._on_send()
        return sent

    async def send(self, frame: str) -> None:
        await self._connection.send(frame)
        self._on_send()

    async def answers_ping(self, within_s: float) -> bool:
        return await self._connection.answers_ping(within_s)

    async def close(self, code: int, reason: str) -> None:
        await self._connection.close(code, reason)
