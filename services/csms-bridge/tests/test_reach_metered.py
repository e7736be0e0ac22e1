"""Goal: a site whose rules make its pulses slower is not called away between two of them."""

from __future__ import annotations

import asyncio

from csms_bridge.reach import Reach
from holdfast import subjects
from holdfast.contracts.journal import Copies, CopiesRequest, CopyStatus
from holdfast.rpc import serve
from holdfast_testkit.sim_bus import SimBus
from holdfast_testkit.sim_clock import SimClock, virtual_time


@virtual_time
async def test_a_site_is_away_when_three_of_its_own_pulses_are_missing():
    clock = SimClock()
    bus = SimBus(clock)
    reach = Reach(bus, clock, away_after_ms=15_000)

    async def copies(_: CopiesRequest, __: str) -> Copies:
        rows = tuple(
            CopyStatus(
                site=site,
                incarnation="aaaaaaaa",
                committed_seq=1,
                watermark=1,
                head_seq=1,
                chain_verified=True,
                retired=False,
                pulse_at_ms=1,
            )
            for site in ("metered", "wired")
        )
        return Copies(copies=rows)

    await serve(bus.client("journal"), subjects.cloud_rpc("copies"), CopiesRequest, copies)
    reach.expect("metered", 15_000)
    reach.expect("wired", 2_000)
    following = asyncio.create_task(reach.follow())
    await clock.sleep_ms(20_000)
    assert reach.is_reachable("metered")
    assert not reach.is_reachable("wired")
    await clock.sleep_ms(30_000)
    assert not reach.is_reachable("metered")
    following.cancel()
