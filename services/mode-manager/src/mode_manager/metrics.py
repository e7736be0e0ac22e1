"""What Prometheus sees of the mode."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from holdfast.contracts.mode import Mode, ModeChanged


class Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._mode = Gauge("holdfast_mode", "1 for the mode in force", ["mode"], registry=registry)
        self._transitions = Counter(
            "holdfast_mode_transitions",
            "Mode changes by their first reason",
            ["from", "to", "reason"],
            registry=registry,
        )
        self._pulse = Gauge(
            "holdfast_uplink_last_pulse_timestamp_seconds",
            "Site clock, when a pulse was last answered; 0 since start never",
            registry=registry,
        )

    def stands(self, mode: Mode) -> None:
        for other in Mode:
            self._mode.labels(other.value).set(other is mode)

    def changed(self, fact: ModeChanged) -> None:
        self.stands(fact.mode)
        previous = fact.previous.value if fact.previous else ""
        self._transitions.labels(previous, fact.mode.value, fact.reasons[0].value).inc()

    def answered(self, at_ms: int) -> None:
        self._pulse.set(at_ms / 1000)
