"""Goal: the shell around the core: pulses cross a real (simulated) link, changes reach the journal, restarts go on.

Method: the app runs unchanged on SimBus and virtual time; journal service and cloud are small stand-ins that
answer as contracts say.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise

import pytest
from prometheus_client import generate_latest

from holdfast import subjects
from holdfast.bus import StreamSpec
from holdfast.contracts.csms import CaughtUp, CaughtUpRequest
from holdfast.contracts.decision import (
    AuthoriseInputs,
    AuthoriseVerdict,
    Basis,
    CloudAnswer,
    DecisionMade,
)
from holdfast.contracts.journal import HeadRequest, StorageLevel, StorageStatus
from holdfast.contracts.mode import (
    BeginOverride,
    CsmsState,
    EndOverride,
    Head,
    Mode,
    ModeChanged,
    ModeStatus,
    OverrideBegun,
    OverrideEnded,
    OverrideKind,
    OverrideReceipt,
    Pulse,
    PulseReply,
    Reason,
)
from holdfast.contracts.recovery import RecoveryFinished
from holdfast.contracts.rpc import Empty
from holdfast.contracts.rules import RulesActivated, TokenStatus
from holdfast.entries import read
from holdfast.health import Health
from holdfast.recorder import Incarnation, IncarnationChanged, Recorder
from holdfast.rpc import call, serve
from holdfast.service import Context
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_bus import SimBus
from holdfast_testkit.sim_clock import SimClock, SimIds, virtual_time
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


async def finish_recovery(world: World) -> None:
    found = await world.until(Mode.RECOVERY)
    await world.record(RecoveryFinished(disruption=found.disruption, open_points=()))


async def connect(world: World) -> None:
    await finish_recovery(world)
    await world.until(Mode.CONNECTED)


@virtual_time
async def test_a_new_site_connects_through_recovery(a_world):
    async with a_world() as world, world.running() as context:
        await connect(world)
        modes = [fact.mode for fact in await world.history()]
        assert modes == [Mode.AUTONOMOUS, Mode.RECOVERY, Mode.CONNECTED]
        found = await world.status()
        assert found.disruption is None
        assert found.stable_link
        assert found.desired_rules_version == 4
        metrics = generate_latest(context.health.registry).decode()
        assert 'holdfast_mode{mode="connected"} 1.0' in metrics
        assert 'holdfast_mode{mode="recovery"} 0.0' in metrics
        labels = 'from="recovery",reason="recovered",to="connected"'
        assert f"holdfast_mode_transitions_total{{{labels}}} 1.0" in metrics
        assert "holdfast_uplink_last_pulse_timestamp_seconds 1.7" in metrics


@virtual_time
async def test_a_bridge_at_the_site_says_how_the_csms_is(a_world):
    async with a_world() as world:
        world.csms_at_site = True
        state = CsmsState.UP

        async def csms(_: CaughtUpRequest, __: str) -> CaughtUp:
            return CaughtUp(
                csms=state, read=True, behind=(), behind_count=0, waiting=0, open_points=()
            )

        bridge = world.site.client("csms-bridge")
        await serve(bridge, subjects.up(SITE, "csms"), CaughtUpRequest, csms)
        async with world.running():
            await connect(world)
            assert (await world.status()).csms is CsmsState.UP
            state = CsmsState.DOWN
            assert Reason.CSMS in (await world.until(Mode.DEGRADED)).reasons
            state = CsmsState.UP
            await connect(world)
            bridge.close()  # a bridge that is gone reaches no CSMS
            assert Reason.CSMS in (await world.until(Mode.DEGRADED)).reasons


@pytest.mark.parametrize(
    ("way", "silent"), [("both", False), ("both", True), ("up", True), ("down", True)]
)
@virtual_time
async def test_every_kind_of_cut_is_noticed_in_time_and_healed(a_world, way, silent):
    async with a_world() as world, world.running():
        await connect(world)
        await world.clock.sleep_ms(60_000)
        cut_ms = world.clock.now_ms()
        world.link.cut(way, silent=silent)
        late = await world.until(Mode.DEGRADED)
        lost = await world.until(Mode.AUTONOMOUS)
        assert late.since_ms - cut_ms <= 15_000
        assert lost.since_ms - cut_ms <= 30_000
        assert lost.reasons[0] is Reason.PULSE_LOST
        world.link.heal()
        await connect(world)


@virtual_time
async def test_a_restart_goes_on_in_the_mode_and_disruption_it_was_in(a_world):
    async with a_world() as world:
        async with world.running():
            await connect(world)
            world.link.cut()
            before = await world.until(Mode.AUTONOMOUS)
        async with world.running():
            after = await world.until(Mode.AUTONOMOUS)
            assert (after.disruption, after.since_ms) == (before.disruption, before.since_ms)
            world.link.heal()
            await connect(world)
        history = await world.history()
        for earlier, later in pairwise(history):
            assert later.previous is earlier.mode


@virtual_time
async def test_a_mode_is_in_force_while_the_disk_refuses_and_is_written_afterwards(a_world):
    async with a_world() as world, world.running() as context:
        await connect(world)
        world.site.disk.refuse_writes = True
        world.level = StorageLevel.HARD

        async def degraded() -> ModeStatus | None:
            found = await world.status()
            return found if found.mode is Mode.DEGRADED else None

        found = await eventually(degraded, within_s=15)
        assert not found.journaled
        assert found.reasons == (Reason.STORAGE,)
        await eventually(lambda: not context.health.is_ok)
        world.site.disk.refuse_writes = False
        await world.until(Mode.DEGRADED)
        history = await world.history()
        assert (history[-1].mode, history[-1].since_ms) == (Mode.DEGRADED, found.since_ms)
        assert context.health.is_ok


@virtual_time
async def test_a_journal_trimmed_past_its_last_mode_does_not_make_the_site_forget_it(a_world):
    async with a_world() as world:
        async with world.running():
            await connect(world)
        last = (await world.site.state(world.journal)).last_seq
        await world.site.trim(world.journal, last + 1)
        async with world.running():
            await world.until(Mode.CONNECTED)
        assert (await world.site.state(world.journal)).last_seq == last


@virtual_time
async def test_a_decision_made_while_degraded_leads_back_through_recovery(a_world):
    async with a_world() as world, world.running():
        await connect(world)
        await world.clock.sleep_ms(60_000)
        world.level = StorageLevel.SOFT
        await world.until(Mode.DEGRADED)
        inputs = AuthoriseInputs(
            at_ms=1,
            mode=Mode.DEGRADED,
            driver_token_hash="h",
            listed=None,
            list_version=0,
            cached=None,
            cloud=CloudAnswer.TOO_LATE,
            cloud_status=None,
        )
        verdict = AuthoriseVerdict(status=TokenStatus.INVALID, basis=Basis.UNKNOWN_POLICY)
        await world.record(
            DecisionMade(
                decision="d",
                charge_point="CP-01",
                rules_version=4,
                clause="c",
                inputs=inputs,
                verdict=verdict,
                explanation="e",
            )
        )
        world.level = StorageLevel.OK
        await world.until(Mode.RECOVERY)


@virtual_time
async def test_a_journal_of_another_incarnation_ends_the_process(a_world):
    async with a_world() as world:
        world.head_incarnation = "bbbbbbbb"
        with pytest.raises(BaseExceptionGroup) as ended:
            async with world.running():
                await asyncio.sleep(60)
        assert ended.group_contains(IncarnationChanged)


@virtual_time
async def test_pulses_keep_their_pace_after_a_black_hole(a_world):
    async with a_world() as world, world.running():
        await connect(world)
        world.link.cut()
        begun = world.pulses
        await world.clock.sleep_ms(20_000)
        assert world.pulses == begun
        world.link.heal()
        await world.clock.sleep_ms(20_000)
        assert 8 <= world.pulses - begun <= 12


# --- local overrides ---


@virtual_time
async def test_an_override_is_journaled_before_it_is_answered_and_ends_by_itself(a_world):
    async with a_world() as world, world.running():
        await connect(world)
        receipt = await world.begin_override(for_ms=60_000)
        assert receipt.accepted
        [begun] = await world.entries(OverrideBegun)
        assert begun.fact.override == receipt.override
        found = await world.until(Mode.AUTONOMOUS)
        assert (found.reasons, found.override) == ((Reason.MAINTENANCE,), receipt.override)
        await world.until(Mode.RECOVERY, within_s=70)
        [ended] = await world.entries(OverrideEnded)
        assert (ended.fact.by, ended.fact.standing) == (None, ())
        assert ended.entry.envelope.cause == begun.entry.envelope.id
        changes = await world.entries(ModeChanged)
        assert changes[-2].entry.envelope.cause == begun.entry.envelope.id
        assert changes[-1].entry.envelope.cause == ended.entry.envelope.id
        assert ended.entry.seq < changes[-1].entry.seq


@virtual_time
async def test_an_override_is_ended_by_hand_and_a_second_end_finds_nothing(a_world):
    async with a_world() as world, world.running():
        await connect(world)
        await world.begin_override(for_ms=600_000)
        await world.until(Mode.AUTONOMOUS)
        assert (await world.end_override()).accepted
        await finish_recovery(world)
        await world.until(Mode.CONNECTED)
        [ended] = await world.entries(OverrideEnded)
        assert ended.fact.by == "ops"
        again = await world.end_override()
        assert not again.accepted
        assert "nothing to end" in again.reason


@virtual_time
async def test_a_newer_override_replaces_the_older_and_says_so(a_world):
    async with a_world() as world, world.running():
        await connect(world)
        first = await world.begin_override(for_ms=600_000)
        second = await world.begin_override(for_ms=60_000)
        assert "in place of the one until" in second.reason
        status = await world.status()
        assert status.overrides == (second.override,)
        begun = (await world.entries(OverrideBegun))[-1].fact
        assert begun.replaces == first.override.id


@pytest.mark.parametrize("trimmed", [False, True])
@virtual_time
async def test_an_override_outlives_a_restart_also_past_a_trimmed_journal(a_world, trimmed):
    async with a_world() as world:
        async with world.running():
            await connect(world)
            receipt = await world.begin_override(for_ms=600_000)
            await world.until(Mode.AUTONOMOUS)
            await world.clock.sleep_ms(1_000)
        if trimmed:
            last = (await world.site.state(world.journal)).last_seq
            await world.site.trim(world.journal, last + 1)
        async with world.running():
            await world.clock.sleep_ms(120_000)
            found = await world.status()
            assert (found.mode, found.override) == (Mode.AUTONOMOUS, receipt.override)
            await world.end_override()
            await world.until(Mode.RECOVERY)


@virtual_time
async def test_a_time_that_ran_out_while_the_process_was_dead_is_noticed(a_world):
    async with a_world() as world:
        async with world.running():
            await connect(world)
            await world.begin_override(for_ms=10_000)
            await world.until(Mode.AUTONOMOUS)
        await world.clock.sleep_ms(60_000)
        async with world.running():
            await world.until(Mode.RECOVERY)
        [ended] = await world.entries(OverrideEnded)
        assert ended.fact.why == "its time is up"


@virtual_time
async def test_an_override_that_the_disk_does_not_take_changes_nothing(a_world):
    async with a_world() as world, world.running():
        await connect(world)
        world.site.disk.refuse_writes = True
        receipt = await world.begin_override(for_ms=60_000)
        assert not receipt.accepted
        assert "nothing was changed" in receipt.reason
        assert (await world.status()).override is None
        world.site.disk.refuse_writes = False
        assert (await world.begin_override(for_ms=60_000)).accepted


@virtual_time
async def test_an_override_whose_confirmation_got_lost_is_in_force_if_it_was_stored(a_world):
    """The journal decides, not what the desk believed."""
    async with a_world() as world, world.running():
        await connect(world)
        receipt = await world.begin_override(for_ms=600_000)
        await world.until(Mode.AUTONOMOUS)
        standing = (receipt.override.model_copy(update={"id": "another"}),)
        await world.record(OverrideBegun(override=standing[0], replaces=None, standing=standing))

        async def is_known():
            return (await world.status()).overrides == standing

        await eventually(is_known, within_s=5)


@virtual_time
async def test_an_end_that_came_while_the_disk_refused_says_what_stands_when_it_is_written(a_world):
    async with a_world() as world, world.running():
        await connect(world)
        planned = await world.begin_override(for_ms=600_000, kind=OverrideKind.PLANNED_DISRUPTION)
        await world.begin_override(for_ms=5_000)
        await world.until(Mode.AUTONOMOUS)
        world.site.disk.refuse_writes = True
        await world.clock.sleep_ms(20_000)
        assert (await world.status()).overrides == (planned.override,)
        world.site.disk.refuse_writes = False
        await eventually(lambda: world.entries(OverrideEnded), within_s=60)
        [ended] = await world.entries(OverrideEnded)
        assert ended.fact.standing == (planned.override,)


@virtual_time
async def test_an_override_out_of_bounds_is_refused_and_nothing_is_journaled(a_world):
    async with a_world() as world, world.running():
        await connect(world)
        receipt = await world.begin_override(for_ms=30 * 86_400_000)
        assert not receipt.accepted
        assert "7 days" in receipt.reason
        assert await world.entries(OverrideBegun) == []
