"""What the shell of a charge point works with, in one record."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from holdfast.bus import Bus
from holdfast.clock import Clock
from holdfast.health import Health
from holdfast.recorder import Recorder
from ocpp_edge.adapters.schemas import Schemas
from ocpp_edge.domain.running import Open
from ocpp_edge.domain.state import Policy
from ocpp_edge.domain.transactions import Transactions
from ocpp_edge.metrics import Metrics
from ocpp_edge.notices import Notices
from ocpp_edge.pace import Rates
from ocpp_edge.position import Position
from ocpp_edge.registry import Registry
from ocpp_edge.second_connection import SecondConnection
from ocpp_edge.telemetry import Telemetry


@dataclass(slots=True, kw_only=True)
class Services:
    site: str
    bus: Bus
    clock: Clock
    rng: random.Random
    health: Health
    group: asyncio.TaskGroup
    recorder: Recorder
    telemetry: Telemetry
    notices: Notices
    registry: Registry
    schemas: Schemas
    transactions: Transactions
    position: Position
    metrics: Metrics
    policy: Policy
    """Replaced when the storage level changes."""
    rates: Rates
    authorise_ms_max: int
    relay_ms_max: int
    second_connection: SecondConnection
    open_sessions: Callable[[], Iterable[Open]] = tuple
    """Of all charge points of the site; set by whoever attends to all of them."""
