"""Figures of the site's journal for Prometheus; read off the parts, never kept beside them."""

from __future__ import annotations

from prometheus_client import Gauge

from holdfast.service import Context
from journal.config import Config
from journal.site_scope.chaining import Chainer
from journal.site_scope.confirming import Confirming
from journal.site_scope.keeping import Keeper

REFRESH_MS = 1_000


class Metrics:
    def __init__(
        self, context: Context[Config], chainer: Chainer, keeper: Keeper, confirming: Confirming
    ) -> None:
        registry = context.health.registry
        self._clock = context.clock
        self._chainer, self._keeper, self._confirming = chainer, keeper, confirming
        self._head = Gauge(
            "holdfast_journal_head_seq", "Newest chained entry of the journal.", registry=registry
        )
        self._confirmed = Gauge(
            "holdfast_journal_cloud_confirmed_seq",
            "Newest entry that the cloud has verified and committed.",
            registry=registry,
        )
        self._bytes = Gauge("holdfast_store_bytes", "Bytes of the journal.", registry=registry)
        self._limit = Gauge(
            "holdfast_store_limit_bytes", "Hard limit of the journal; -1: none.", registry=registry
        )
        self._stated = Gauge(
            "holdfast_journal_checkpoint_seq",
            "What the newest signed checkpoint covers.",
            registry=registry,
        )

    async def run(self) -> None:
        """For ever."""
        while True:
            self._head.set(self._chainer.state.seq)
            self._stated.set(self._chainer.state.stated)
            self._confirmed.set(self._confirming.watermark)
            if self._keeper.measured:
                self._bytes.set(self._keeper.measured.bytes)
                self._limit.set(self._keeper.measured.bytes_max)
            await self._clock.sleep_ms(REFRESH_MS)
