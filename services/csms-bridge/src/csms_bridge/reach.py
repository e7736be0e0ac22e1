"""Which sites can be reached: those whose pulses come, as the cloud's journal service heard them last."""

from __future__ import annotations

import logging

from csms_bridge.domain.outgoing import Place
from holdfast import rpc, subjects
from holdfast.bus import Bus, RequestFailed
from holdfast.clock import Clock
from holdfast.contracts.journal import Copies, CopiesRequest

log = logging.getLogger(__name__)

LOOK_MS = 1_000
PULSES_MISSED_MAX = 3
ASK_MS_MAX = 2_000


class Reach:
    """At a site itself everything is in reach: nobody runs `follow` there."""

    def __init__(self, bus: Bus, clock: Clock, away_after_ms: int) -> None:
        self._bus = bus
        self._clock = clock
        self._away_after_ms = away_after_ms
        self._heard: dict[str, tuple[int, int]] = {}
        """Site to (its newest pulse by the cloud's clock, when we first saw that one, monotonic)."""
        self._pulsed: set[str] = set()
        self._heads: dict[str, Place] = {}
        """Site to the last entry of its journal that its newest pulse told of."""
        self._pulse_ms: dict[str, int] = {}
        """By the site's rules: over a metered link pulses are slower."""

    def expect(self, site: str, pulse_ms: int) -> None:
        """A pulse of this site comes every so often."""
        self._pulse_ms[site] = pulse_ms

    def is_reachable(self, site: str) -> bool:
        """A site that nobody has told of yet is taken as reachable: a command finds out."""
        heard = self._heard.get(site)
        away_after_ms = max(self._away_after_ms, PULSES_MISSED_MAX * self._pulse_ms.get(site, 0))
        return heard is None or self._clock.monotonic_ms() - heard[1] < away_after_ms

    def head(self, site: str) -> Place | None:
        """How far the site's journal goes, as far as the cloud has heard. None: it has not."""
        return self._heads.get(site)

    def has_pulsed(self, site: str) -> bool:
        """Whether a pulse has come since this process looks, rather than that one was known when it began."""
        return site in self._pulsed

    async def follow(self) -> None:
        """For ever. While the journal service does not answer, nobody is called away for it."""
        while True:
            try:
                said = await rpc.call(
                    self._bus,
                    subjects.cloud_rpc("copies"),
                    CopiesRequest(),
                    Copies,
                    timeout_ms=ASK_MS_MAX,
                )
            except RequestFailed as error:
                log.debug("reach not known", extra={"why": str(error)})
                now_ms = self._clock.monotonic_ms()
                self._heard = {site: (at, now_ms) for site, (at, _) in self._heard.items()}
            else:
                self._take(said)
            await self._clock.sleep_ms(LOOK_MS)

    def _take(self, said: Copies) -> None:
        now_ms = self._clock.monotonic_ms()
        newest: dict[str, int] = {}
        for copy in said.copies:
            if copy.pulse_at_ms is not None and copy.pulse_at_ms >= newest.get(copy.site, 0):
                newest[copy.site] = copy.pulse_at_ms
                self._heads[copy.site] = Place(copy.incarnation, copy.head_seq)
        for site, at_ms in newest.items():
            known = self._heard.get(site)
            if known is None or known[0] != at_ms:
                self._heard[site] = (at_ms, now_ms)
            if known is not None and known[0] != at_ms:
                self._pulsed.add(site)
