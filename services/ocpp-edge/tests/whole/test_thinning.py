"""Goal: the shell thins by the rules in force in the mode in force, and by none before it knows them."""

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
    assert len(place.facts(SessionMetered)) == 30
    await enters(Mode.CONNECTED)
    await clock.sleep_ms(1_000)
    await meter(1)
    await charger.stop(transaction)
    await eventually(lambda: place.facts(SessionStopped))
    assert [fact.left_out for fact in place.facts(SessionMetered)][-1] == 10
    assert place.facts(SessionStopped)[0].left_out == 0
    await place.kill()
