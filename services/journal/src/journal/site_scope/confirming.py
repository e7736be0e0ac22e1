"""Asks the cloud's journal how far it has this one, and finds out when the two are no longer one history.

The site is the one that can tell exactly: it holds its own stream, so a late answer is never taken for a fork.
"""

from __future__ import annotations

import logging

from holdfast import rpc, subjects
from holdfast.bus import AdminRefused, RequestFailed
from holdfast.contracts.journal import Confirm, Confirmed
from holdfast.service import Context
from journal.config import Config
from journal.site_scope.chaining import Chainer
from journal.site_scope.downlink import Downlink

log = logging.getLogger(__name__)

ASK_MS_MAX = 2_000


class Forked(Exception):
    """The cloud holds another history for this incarnation."""


class Confirming:
    def __init__(self, context: Context[Config], chainer: Chainer, downlink: Downlink) -> None:
        self._bus = context.bus
        self._clock = context.clock
        self._every_ms = context.config.confirm_ms
        self._site = context.config.site
        self._chainer = chainer
        self._downlink = downlink
        self.watermark = 0
        """Verified and committed by the cloud, and the same history as ours."""

    async def run(self) -> None:
        """For ever. Raise Forked."""
        while True:
            if self._chainer.is_caught_up:
                try:
                    await self.ask()
                except (RequestFailed, AdminRefused) as error:
                    log.debug("not confirmed", extra={"why": str(error)})
                await self._clock.sleep_ms(self._every_ms)
            else:
                await self._clock.sleep_ms(100)

    async def ask(self) -> None:
        """Raise Forked, RequestFailed."""
        request = Confirm(head=self._chainer.head())
        said = await rpc.call(
            self._bus,
            subjects.up(self._site, "confirmed"),
            request,
            Confirmed,
            timeout_ms=ASK_MS_MAX,
        )
        if said.incarnation != self._chainer.incarnation.name:
            return
        if said.over:
            raise Forked("the cloud holds another history for it, or has seen a later one")
        if said.watermark > self._chainer.state.seq:
            raise Forked(
                f"the cloud has it up to {said.watermark}, this disk up to {self._chainer.state.seq}"
            )
        own = await self._chainer.hash_at(said.watermark)
        if own is not None and own.hex() != said.hash:
            raise Forked(f"the cloud's hash at {said.watermark} is not this disk's")
        self.watermark = max(self.watermark, said.watermark)
        await self._downlink.compare(said)
