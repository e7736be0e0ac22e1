"""Two clocks and a wrong one: monotonic for energy, true for the ledger, the device's own for payloads."""

from __future__ import annotations

import time
from dataclasses import dataclass

from holdfast_simulators.charge_points.body.config import Behaviour


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    monotonic_ms: int
    true_ms: int
    device_ms: int


class Clock:
    """The device's clock starts with its offset and drifts from then on; nothing ever sets it right."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._offset_ms = round(behaviour.clock_offset_s * 1_000)
        self._drift_ppm = behaviour.clock_drift_ppm
        self._started_ms = time.monotonic_ns() // 1_000_000

    def now(self) -> Instant:
        monotonic_ms = time.monotonic_ns() // 1_000_000
        true_ms = time.time_ns() // 1_000_000
        drift_ms = round((monotonic_ms - self._started_ms) * self._drift_ppm / 1e6)
        return Instant(
            monotonic_ms=monotonic_ms,
            true_ms=true_ms,
            device_ms=true_ms + self._offset_ms + drift_ms,
        )
