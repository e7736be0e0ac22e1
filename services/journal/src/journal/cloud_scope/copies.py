"""All copies of all sites: found by pulses, read, ended when a site begins a new life, healed when stuck.

unknown (site, incarnation) -> make copies, bind DOWNLINK -> LIVE
a newer incarnation         -> ENDED -> read to its end -> gap "disk lost" named, CLOSED -> RETIRED
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from holdfast.backoff import Backoff
from holdfast.bus import Message
from holdfast.contracts.envelope import ContractError
from holdfast.contracts.journal import Gap
from holdfast.contracts.mode import Mode
from holdfast.entries import read
from journal.adapters.keys import SitePublicKey
from journal.cloud_scope import binding
from journal.cloud_scope.archive import Kept, Key, lost_gap
from journal.cloud_scope.copy_reader import CopyReader, Parts
from journal.cloud_scope.republisher import Republisher
from journal.cloud_scope.schema import Phase
from journal.cloud_scope.trouble import PASSING
from journal.domain.statement import Statement, Stored

log = logging.getLogger(__name__)

CLOSE_POLL_MS = 500


@dataclass(slots=True)
class Heard:
    """What the pulses of one incarnation have said."""

    head_seq: int = 0
    """Of the newest pulse with a head."""
    reached_at_ms: int = 0
    """Site clock of the last pulse whose head was not below the watermark."""
    mode: Mode = Mode.AUTONOMOUS
    pulse_at_ms: int | None = None
    """Cloud clock."""
    pulse_mono_ms: int = 0


@dataclass(slots=True)
class Site:
    """Everything about one site: its lives in order, the newest one last."""

    key: SitePublicKey
    republisher: Republisher
    lives: dict[str, CopyReader] = field(default_factory=dict)
    heard: dict[str, Heard] = field(default_factory=dict)

    @property
    def newest(self) -> str | None:
        return next(reversed(self.lives), None)


class Copies:
    def __init__(
        self, parts: Parts, keys: dict[str, SitePublicKey], group: asyncio.TaskGroup
    ) -> None:
        self._parts = parts
        self._group = group
        self._making: set[Key] = set()
        self.sites = {
            site: Site(key, Republisher(parts, site)) for site, key in sorted(keys.items())
        }

    async def start(self) -> None:
        """Take up what the archive knows. Raise SQLAlchemyError."""
        for kept in await self._parts.offload(self._parts.archive.copies):
            site = self.sites.get(kept.key.site)
            if site is None:
                log.warning("site without key", extra={"site": kept.key.site})
                continue
            self._enter(site, kept)
        for site in self.sites.values():
            self._spawn(site.republisher.run())
            await self._end_all_but_newest(site)

    # --- what pulses say ---

    def heard(self, site: Site, name: str, head: Statement | None, pulse: Heard) -> None:
        """A pulse (or question) of this incarnation, its signature checked."""
        seen = site.heard.setdefault(name, Heard())
        seen.pulse_at_ms, seen.pulse_mono_ms = pulse.pulse_at_ms, pulse.pulse_mono_ms
        seen.mode = pulse.mode
        reader = site.lives.get(name)
        if head is None or reader is None:
            return
        seen.head_seq = head.seq
        if reader.kept.phase is Phase.LIVE:
            reader.heard(head)

    def discover(self, key: Key, head: Statement) -> None:
        """Make the copies of an incarnation not known yet; in the background, again at the next pulse if it fails."""
        if key not in self._making:
            self._making.add(key)
            self._spawn(self._discover(key, head))

    async def _discover(self, key: Key, head: Statement) -> None:
        try:
            await self._make(key)
            self.sites[key.site].lives[key.incarnation].heard(head)
        except PASSING as error:
            log.warning(
                "copies not made yet",
                extra={"site": key.site, "incarnation": key.incarnation, "why": str(error)},
            )
        finally:
            self._making.discard(key)

    async def _make(self, key: Key) -> None:
        bus = self._parts.context.bus
        for stream in binding.streams_of(key):
            await binding.ensure_copied(bus, key, stream)
        kept = await self._parts.offload(self._parts.archive.add, key)
        log.info("incarnation found", extra={"site": key.site, "incarnation": key.incarnation})
        site = self.sites[key.site]
        self._enter(site, kept)
        await self._end_all_but_newest(site)

    # --- lives ---

    def _enter(self, site: Site, kept: Kept) -> None:
        reader = CopyReader(self._parts, site.key, kept)
        site.lives[kept.key.incarnation] = reader
        match kept.phase:
            case Phase.LIVE | Phase.ENDED:
                self._spawn(reader.run())
                if kept.phase is Phase.ENDED:
                    self._spawn(self._close(site, reader))
            case Phase.CLOSED:
                self._spawn(self._retire(reader))
            case Phase.RETIRED:
                pass

    async def _end_all_but_newest(self, site: Site) -> None:
        for name, reader in list(site.lives.items()):
            if name != site.newest and reader.kept.phase is Phase.LIVE:
                await self._parts.offload(self._parts.archive.set_phase, reader.key, Phase.ENDED)
                reader.begin_again()
                self._spawn(self._close(site, reader))

    async def _close(self, site: Site, reader: CopyReader) -> None:
        """Once the copy is read to its end, name what the lost disk had beyond it."""
        await reader.is_drained.wait()
        backoff = Backoff(self._parts.context.clock, self._parts.context.rng)
        while True:
            try:
                to_ms = await self._began_ms(site, reader.key)
                if to_ms is None:
                    await self._parts.context.clock.sleep_ms(CLOSE_POLL_MS)
                    continue
                gap = lost_gap(reader.kept, to_ms)
                await self._parts.offload(self._parts.archive.close, reader.key, gap)
                break
            except PASSING as error:
                log.warning("not closed", extra={"copy": reader.stream, "why": str(error)})
                await backoff.wait()
        reader.kept = reader.kept.in_phase(Phase.CLOSED)
        self._note_lost(gap)
        site.republisher.wake()
        await self._retire(reader)

    async def _began_ms(self, site: Site, ended: Key) -> int | None:
        """When the first life after this one began; None while none of its entries is there."""
        after = list(site.lives)[list(site.lives).index(ended.incarnation) + 1 :]
        for name in after:
            key = Key(ended.site, name)
            first = await self._parts.offload(self._parts.archive.first, key)
            if first:
                return _said_at_ms(first)
        return None

    async def _retire(self, reader: CopyReader) -> None:
        backoff = Backoff(self._parts.context.clock, self._parts.context.rng)
        while True:
            try:
                await binding.retire(self._parts.context.bus, reader.key)
                await self._parts.offload(self._parts.archive.set_phase, reader.key, Phase.RETIRED)
                break
            except PASSING as error:
                log.warning("not retired", extra={"copy": reader.stream, "why": str(error)})
                await backoff.wait()
        reader.kept = reader.kept.in_phase(Phase.RETIRED)

    def _note_lost(self, gap: Gap) -> None:
        log.error(
            "gap",
            extra={
                "site": gap.site,
                "incarnation": gap.incarnation,
                "from": gap.from_seq,
                "cause": gap.cause.value,
            },
        )
        self._parts.on_gap(Key(gap.site, gap.incarnation), gap.cause)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._group.create_task(work)


def _said_at_ms(stored: Stored) -> int:
    """What the entry says of its time; where it can't be read, when it was stored."""
    message = Message(
        stream="",
        seq=stored.seq,
        subject=stored.subject,
        id=stored.id,
        data=stored.data,
        stored_at_ms=stored.at_ms,
    )
    try:
        return read(message).entry.envelope.at_ms
    except ContractError:
        return stored.at_ms
