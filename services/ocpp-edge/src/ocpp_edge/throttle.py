"""The pace of one charge point on the service's clock, and what is told of it: counter, log, telemetry."""

from __future__ import annotations

import logging
from dataclasses import asdict

from holdfast.contracts.charge_point import ChargePointThrottled
from ocpp_edge.pace import Pace
from ocpp_edge.services import Services

log = logging.getLogger(__name__)


class Throttle:
    __slots__ = ("_charge_point", "_pace", "_services", "was_late")

    def __init__(self, services: Services, charge_point: str) -> None:
        self._services = services
        self._charge_point = charge_point
        self._pace = Pace(services.rates)
        self.was_late = False
        """There may be something to tell."""

    def took(self, size: int, mono_ms: int) -> None:
        self._pace.took(size, mono_ms)

    def is_late(self) -> bool:
        return self._pace.is_late

    def took_authorize(self) -> None:
        self._pace.took_authorize(self._services.clock.monotonic_ms())

    def wait_ms(self) -> int:
        """How long the next frame is left unread."""
        wait_ms = self._pace.wait_ms(self._services.clock.monotonic_ms())
        if wait_ms:
            self.was_late = True
            self._services.metrics.throttled.labels(because=self._pace.because).inc()
            self.tell()
        return wait_ms

    def tell(self) -> None:
        report = self._pace.report(self._services.clock.monotonic_ms())
        if report is None:
            return
        self.was_late = False
        told = {"charge_point": self._charge_point, **asdict(report)}
        log.warning("throttled", extra=told)
        self._services.telemetry.offer(ChargePointThrottled(**told), self._charge_point)
