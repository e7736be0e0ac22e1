"""Goal: whatever happens at the door, an operator reads of it soon, and the journal is not filled by it.

Method: notices over a simulated journal on virtual time.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager

from holdfast import subjects
from holdfast.bus import StreamSpec
from holdfast.contracts.registry import EntryProblem
from holdfast.entries import read
from holdfast.recorder import Incarnation, Recorder
from holdfast_testkit.sim_bus import SimBus
from holdfast_testkit.sim_clock import SimClock, SimIds, virtual_time
from ocpp_edge.notices import AGAIN_EVERY_MS, AT_ONCE_MAX, KINDS_MAX, Notices

SITE, LIFE = "berlin01", "aaaaaaaa"
GUESSED = EntryProblem.TOO_MANY_FAILURES


@asynccontextmanager
async def running():
    """The notices, their clock, and how to read what was told."""
    clock = SimClock()
    bus = SimBus(clock)
    incarnation = Incarnation(SITE, LIFE)
    spec = StreamSpec(
        name=incarnation.journal, subjects=(subjects.journal_all(SITE),), bytes_max=1 << 24, when_full="refuse"
    )  # fmt: skip
    await bus.ensure_stream(spec)
    recorder = Recorder(bus.client("e"), clock, SimIds(random.Random(1)), incarnation, "ocpp-edge")
    notices = Notices(recorder, clock)
    task = asyncio.get_running_loop().create_task(notices.run())

    def told():
        return [read(it).fact for it in bus.disk.streams[incarnation.journal].messages.values()]

    yield notices, clock, told
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@virtual_time
async def test_the_first_is_told_at_once_and_its_like_are_counted_for_a_minute():
    async with running() as (notices, clock, told):
        for _ in range(1_000):
            notices.noticed(GUESSED, "CP-1", "10.0.0.9")
        await clock.sleep_ms(2_000)
        assert [it.times for it in told()] == [1_000]
        for _ in range(500):
            notices.noticed(GUESSED, "CP-1", "10.0.0.9")
            await clock.sleep_ms(10)
        assert len(told()) == 1
        await clock.sleep_ms(125_000)
        assert [it.times for it in told()] == [1_000, 500]


@virtual_time
async def test_what_is_mended_before_it_was_told_again_is_not_told_as_if_it_stood():
    wrong, guessed = EntryProblem.SECURITY_PROFILE, EntryProblem.TOO_MANY_FAILURES
    async with running() as (notices, clock, told):
        for _ in range(2):
            for problem in (wrong, guessed):
                notices.noticed(problem, "CP-1", "10.0.0.9", "registered with 2, came with 1")
            notices.noticed(wrong, "CP-1", "10.0.0.8")
            await clock.sleep_ms(5_000)
        notices.mended("CP-1", (wrong,), "10.0.0.9")
        await clock.sleep_ms(125_000)
        assert sorted((it.problem, it.address) for it in told()[3:]) == [
            (wrong, "10.0.0.8"),
            (guessed, "10.0.0.9"),
        ]
        notices.noticed(wrong, "CP-1", "10.0.0.9", "again")
        await clock.sleep_ms(2_000)
        assert told()[-1].detail == "again"


@virtual_time
async def test_of_very_many_claims_the_journal_gets_few_and_none_is_lost_from_the_count():
    async with running() as (notices, clock, told):
        for number in range(10_000):
            notices.noticed(GUESSED, f"CP-{number}", f"10.0.{number // 250}.{number % 250}")
        await clock.sleep_ms(3_000)
        assert len(told()) == AT_ONCE_MAX
        await clock.sleep_ms(2 * (KINDS_MAX + 2) * AGAIN_EVERY_MS)
        assert len(told()) == KINDS_MAX + 1
        assert sum(it.times for it in told()) == 10_000
        assert [it.claimed for it in told()].count(None) == 1


@virtual_time
async def test_an_attack_of_a_day_is_a_bounded_number_of_facts():
    async with running() as (notices, clock, told):
        for minute in range(24 * 60):
            for number in range(200):
                notices.noticed(GUESSED, f"CP-{number}-{minute % 7}", None)
            await clock.sleep_ms(60_000)
        assert len(told()) <= AT_ONCE_MAX + 24 * 3_600_000 // AGAIN_EVERY_MS
