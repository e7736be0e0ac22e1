"""What Prometheus sees of a site's rules and decisions."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from holdfast.contracts.decision import AuthoriseVerdict, DecisionMade
from holdfast.contracts.life import RefusedFor
from holdfast.contracts.rules import RulesRefused
from rule_service.domain.bundle import State

DURATION_BUCKETS_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._decisions = Counter(
            "holdfast_decisions",
            "Decisions by kind, outcome and mode",
            ["kind", "outcome", "mode"],
            registry=registry,
        )
        self._duration = Histogram(
            "holdfast_decision_duration_seconds",
            "From the question to the durable decision",
            ["kind"],
            registry=registry,
            buckets=DURATION_BUCKETS_S,
        )
        self._rules = Gauge(
            "holdfast_rules_info", "1 for the active rules", ["version", "hash"], registry=registry
        )

        self._refused = Counter(
            "holdfast_rules_refused", "Bundles not taken", ["reason"], registry=registry
        )
        for kind in RefusedFor:
            self._refused.labels(kind.value)  # there from the beginning, so that a rise can be seen

    def refused(self, fact: RulesRefused) -> None:
        if fact.kind:
            self._refused.labels(fact.kind.value).inc()

    def decided(self, fact: DecisionMade, duration_ms: int) -> None:
        verdict = fact.verdict
        if isinstance(verdict, AuthoriseVerdict):
            outcome = verdict.status.value
        else:
            outcome = verdict.disposition.value if verdict.disposition else "admitted"
        self._decisions.labels(verdict.kind, outcome, fact.inputs.mode.value).inc()
        self._duration.labels(verdict.kind).observe(duration_ms / 1000)

    def rules_stand(self, state: State) -> None:
        self._rules.clear()
        self._rules.labels(str(state.version), state.active.hash if state.active else "").set(1)
