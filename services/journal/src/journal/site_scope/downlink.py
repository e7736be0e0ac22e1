"""The site's own copy of DOWNLINK: made once the cloud has bound its consumer, again when it is stuck or holey.

    ask the cloud (up.downlink) -> it binds the consumer anew and answers -> make the copy

In this order and no other: a copy takes over the position of the consumer it finds, and one made over a used
consumer lacks for good what that consumer saw acknowledged. A site cut off since its first day has no copy.
"""

from __future__ import annotations

import logging

from holdfast import rpc, subjects
from holdfast.backoff import Backoff
from holdfast.bus import AdminRefused, CopySpec, RequestFailed, StreamGone, StreamState
from holdfast.contracts.journal import BindDownlink, Confirmed, DownlinkBound
from holdfast.service import Context
from journal.config import Config

log = logging.getLogger(__name__)

LOOK_MS = 1_000
ASK_MS_MAX = 5_000
STUCK_MS = 60_000
"""Behind for so long without getting anything, while the cloud can be asked: made again."""
SHORT_MS = 60_000
SHORT_MS_MAX = 86_400_000
"""At the cloud's end with fewer entries than the cloud for so long: it has a hole, and is made again. Twice as
long after each time that did not help: where the clocks differ, entries expire here first."""


class Downlink:
    def __init__(self, context: Context[Config]) -> None:
        self._context = context
        self._bus = context.bus
        self._clock = context.clock
        self._site = context.config.site
        self._behind_since_ms: int | None = None
        self._behind_at = 0
        self._short_since_ms: int | None = None
        self._short_ms_max = SHORT_MS

    async def run(self) -> None:
        """For ever."""
        backoff = Backoff(self._clock, self._context.rng)
        while True:
            try:
                if await self._copy() is None:
                    await self._make()
                backoff.reset()
                await self._clock.sleep_ms(LOOK_MS)
            except (RequestFailed, AdminRefused) as error:
                log.debug("no downlink yet", extra={"why": str(error)})
                await backoff.wait()

    async def compare(self, said: Confirmed) -> None:
        """With what the cloud says there is. Raise RequestFailed."""
        copy = await self._copy()
        if copy is None:
            return
        seq = copy.last_seq
        if seq > said.downlink_end_seq:
            await self._discard("it is of a stream that is no more", seq)
        elif seq >= said.downlink_seq:
            self._behind_since_ms = None
            if seq == said.downlink_seq:
                await self._look_for_holes(copy, said.downlink_held)
        elif self._behind_since_ms is None or seq != self._behind_at:
            self._behind_since_ms, self._behind_at = self._clock.monotonic_ms(), seq
        elif self._clock.monotonic_ms() - self._behind_since_ms >= STUCK_MS:
            await self._discard("it stands still", seq)

    async def _look_for_holes(self, copy: StreamState, held: int) -> None:
        now_ms = self._clock.monotonic_ms()
        if copy.messages >= held:
            self._short_since_ms, self._short_ms_max = None, SHORT_MS
        elif self._short_since_ms is None:
            self._short_since_ms = now_ms
        elif now_ms - self._short_since_ms >= self._short_ms_max:
            self._short_ms_max = min(2 * self._short_ms_max, SHORT_MS_MAX)
            await self._discard(f"it lacks {held - copy.messages} of {held} entries", copy.last_seq)

    async def _copy(self) -> StreamState | None:
        try:
            return await self._bus.state(subjects.DOWNLINK)
        except StreamGone:
            return None

    async def _make(self) -> None:
        await rpc.call(
            self._bus,
            subjects.up(self._site, "downlink"),
            BindDownlink(),
            DownlinkBound,
            timeout_ms=ASK_MS_MAX,
        )
        await self._bus.ensure_copy(
            CopySpec(
                name=subjects.DOWNLINK,
                origin_domain=subjects.CLOUD,
                consumer=subjects.down_consumer(self._site),
                deliver=subjects.down_deliver(self._site),
                per_subject_max=1,
                ttl=True,
            )
        )
        log.info("downlink copied")

    async def _discard(self, why: str, seq: int) -> None:
        """Nothing is lost with it: the cloud has it all, and will send it again."""
        log.warning("downlink copy discarded", extra={"why": why, "seq": seq})
        self._behind_since_ms = self._short_since_ms = None
        await self._bus.delete_stream(subjects.DOWNLINK)
