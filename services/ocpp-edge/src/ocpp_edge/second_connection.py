"""A second connection under an identity that is connected: the living one of both stays (ADR 0018)."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.clock import Clock
from holdfast.contracts.registry import EntryProblem
from ocpp_edge.link import Link
from ocpp_edge.metrics import Metrics
from ocpp_edge.notices import Notices

ALIVE_MS = 5_000
"""So long an old connection that answered a ping is not asked again."""


@dataclass(frozen=True, slots=True)
class SecondConnection:
    refused: bool
    """While the first is alive; else it takes over."""
    ping_s: int
    alive_for_ms: int
    """So long after its last frame an old one is alive as long as it answers pings."""

    async def finds_alive(self, link: Link, clock: Clock) -> bool:
        """It answers, and is no mere shell of a charge point that went away: it has said something of late."""
        if link.is_closing or clock.monotonic_ms() - link.heard_mono_ms > self.alive_for_ms:
            return False
        if clock.monotonic_ms() < link.alive_until_mono_ms:
            return True
        answered = await link.connection.answers_ping(self.ping_s)
        if answered:
            link.alive_until_mono_ms = clock.monotonic_ms() + ALIVE_MS
        return answered

    def tell(self, identity: str, old: Link, new: Link, metrics: Metrics, notices: Notices) -> None:
        result = "refused" if self.refused else "replaced"
        metrics.duplicate_connections.labels(result=result).inc()
        detail = f"{result}: the first one, from {old.address}, is alive"
        notices.noticed(EntryProblem.DUPLICATE_IDENTITY, identity, new.address, detail)
