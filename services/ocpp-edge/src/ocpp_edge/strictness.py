"""Keeps the door shut while the rules want charge points to queue by themselves: the CSMS is away.

mode, reasons, rules that stand -> turns_away -> Edge.turn_away
"""

from __future__ import annotations

import logging
from collections.abc import Collection

from holdfast import rpc, subjects
from holdfast.bus import Bus, RequestFailed
from holdfast.clock import Clock
from holdfast.contracts.mode import Mode, ModeStatus, Reason
from holdfast.contracts.rpc import Empty
from holdfast.standing import Standing
from ocpp_edge.domain.strict import turns_away
from ocpp_edge.edge import Edge

log = logging.getLogger(__name__)

LOOK_MS = 1_000
ASK_MS = 500


class Strictness:
    def __init__(self, edge: Edge, bus: Bus, clock: Clock, site: str, standing: Standing) -> None:
        self._edge = edge
        self._bus = bus
        self._clock = clock
        self._subject = subjects.rpc(site, "mode")
        self._standing = standing

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._clock.sleep_ms(LOOK_MS)
            await self.look()

    async def look(self) -> None:
        await self._standing.known.wait()
        rules = self._standing.rules.upstream
        if not rules.strict:
            self._edge.turn_away(False)
            return
        mode, reasons = await self._mode()
        self._edge.turn_away(turns_away(rules, mode, reasons))

    async def _mode(self) -> tuple[Mode, Collection[Reason]]:
        """As mode-manager has it: reasons come and go without a change of the mode, and a journal may be trimmed
        past the last one. While it gives no answer, as the journal last said.
        """
        try:
            status = await rpc.call(
                self._bus, self._subject, Empty(), ModeStatus, timeout_ms=ASK_MS
            )
        except RequestFailed as error:
            log.debug("mode-manager gives no answer", extra={"why": str(error)})
            return self._standing.mode, self._standing.reasons
        return status.mode, status.reasons
