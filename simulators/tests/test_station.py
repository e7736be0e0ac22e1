"""Goal: a 2.x station tells its transactions as 2.0.1 E and real programs do, when the link comes and goes.

Method: the shipped process against a small central system on a real socket; killed, cut and rebooted. Every frame that
it sends or answers is held against the schemas of its version.
"""

from __future__ import annotations

import pytest

TOKEN = "DRIVER-1"


@pytest.fixture(params=["2.0.1", "2.1"])
def version(request):
    return request.param


@pytest.fixture
def stations(checked, charge_points, version):
    """A function from behaviours to a running station `CP-1` of two EVSEs."""
    return lambda **behaviour: charge_points(version=version, **behaviour)


async def begin(program, connector=1):
    await program.tell("plug", charge_point="CP-1", connector=connector, driver_token=TOKEN)
    return await program.event("session-started")


async def quiesce(program):
    await program.tell("quiesce")
    await program.event("all-quiesced")


def events(csms):
    return csms.of("TransactionEvent")


def kinds(csms):
    return [one.payload["eventType"] for one in events(csms)]


async def test_a_transaction_is_told_in_order_from_seq_no_zero(csms, stations, ledger):
    async with stations() as program:
        await program.event("online")
        await begin(program)
        await csms.until(lambda: kinds(csms).count("Updated") >= 4)
        await program.tell("unplug", charge_point="CP-1", connector=1)
        await quiesce(program)
    told = [one.payload for one in events(csms)]
    assert [one["seqNo"] for one in told] == list(range(len(told)))
    assert told[0]["eventType"] == "Started"
    assert told[0]["triggerReason"] == "Authorized"
    assert told[0]["idToken"]["idToken"] == TOKEN
    assert told[-1]["eventType"] == "Ended"
    assert told[-1]["triggerReason"] == "EVDeparted"
    assert len({one["transactionInfo"]["transactionId"] for one in told}) == 1
    assert not any("offline" in one for one in told)
    [session] = ledger("SELECT * FROM session")
    assert session["transaction_id"] == told[0]["transactionInfo"]["transactionId"]
    assert session["meter_start_wh"] == register(told[0])
    assert session["meter_stop_wh"] == register(told[-1]) > register(told[0])
    kept = ledger("SELECT action, payload FROM acknowledged WHERE session IS NOT NULL")
    assert [one["payload"] for one in kept] == [one.raw for one in events(csms)]


def register(payload):
    return payload["meterValue"][0]["sampledValue"][0]["value"]


async def test_charging_state_changes_are_told(csms, stations):
    async with stations() as program:
        await program.event("online")
        await begin(program)
        await csms.until(lambda: kinds(csms).count("Updated") >= 2)
    first, second = (one.payload for one in events(csms)[:2])
    assert first["transactionInfo"]["chargingState"] == "EVConnected"
    assert second["triggerReason"] == "ChargingStateChanged"
    assert second["transactionInfo"]["chargingState"] == "Charging"


async def test_the_cable_may_come_before_the_driver_token(csms, stations):
    async with stations(transaction_begins="cable") as program:
        await program.event("online")
        await begin(program)
        await csms.until(lambda: [one for one in events(csms) if "idToken" in one.payload])
    started = events(csms)[0].payload
    assert (started["eventType"], started["triggerReason"]) == ("Started", "CablePluggedIn")
    assert "idToken" not in started
    authorised = next(one.payload for one in events(csms) if "idToken" in one.payload)
    assert authorised["eventType"] == "Updated"
    assert authorised["triggerReason"] == "Authorized"
    assert authorised["transactionInfo"]["chargingState"] == "Charging"


async def test_a_driver_who_is_turned_away_at_a_cable_ends_the_transaction(csms, stations):
    csms.answers["Authorize"] = lambda _: {"idTokenInfo": {"status": "Blocked"}}
    # No periodic reading while the word is waited for, however long that takes.
    async with stations(transaction_begins="cable", meter_interval_s=600) as program:
        await program.event("online")
        await begin(program)
        await program.event("refused", reason="driver token not accepted")
        await csms.until(lambda: "Ended" in kinds(csms))
    assert kinds(csms) == ["Started", "Ended"]
    assert register(events(csms)[0].payload) == register(events(csms)[1].payload)


async def test_what_happened_without_a_link_is_flagged_and_told_in_order(csms, stations):
    async with stations() as program:
        await program.event("online")
        await program.tell("drop-link", charge_point="CP-1", for_s=0.5)
        await program.event("disconnected")
        await begin(program)
        await program.tell("stop", charge_point="CP-1", connector=1)
        await program.event("session-stopped")
        await quiesce(program)
    told = [one.payload for one in events(csms)]
    assert told
    assert all(one["offline"] is True for one in told)
    assert [one["seqNo"] for one in told] == list(range(len(told)))


async def test_what_still_waits_when_the_link_drops_is_flagged_too(csms, stations, ledger):
    csms.answers["TransactionEvent"] = lambda _: None
    async with stations() as program:
        await program.event("online")
        await begin(program)
        await csms.until(lambda: events(csms))
        await program.tell("drop-link", charge_point="CP-1")
        await program.event("disconnected")
        del csms.answers["TransactionEvent"]
        await quiesce(program)
    first, again, *others = events(csms)
    # What was sent once is sent again as it was; what had to wait says so.
    assert (again.message_id, again.raw) == (first.message_id, first.raw)
    assert "offline" not in first.payload
    assert others[0].payload["offline"] is True
    assert [one.payload["seqNo"] for one in [again, *others]] == list(range(len(others) + 1))


