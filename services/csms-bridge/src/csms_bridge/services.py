"""What every attendant of this process shares."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from csms_bridge.adapters.records import Records
from csms_bridge.adapters.source import Source
from csms_bridge.adapters.upstream import Dial
from csms_bridge.metrics import Metrics
from holdfast.bus import Bus
from holdfast.clock import Clock
from holdfast.ids import Ids


@dataclass(slots=True, kw_only=True)
class Services:
    bus: Bus
    clock: Clock
    ids: Ids
    rng: random.Random
    """For jitter only."""
    records: Records
    source: Source
    dial: Dial
    metrics: Metrics
    saving: asyncio.Semaphore
    """Records on their way to KV at once: the disk that takes them syncs each."""
