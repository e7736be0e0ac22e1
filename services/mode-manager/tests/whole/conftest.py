"""A site and its cloud on simulated buses, for the shell: journal service and cloud are small stand-ins."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from holdfast import subjects
from holdfast.bus import StreamSpec
from holdfast.contracts.journal import HeadRequest, StorageLevel, StorageStatus
from holdfast.contracts.mode import (
    BeginOverride,
    EndOverride,
    Head,
    Mode,
    ModeChanged,
    ModeStatus,
    OverrideKind,
    OverrideReceipt,
    Pulse,
    PulseReply,
)
from holdfast.contracts.recovery import RecoveryFinished
from holdfast.contracts.rpc import Empty
from holdfast.contracts.rules import RulesActivated
from holdfast.entries import read
from holdfast.health import Health
from holdfast.recorder import Incarnation, Recorder
from holdfast.rpc import call, serve
from holdfast.service import Context
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_bus import SimBus
from holdfast_testkit.sim_clock import SimClock, SimIds
from holdfast_testkit.sim_link import SimLink
from mode_manager import app
from mode_manager.config import Config

SITE = "berlin01"
RULES = "version: 4\nname: test\nmodes: {changes_max: 10}\n"


@dataclass
class World:
    clock: SimClock
    ids: SimIds
    site: SimBus
    cloud: SimBus
    link: SimLink
    recorder: Recorder
    data_dir: object
    level: StorageLevel = StorageLevel.OK
    head_incarnation: str = "aaaaaaaa"
    head_seq: int = 1
    watermark: int = 0
    pulses: int = 0
    csms_at_site: bool = False

    @property
    def journal(self) -> str:
        return self.recorder.incarnation.journal

    async def serve(self) -> None:
        """The journal service and the cloud, as far as the mode-manager sees them."""

        async def head(_: HeadRequest, __: str) -> Head:
            self.head_seq = (await self.site.state(self.journal)).last_seq
            return Head(incarnation=self.head_incarnation, seq=self.head_seq, hash="", signature="")

        async def storage(_: Empty, __: str) -> StorageStatus:
            return StorageStatus(
                level=self.level, bytes=1, bytes_max=2, first_seq=1, last_seq=1, watermark=0
            )

        async def pulse(asked: Pulse, _: str) -> PulseReply:
            self.pulses += 1
            reply = PulseReply(
                at_ms=self.clock.now_ms(),
                incarnation="aaaaaaaa",
                watermark=self.watermark,
                desired_rules_version=4,
            )
            self.watermark = asked.head.seq if asked.head else self.watermark
            return reply

        services = self.site.client("journal")
        await serve(services, subjects.rpc(SITE, "head"), HeadRequest, head)
        await serve(services, subjects.rpc(SITE, "storage"), Empty, storage)
        await serve(self.cloud, subjects.up_from_any("pulse"), Pulse, pulse)

    async def record(self, fact) -> None:
        await self.recorder.record(fact)

    def context(self, bus: SimBus) -> Context[Config]:
        password = self.data_dir / "password"
        password.write_text("secret")
        config = Config(
            site=SITE,
            nats_url="nats://unused",
            nats_user="site",
            nats_password_file=password,
            data_dir=self.data_dir,
            csms_at_site=self.csms_at_site,
        )
        health = Health("mode-manager")
        return Context(config, bus, self.clock, self.ids, random.Random(1), health)

    @asynccontextmanager
    async def running(self):
        """The app as one process; leaving is its death."""
        bus = self.site.client("mode-manager")
        context = self.context(bus)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(app.run(context))
            try:
                yield context
            finally:
                task.cancel()
                await asyncio.wait([task])
                bus.close()

    async def status(self) -> ModeStatus:
        subject = subjects.rpc(SITE, "mode")
        return await call(self.site, subject, Empty(), ModeStatus, timeout_ms=1_000)

    async def until(self, mode: Mode, within_s: float = 40) -> ModeStatus:
        async def reached() -> ModeStatus | None:
            found = await self.status()
            return found if found.mode is mode and found.journaled else None

        return await eventually(reached, within_s=within_s)

    async def finish_recovery(self) -> None:
        found = await self.until(Mode.RECOVERY)
        await self.record(RecoveryFinished(disruption=found.disruption, open_points=()))

    async def connect(self) -> None:
        await self.finish_recovery()
        await self.until(Mode.CONNECTED)

    async def begin_override(self, *, for_ms: int, **given) -> OverrideReceipt:
        asked = {"kind": OverrideKind.MAINTENANCE, "by": "ops", "why": "switchgear"} | given
        request = BeginOverride(until_ms=self.clock.now_ms() + for_ms, **asked)
        subject = subjects.rpc(SITE, "override")
        return await call(self.site, subject, request, OverrideReceipt, timeout_ms=5_000)

    async def end_override(self) -> OverrideReceipt:
        subject = subjects.rpc(SITE, "override-end")
        return await call(
            self.site, subject, EndOverride(by="ops"), OverrideReceipt, timeout_ms=5_000
        )

    async def entries(self, *kinds):
        last = (await self.site.state(self.journal)).last_seq
        found = [read(await self.site.get(self.journal, seq)) for seq in range(1, last + 1)]
        return [one for one in found if isinstance(one.fact, kinds)]

    async def history(self) -> list[ModeChanged]:
        return [found.fact for found in await self.entries(ModeChanged)]


@pytest.fixture
def a_world(tmp_path):
    """A maker: the loop must run before the clock is made."""

    @asynccontextmanager
    async def make():
        clock = SimClock()
        ids = SimIds(random.Random(7))
        site, cloud = SimBus(clock, domain=subjects.domain(SITE)), SimBus(clock, domain="cloud")
        incarnation = Incarnation(SITE, "aaaaaaaa")
        spec = StreamSpec(
            name=incarnation.journal,
            subjects=(subjects.journal_all(SITE),),
            bytes_max=1 << 20,
            when_full="refuse",
        )
        await site.ensure_stream(spec)
        recorder = Recorder(site.client("others"), clock, ids, incarnation, source="test")
        async with SimLink(site, cloud, site=SITE) as link:
            world = World(clock, ids, site, cloud, link, recorder, tmp_path)
            await world.serve()
            rules = RulesActivated(version=4, hash="h", text=RULES, previous_version=0)
            await world.record(rules)
            yield world

    return make