async def test_the_queue_survives_a_kill_and_keeps_its_order(csms, stations, ledger):
    csms.answers["TransactionEvent"] = lambda _: None
    async with stations() as program:
        await program.event("online")
        await begin(program)
        await csms.until(lambda: events(csms))
        await program.tell("unplug", charge_point="CP-1", connector=1)
        await program.event("session-stopped")
        waiting = ledger("SELECT count(*) AS n FROM queue WHERE session != ''")[0]["n"]
        await program.kill()
    del csms.answers["TransactionEvent"]
    async with stations() as program:
        await quiesce(program)
    told = events(csms)[1:]
    assert [one.payload["seqNo"] for one in told] == list(range(waiting))
    assert ledger("SELECT * FROM queue") == []


async def test_a_transaction_cut_by_a_kill_ends_with_power_loss(csms, stations):
    async with stations() as program:
        await program.event("online")
        await begin(program)
        await csms.until(lambda: kinds(csms).count("Updated") >= 3)
        await program.kill()
    async with stations() as program:
        await quiesce(program)
    [ended] = [one.payload for one in events(csms) if one.payload["eventType"] == "Ended"]
    assert ended["transactionInfo"]["stoppedReason"] == "PowerLoss"
    seen = {one.payload["seqNo"] for one in events(csms)}
    assert seen == set(range(ended["seqNo"] + 1))


async def test_a_transaction_that_resumes_goes_on_with_its_seq_nos(csms, stations):
    async with stations(session_after_reboot="resume") as program:
        await program.event("online")
        await begin(program)
        await csms.until(lambda: len(events(csms)) >= 3)
        await program.tell("reboot", charge_point="CP-1", kind="power-loss")
        await program.event("rebooting")
        before = len(events(csms))
        await csms.until(lambda: len(events(csms)) > before + 2)
        await quiesce(program)
    told = {one.payload["seqNo"]: one.payload for one in events(csms)}
    assert sorted(told) == list(range(len(told)))
    assert len({one["transactionInfo"]["transactionId"] for one in told.values()}) == 1


async def test_a_refused_start_ends_the_transaction(csms, stations):
    csms.answers["TransactionEvent"] = lambda frame: (
        {"idTokenInfo": {"status": "Invalid"}} if "idToken" in frame.payload else {}
    )
    async with stations() as program:
        await program.event("online")
        await begin(program)
        await csms.until(lambda: "Ended" in kinds(csms))
    ended = events(csms)[-1].payload
    assert ended["transactionInfo"]["stoppedReason"] == "DeAuthorized"
    assert ended["triggerReason"] == "Deauthorized"


async def test_a_full_queue_leaves_out_updates_and_says_which_seq_no_went(csms, stations, ledger):
    async with stations(queue_capacity=6, meter_interval_s=0.02) as program:
        await program.event("online")
        await program.tell("drop-link", charge_point="CP-1", for_s=1)
        await program.event("disconnected")
        await begin(program)
        await program.event("discarded", why="queue full")
        await quiesce(program)
    lost = len(ledger("SELECT * FROM discarded"))
    told = [one.payload["seqNo"] for one in events(csms)]
    assert kinds(csms)[0] == "Started"
    assert kinds(csms)[-1] == "Ended"
    assert told == sorted(told)
    assert told[-1] + 1 == len(told) + lost


async def test_readings_are_signed_at_begin_and_end_by_behaviour(csms, stations):
    async with stations(signed_values=True) as program:
        await program.event("online")
        await begin(program)
        await csms.until(lambda: kinds(csms).count("Updated") >= 3)
        await quiesce(program)
    signed = [
        one.payload["eventType"]
        for one in events(csms)
        if "meterValue" in one.payload
        and "signedMeterValue" in one.payload["meterValue"][0]["sampledValue"][0]
    ]
    assert signed == ["Started", "Ended"]


async def test_security_events_wait_for_an_answer_and_never_for_a_transaction(csms, stations):
    csms.answers["TransactionEvent"] = lambda _: "InternalError"
    async with stations() as program:
        await csms.until(lambda: csms.of("SecurityEventNotification"))
        [told] = csms.of("SecurityEventNotification")
        assert told.payload["type"] == "StartupOfTheDevice"
        csms.answers["SecurityEventNotification"] = lambda _: "InternalError"
        await program.tell("reboot", charge_point="CP-1", kind="soft")
        await csms.until(lambda: len(csms.of("SecurityEventNotification")) >= 6)
        del csms.answers["SecurityEventNotification"]
        await quiesce(program)


async def test_boot_tells_why_and_what_it_is(csms, stations):
    async with stations() as program:
        await program.event("online")
        await program.tell("reboot", charge_point="CP-1", kind="power-loss")
        await csms.until(lambda: len(csms.of("BootNotification")) == 2)
    first = csms.of("BootNotification")[0].payload
    assert first["reason"] == "PowerUp"
    assert first["chargingStation"]["vendorName"] == "Holdfast"
    assert {one.payload["evseId"] for one in csms.of("StatusNotification")} == {1, 2}


async def test_a_station_streams_and_settles_in_2_1_only(csms, stations, version):
    async with stations(stream_s=0.05, settles=True) as program:
        await program.event("online")
        await begin(program)
        await csms.until(lambda: kinds(csms).count("Updated") >= 3)
        if version == "2.1":
            await csms.until(lambda: len(csms.of("NotifyPeriodicEventStream")) >= 2)
        await quiesce(program)
    assert bool(csms.of("NotifyPeriodicEventStream")) == (version == "2.1")
    assert bool(csms.of("NotifySettlement")) == (version == "2.1")
