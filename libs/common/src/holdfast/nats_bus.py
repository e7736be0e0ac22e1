"""The bus on a real nats-server: interface only until the implementation lands in the same milestone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from holdfast.bus import BusError, ServerBus
from holdfast.clock import Clock
from holdfast.health import Health
from holdfast.settings import ServiceConfig


class ServerUnusable(BusError):
    """Not there, too old (floor 2.14), or it refuses the credentials: one line says which and what now."""


class NatsBus:
    @staticmethod
    @asynccontextmanager
    async def connect(
        config: ServiceConfig, *, name: str, clock: Clock, health: Health
    ) -> AsyncIterator[ServerBus]:
        raise NotImplementedError
        yield
