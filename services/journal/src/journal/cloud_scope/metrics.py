"""Figures of all copies for Prometheus; read off the parts, never kept beside them."""

from __future__ import annotations

from prometheus_client import Gauge

from holdfast.service import Context
from journal.cloud_scope.copies import Copies
from journal.config import Config

REFRESH_MS = 1_000


class Metrics:
    def __init__(self, context: Context[Config], copies: Copies) -> None:
        self._clock = context.clock
        self._copies = copies

        def gauge(name: str, what: str) -> Gauge:
            return Gauge(name, what, ["site"], registry=context.health.registry)

        self._head = gauge("holdfast_journal_head_seq", "Newest entry that a pulse reported.")
        self._confirmed = gauge(
            "holdfast_journal_cloud_confirmed_seq", "Newest entry verified and committed."
        )
        self._committed = gauge("holdfast_journal_committed_seq", "Newest entry committed.")
        self._pulse = gauge(
            "holdfast_uplink_last_pulse_timestamp_seconds", "When the last pulse came."
        )
        self._intact = gauge(
            "holdfast_journal_chain_intact", "1: verified from genesis on, no gap; 0: see gaps."
        )

    async def run(self) -> None:
        """For ever. Of each site its newest incarnation."""
        while True:
            for name, site in self._copies.sites.items():
                newest = site.newest
                if newest is None:
                    continue
                state = site.lives[newest].kept.state
                self._confirmed.labels(name).set(state.watermark)
                self._committed.labels(name).set(state.seq)
                self._intact.labels(name).set(int(state.intact))
                heard = site.heard.get(newest)
                if heard and heard.pulse_at_ms is not None:
                    self._head.labels(name).set(heard.head_seq)
                    self._pulse.labels(name).set(heard.pulse_at_ms / 1000)
            await self._clock.sleep_ms(REFRESH_MS)
