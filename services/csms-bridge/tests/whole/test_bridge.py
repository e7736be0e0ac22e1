"""Goal: the whole bridge keeps what its core promises, over restarts, takeovers, a CSMS that comes and goes.

Virtual time, a simulated NATS server, CSMSs in memory.
"""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from holdfast import subjects
from holdfast.bus import RequestFailed
from holdfast.contracts.command import Disposition
from holdfast.contracts.csms import (
    AskCsms,
    CaughtUp,
    CaughtUpRequest,
    DeliverySettled,
    OpenDelivery,
    Phase,
    SettleDelivery,
    Trouble,
)
from holdfast.contracts.decision import CloudVerdict
from holdfast.contracts.driver_tokens import TokenStatus
from holdfast.contracts.mode import CsmsState
from holdfast_testkit import facts_2x
from holdfast_testkit.sim_clock import virtual_time

SITE, LIFE = "berlin01", "aaaaaaaa"


def whole(csms, count: int) -> bool:
    """So many transactions, each with its readings and its end."""
    ended = [one for one in csms.transactions.values() if one["stop"] is not None]
    return len(ended) == count == len(csms.transactions)


@virtual_time
async def test_a_session_reaches_the_csms_whole(new_place, facts):
    place = await new_place()
    place.begin()
    await place.record(facts.connected(), facts.booted())
    await place.until(lambda: place.csms.actions() == ["BootNotification"])
    await place.record(facts.status("Preparing"), *facts.session(5))
    await place.until(lambda: whole(place.csms, 1))
    assert place.csms.transactions[1_000_001]["meters"] == 2
    assert place.csms.actions() == [
        "BootNotification",
        "StatusNotification",
        "StartTransaction",
        "MeterValues",
        "MeterValues",
        "StopTransaction",
    ]
    status = await place.status()
    assert [(view.phase, view.waiting, view.delivered) for view in status.charge_points] == [
        (Phase.ACCEPTED, 0, 5)
    ]


@virtual_time
async def test_what_was_recorded_while_no_bridge_ran_is_delivered_once(new_place, facts):
    place = await new_place()
    await place.record(facts.connected(), facts.booted(), *facts.session(5), facts.started(6))
    place.begin()
    await place.until(lambda: len(place.csms.transactions) == 2)
    await place.kill()
    await place.record(facts.metered(6), facts.stopped(6), *facts.session(7))
    place.begin()
    await place.until(lambda: whole(place.csms, 3))
    assert [one["meters"] for one in place.csms.transactions.values()] == [2, 1, 2]


@virtual_time
async def test_the_sites_of_a_killed_instance_are_taken_over_within_seconds(new_place, facts):
    place = await new_place()
    place.begin("bridge-1")
    place.begin("bridge-2")
    await place.record(facts.connected(), facts.booted(), facts.started(5))
    await place.until(lambda: len(place.csms.transactions) == 1)
    owner = (await place.owned()).owner
    await place.kill(owner)
    for end in list(place.csms.ends.values()):
        end.over.set()  # the kernel closes the sockets of a killed process
    began_ms = place.clock.monotonic_ms()
    await place.record(facts.metered(5), facts.stopped(5))
    await place.until(lambda: whole(place.csms, 1))
    assert place.clock.monotonic_ms() - began_ms < 10_000  # virtual time
    assert (await place.owned()).owner != owner
    assert place.csms.doubled == 0


@virtual_time
async def test_two_instances_never_speak_for_one_charge_point_at_once(new_place, facts):
    place = await new_place()
    place.begin("bridge-1")
    await place.record(facts.connected(), facts.booted(), facts.started(5))
    await place.until(lambda: len(place.csms.transactions) == 1)
    for number in range(2, 8):  # some of them are to have the site by its name
        place.begin(f"bridge-{number}")
        await place.clock.sleep_ms(7_000)
        await place.record(facts.metered(5))
    await place.record(facts.stopped(5))
    await place.until(lambda: whole(place.csms, 1))
    assert place.csms.transactions[1_000_001]["meters"] == 6
    assert place.csms.doubled == 0


