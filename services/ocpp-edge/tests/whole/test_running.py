"""Goal: who asks whether a driver may start says where else that driver charges.

Method: the whole service on SimBus, with a rule-service that accepts everybody.
"""

from __future__ import annotations

from holdfast_testkit.sim_clock import virtual_time


@virtual_time
async def test_a_start_names_where_else_its_driver_charges_also_after_a_restart(new_place):
    place = await new_place()
    place.begin()
    charger = await place.connect()
    transaction = await charger.start("s1")
    await place.kill()
    place.begin()
    charger = await place.connect()
    await charger.start("s2", connectorId=2, idTag="tag")
    asked = place.asked[-1]
    assert asked.starts_session
    [running] = asked.running
    assert (running.session, running.connector) == (f"CP-1/{transaction}", 1)
    assert 0 < running.started_at_ms <= place.clock.now_ms()
    await charger.start("s3", connectorId=3, idTag="OTHER")
    assert place.asked[-1].running == ()
    await charger.call("Authorize", {"idTag": "TAG"})
    assert (place.asked[-1].starts_session, place.asked[-1].running) == (False, ())
    await place.kill()
