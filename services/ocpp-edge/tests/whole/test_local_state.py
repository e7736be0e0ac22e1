"""What stands at a charge point is known by the same fold after a restart, with and without a snapshot."""

from __future__ import annotations

import pytest

from holdfast.contracts.local_state import LocalStateRequest, LocalStateView
from holdfast.rpc import Refused
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_clock import virtual_time

BOOT = {"chargePointVendor": "Vendor", "chargePointModel": "Model"}


def told(view: LocalStateView) -> dict[str, tuple[str, int]]:
    return {one.key: (one.value, one.since_ms) for one in view.stands}


async def state_of(place, charge_point: str = "CP-1") -> LocalStateView:
    asked = LocalStateRequest(charge_point=charge_point)
    return await place.ask("charge-point-state", LocalStateView, asked)


@virtual_time
async def test_the_state_is_what_it_said_and_survives_a_restart(new_place):
    place = await new_place()
    place.begin()
    charger = await place.connect()
    await charger.call("BootNotification", BOOT)
    status = {"connectorId": 1, "errorCode": "NoError", "status": "Charging"}
    await charger.call("StatusNotification", status)
    await charger.start()
    before = told(await state_of(place))
    assert before["connection/state"][0] == "connected"
    assert before["boot/vendor"][0] == "Vendor"
    assert before["status/1"][0] == "Charging"
    assert before["session/1"][0].startswith("CP-1/")
    await place.kill()
    place.begin()
    after = await eventually(lambda: state_of(place))
    kept = ("boot/vendor", "status/1", "session/1")
    assert {key: told(after)[key] for key in kept} == {key: before[key] for key in kept}
    await place.kill()


@virtual_time
async def test_of_a_charge_point_that_was_never_here_nothing_is_told(new_place):
    place = await new_place()
    place.begin()
    await place.connect()
    with pytest.raises(Refused, match="has never been here"):
        await state_of(place, "CP-99")
    await place.kill()