@virtual_time
async def test_a_csms_that_is_away_is_down_for_its_site_and_gets_everything_afterwards(
    new_place, facts
):
    place = await new_place()
    place.begin()
    await place.record(facts.connected(), facts.booted(), facts.started(5))
    await place.until(lambda: len(place.csms.transactions) == 1)

    async def is_up() -> bool:
        return (await place.owned()).csms is CsmsState.UP

    await place.until(is_up)
    place.csms.down()

    async def is_down() -> bool:
        return (await place.owned()).csms is CsmsState.DOWN

    await place.until(is_down, within_s=15)
    await place.record(facts.metered(5), facts.stopped(5), *facts.session(6))
    place.csms.up = True
    await place.until(lambda: whole(place.csms, 2))
    await place.until(is_up)


@virtual_time
async def test_a_csms_that_falls_silent_is_down_too(new_place, facts):
    place = await new_place()
    place.begin()
    await place.record(facts.connected(), facts.booted())
    await place.until(lambda: place.csms.actions() == ["BootNotification"])
    place.csms.silent = True
    await place.record(facts.started(5))

    async def is_down() -> bool:
        return (await place.owned()).csms is CsmsState.DOWN

    await place.until(is_down, within_s=20)
    place.csms.silent = False
    await place.record(facts.stopped(5))
    await place.until(lambda: whole(place.csms, 1))


@virtual_time
async def test_caught_up_names_who_is_behind_and_what_is_refused(new_place, facts):
    place = await new_place()
    place.begin()
    place.csms.boot["CP-2"] = "Rejected"
    await place.record(facts.connected(), facts.booted(), *facts.session(5))
    await place.record(facts.connected("CP-2"), facts.booted("CP-2"), facts.started(9, "CP-2"))
    await place.until(lambda: whole(place.csms, 1))
    asked = CaughtUpRequest(incarnation=LIFE, seq=6)

    async def caught_up() -> CaughtUp:
        said: CaughtUp = await place.ask(subjects.up(SITE, "csms"), asked, CaughtUp)
        return said

    said = await caught_up()
    assert (said.csms, said.read, said.behind_count) == (CsmsState.UP, True, 0)
    assert any("CP-2" in point for point in said.open_points)
    place.csms.silent = True
    await place.record(facts.started(6))
    await place.clock.sleep_ms(1_000)
    asked = CaughtUpRequest(incarnation=LIFE, seq=10)
    said = await caught_up()
    assert said.behind == ("CP-1",)
    assert said.waiting == 1


@virtual_time
async def test_any_instance_gets_the_word_of_the_csms_on_a_driver(new_place, facts):
    place = await new_place()
    place.csms.tokens["STOLEN"] = "Blocked"
    place.begin("bridge-1")
    place.begin("bridge-2")
    await place.record(facts.connected(), facts.booted())
    await place.until(lambda: "BootNotification" in place.csms.actions())
    await place.clock.sleep_ms(1_000)
    for instance in ("bridge-1", "bridge-2"):
        asked = AskCsms(site=SITE, charge_point="CP-1", driver_token="STOLEN", budget_ms=800)
        subject = subjects.cloud_rpc_of("csms-authorise", instance)
        owner = (await place.owned()).owner
        if instance == owner:
            verdict = await place.ask(subject, asked, CloudVerdict)
            assert verdict.status is TokenStatus.BLOCKED
    for _ in range(4):  # the queue hands it to either
        verdict = await place.ask(subjects.cloud_rpc("csms-authorise"), asked, CloudVerdict)
        assert (verdict.known, verdict.status) == (True, TokenStatus.BLOCKED)


