"""A connection without a network: what a simulated charge point holds one end of.

edge_end, charge_point_end = pair()
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from holdfast.ocpp.versions import OcppVersion
from holdfast.ocpp.websocket import ConnectionEnded
from ocpp_edge.adapters.connection import Reception
from ocpp_edge.config import Config
from ocpp_edge.domain.door import BASIC
from ocpp_edge.gate import Gate
from ocpp_edge.metrics import Metrics

FRAMES_MAX = 64
"""In flight each way; then the sender waits, as on a full socket."""


class InMemoryConnection:
    """One end. `lose()` cuts both without a word; `is_silent` swallows everything, as a black hole does."""

    def __init__(self, ended: asyncio.Event) -> None:
        self._inbox: asyncio.Queue[str | bytes] = asyncio.Queue(FRAMES_MAX)
        self._ended = ended
        self._peer = self
        self.version = OcppVersion.V16
        self.is_silent = False
        self.close_code: int | None = None
        self.close_reason = ""

    async def receive(self) -> str | bytes:
        if not self._inbox.empty():
            return self._inbox.get_nowait()
        async with asyncio.TaskGroup() as group:
            frame = group.create_task(self._inbox.get())
            ended = group.create_task(self._ended.wait())
            await asyncio.wait((frame, ended), return_when=asyncio.FIRST_COMPLETED)
            frame.cancel()
            ended.cancel()
        if frame.cancelled():
            raise ConnectionEnded(self.close_reason or "connection lost")
        return frame.result()

    def offer_to(self, taker: Callable[[str | bytes], bool]) -> None:
        """Never: everything is received, in the order of a simulation."""

    def send_now(self, frame: str | bytes) -> bool:
        if self._ended.is_set() or self.is_silent or self._peer.is_silent:
            return True
        if self._peer._inbox.full():
            return False
        self._peer._inbox.put_nowait(frame)
        return True

    async def send(self, frame: str | bytes) -> None:
        if self._ended.is_set():
            raise ConnectionEnded(self.close_reason or "connection lost")
        if not (self.is_silent or self._peer.is_silent):
            await self._peer._inbox.put(frame)

    async def answers_ping(self, within_s: float) -> bool:
        if self._ended.is_set() or self.is_silent or self._peer.is_silent:
            await asyncio.sleep(0 if self._ended.is_set() else within_s)
            return False
        return True

    async def close(self, code: int, reason: str) -> None:
        if self.close_code is None:
            self.close_code = self._peer.close_code = code
            self.close_reason = self._peer.close_reason = reason
        self._ended.set()

    def lose(self) -> None:
        self._ended.set()


def pair() -> tuple[InMemoryConnection, InMemoryConnection]:
    ended = asyncio.Event()
    one, other = InMemoryConnection(ended), InMemoryConnection(ended)
    one._peer, other._peer = other, one
    return one, other


class Door:
    """What `listen` is to WebSockets. When the service ends, its connections are lost, as sockets are."""

    def __init__(self) -> None:
        self.is_open = asyncio.Event()
        self._arrivals: asyncio.Queue[tuple[str, InMemoryConnection]] = asyncio.Queue()

    def connect(self, identity: str, version: OcppVersion = OcppVersion.V16) -> InMemoryConnection:
        edge_end, own_end = pair()
        edge_end.version = own_end.version = version
        if self.is_open.is_set():
            self._arrivals.put_nowait((identity, edge_end))
        else:
            edge_end.lose()  # connection refused
        return own_end

    async def listen(self, _: Config, gate: Gate, reception: Reception) -> None:
        """Like a listener without TLS that asks for nothing: who is registered comes in."""
        registry, metrics = gate.registry, gate.metrics
        self._arrivals = asyncio.Queue()
        self.is_open.set()
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    identity, end = await self._arrivals.get()
                    if reception.turns_away:
                        metrics.auth_failures.labels(reason="turned away").inc()
                        end.lose()
                    elif identity in registry:
                        group.create_task(self._serve(metrics, reception, identity, end))
                    else:
                        metrics.auth_failures.labels(reason="unknown").inc()
                        end.lose()
        finally:
            self.is_open.clear()

    async def _serve(
        self, metrics: Metrics, reception: Reception, identity: str, end: InMemoryConnection
    ) -> None:
        try:
            with metrics.connections.track_inprogress():
                await reception.serve(identity, end, "in memory", BASIC)
        finally:
            end.lose()
