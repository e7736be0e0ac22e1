"""Goal: an override is journaled before it is answered, outlives its process, and is one story in the journal.

Method: the app on SimBus and virtual time, as in `test_app.py`.
"""

from __future__ import annotations

import pytest

from holdfast.contracts.mode import (
    Mode,
    ModeChanged,
    OverrideBegun,
    OverrideEnded,
    OverrideKind,
    Reason,
)
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_clock import virtual_time


@virtual_time
async def test_an_override_is_journaled_before_it_is_answered_and_ends_by_itself(a_world):
    async with a_world() as world, world.running():
        await world.connect()
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
        await world.connect()
        await world.begin_override(for_ms=600_000)
        await world.until(Mode.AUTONOMOUS)
        assert (await world.end_override()).accepted
        await world.finish_recovery()
        await world.until(Mode.CONNECTED)
        [ended] = await world.entries(OverrideEnded)
        assert ended.fact.by == "ops"
        again = await world.end_override()
        assert not again.accepted
        assert "nothing to end" in again.reason


@virtual_time
async def test_a_newer_override_replaces_the_older_and_says_so(a_world):
    async with a_world() as world, world.running():
        await world.connect()
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
            await world.connect()
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
            await world.connect()
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
        await world.connect()
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
        await world.connect()
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
        await world.connect()
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
        await world.connect()
        receipt = await world.begin_override(for_ms=30 * 86_400_000)
        assert not receipt.accepted
        assert "7 days" in receipt.reason
        assert await world.entries(OverrideBegun) == []
