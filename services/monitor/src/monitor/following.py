"""Follows one stream and keeps what the fold makes of it, by site."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from holdfast.bus import Bus, BusError, Message
from holdfast.clock import Clock
from holdfast.contracts.envelope import ContractError, Envelope
from monitor.domain.fold import skip, take
from monitor.domain.readings import Reading, read_at
from monitor.domain.rows import Place, SiteState

log = logging.getLogger(__name__)

POLL_MS = 2_000
BREATHE_EVERY = 200
"""Messages after which others may run while a long journal is read again."""


class Journal:
    """`home` is the place of a site's own journal; None in the cloud, where headers name the place."""

    def __init__(self, bus: Bus, clock: Clock, stream: str, home: tuple[str, str] | None) -> None:
        self._bus = bus
        self._clock = clock
        self._stream = stream
        self._home = home
        self._read_seq = 0
        self._current_mono_ms: int | None = None
        """When everything the stream held had been read."""
        self._problem = "the journal has not been read to its end yet"
        self.states: dict[str, SiteState] = {}
        self.pending = 0

    async def follow(self) -> None:
        """For ever. Raise StreamGone."""
        async for message in self._bus.follow(self._stream):
            self._take(message)
            self._read_seq = message.seq
            self.pending = message.pending
            if message.pending == 0:
                self._current_mono_ms = self._clock.monotonic_ms()
            elif message.seq % BREATHE_EVERY == 0:
                await self._clock.sleep_ms(0)

    async def watch(self) -> None:
        """For ever: a stream with nothing new is as current as one just read."""
        while True:
            try:
                state = await self._bus.state(self._stream)
            except BusError as error:
                self._problem = f"the NATS server gives no answer: {error}"
            else:
                if self._read_seq >= state.last_seq or state.messages == 0:
                    self._current_mono_ms = self._clock.monotonic_ms()
                else:
                    self._problem = f"read up to {self._read_seq} of {state.last_seq}"
            await self._clock.sleep_ms(POLL_MS)

    def reading(self, fresh_ms: int) -> Reading[bool]:
        """Fresh while what was read is all there is."""
        now_ms = self._clock.now_ms()
        at_ms = None
        if self._current_mono_ms is not None:
            at_ms = now_ms - (self._clock.monotonic_ms() - self._current_mono_ms)
        return read_at(
            True, at_ms, now_ms, fresh_ms=fresh_ms, source="journal", problem=self._problem
        )

    def state(self, site: str) -> SiteState:
        return self.states.get(site) or SiteState(site=site)

    def _take(self, message: Message) -> None:
        found = self._place(message)
        if found is None:
            log.warning(
                "message without its place passed over",
                extra={"stream": message.stream, "seq": message.seq},
            )
            return
        site, place = found
        state = self.state(site)
        try:
            envelope = Envelope.from_bytes(message.data)
            self.states[site] = take(state, place, envelope, envelope.fact())
        except ContractError as error:
            self.states[site] = skip(state, place)
            log.warning(
                "unreadable entry passed over",
                extra={"stream": message.stream, "seq": message.seq, "why": str(error)},
            )

    def _place(self, message: Message) -> tuple[str, Place] | None:
        if self._home is not None:
            site, incarnation = self._home
            return site, Place(incarnation, message.seq)
        headers: Mapping[str, str] = message.headers
        try:
            return headers["Hf-Site"], Place(headers["Hf-Incarnation"], int(headers["Hf-Seq"]))
        except (KeyError, ValueError):
            return None
