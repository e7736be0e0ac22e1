"""Looks whether copies get on, and binds anew those that do not.

JetStream's own lag says 0 while nothing arrives (measured), so a copy is judged by what the site itself says
in its pulses: its head grows, and we get nothing. A copy that believes to have what it never got (it took
over a position of its origin's consumer) will not get it: that part is fetched one by one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from holdfast import subjects
from holdfast.bus import ServerBus, StreamGone
from holdfast.contracts.mode import Mode
from journal.cloud_scope import binding
from journal.cloud_scope.copies import Copies, Heard
from journal.cloud_scope.copy_reader import CopyReader, Parts
from journal.cloud_scope.schema import Phase
from journal.cloud_scope.trouble import PASSING

log = logging.getLogger(__name__)

LOOK_MS = 5_000
PULSE_FRESH_MS = 10_000
"""Without a pulse so fresh the link is away: nothing to heal."""
HEAL_MS_MIN = 60_000
HEAL_MS_MAX = 960_000
"""Between two healings of one stream: doubles while it does not help."""
TELEMETRY_SILENT_MS = 60_000


@dataclass(slots=True)
class Watched:
    seq: int = -1
    since_ms: int = 0
    next_heal_ms: int = 0
    wait_ms: int = HEAL_MS_MIN
    times_healed: int = 0
    """Since it last got on."""

    def stands_still_ms(self, seq: int, now_ms: int) -> int:
        if seq != self.seq:
            self.seq, self.since_ms = seq, now_ms
            self.wait_ms, self.times_healed = HEAL_MS_MIN, 0
        return now_ms - self.since_ms

    def may_heal(self, now_ms: int) -> bool:
        if now_ms < self.next_heal_ms:
            return False
        self.next_heal_ms = now_ms + self.wait_ms
        self.wait_ms = min(self.wait_ms * 2, HEAL_MS_MAX)
        self.times_healed += 1
        return True


class Healing:
    def __init__(self, parts: Parts, copies: Copies) -> None:
        self._bus: ServerBus = parts.context.bus
        self._clock = parts.context.clock
        self._stalled_after_ms = parts.context.config.stalled_after_ms
        self._health = parts.context.health
        self._copies = copies
        self._watched: dict[str, Watched] = {}

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._clock.sleep_ms(LOOK_MS)
            for name, site in self._copies.sites.items():
                newest = site.newest
                if newest is None or not self._is_heard(site.heard.get(newest)):
                    continue
                try:
                    await self._look(site.lives[newest], site.heard[newest])
                except PASSING as error:
                    log.warning("not healed", extra={"site": name, "why": str(error)})
            self._report()

    def _is_heard(self, heard: Heard | None) -> bool:
        now_ms = self._clock.monotonic_ms()
        return (
            heard is not None
            and heard.pulse_at_ms is not None
            and now_ms - heard.pulse_mono_ms <= PULSE_FRESH_MS
        )

    async def _look(self, reader: CopyReader, heard: Heard) -> None:
        if reader.kept.phase is not Phase.LIVE:
            return
        if reader.is_lost.is_set():
            await self._make_again(reader)
        else:
            await self._look_at_journal(reader, heard)
        if heard.mode is not Mode.RECOVERY:
            await self._look_at_telemetry(reader)

    async def _make_again(self, reader: CopyReader) -> None:
        for stream in binding.streams_of(reader.key):
            await binding.ensure_copied(self._bus, reader.key, stream)
        log.warning("copy made again", extra={"copy": reader.stream})
        reader.is_lost.clear()
        reader.begin_again()

    async def _look_at_journal(self, reader: CopyReader, heard: Heard) -> None:
        now_ms = self._clock.monotonic_ms()
        watched = self._watched.setdefault(reader.stream, Watched())
        still_ms = watched.stands_still_ms(reader.kept.state.seq, now_ms)
        behind = heard.head_seq > reader.kept.state.seq
        if not behind or reader.trouble or reader.kept.state.diverged:
            watched.since_ms = now_ms
        elif still_ms >= self._stalled_after_ms and watched.may_heal(now_ms):
            await self._heal_journal(reader, heard, watched)

    async def _heal_journal(self, reader: CopyReader, heard: Heard, watched: Watched) -> None:
        """By what the copy believes to have, then by what was tried before."""
        seq = reader.kept.state.seq
        believed_seq = (await self._bus.state(reader.stream)).last_seq
        extra = {"copy": reader.stream, "seq": seq, "head": heard.head_seq}
        log.warning("copy stalled", extra=extra | {"copy_seq": believed_seq})
        if believed_seq > seq:
            reader.fetch_up_to(min(believed_seq, heard.head_seq))
        elif watched.times_healed == 1:
            await binding.bind_origin(self._bus, reader.key, reader.stream)
            reader.begin_again()
        else:
            await self._bus.delete_stream(reader.stream)
            await self._make_again(reader)

    async def _look_at_telemetry(self, reader: CopyReader) -> None:
        stream = subjects.telemetry_stream(*reader.key)
        watched = self._watched.setdefault(stream, Watched())
        now_ms = self._clock.monotonic_ms()
        try:
            silent_ms = (await self._bus.state(stream)).silent_ms
        except StreamGone:
            await binding.ensure_copied(self._bus, reader.key, stream)
            return
        if silent_ms is not None and silent_ms > TELEMETRY_SILENT_MS and watched.may_heal(now_ms):
            log.warning("telemetry stalled", extra={"copy": stream, "ms": silent_ms})
            await binding.bind_origin(self._bus, reader.key, stream)

    def _report(self) -> None:
        """One condition per site: why its newest copy does not get on, if so."""
        for name, site in self._copies.sites.items():
            reader = site.lives.get(site.newest or "")
            condition = f"copy {name}"
            if reader is None:
                continue
            if reader.kept.state.diverged:
                self._health.wrong(condition, "the site holds another history than was verified")
            elif reader.trouble:
                self._health.wrong(condition, reader.trouble)
            else:
                self._health.ok(condition)
