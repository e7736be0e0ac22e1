"""Goal: the whole service stops a stranger's session at its cap, tries again where that did nothing, and says when it
gives up; a kill in between changes none of it.
"""

from __future__ import annotations

import json

from holdfast.contracts.command import (
    CommandObserved,
    CommandReceived,
    CommandSettled,
    Disposition,
    Issuer,
)
from holdfast.contracts.session import SessionCapNotKept
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_clock import virtual_time
from ocpp_edge.domain.text import utc_text


async def a_stranger_charges(new_place, cap_wh=500):
    place = await new_place()
    place.energy_wh_max = cap_wh
    place.begin()
    charger = await place.connect()
    return place, charger, await charger.start(meterStart=1_000)


async def read(place, charger, transaction, wh):
    values = [{"timestamp": utc_text(place.clock.now_ms()), "sampledValue": [{"value": str(wh)}]}]
    payload = {"connectorId": 1, "transactionId": transaction, "meterValue": values}
    assert await charger.call("MeterValues", payload) == {}


async def told_to_stop(charger, transaction):
    """The message id."""
    _, message_id, action, payload = json.loads(await charger.end.receive())
    assert (action, payload) == ("RemoteStopTransaction", {"transactionId": transaction})
    return message_id


async def answer(place, charger, message_id, status):
    ends = len(place.facts(CommandSettled))
    await charger.end.send(f'[3,"{message_id}",{{"status":"{status}"}}]')
    await eventually(lambda: len(place.facts(CommandSettled)) > ends)


@virtual_time
async def test_the_session_is_stopped_at_its_cap_and_that_is_the_end_of_it(new_place):
    place, charger, transaction = await a_stranger_charges(new_place)
    await read(place, charger, transaction, 1_400)
    assert not place.facts(CommandReceived)
    await read(place, charger, transaction, 1_500)
    await answer(place, charger, await told_to_stop(charger, transaction), "Accepted")
    assert place.admits[0].command.issuer is Issuer.SITE
    await charger.stop(transaction)
    await place.clock.sleep_ms(3_600_000)
    assert len(place.facts(CommandReceived)) == 1
    assert place.facts(CommandSettled)[0].disposition is Disposition.DELIVERED
    await place.kill()


@virtual_time
async def test_refused_then_killed_it_is_tried_again_until_it_is_given_up_and_named(new_place):
    place, charger, transaction = await a_stranger_charges(new_place)
    wh = 1_500
    for wait_s in (0, 60, 120, 240, 480):
        if wait_s:
            await place.kill()
            place.begin()
            charger = await place.connect()
            await place.clock.sleep_ms(wait_s * 1_000)
        wh += 100
        await read(place, charger, transaction, wh)
        await answer(place, charger, await told_to_stop(charger, transaction), "Rejected")
    assert len({fact.command.id for fact in place.facts(CommandReceived)}) == 5
    for _ in range(20):
        await place.clock.sleep_ms(60_000)
        wh += 100
        await read(place, charger, transaction, wh)
    await eventually(lambda: place.facts(SessionCapNotKept))
    (given_up,) = place.facts(SessionCapNotKept)
    assert (given_up.stops, given_up.transaction_id) == (5, transaction)
    assert len(place.facts(CommandReceived)) == 5
    await place.kill()


@virtual_time
async def test_without_an_answer_it_is_tried_again_when_the_session_is_seen_to_go_on(new_place):
    place, charger, transaction = await a_stranger_charges(new_place)
    await read(place, charger, transaction, 1_500)
    await told_to_stop(charger, transaction)
    await place.clock.sleep_ms(31_000)
    assert place.facts(CommandSettled)[0].disposition is Disposition.UNCERTAIN
    await place.clock.sleep_ms(60_000)
    await read(place, charger, transaction, 1_600)
    await told_to_stop(charger, transaction)
    (seen,) = place.facts(CommandObserved)
    assert not seen.took_effect
    assert place.facts(CommandReceived)[1].command.id.endswith("-2")
    await place.kill()