@virtual_time
async def test_a_driver_who_comes_with_the_first_message_of_all_is_asked_about(new_place, facts):
    place = await new_place()
    place.csms.tokens["STOLEN"] = "Blocked"
    place.begin()
    await place.record(facts.connected(charge_point="CP-2"), facts.booted(charge_point="CP-2"))
    await place.until(lambda: "BootNotification" in place.csms.actions("CP-2"))
    asked = AskCsms(site=SITE, charge_point="CP-1", driver_token="STOLEN", budget_ms=4_000)
    subject = subjects.cloud_rpc("csms-authorise")
    answer = asyncio.get_running_loop().create_task(place.ask(subject, asked, CloudVerdict))
    await place.clock.sleep_ms(100)
    assert not answer.done(), "nothing was read of it yet"
    await place.record(facts.connected(), facts.booted())
    assert (await answer).status is TokenStatus.BLOCKED
    nobody = asked.model_copy(update={"charge_point": "CP-9", "budget_ms": 300})
    with pytest.raises(RequestFailed, match="no answer in time"):
        await place.ask(subject, nobody, CloudVerdict)


@virtual_time
async def test_a_command_of_the_csms_goes_to_the_site_and_its_end_comes_back(new_place, facts):
    place = await new_place()
    place.begin()
    await place.record(facts.connected(), facts.booted(), facts.started(5))
    await place.until(lambda: len(place.csms.transactions) == 1)
    await place.clock.sleep_ms(500)
    call = asyncio.get_running_loop().create_task(
        place.csms.call("CP-1", "RemoteStopTransaction", {"transactionId": 1_000_001}, "x1")
    )
    await place.until(lambda: place.commands)
    (command,) = place.commands
    assert command.payload == {"transactionId": 5}
    await place.settle(command, Disposition.DELIVERED, '{"status":"Accepted"}')
    assert await call == {"status": "Accepted"}


@virtual_time
async def test_a_site_that_is_cut_off_is_said_to_be_at_once(new_place, facts):
    place = await new_place()
    place.begin()
    await place.record(facts.connected(), facts.booted())
    await place.until(lambda: "BootNotification" in place.csms.actions())
    place.pulses = False
    await place.clock.sleep_ms(20_000)
    assert "CP-1" in place.csms.ends, "held: the CSMS sees it online"
    started = {"idTag": "DRIVER-01", "connectorId": 1}
    answer = await place.csms.call("CP-1", "RemoteStartTransaction", started, "x1")
    assert answer == {"status": "Rejected"}
    kept = {"connectorId": 1, "type": "Inoperative"}
    answer = await place.csms.call("CP-1", "ChangeAvailability", kept, "x2")
    assert answer == {"status": "Scheduled"}
    await place.until(lambda: [one.action for one in place.commands] == ["ChangeAvailability"])
    await place.clock.sleep_ms(1_900_000)
    assert "CP-1" not in place.csms.ends, "the bound of the rule is over: it sees it offline"
    place.pulses = True
    await place.until(lambda: "CP-1" in place.csms.ends)


@virtual_time
async def test_a_csms_that_asks_in_the_middle_of_a_backlog_hears_that_messages_wait(new_place):
    """E14: it asks as soon as the link is back; the copy of the journal takes its time, and so does the answer."""
    place = await new_place()
    place.begin()
    await place.record(facts_2x.connected(), facts_2x.booted(), facts_2x.started())
    await place.until(lambda: len(place.csms.events) == 1)
    ids = count()

    async def asked(**payload):
        name = f"x{next(ids)}"
        return await place.csms.call("CP-1", "GetTransactionStatus", payload, name)

    place.pulses = False
    await place.clock.sleep_ms(20_000)
    assert (await asked(transactionId=facts_2x.TX))["messagesInQueue"]
    assert await asked() == {"messagesInQueue": True}
    place.pulses, place.head_seq = True, 5
    await place.clock.sleep_ms(5_000)
    for payload in ({}, {"transactionId": facts_2x.TX}, {"transactionId": "never heard of"}):
        assert (await asked(**payload))["messagesInQueue"], payload
    assert len(place.commands) == 3, "its station was asked, too"
    await place.record(facts_2x.metered(1), facts_2x.stopped(2))
    await place.until(lambda: len(place.csms.events) == 3)
    await place.clock.sleep_ms(5_000)
    assert await asked(transactionId=facts_2x.TX) == {
        "messagesInQueue": False,
        "ongoingIndicator": False,
    }
    assert await asked() == {"messagesInQueue": False}


