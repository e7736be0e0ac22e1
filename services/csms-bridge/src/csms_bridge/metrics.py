"""What the bridge counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.calls = Counter(
            "holdfast_upstream_calls_total",
            "CALLs and answers sent to CSMSs",
            ["backend", "what"],
            registry=registry,
        )
        self.notes = Counter(
            "holdfast_upstream_notes_total",
            "Quarantines, refused starts and the like, by what happened",
            ["backend", "what"],
            registry=registry,
        )
        self.accepted = Gauge(
            "holdfast_upstream_accepted",
            "Charge points that a backend accepts",
            ["site", "backend"],
            registry=registry,
        )
        self.waiting = Gauge(
            "holdfast_upstream_waiting",
            "Messages read and not yet delivered",
            ["site", "backend"],
            registry=registry,
        )
        self.held = Gauge(
            "holdfast_upstream_sites_held",
            "Sites that this instance speaks for",
            registry=registry,
        )
