"""Republishes one site's verified entries to CLOUD_JOURNAL: in order, an older incarnation before a newer one.

    <site>.<incarnation>.<seq> as Nats-Msg-Id; Hf-Site, Hf-Incarnation, Hf-Seq as headers; the bytes unchanged

Where to go on is read off CLOUD_JOURNAL itself, so a crash between publishing and noting repeats nothing,
and a CLOUD_JOURNAL that was lost is filled again from the archive.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from holdfast import subjects
from holdfast.backoff import Backoff
from holdfast.bus import ServerBus
from holdfast.offload import Offload
from journal.cloud_scope.archive import Archive, Kept, Key
from journal.cloud_scope.copy_reader import Parts
from journal.cloud_scope.schema import Phase
from journal.cloud_scope.trouble import PASSING
from journal.domain.statement import Stored

log = logging.getLogger(__name__)

BATCH = 200

SITE, INCARNATION, SEQ = "Hf-Site", "Hf-Incarnation", "Hf-Seq"


class Republisher:
    def __init__(self, parts: Parts, site: str) -> None:
        self._parts = parts
        self._bus: ServerBus = parts.context.bus
        self._archive: Archive = parts.archive
        self._offload: Offload = parts.offload
        self.site = site
        self._woken = asyncio.Event()
        self._at: dict[Key, int] = {}

    def wake(self) -> None:
        """Something was committed, or an incarnation closed."""
        self._woken.set()

    async def run(self) -> None:
        """For ever."""
        backoff = Backoff(self._parts.context.clock, self._parts.context.rng)
        while True:
            self._woken.clear()
            try:
                while await self._publish_some():
                    backoff.reset()
                await self._woken.wait()
            except PASSING as error:
                log.warning("not republished", extra={"site": self.site, "why": str(error)})
                self._at.clear()
                await backoff.wait()

    async def _publish_some(self) -> bool:
        """One batch of the oldest incarnation that is not through; False when there is nothing to do now."""
        for kept in await self._offload(self._archive.copies, self.site):
            at = await self._place(kept)
            entries = await self._entries(kept, at)
            if entries:
                await self._publish(kept.key, entries)
                return True
            if at < kept.publishable_seq:
                # The rest of the range is named gaps and excluded entries.
                self._at[kept.key] = kept.publishable_seq
            if kept.phase in (Phase.LIVE, Phase.ENDED):
                return False  # a newer incarnation waits until this one is closed
        return False

    async def _place(self, kept: Kept) -> int:
        """Up to where this incarnation is in CLOUD_JOURNAL."""
        if kept.key not in self._at:
            self._at[kept.key] = await self._published(kept)
        return self._at[kept.key]

    async def _published(self, kept: Kept) -> int:
        everything = subjects.cloud_journal(self.site, subjects.journal_all(self.site))
        last = await self._bus.last(subjects.CLOUD_JOURNAL, everything)
        if last is None:
            return 0
        name = last.headers[INCARNATION]
        if name == kept.key.incarnation:
            return int(last.headers[SEQ])
        newest = await self._offload(self._archive.kept, Key(self.site, name))
        if newest is None:
            return kept.republished  # the archive is not the one this was published from
        # In order: an older incarnation was through before this one began, a newer one has not begun.
        return kept.publishable_seq if kept.ordinal < newest.ordinal else 0

    async def _entries(self, kept: Kept, at: int) -> list[Stored]:
        return await self._offload(
            lambda: self._archive.entries(kept.key, after=at, to=kept.publishable_seq, limit=BATCH)
        )

    async def _publish(self, key: Key, entries: Sequence[Stored]) -> None:
        for stored in entries:
            await self._bus.append(
                subjects.CLOUD_JOURNAL,
                subjects.cloud_journal(key.site, stored.subject),
                stored.data,
                id=f"{key.site}.{key.incarnation}.{stored.seq}",
                headers={SITE: key.site, INCARNATION: key.incarnation, SEQ: str(stored.seq)},
            )
            self._at[key] = stored.seq
        await self._offload(self._archive.set_republished, key, entries[-1].seq)
