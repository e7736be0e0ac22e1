"""Goal: what a charge point says besides its transactions is in the journal once for each time it says it.

Method: the whole service in virtual time; the journal with its window in which the same id is stored once.
"""

from __future__ import annotations

import asyncio
import json

from holdfast.contracts.charge_point import ChargePointSaid
from holdfast.ocpp.versions import OcppVersion
from holdfast_testkit.sim_clock import virtual_time

ALARM = {"type": "TamperDetectionActivated", "timestamp": "2025-06-15T15:00:00Z"}


def said(place, action):
    return [json.loads(one.raw) for one in place.facts(ChargePointSaid) if one.action == action]


@virtual_time
async def test_within_the_journals_window_what_is_said_anew_is_stored(new_place):
    place = await new_place()
    place.begin()
    charger = await place.connect("CP-1", OcppVersion.V21)
    for activated in (True, False, True):
        payload = {"transactionId": "T", "activated": activated}
        await charger.call("NotifyPriorityCharging", payload)
    assert [one["activated"] for one in said(place, "NotifyPriorityCharging")] == [
        True,
        False,
        True,
    ]
    await place.kill()


@virtual_time
async def test_all_that_say_the_same_at_once_are_answered(new_place):
    place = await new_place()
    place.begin()
    charger = await place.connect("CP-1", OcppVersion.V201)
    calls = [charger.call("SecurityEventNotification", ALARM) for _ in range(3)]
    assert await asyncio.gather(*calls) == [{}] * 3
    assert said(place, "SecurityEventNotification") == [ALARM]
    await place.kill()


@virtual_time
async def test_over_a_kill_what_may_not_have_been_answered_is_a_repeat(new_place):
    place = await new_place()
    place.begin()
    charger = await place.connect("CP-1", OcppVersion.V201)
    await charger.call("SecurityEventNotification", ALARM)
    await asyncio.sleep(3)  # a snapshot
    await place.kill()
    place.begin()
    charger = await place.connect("CP-1", OcppVersion.V201)
    assert await charger.call("SecurityEventNotification", ALARM) == {}
    assert said(place, "SecurityEventNotification") == [ALARM]
    await charger.call("Heartbeat", {})
    assert await charger.call("SecurityEventNotification", ALARM) == {}
    assert said(place, "SecurityEventNotification") == [ALARM] * 2
    await place.kill()
