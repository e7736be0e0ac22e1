"""How each site's CSMS is, kept in memory out of the csms-bridge's bucket: what a pulse is answered with.

Without a csms-bridge there is no bucket, or nothing in it: then no site has a CSMS, and nothing fails.
"""

from __future__ import annotations

import asyncio
import logging

from prometheus_client import CollectorRegistry, Counter

from holdfast import subjects
from holdfast.bus import AdminRefused, Bus, Message, RequestFailed, StreamGone
from holdfast.clock import Clock
from holdfast.contracts.csms import InstanceAlive, SiteOwned
from holdfast.contracts.envelope import ContractError
from holdfast.contracts.mode import CsmsState
from journal.domain.csms import Beat, Ownership, csms_of, heard, owned

log = logging.getLogger(__name__)

AGAIN_MS = 1_000
FIRST_READ_S = 2.0
"""A bucket that takes longer is read while pulses are answered; meanwhile its sites have no CSMS."""
INSTANCES_MAX = 1_000
"""Names of instances may be new with each start: at the bound the one silent for longest is forgotten."""


class CsmsWatch:
    def __init__(self, bus: Bus, clock: Clock, registry: CollectorRegistry) -> None:
        self._bus = bus
        self._clock = clock
        self._sites: dict[str, Ownership] = {}
        self._beats: dict[str, Beat] = {}
        self._read = asyncio.Event()
        self._is_there = True
        self._unreadable = Counter(
            "holdfast_journal_upstream_records_unreadable",
            "Records of the csms-bridge passed over.",
            registry=registry,
        )

    def state(self, site: str) -> CsmsState:
        ownership = self._sites.get(site)
        owner = ownership.record.owner if ownership else None
        return csms_of(ownership, self._beats.get(owner or ""), self._clock.monotonic_ms())

    async def until_read(self) -> None:
        """What the bucket holds has been read, or it takes too long: a restart is no reason to say `none`."""
        try:
            async with asyncio.timeout(FIRST_READ_S):
                await self._read.wait()
        except TimeoutError:
            log.warning("the bucket of the csms-bridge is not read yet")

    async def follow(self) -> None:
        """For ever."""
        wanted = subjects.upstream_sites(), subjects.upstream_instances()
        while True:
            try:
                held = [await self._bus.held(subjects.UPSTREAM_KV, one) for one in wanted]
                if not any(held):
                    self._read.set()
                self._found()
                stream = self._bus.follow(
                    subjects.UPSTREAM_KV, subjects=wanted, start="last-per-subject"
                )
                async for message in stream:
                    self._take(message)
                    if message.pending == 0:
                        self._read.set()
            except StreamGone as error:
                self._missing(error)
            except (RequestFailed, AdminRefused) as error:
                log.warning("bucket of the csms-bridge not read", extra={"why": str(error)})
            await self._clock.sleep_ms(AGAIN_MS)

    def _found(self) -> None:
        if not self._is_there:
            log.info("the bucket of the csms-bridge is there")
        self._is_there = True

    def _missing(self, error: StreamGone) -> None:
        """What it said last goes on ageing; a site of which nothing was ever said has no CSMS."""
        if self._is_there:
            log.info("no bucket of a csms-bridge", extra={"why": str(error)})
        self._is_there = False
        self._read.set()

    def _take(self, message: Message) -> None:
        try:
            match subjects.upstream_key(message.subject):
                case ("site", site):
                    self._take_site(site, message.data)
                case ("instance", instance):
                    self._take_beat(instance, message.data)
                case _:
                    pass
        except (ContractError, ValueError) as error:
            self._unreadable.inc()
            names = {"subject": message.subject, "seq": message.seq, "why": str(error)}
            log.warning("unreadable record of the csms-bridge", extra=names)

    def _take_site(self, site: str, data: bytes) -> None:
        if not data:  # the key was deleted: no CSMS stands behind this site any more
            self._sites.pop(site, None)
            return
        record = SiteOwned.from_bytes(data)
        self._sites[site] = owned(self._sites.get(site), record, self._clock.monotonic_ms())

    def _take_beat(self, instance: str, data: bytes) -> None:
        if not data:
            self._beats.pop(instance, None)
            return
        alive = InstanceAlive.from_bytes(data)
        known = self._beats.pop(instance, None)
        self._beats[instance] = heard(known, alive, self._clock.monotonic_ms())
        if len(self._beats) > INSTANCES_MAX:
            del self._beats[next(iter(self._beats))]
