"""All sites that this instance speaks for, and how it comes to speak for them.

KV (beats, site records) -> ownership.decide -> claim, serve, let go
a question for a site that another instance has is asked there
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar, assert_never

from csms_bridge.adapters.backends import Backends
from csms_bridge.adapters.webhook import Webhook
from csms_bridge.config import Config
from csms_bridge.desk import Desk
from csms_bridge.domain import ownership
from csms_bridge.domain.ownership import Beat, Claim, Drop, Effect, Event
from csms_bridge.keeping import Fenced
from csms_bridge.reach import Reach
from csms_bridge.services import Services
from holdfast import rpc, subjects
from holdfast.backoff import Backoff
from holdfast.bus import AppendRefused, Conflict, Message, RequestFailed, StreamGone
from holdfast.contracts.csms import (
    AskCsms,
    CaughtUp,
    CaughtUpRequest,
    DeliverySettled,
    InstanceAlive,
    RelayReply,
    RelayRequest,
    SettleDelivery,
    SiteOwned,
    UpstreamRequest,
    UpstreamStatus,
)
from holdfast.contracts.decision import CloudVerdict
from holdfast.contracts.envelope import Contract, ContractError
from holdfast.service import Context
from holdfast.settings import ConfigError

log = logging.getLogger(__name__)

TICK_MS = 200
FILE_LOOK_MS = 1_000
FORWARD_MS_MAX = 3_000
KV_WAIT_MS = 1_000

Reply = TypeVar("Reply", bound=Contract)


class Bridge:
    def __init__(
        self,
        context: Context[Config],
        services: Services,
        backends: Backends,
        reach: Reach,
        webhook: Webhook,
    ) -> None:
        self._context = context
        self._config = context.config
        self._services = services
        self._backends = backends
        self._reach = reach
        self._webhook = webhook
        self._desks: dict[str, Desk] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._dropping: set[str] = set()
        self._beat_revision: int | None = None
        self._state = ownership.State(begun_mono_ms=self._mono_ms)

    async def run(self) -> None:
        """Until cancelled. Raise ConfigError when another process goes by this instance's name."""
        await self._check_alone()
        async with asyncio.TaskGroup() as group:
            self._group = group
            await self._serve()
            group.create_task(self._follow_records())
            group.create_task(self._watch_file())
            while True:
                self._handle(ownership.Tick(mono_ms=self._mono_ms))
                await self._services.clock.sleep_ms(TICK_MS)

    # --- ownership ---

    @property
    def _policy(self) -> ownership.Policy:
        sites = self._backends.sites()
        if self._config.scope == "site":
            sites &= {self._config.site}
        return ownership.Policy(
            instance=self._config.instance,
            sites=sites,
            beat_ms=self._config.beat_ms,
            lease_ms=self._config.lease_ms,
        )

    def _handle(self, event: Event) -> None:
        self._state, effects = ownership.decide(self._policy, self._state, event)
        for effect in effects:
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Beat(beat=beat):
                self._begin_work(self._beat(beat))
            case Claim():
                self._begin_work(self._claim(effect))
            case Drop(site=site, why=why):
                task = self._tasks.get(site)
                if task is not None and site not in self._dropping:
                    log.warning("site let go", extra={"site": site, "why": why})
                    self._dropping.add(site)
                    # Not at once: cancelled before its first step, it would never let go in order.
                    self._begin_work(_cancel(task))
            case _:
                assert_never(effect)

    def _begin_work(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        """None: this process is at its end. What lets go in order still tells `_handle` so, and nothing new may
        come of it: a task group that is shutting down takes no more.
        """
        assert self._group is not None
        try:
            return self._group.create_task(work)
        except RuntimeError:
            work.close()
            return None

    async def _check_alone(self) -> None:
        """Whoever beats under this name would lose its sites to us, and we ours to it."""
        subject, heard = subjects.upstream_instance(self._config.instance), set[int]()
        since_ms: int | None = None
        """Heard of without a gap since then: while nothing answers, the other one can't beat either."""
        backoff = Backoff(self._services.clock, self._services.rng)
        while len(heard) < 2:
            try:
                heard.add((await self._services.records.newest(subject)).revision)
            except RequestFailed as error:
                log.info("no records yet", extra={"why": str(error)})
                since_ms = None
                await backoff.wait()
                continue
            except StreamGone:
                return  # `_follow_records` says so
            since_ms = self._mono_ms if since_ms is None else since_ms
            if heard == {0} or self._mono_ms - since_ms >= self._listen_ms:
                return
            await self._services.clock.sleep_ms(self._config.beat_ms // 2)
        raise ConfigError(
            f"another process is instance {self._config.instance!r}: give each its own name"
        )

    @property
    def _listen_ms(self) -> int:
        return self._config.lease_ms - self._config.beat_ms

    async def _beat(self, beat: int) -> None:
        sent_ms, subject = self._mono_ms, subjects.upstream_instance(self._config.instance)
        record = InstanceAlive(instance=self._config.instance, beat=beat)
        try:
            if self._beat_revision is None:
                newest = await self._services.records.newest(subject)
                self._beat_revision = newest.revision
                if newest.data:
                    # Go on counting: a beat seen twice would look like none.
                    beat = max(beat, InstanceAlive.from_bytes(newest.data).beat + 1)
                    self._state = self._state.but(beat=beat)
                    record = InstanceAlive(instance=self._config.instance, beat=beat)
            self._beat_revision = await self._services.records.write(
                subject, record.to_bytes(), self._beat_revision
            )
        except Conflict as error:
            raise ConfigError(
                f"another process is instance {self._config.instance!r} too: give each its own name"
            ) from error
        except (AppendRefused, RequestFailed, ContractError) as error:
            log.warning("beat not taken", extra={"why": str(error)})
            self._beat_revision = None
            self._handle(ownership.BeatLost(mono_ms=self._mono_ms))
        else:
            self._context.health.ok("lease")
            self._handle(ownership.BeatTaken(mono_ms=self._mono_ms, sent_mono_ms=sent_ms))

    async def _claim(self, claim: Claim) -> None:
        seen = claim.seen
        epoch = (seen.epoch if seen else 0) + 1
        record = (seen or SiteOwned(site=claim.site, owner=None, epoch=0)).model_copy(
            update={"owner": self._config.instance, "epoch": epoch}
        )
        subject = subjects.upstream_site(claim.site)
        taken: int | None = None
        try:
            newest = await self._services.records.newest(subject)
            if newest.data and SiteOwned.from_bytes(newest.data) != seen:
                raise Conflict(f"{claim.site}: its record has changed")
            taken = await self._services.records.write(subject, record.to_bytes(), newest.revision)
        except (AppendRefused, RequestFailed, ContractError) as error:
            log.info("site not claimed", extra={"site": claim.site, "why": str(error)})
        if taken is not None:
            self._begin(record, taken)
        self._handle(
            ownership.ClaimEnded(
                mono_ms=self._mono_ms, site=claim.site, epoch=None if taken is None else epoch
            )
        )

    def _begin(self, record: SiteOwned, revision: int) -> None:
        assert self._group is not None
        log.info("site claimed", extra={"site": record.site, "epoch": record.epoch})
        desk = Desk(
            self._services,
            self._config,
            self._backends,
            self._reach,
            self._webhook,
            record,
            revision,
        )
        task = self._begin_work(self._hold(desk, record.site))
        if task is None:
            return  # its lease ends by itself
        self._desks[record.site] = desk
        self._tasks[record.site] = task
        self._services.metrics.held.set(len(self._desks))

    async def _hold(self, desk: Desk, site: str) -> None:
        """Until the site is another's, or this process ends: in order, what is delivered is written down first."""
        try:
            await desk.run()
        except asyncio.CancelledError:
            await desk.release()
            if site not in self._dropping:
                raise
        except BaseExceptionGroup as ended:
            fenced, others = ended.split(Fenced)
            if fenced is None or others is not None:
                raise
            log.warning("site lost", extra={"site": site, "why": str(_leaf(fenced))})
        finally:
            self._dropping.discard(site)
            self._desks.pop(site, None)
            self._tasks.pop(site, None)
            self._services.metrics.held.set(len(self._desks))
        self._handle(ownership.LetGo(mono_ms=self._mono_ms, site=site))

    async def _follow_records(self) -> None:
        """For ever."""
        patterns = (subjects.upstream_instances(), subjects.upstream_sites())
        while True:
            try:
                stream = self._services.bus.follow(
                    subjects.UPSTREAM_KV, subjects=patterns, start="last-per-subject"
                )
                async for message in stream:
                    self._seen(message)
            except StreamGone as error:
                why = f"{error}: run `holdfast provision`"
                self._context.health.wrong("lease", why)
                log.warning("no records", extra={"why": why})
                await self._services.clock.sleep_ms(KV_WAIT_MS)

    def _seen(self, message: Message) -> None:
        try:
            match subjects.upstream_key(message.subject):
                case ("instance", _):
                    alive = InstanceAlive.from_bytes(message.data)
                    event: Event = ownership.PeerSeen(
                        mono_ms=self._mono_ms, instance=alive.instance, beat=alive.beat
                    )
                case _:
                    record = SiteOwned.from_bytes(message.data)
                    event = ownership.SiteSeen(mono_ms=self._mono_ms, record=record)
        except (ContractError, subjects.SubjectError) as error:
            log.warning("record unreadable", extra={"why": str(error)})
            return
        self._handle(event)

    async def _watch_file(self) -> None:
        while True:
            await self._services.clock.sleep_ms(FILE_LOOK_MS)
            try:
                if self._backends.changed():
                    log.warning("backends file read again")
                    for desk in self._desks.values():
                        desk.roles_changed()
            except ConfigError as error:
                log.error("backends file not used, what was read before stands: %s", error)  # noqa: TRY400
            if self._backends.problem:
                why = f"{self._backends.problem}; what was read before stands"
                self._context.health.wrong("backends", why)
            else:
                self._context.health.ok("backends")

    # --- questions ---

    async def _serve(self) -> None:
        """In the cloud any instance may be asked, and asks the one that has the site; at a site there is one."""
        bus, site, instance = self._services.bus, self._config.site, self._config.instance

        def asked_on(verb: str) -> tuple[str, ...]:
            if site:
                return (subjects.rpc(site, verb),)
            return subjects.cloud_rpc(verb), subjects.cloud_rpc_of(verb, instance)

        for subject in asked_on("csms-authorise"):
            await rpc.serve(bus, subject, AskCsms, self._authorise)
        for subject in asked_on("upstream"):
            await rpc.serve(bus, subject, UpstreamRequest, self._upstream)
        for subject in asked_on("upstream-settle"):
            await rpc.serve(bus, subject, SettleDelivery, self._settle)
        up = subjects.up(site, "csms") if site else subjects.up_from_any("csms")
        for subject in (up, subjects.cloud_rpc_of("csms-caught-up", instance)):
            await rpc.serve(bus, subject, CaughtUpRequest, self._caught_up)
        relay = subjects.up(site, "relay") if site else subjects.up_from_any("relay")
        for subject in (relay, subjects.cloud_rpc_of("csms-relay", instance)):
            await rpc.serve(bus, subject, RelayRequest, self._relay)

    async def _authorise(self, asked: AskCsms, subject: str) -> Contract:
        desk = self._desks.get(asked.site)
        if desk is None:
            return await self._forward(
                "csms-authorise", asked.site, subject, asked, CloudVerdict, asked.budget_ms
            )
        verdict = await desk.authorise(asked)
        if verdict is None:
            raise RequestFailed("the CSMS gave no answer in time: decide locally")
        return verdict

    async def _upstream(self, asked: UpstreamRequest, subject: str) -> Contract:
        desk = self._desks.get(asked.site)
        if desk is None:
            return await self._forward("upstream", asked.site, subject, asked, UpstreamStatus)
        return desk.status()

    async def _settle(self, asked: SettleDelivery, subject: str) -> Contract:
        desk = self._desks.get(asked.site)
        if desk is None:
            return await self._forward(
                "upstream-settle", asked.site, subject, asked, DeliverySettled
            )
        return desk.settle(asked)

    async def _caught_up(self, asked: CaughtUpRequest, subject: str) -> Contract:
        site = asked.site or subjects.site_of(subject)
        desk = self._desks.get(site)
        if desk is None:
            named = asked.model_copy(update={"site": site})
            return await self._forward("csms-caught-up", site, subject, named, CaughtUp)
        return desk.caught_up(asked)

    async def _relay(self, asked: RelayRequest, subject: str) -> Contract:
        """Always a reply: what stands in the way is said, and the charge point told no in time."""
        site = asked.site or subjects.site_of(subject)
        desk = self._desks.get(site)
        if desk is not None:
            return await desk.relay(asked)
        named = asked.model_copy(update={"site": site})
        try:
            return await self._forward(
                "csms-relay", site, subject, named, RelayReply, asked.budget_ms
            )
        except RequestFailed as error:
            return RelayReply(reason=str(error)[:255])

    async def _forward(
        self,
        verb: str,
        site: str,
        subject: str,
        asked: Contract,
        reply: type[Reply],
        timeout_ms: int = FORWARD_MS_MAX,
    ) -> Reply:
        """To the instance that has the site; never twice."""
        record = self._state.known.get(site)
        owner = record.owner if record else None
        own = self._config.instance
        if owner in (None, own) or subject.endswith(f".{subjects.token(own)}"):
            raise RequestFailed(f"nobody speaks upstream for site {site[:40]!r} just now")
        return await rpc.call(
            self._services.bus,
            subjects.cloud_rpc_of(verb, str(owner)),
            asked,
            reply,
            timeout_ms=timeout_ms,
        )

    @property
    def _mono_ms(self) -> int:
        return self._context.clock.monotonic_ms()


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
