"""Goal: the backends file may change at any time: nothing is doubled, lost or stuck for it."""

from __future__ import annotations

import asyncio

from holdfast import subjects
from holdfast.contracts.csms import CaughtUp, CaughtUpRequest
from holdfast_testkit.sim_clock import virtual_time

SITE, LIFE = "berlin01", "aaaaaaaa"


@virtual_time
async def test_a_backend_that_is_described_anew_gets_a_new_connection_after_the_old_has_ended(
    new_place, facts
):
    place = await new_place()
    place.csms.closes_ms = 1_500  # its closing handshake takes a while
    place.begin()
    await place.record(facts.connected(), facts.booted(), facts.started(5))
    await place.until(lambda: len(place.csms.transactions) == 1)
    place.deduplicates = False
    place.routes({"site": SITE, "primary": "main"})
    await place.until(lambda: place.csms.actions().count("BootNotification") == 2)
    await place.record(facts.metered(5), facts.stopped(5))
    await place.until(lambda: place.csms.transactions[1_000_001]["stop"] is not None)
    assert place.csms.doubled == 0
    assert place.csms.transactions[1_000_001]["meters"] == 1


@virtual_time
async def test_what_is_recorded_while_the_old_connection_closes_is_told_on_the_new_one(
    new_place, facts
):
    place = await new_place()
    place.csms.closes_ms = 1_500
    place.begin()
    await place.record(facts.connected(), facts.booted())
    await place.until(lambda: "CP-1" in place.csms.ends)
    place.deduplicates = False
    place.routes({"site": SITE, "primary": "main"})
    for session in range(5, 25):  # the file is noticed at some time among these
        await place.record(*facts.session(session))
        await place.clock.sleep_ms(200)
    await place.until(lambda: place.csms.actions().count("BootNotification") == 2)
    await place.clock.sleep_ms(30_000)
    stopped = [one for one in place.csms.transactions.values() if one["stop"] is not None]
    assert len(stopped) == 20
    assert place.csms.doubled == 0


@virtual_time
async def test_a_charge_point_without_news_is_caught_up_after_its_role_went_and_came(
    new_place, facts
):
    place = await new_place()
    place.begin()
    await place.record(facts.connected(), facts.booted())
    await place.record(facts.connected("CP-2"), facts.booted("CP-2"))
    await place.until(lambda: {"CP-1", "CP-2"} <= place.csms.ends.keys())
    place.routes({"site": SITE, "primary": "next"})
    await place.until(lambda: {"CP-1", "CP-2"} <= place.csmss["next"].ends.keys())
    await place.record(*facts.session(5, "CP-2"))  # of another charge point
    await place.until(lambda: len(place.csmss["next"].transactions) == 1)
    place.routes({"site": SITE, "primary": "main"})
    await place.until(lambda: {"CP-1", "CP-2"} <= place.csms.ends.keys())
    asked = CaughtUpRequest(incarnation=LIFE, seq=8)

    async def caught_up() -> bool:
        said = await place.ask(subjects.up(SITE, "csms"), asked, CaughtUp)
        return said.read and said.behind_count == 0

    await place.until(caught_up, within_s=20)


@virtual_time
async def test_a_csms_that_asks_faster_than_it_listens_gets_every_answer(new_place, facts):
    place = await new_place()
    place.begin()
    await place.record(facts.connected(), facts.booted())
    await place.until(lambda: "BootNotification" in place.csms.actions())
    await place.clock.sleep_ms(500)
    calls = (place.csms.call("CP-1", "ClearCache", {}, f"x{number}") for number in range(300))
    answers = await asyncio.gather(*calls)
    assert answers == [{"status": "Rejected"}] * 300
