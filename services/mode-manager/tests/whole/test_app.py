"""Goal: the shell around the core: pulses cross a real (simulated) link, changes reach the journal, restarts go on.

Method: the app runs unchanged on SimBus and virtual time; journal service and cloud are small stand-ins that
answer as contracts say.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from prometheus_client import generate_latest

from holdfast import subjects
from holdfast.contracts.csms import CaughtUp, CaughtUpRequest
from holdfast.contracts.decision import (
    AuthoriseInputs,
    AuthoriseVerdict,
    Basis,
    CloudAnswer,
    DecisionMade,
)
from holdfast.contracts.driver_tokens import TokenStatus
from holdfast.contracts.journal import StorageLevel
from holdfast.contracts.mode import (
    CsmsState,
    Mode,
    ModeStatus,
    Reason,
)
from holdfast.recorder import IncarnationChanged
from holdfast.rpc import serve
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_clock import virtual_time


@virtual_time
async def test_a_new_site_connects_through_recovery(a_world):
    async with a_world() as world, world.running() as context:
        await world.connect()
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
        await serve(
            bridge, subjects.up(world.recorder.incarnation.site, "csms"), CaughtUpRequest, csms
        )
        async with world.running():
            await world.connect()
            assert (await world.status()).csms is CsmsState.UP
            state = CsmsState.DOWN
            assert Reason.CSMS in (await world.until(Mode.DEGRADED)).reasons
            state = CsmsState.UP
            await world.connect()
            bridge.close()  # a bridge that is gone reaches no CSMS
            assert Reason.CSMS in (await world.until(Mode.DEGRADED)).reasons


@pytest.mark.parametrize(
    ("way", "silent"), [("both", False), ("both", True), ("up", True), ("down", True)]
)
@virtual_time
async def test_every_kind_of_cut_is_noticed_in_time_and_healed(a_world, way, silent):
    async with a_world() as world, world.running():
        await world.connect()
        await world.clock.sleep_ms(60_000)
        cut_ms = world.clock.now_ms()
        world.link.cut(way, silent=silent)
        late = await world.until(Mode.DEGRADED)
        lost = await world.until(Mode.AUTONOMOUS)
        assert late.since_ms - cut_ms <= 15_000
        assert lost.since_ms - cut_ms <= 30_000
        assert lost.reasons[0] is Reason.PULSE_LOST
        world.link.heal()
        await world.connect()


@virtual_time
async def test_a_restart_goes_on_in_the_mode_and_disruption_it_was_in(a_world):
    async with a_world() as world:
        async with world.running():
            await world.connect()
            world.link.cut()
            before = await world.until(Mode.AUTONOMOUS)
        async with world.running():
            after = await world.until(Mode.AUTONOMOUS)
            assert (after.disruption, after.since_ms) == (before.disruption, before.since_ms)
            world.link.heal()
            await world.connect()
        history = await world.history()
        for earlier, later in pairwise(history):
            assert later.previous is earlier.mode


@virtual_time
async def test_a_mode_is_in_force_while_the_disk_refuses_and_is_written_afterwards(a_world):
    async with a_world() as world, world.running() as context:
        await world.connect()
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
            await world.connect()
        last = (await world.site.state(world.journal)).last_seq
        await world.site.trim(world.journal, last + 1)
        async with world.running():
            await world.until(Mode.CONNECTED)
        assert (await world.site.state(world.journal)).last_seq == last


@virtual_time
async def test_a_decision_made_while_degraded_leads_back_through_recovery(a_world):
    async with a_world() as world, world.running():
        await world.connect()
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
        await world.connect()
        world.link.cut()
        begun = world.pulses
        await world.clock.sleep_ms(20_000)
        assert world.pulses == begun
        world.link.heal()
        await world.clock.sleep_ms(20_000)
        assert 8 <= world.pulses - begun <= 12
