"""Metrics out of what the monitor knows when it is asked. What is unknown has no value rather than a wrong one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from holdfast.contracts.mode import CsmsState, Mode, OverrideKind
from monitor.domain.status import SiteStatus
from monitor.watching import Watch


class SiteMetrics(Collector):
    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def describe(self) -> Iterable[Metric]:
        """Nothing: asked for at registration, when nothing is known yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        statuses = [self._watch.status(site) for site in self._watch.sites]
        yield from _gauges(statuses)
        yield from _overrides(statuses)
        yield from _upstream(statuses)
        yield from _counters(statuses)


def _gauges(statuses: list[SiteStatus]) -> Iterator[Metric]:
    mode = GaugeMetricFamily(
        "holdfast_mode", "1 for the mode a site is in", labels=["site", "mode"]
    )
    pulse = GaugeMetricFamily(
        "holdfast_uplink_last_pulse_timestamp_seconds", "Last answered pulse", labels=["site"]
    )
    head = GaugeMetricFamily(
        "holdfast_journal_head_seq", "Newest journal entry told of", labels=["site"]
    )
    confirmed = GaugeMetricFamily(
        "holdfast_journal_cloud_confirmed_seq", "Verified and archived up to", labels=["site"]
    )
    backlog = GaugeMetricFamily(
        "holdfast_sync_backlog_events", "Entries not yet confirmed", labels=["site"]
    )
    gaps = GaugeMetricFamily("holdfast_journal_gaps", "Named gaps", labels=["site", "cause"])
    sessions = GaugeMetricFamily("holdfast_sessions", "Sessions by state", labels=["site", "state"])
    points = GaugeMetricFamily("holdfast_open_points", "Named and not settled", labels=["site"])
    for status in statuses:
        site = status.site
        if status.mode.value is not None:
            for one in Mode:
                mode.add_metric([site, one.value], float(one is status.mode.value.mode))
        at_ms = status.uplink.last.pulse_answered_at_ms if status.uplink.last else None
        if at_ms is not None:
            pulse.add_metric([site], at_ms / 1000)
        if status.sync.value is not None:
            confirmed.add_metric([site], status.sync.value.watermark)
            if status.sync.value.head_seq is not None:
                head.add_metric([site], status.sync.value.head_seq)
                backlog.add_metric([site], status.sync.value.backlog or 0)
        causes = [gap.cause.value for gap in status.gaps.value or ()]
        for cause in sorted(set(causes)):
            gaps.add_metric([site, cause], causes.count(cause))
        for state, count in (status.sessions.value or {}).items():
            sessions.add_metric([site, state], count)
        if status.open_points.value is not None:
            points.add_metric([site], len(status.open_points.value))
    yield from (mode, pulse, head, confirmed, backlog, gaps, sessions, points)


def _overrides(statuses: list[SiteStatus]) -> Iterator[Metric]:
    """So that an alert can leave out what was announced."""
    override = GaugeMetricFamily(
        "holdfast_override", "1 while a local override of the mode stands", labels=["site", "kind"]
    )
    for status in statuses:
        for kind in OverrideKind:
            stands = status.override(kind) is not None
            override.add_metric([status.site, kind.value], float(stands))
    yield override


def _upstream(statuses: list[SiteStatus]) -> Iterator[Metric]:
    """Of sites with a CSMS behind them."""
    up = GaugeMetricFamily("holdfast_csms_up", "1 while the CSMS is up", labels=["site"])
    waiting = GaugeMetricFamily(
        "holdfast_upstream_waiting_messages",
        "Not yet delivered to the charge points' primary CSMS",
        labels=["site"],
    )
    for status in statuses:
        known = status.csms.value
        if known is None or known.state is CsmsState.NONE:
            continue
        up.add_metric([status.site], float(known.state is CsmsState.UP))
        if known.waiting is not None:
            waiting.add_metric([status.site], known.waiting)
    yield from (up, waiting)


def _counters(statuses: list[SiteStatus]) -> Iterator[Metric]:
    decisions = CounterMetricFamily(
        "holdfast_decisions", "Decisions read", labels=["site", "kind", "outcome", "mode"]
    )
    commands = CounterMetricFamily(
        "holdfast_commands", "Commands settled", labels=["site", "kind", "outcome"]
    )
    quarantined = GaugeMetricFamily(
        "holdfast_quarantined_events", "Messages quarantined", labels=["site"]
    )
    for status in statuses:
        for (kind, outcome, mode), count in status.state.decision_counts.items():
            decisions.add_metric([status.site, kind, outcome, mode], count)
        for (action, disposition), count in status.state.command_counts.items():
            commands.add_metric([status.site, action, disposition], count)
        quarantined.add_metric([status.site], status.state.quarantined_count)
    yield from (decisions, commands, quarantined)
