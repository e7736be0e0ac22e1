"""The site's limit of current: what came down, looked at every second, in the journal whenever another one holds.

Nothing of it is kept here: the limit stands in the copy of DOWNLINK, the mode and the last that held in the journal.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

from holdfast import rpc, subjects
from holdfast.backoff import Backoff
from holdfast.bus import Bus, RequestFailed
from holdfast.clock import Clock
from holdfast.contracts.envelope import ContractError
from holdfast.contracts.limits import EffectiveLimit, LimitStands
from holdfast.contracts.mode import Mode, ModeChanged
from holdfast.contracts.rpc import Empty
from holdfast.contracts.rules import Desired, SiteLimit
from holdfast.health import Health
from holdfast.ids import Ids
from holdfast.recorder import Recorder
from rule_service.domain.limits import Situation, effective_limit
from rule_service.site_scope.bundles import Bundles
from rule_service.site_scope.recording import last_fact, until_recorded

log = logging.getLogger(__name__)

LOOK_MS = 1_000
ASK_EVERY = 2
"""Looks between two questions to the cloud, in recovery, whether the limit is the newest."""
ASK_MS = 1_000


class _Since(NamedTuple):
    mode: Mode
    since_ms: int


class Limits:
    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        ids: Ids,
        recorder: Recorder,
        bundles: Bundles,
        backoff: Backoff,
        health: Health,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._ids = ids
        self._recorder = recorder
        self._bundles = bundles
        self._backoff = backoff
        self._health = health
        self._newest: SiteLimit | None = None
        self._mode = _Since(Mode.AUTONOMOUS, 0)
        self._confirmed = False
        self._told: EffectiveLimit | None = None
        """As the journal has it; None: that no limit holds."""

    def take(self, data: bytes) -> None:
        """What came down. One that can't be read changes nothing."""
        try:
            self._newest = SiteLimit.from_bytes(data)
        except ContractError as error:
            log.warning("unreadable limit", extra={"why": str(error)})

    def mode_stands(self, fact: ModeChanged) -> None:
        if fact.mode is not self._mode.mode:
            self._confirmed = False
        self._mode = _Since(fact.mode, fact.since_ms)

    async def answer(self, _: Empty, __: str) -> EffectiveLimit:
        """`rpc.limit`."""
        return self._effective()

    async def run(self) -> None:
        """For ever."""
        looked = 0
        await self._recall()
        while True:
            await self._clock.sleep_ms(LOOK_MS)
            if self._mode.mode is Mode.RECOVERY and not self._confirmed:
                looked += 1
                if looked % ASK_EVERY == 0:
                    await self._confirm()
            await self._tell(self._effective())

    async def _recall(self) -> None:
        while True:
            try:
                fact = await last_fact(self._bus, self._recorder.incarnation, LimitStands)
            except RequestFailed:
                await self._backoff.wait()
                continue
            self._told = fact.limit if fact else None
            return

    def _effective(self) -> EffectiveLimit:
        now = Situation(
            at_ms=self._clock.now_ms(),
            mode=self._mode.mode,
            mode_since_ms=self._mode.since_ms,
            newest=self._newest,
            confirmed=self._confirmed,
        )
        return effective_limit(self._bundles.state.rules.limits, now)

    async def _confirm(self) -> None:
        subject = subjects.up(self._recorder.incarnation.site, "desired")
        try:
            desired = await rpc.call(self._bus, subject, Empty(), Desired, timeout_ms=ASK_MS)
        except RequestFailed:
            return
        self._confirmed = desired.limit_id == (self._newest.id if self._newest else None)

    async def _tell(self, limit: EffectiveLimit) -> None:
        if _what(limit) == _what(self._told):
            return
        fact = LimitStands(
            limit=limit, mode=self._mode.mode, rules_version=self._bundles.state.version
        )
        await until_recorded(
            self._recorder, fact, self._ids.new(), backoff=self._backoff, health=self._health
        )
        log.info("limit", extra={"what": limit.reason})
        self._told = limit


def _what(limit: EffectiveLimit | None) -> tuple[object, ...]:
    """Reasons and moments apart."""
    if limit is None or limit.limit_a is None:
        return (None,)
    return limit.limit_a, limit.source, limit.limit_id
