"""What the monitor knows, whoever asks: `status(site)`, in either scope."""

from __future__ import annotations

import asyncio
from typing import Protocol, TypeVar

from holdfast import subjects
from holdfast.bus import RequestFailed, StreamGone
from holdfast.contracts.charge_point import ChargePointsStatus
from holdfast.contracts.command import CommandLanes
from holdfast.contracts.csms import UpstreamRequest, UpstreamStatus
from holdfast.contracts.envelope import Contract
from holdfast.contracts.journal import Copies, CopiesRequest, CopyStatus, Gaps, StorageStatus
from holdfast.contracts.mode import ModeStatus
from holdfast.contracts.recovery import RecoveryStatus
from holdfast.contracts.rpc import Empty
from holdfast.contracts.rules import Desired, RulesStatus
from holdfast.contracts.session import Sessions, SessionsRequest
from holdfast.recorder import wait_for_incarnation
from holdfast.service import Context
from monitor.config import Config
from monitor.domain.readings import Reading, never
from monitor.domain.rows import SiteState
from monitor.domain.status import SiteSamples, SiteStatus, at_site, in_cloud
from monitor.domain.upstream import BRIDGE
from monitor.following import Journal
from monitor.sampling import Sample, Sampler

SESSIONS_FRESH_MS = 60_000
SESSIONS_EVERY_MS = 15_000
SITE_PAUSE_MS = 5
"""Between two sites, so that a thousand of them are no burst."""
WAIT_MS = 500

Reply = TypeVar("Reply", bound=Contract)


class Watch(Protocol):
    @property
    def sites(self) -> tuple[str, ...]: ...
    def status(self, site: str) -> SiteStatus: ...
    def state(self, site: str) -> SiteState: ...
    async def run(self) -> None: ...


class SiteWatch:
    """At a site: its own journal and services."""

    def __init__(self, context: Context[Config]) -> None:
        self._context = context
        self._clock = context.clock
        self._begun_mono_ms = context.clock.monotonic_ms()
        self._site = context.config.site
        self._journal: Journal | None = None
        """None until the journal service has opened an incarnation."""
        self.incarnation: str | None = None
        self._sampler = Sampler(context.bus, context.clock)
        self._mode = self._ask("mode-manager", "mode", ModeStatus)
        self._rules = self._ask("rule-service", "rules", RulesStatus)
        self._storage = self._ask("journal", "storage", StorageStatus)
        self._lanes = self._ask("ocpp-edge", "lanes", CommandLanes)
        self._charge_points = self._ask("ocpp-edge", "charge-points", ChargePointsStatus)
        self._recovery = self._ask("reconciler", "recovery", RecoveryStatus)
        self._sessions = self._sampler.add(
            "reconciler",
            subjects.rpc(self._site, "sessions"),
            SessionsRequest(site=self._site, limit=1),
            Sessions,
        )

    def _ask(self, source: str, verb: str, reply: type[Reply]) -> Sample[Reply]:
        return self._sampler.add(source, subjects.rpc(self._site, verb), Empty(), reply)

    @property
    def sites(self) -> tuple[str, ...]:
        return (self._site,)

    def state(self, site: str) -> SiteState:
        return self._journal.state(site) if self._journal else SiteState(site=site)

    def status(self, site: str) -> SiteStatus:
        clock, fresh_ms = self._clock, self._context.config.fresh_ms
        samples = SiteSamples(
            mode=self._mode.reading(clock, fresh_ms),
            rules=self._rules.reading(clock, fresh_ms),
            storage=self._storage.reading(clock, fresh_ms),
            lanes=self._lanes.reading(clock, fresh_ms),
            charge_points=self._charge_points.reading(clock, fresh_ms),
            recovery=self._recovery.reading(clock, fresh_ms),
            sessions=self._sessions.reading(clock, SESSIONS_FRESH_MS).map(lambda s: s.counts),
        )
        journal: Reading[bool] = (
            self._journal.reading(fresh_ms)
            if self._journal
            else never("journal", "no incarnation has been opened on this disk yet")
        )
        return at_site(
            site,
            clock.now_ms(),
            self.state(site),
            samples,
            journal,
            watched_ms=clock.monotonic_ms() - self._begun_mono_ms,
        )

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sampler.ask_all(self._context.config.sample_ms))
            found = await wait_for_incarnation(self._context.bus, self._clock, self._site)
            self.incarnation = found.name
            home = (found.site, found.name)
            self._journal = Journal(self._context.bus, self._clock, found.journal, home)
            group.create_task(self._journal.follow())
            group.create_task(self._journal.watch())