@virtual_time
async def test_the_primary_can_be_switched_while_a_session_runs(new_place, facts):
    place = await new_place()
    place.routes({"site": SITE, "primary": "main", "followers": ["next"]})
    place.begin()
    await place.record(facts.connected(), facts.booted(), facts.started(5), facts.metered(5))
    follower = place.csmss["next"]
    await place.until(lambda: len(follower.transactions) == 1 == len(place.csms.transactions))
    stop = {"transactionId": 2_000_001}
    assert await follower.call("CP-1", "RemoteStopTransaction", stop, "x1") == {
        "status": "Rejected"
    }
    place.routes({"site": SITE, "primary": "next", "followers": ["main"]})

    async def switched() -> bool:
        status = await place.status()
        return [view.backend for view in status.charge_points if view.primary] == ["next"]

    await place.until(switched)
    call = asyncio.get_running_loop().create_task(
        follower.call("CP-1", "RemoteStopTransaction", stop, "x2")
    )
    await place.until(lambda: place.commands)
    assert place.commands[0].payload == {"transactionId": 5}
    await place.settle(place.commands[0], Disposition.DELIVERED, '{"status":"Accepted"}')
    assert await call == {"status": "Accepted"}
    await place.record(facts.stopped(5))
    await place.until(lambda: whole(follower, 1) and whole(place.csms, 1))


@virtual_time
async def test_a_backend_that_comes_later_is_told_what_runs_from_its_start(new_place, facts):
    place = await new_place()
    place.begin()
    await place.record(facts.connected(), facts.booted(), *facts.session(5))
    await place.record(facts.started(6), facts.metered(6), facts.status("Charging"))
    await place.until(lambda: len(place.csms.transactions) == 2)
    place.routes({"site": SITE, "primary": "main", "followers": ["next"]})
    late = place.csmss["next"]
    await place.until(lambda: len(late.transactions) == 1)
    await place.record(facts.metered(6), facts.stopped(6), *facts.session(7))
    await place.until(lambda: whole(late, 2) and whole(place.csms, 3))
    starts = [one["start"]["meterStart"] for one in late.transactions.values()]
    assert starts == [6, 7]
    assert [one["meters"] for one in late.transactions.values()] == [2, 2]


@virtual_time
async def test_a_backlog_larger_than_memory_comes_whole_and_in_order(new_place, facts):
    place = await new_place()
    place.csms.up = False
    place.begin(queue_max=20)
    await place.record(facts.connected(), facts.booted())
    for local in range(1, 41):
        await place.record(*facts.session(local, meters=3))
    await place.clock.sleep_ms(5_000)
    status = await place.status()
    assert status.charge_points[0].waiting <= 20
    place.csms.up = True
    await place.until(lambda: whole(place.csms, 40), within_s=300)
    starts = [one["start"]["meterStart"] for one in place.csms.transactions.values()]
    assert starts == list(range(1, 41))
    assert {one["meters"] for one in place.csms.transactions.values()} == {3}


@virtual_time
async def test_a_follower_that_was_sent_away_and_returns_is_told_what_it_missed(new_place, facts):
    place = await new_place()
    both = {"site": SITE, "primary": "main", "followers": ["next"]}
    place.routes(both)
    place.begin()
    await place.record(facts.connected(), facts.booted(), *facts.session(5))
    follower = place.csmss["next"]
    await place.until(lambda: whole(follower, 1) and whole(place.csms, 1))
    place.routes({"site": SITE, "primary": "main"})
    await place.until(lambda: "CP-1" not in follower.ends)
    await place.record(*facts.session(6))
    await place.until(lambda: whole(place.csms, 2))
    place.routes(both)
    await place.until(lambda: whole(follower, 2))
    assert [one["meters"] for one in follower.transactions.values()] == [2, 2]
    assert follower.actions().count("StartTransaction") == 2


