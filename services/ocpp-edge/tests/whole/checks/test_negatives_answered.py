"""Goal: on the wire, each message with a fault gets the CALLERROR that its version spells so, or none where it is a
SEND; the connection stays; each is counted by its reason; nothing of it is recorded as said.

Method: the whole service, connections in memory, one of each version; payloads made from the schemas.
"""

from __future__ import annotations

import json

import pytest

from holdfast.contracts.charge_point import ChargePointConnected
from holdfast.contracts.registry import ChargePointRegistered
from holdfast.entries import read
from holdfast.ocpp.actions import Sender, rows
from holdfast.ocpp.versions import OcppVersion
from holdfast_testkit.ocpp_negatives import negatives
from holdfast_testkit.sim_clock import virtual_time

WIRE = {
    OcppVersion.V16: {
        "missing": "OccurenceConstraintViolation",
        "items": "OccurenceConstraintViolation",
        "extra": "FormationViolation",
        "object": "FormationViolation",
    },
    OcppVersion.V201: {
        "missing": "OccurrenceConstraintViolation",
        "items": "OccurrenceConstraintViolation",
        "extra": "FormatViolation",
        "object": "FormatViolation",
    },
}
WIRE[OcppVersion.V21] = WIRE[OcppVersion.V201]
ALIKE = {"type": "TypeConstraintViolation"}
EACH_MAX = 12
"""Of one action; the core's test plays them all."""


def cases_of(version):
    for row in rows(version, Sender.CHARGE_POINT):
        for case in negatives(version, row.action, EACH_MAX):
            yield row, case


@pytest.mark.parametrize("version", list(OcppVersion))
@virtual_time
async def test_each_fault_is_answered_by_its_name_and_the_connection_stays(new_place, version):
    place = await new_place()
    place.begin(frames_per_s=1_000_000, authorize_per_min=1_000_000)
    await place.ready()
    end = place.door.connect("CP-1", version)
    cases = list(cases_of(version))
    for number, (row, case) in enumerate(cases):
        kind = 6 if row.send else 2
        await end.send(json.dumps([kind, f"m{number}", row.action, case.payload]))
        if row.send:
            continue
        code = {**ALIKE, **WIRE[version]}.get(case.kind, "PropertyConstraintViolation")
        answer = json.loads(await end.receive())
        assert answer[:3] == [4, f"m{number}", code], (row.action, str(case), answer)
    await end.send('[2,"last","Heartbeat",{}]')
    assert json.loads(await end.receive())[:2] == [3, "last"]
    counted = place.health.registry.get_sample_value(
        "holdfast_ocpp_refused_frames_total", {"reason": "schema"}
    )
    assert counted == len(cases)
    journal = place.bus.disk.streams[place.journal].messages.values()
    facts = [type(read(it).fact) for it in journal]
    assert [it for it in facts if it is not ChargePointRegistered] == [ChargePointConnected]
    await place.kill()