class CloudWatch:
    """In the cloud: every site's verified journal, and what the cloud's services know of the copies."""

    def __init__(self, context: Context[Config]) -> None:
        self._context = context
        self._clock = context.clock
        self._journal = Journal(context.bus, context.clock, subjects.CLOUD_JOURNAL, None)
        self._sampler = Sampler(context.bus, context.clock)
        request = CopiesRequest()
        self._copies = self._sampler.add("journal", subjects.cloud_rpc("copies"), request, Copies)
        self._gaps = self._sampler.add("journal", subjects.cloud_rpc("gaps"), request, Gaps)
        self._by_site: dict[str, list[CopyStatus]] = {}
        self._grouped: Copies | None = None
        self._session_sampler = Sampler(context.bus, context.clock)
        self._sessions: dict[str, Sample[Sessions]] = {}
        self._upstream_sampler = Sampler(context.bus, context.clock)
        """Apart: a csms-bridge that is away must not make what else is known old."""
        self._upstream: dict[str, Sample[UpstreamStatus]] = {}
        self._desired: dict[str, Sample[Desired]] = {}
        for site in context.config.sites:
            self._meet(site)

    @property
    def sites(self) -> tuple[str, ...]:
        heard = self._copies_by_site()
        return tuple(sorted({*self._context.config.sites, *heard, *self._journal.states}))

    def state(self, site: str) -> SiteState:
        return self._journal.state(site)

    def status(self, site: str) -> SiteStatus:
        clock, config = self._clock, self._context.config
        own = tuple(self._copies_by_site().get(site, ()))
        sessions, upstream = self._sessions.get(site), self._upstream.get(site)
        desired = self._desired.get(site)
        return in_cloud(
            site,
            clock.now_ms(),
            self.state(site),
            journal=self._journal.reading(config.fresh_ms),
            copies=self._copies.reading(clock, config.fresh_ms).map(lambda _: own),
            gaps=self._gaps.reading(clock, config.fresh_ms).map(
                lambda g: tuple(gap for gap in g.gaps if gap.site == site)
            ),
            sessions=(
                sessions.reading(clock, SESSIONS_FRESH_MS).map(lambda s: s.counts)
                if sessions
                else never("reconciler")
            ),
            upstream=(
                upstream.reading(clock, config.fresh_ms)
                if upstream
                else never(BRIDGE, "not asked yet")
            ),
            desired=(
                desired.reading(clock, SESSIONS_FRESH_MS) if desired else never("rule-service")
            ),
            pulse_fresh_ms=config.pulse_fresh_ms,
        )

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sampler.ask_all(self._context.config.sample_ms))
            group.create_task(
                self._session_sampler.ask_all(SESSIONS_EVERY_MS, pause_ms=SITE_PAUSE_MS)
            )
            group.create_task(
                self._upstream_sampler.ask_all(
                    self._context.config.sample_ms, pause_ms=SITE_PAUSE_MS
                )
            )
            group.create_task(self._meet_sites())
            group.create_task(self._journal.watch())
            await self._until_there()
            group.create_task(self._journal.follow())

    async def _until_there(self) -> None:
        """Services start in any order: the journal service makes the stream."""
        while True:
            try:
                await self._context.bus.state(subjects.CLOUD_JOURNAL)
            except (StreamGone, RequestFailed):
                await self._clock.sleep_ms(WAIT_MS)
            else:
                return

    async def _meet_sites(self) -> None:
        while True:
            for site in self.sites:
                self._meet(site)
            await self._clock.sleep_ms(SESSIONS_EVERY_MS)

    def _meet(self, site: str) -> None:
        """Ask about this site too from now on."""
        if site in self._sessions:
            return
        request = SessionsRequest(site=site, limit=1)
        subject = subjects.cloud_rpc("sessions")
        self._sessions[site] = self._session_sampler.add("reconciler", subject, request, Sessions)
        self._desired[site] = self._session_sampler.add(
            "rule-service", subjects.up(site, "desired"), Empty(), Desired
        )
        self._upstream[site] = self._upstream_sampler.add(
            BRIDGE, subjects.cloud_rpc("upstream"), UpstreamRequest(site=site), UpstreamStatus
        )

    def _copies_by_site(self) -> dict[str, list[CopyStatus]]:
        """Grouped once per answer: with a thousand sites, looking through all of them for each is felt."""
        value = self._copies.value
        if value is not self._grouped:
            self._grouped = value
            self._by_site = {}
            for copy in value.copies if value else ():
                self._by_site.setdefault(copy.site, []).append(copy)
        return self._by_site