@virtual_time
async def test_one_stuck_charge_point_does_not_hold_the_reading_of_a_site_at_its_beginning(
    new_place, facts
):
    place = await new_place()
    place.csms.boot["CP-2"] = "Rejected"
    place.begin()
    await place.record(facts.connected(), facts.booted())
    for local in range(1, 11):
        await place.record(*facts.session(local))
    await place.until(lambda: whole(place.csms, 10))
    await place.clock.sleep_ms(3_000)
    await place.record(facts.connected("CP-2"), facts.booted("CP-2"), facts.started(50, "CP-2"))
    stuck_seq = 45
    await place.clock.sleep_ms(5_000)
    await place.record(*facts.session(11))
    await place.until(lambda: whole(place.csms, 11))
    await place.clock.sleep_ms(5_000)
    read_seq = (await place.owned()).read_seq
    assert 40 <= read_seq < stuck_seq
    await place.kill()
    place.csms.boot.clear()
    place.begin()
    await place.record(facts.stopped(50, "CP-2"))
    await place.until(lambda: whole(place.csms, 12))
    assert len(place.csms.actions("CP-1")) - place.csms.actions("CP-1").count(
        "BootNotification"
    ) == (11 * 4), "nothing of the others went up twice"


@virtual_time
async def test_what_the_stream_lost_before_it_was_read_is_named(new_place, facts):
    place = await new_place()
    place.begin()
    await place.record(facts.connected(), facts.booted(), *facts.session(5))
    await place.until(lambda: whole(place.csms, 1))
    await place.clock.sleep_ms(5_000)
    await place.kill()
    await place.record(*facts.session(6))
    await place.record(*facts.session(7))
    await place.bus.trim(subjects.CLOUD_JOURNAL, 11)  # its age limit, while no bridge ran
    place.begin()
    await place.until(lambda: len(place.csms.transactions) == 2)
    status = await place.status()
    assert any("gone before there was room" in one.what for one in status.open_deliveries)
    starts = [one["start"]["meterStart"] for one in place.csms.transactions.values()]
    assert starts == [5, 7]


@virtual_time
async def test_a_person_settles_an_open_delivery_through_any_instance(new_place, facts):
    place = await new_place()
    place.begin("bridge-1")
    place.begin("bridge-2")
    await place.record(facts.connected(), facts.booted(), facts.stopped(77))

    async def open_deliveries() -> tuple[OpenDelivery, ...]:
        return (await place.status()).open_deliveries

    await place.until(open_deliveries)
    (one,) = await open_deliveries()
    assert one.trouble is Trouble.QUARANTINED
    word = SettleDelivery(
        site=SITE,
        backend="main",
        charge_point="CP-1",
        trouble=one.trouble,
        incarnation=one.incarnation,
        seq=one.seq,
        by="night desk",
    )
    subject = subjects.cloud_rpc("upstream-settle")
    assert (await place.ask(subject, word, DeliverySettled)).settled == 1
    assert await open_deliveries() == ()
    owner = (await place.owned()).owner
    await place.clock.sleep_ms(1_000)
    await place.kill(owner)
    await place.until(lambda: "CP-1" in place.csms.ends)
    assert await open_deliveries() == ()


@virtual_time
async def test_a_site_goes_back_to_an_instance_that_returns_without_a_gap(new_place, facts):
    place = await new_place()
    place.begin("bridge-1")
    place.begin("bridge-2")
    await place.record(facts.connected(), facts.booted(), facts.started(5))
    await place.until(lambda: len(place.csms.transactions) == 1)
    first = (await place.owned()).owner
    await place.kill(first)
    for end in list(place.csms.ends.values()):
        end.over.set()

    async def owned_by(name: str) -> bool:
        return (await place.owned()).owner == name

    (other,) = {"bridge-1", "bridge-2"} - {first}
    await place.until(lambda: owned_by(other))
    place.begin(first)
    unowned_ms, began_ms = 0, place.clock.monotonic_ms()
    while not await owned_by(first):
        unowned_ms += 50 if (await place.owned()).owner is None else 0
        await place.clock.sleep_ms(50)
        assert place.clock.monotonic_ms() - began_ms < 60_000
    assert unowned_ms <= 1_000  # virtual time: a site that nobody speaks for looks down
    await place.record(facts.stopped(5))
    await place.until(lambda: whole(place.csms, 1))
    assert place.csms.doubled == 0
