"""Goal: the shell thins by the rules in force in the mode in force, and by none before it knows them; what it left out
is told after a restart, as far as it was written down.
"""

from __future__ import annotations

import json
import random

from holdfast.contracts.mode import Mode, ModeChanged, Reason
from holdfast.contracts.rules import RulesActivated
from holdfast.contracts.session import SessionMetered, SessionStopped
from holdfast.recorder import Incarnation, Recorder
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_clock import SimClock, SimIds, virtual_time

RULES = {
    "version": 1,
    "buffering": {
        "autonomous": {"meter_values_every_ms": 3_600_000, "meter_values_after_ms": 60_000}
    },
}


@virtual_time
async def test_readings_are_left_out_once_the_mode_has_lasted_long_enough(new_place):
    clock = SimClock()
    place = await new_place(clock)
    client = place.bus.client("others")
    incarnation = Incarnation(*place.journal.removeprefix("JOURNAL_").split("_"))
    recorder = Recorder(client, clock, SimIds(random.Random(3)), incarnation, source="test")

    async def enters(mode):
        fact = ModeChanged(
            previous=None,
            mode=mode,
            reasons=(Reason.PULSE_LOST,),
            since_ms=clock.now_ms(),
            disruption=None if mode is Mode.CONNECTED else "d",
        )
        await recorder.record(fact)

    await recorder.record(
        RulesActivated(version=1, hash="h", text=json.dumps(RULES), previous_version=0)
    )
    await enters(Mode.CONNECTED)
    place.begin()
    charger = await place.connect()
    transaction = await charger.start()
    sent = 0

    async def meter(times):
        nonlocal sent
        for _ in range(times):
            sent += 1
            value = {
                "timestamp": f"2025-06-15T15:{sent // 60:02d}:{sent % 60:02d}Z",
                "sampledValue": [{"value": str(1_000 + sent)}],
            }
            payload = {"connectorId": 1, "transactionId": transaction, "meterValue": [value]}
            assert await charger.call("MeterValues", payload) == {}
            await clock.sleep_ms(1_000)

    await meter(10)
    await enters(Mode.AUTONOMOUS)
    await meter(20)
    assert len(place.facts(SessionMetered)) == 30  # not yet: the mode has lasted half a minute
    await clock.sleep_ms(60_000)
    await meter(10)
    assert len(place.facts(SessionMetered)) == 31  # the one behind which some may be missing
    await enters(Mode.CONNECTED)
    await clock.sleep_ms(1_000)
    await meter(1)
    await charger.stop(transaction)
    await eventually(lambda: place.facts(SessionStopped))
    assert [fact.left_out for fact in place.facts(SessionMetered)][-1] == 9
    assert place.facts(SessionStopped)[0].left_out == 0
    await place.kill()


async def charging(place, clock, readings):
    """Under a rule that thins: all but the first are left out."""
    client = place.bus.client("others")
    incarnation = Incarnation(*place.journal.removeprefix("JOURNAL_").split("_"))
    recorder = Recorder(client, clock, SimIds(random.Random(3)), incarnation, source="test")
    rules = {"version": 1, "buffering": {"connected": {"meter_values_every_ms": 3_600_000}}}
    await recorder.record(
        ModeChanged(
            previous=None,
            mode=Mode.CONNECTED,
            reasons=(),
            since_ms=clock.now_ms(),
            disruption=None,
        )
    )
    await recorder.record(
        RulesActivated(version=1, hash="h", text=json.dumps(rules), previous_version=0)
    )
    charger = await place.connect()
    transaction = await charger.start()
    await clock.sleep_ms(2_000)
    for second in range(readings):
        await reads(charger, transaction, second)
    return transaction


async def reads(charger, transaction, second):
    value = {"timestamp": f"2025-06-15T15:00:{second:02d}Z", "sampledValue": [{"value": "1000"}]}
    payload = {"connectorId": 1, "transactionId": transaction, "meterValue": [value]}
    assert await charger.call("MeterValues", payload) == {}


async def told_after(place, clock, *, told_to_stop, wait_ms):
    place.begin(told_to_stop=told_to_stop)
    transaction = await charging(place, clock, 4)
    await clock.sleep_ms(wait_ms)
    await place.kill()
    place.begin()
    charger = await place.connect()
    await reads(charger, transaction, 9)
    await charger.stop(transaction)
    await eventually(lambda: place.facts(SessionStopped))
    await place.kill()
    first, second = place.facts(SessionMetered)
    assert (first.left_out, first.uncounted, first.thinning) == (0, False, True)
    return second.left_out, second.uncounted


@virtual_time
async def test_after_a_sigkill_what_was_not_written_down_yet_is_uncounted(new_place):
    clock = SimClock()
    place = await new_place(clock)
    assert await told_after(place, clock, told_to_stop=False, wait_ms=0) == (0, True)


@virtual_time
async def test_after_a_sigkill_what_was_written_down_is_counted(new_place):
    clock = SimClock()
    place = await new_place(clock)
    assert await told_after(place, clock, told_to_stop=False, wait_ms=3_000) == (3, True)


@virtual_time
async def test_who_is_told_to_stop_writes_all_of_it_down(new_place):
    clock = SimClock()
    place = await new_place(clock)
    assert await told_after(place, clock, told_to_stop=True, wait_ms=0) == (3, False)
