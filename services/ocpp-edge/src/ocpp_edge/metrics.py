"""What ocpp-edge counts. Labels come from closed sets: never an identity, never a driver token."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.connections = Gauge(
            "holdfast_ocpp_connections", "Charge points connected now", registry=registry
        )
        self.messages = Counter(
            "holdfast_ocpp_messages",
            "CALLs answered, by action and how",
            ["action", "result"],
            registry=registry,
        )
        self.auth_failures = Counter(
            "holdfast_ocpp_auth_failures",
            "Handshakes refused, by reason",
            ["reason"],
            registry=registry,
        )
        self.tls_failures = Counter(
            "holdfast_ocpp_tls_failures",
            "TLS handshakes refused, by reason",
            ["reason"],
            registry=registry,
        )
        self.certificate_ends = Gauge(
            "holdfast_ocpp_certificate_ends_timestamp_seconds",
            "When the server's certificate, and the first of the client CA's, stop being valid",
            ["certificate"],
            registry=registry,
        )
        self.duplicate_connections = Counter(
            "holdfast_ocpp_duplicate_connections",
            "Second connections under an identity whose first one was alive, by what became of them",
            ["result"],
            registry=registry,
        )
        self.refused_frames = Counter(
            "holdfast_ocpp_refused_frames",
            "Frames that could not be served, by reason",
            ["reason"],
            registry=registry,
        )
        self.throttled = Counter(
            "holdfast_ocpp_throttled_frames",
            "Frames read later than they came: their charge point sends faster than it may",
            ["because"],
            registry=registry,
        )
        self.append_seconds = Histogram(
            "holdfast_ocpp_append_seconds",
            "From handing a fact to the journal until it is on disk",
            registry=registry,
            buckets=_SECONDS,
        )
        self.telemetry_dropped = Counter(
            "holdfast_ocpp_telemetry_dropped",
            "Telemetry that was not written: the queue was full or the stream did not take it",
            registry=registry,
        )
        self.commands = Counter(
            "holdfast_ocpp_commands",
            "Commands settled, by action and disposition",
            ["action", "disposition"],
            registry=registry,
        )
        self._answered: dict[tuple[str, str], Counter] = {}

    def answered(self, action: str, result: str) -> None:
        """A CALL; looking a label up costs as much as validating its payload."""
        counter = self._answered.get((action, result))
        if counter is None:
            counter = self.messages.labels(action=action, result=result)
            self._answered[action, result] = counter
        counter.inc()
