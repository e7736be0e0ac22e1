"""Goal: every message of 1.6, 2.0.1 and 2.1, from charge points and to them, refused wherever its schema refuses it,
with the code that says why; and exactly where the `ocpp` package refuses it.

Method: payloads made from the schemas themselves, one fault each.
"""

from __future__ import annotations

import json
import time
from decimal import InvalidOperation

import pytest
from jsonschema.exceptions import ValidationError
from ocpp.messages import MessageType, get_validator

from holdfast.ocpp import frames
from holdfast.ocpp.actions import Sender, rows
from holdfast.ocpp.frames import Code, Wrong
from holdfast.ocpp.versions import OcppVersion
from holdfast_testkit.ocpp_negatives import good, negatives, schema_of
from ocpp_edge.adapters.schemas import Schemas, read_call
from ocpp_edge.domain import calls

SAID = [(version, one) for version in OcppVersion for one in rows(version, Sender.CHARGE_POINT)]
ORDERED = [(version, one) for version in OcppVersion for one in rows(version, Sender.CSMS)]
CODES = {
    "missing": {Code.OCCURRENCE},
    "type": {Code.TYPE},
    "word": {Code.PROPERTY},
    "length": {Code.PROPERTY},
    "bound": {Code.PROPERTY},
    "items": {Code.OCCURRENCE},
    "extra": {Code.FORMATION},
    "object": {Code.FORMATION},
}
RANGE = {"word", "length", "bound", "items"}
"""Out of range: of a word list, a length, a figure, a number of elements."""
WITHOUT = {
    ("1.6", "Heartbeat"): {"type", "missing", "range"},
    ("1.6", "ClearCache"): {"type", "missing", "range"},
    ("1.6", "GetLocalListVersion"): {"type", "missing", "range"},
    ("1.6", "GetConfiguration"): {"missing"},
    ("1.6", "ClearChargingProfile"): {"missing"},
    ("1.6", "RemoteStopTransaction"): {"range"},
    ("1.6", "CancelReservation"): {"range"},
    ("1.6", "UnlockConnector"): {"range"},
    ("1.6", "GetDiagnostics"): {"range"},
    ("1.6", "UpdateFirmware"): {"range"},
}
"""All messages whose schema leaves nothing of that to be wrong: no field, none that must be there, none bounded."""
SCHEMAS = Schemas()


def kinds_in(schema):
    """What can be wrong by a schema: looked for in its text as it stands, not by the walk that makes the payloads."""
    kinds, parts = set(), [schema]
    while parts:
        part = parts.pop()
        fields = list(part.get("properties", {}).values())
        kinds |= {kind for kind, stands in STANDS.items() if stands(part)}
        parts += [*fields, *part.get("definitions", {}).values()]
        parts += [part["items"]] if "items" in part else []
    return kinds


STANDS = {
    "word": lambda part: "enum" in part,
    "length": lambda part: "maxLength" in part and "enum" not in part,
    "bound": lambda part: "minimum" in part or "maximum" in part,
    "items": lambda part: part.get("minItems") or part.get("maxItems", 2_000) < 2_000,
    "missing": lambda part: part.get("required"),
    "extra": lambda part: part.get("additionalProperties") is False,
    "type": lambda part: part.get("properties"),
}


def sorts(kinds):
    return (kinds & {"type", "missing"}) | ({"range"} if kinds & RANGE else set())


def named(cases):
    return [
        pytest.param(version, row, id=f"{version.value}-{row.action}") for version, row in cases
    ]


def frame_of(row, payload):
    kind = frames.Send if row.send else frames.Call
    return kind(message_id="m", action=row.action, raw=json.dumps(payload))


def the_package_refuses(version, action, payload):
    """None: it has no opinion, for a fault of its own."""
    try:
        get_validator(MessageType.Call, action, version.value).validate(payload)
    except ValidationError:
        return True
    except (InvalidOperation, FileNotFoundError):
        return None
    return False


@pytest.mark.parametrize(("version", "row"), named(SAID))
def test_each_message_of_a_charge_point(version, row):
    cases = negatives(version, row.action)
    for case in cases:
        found = read_call(SCHEMAS, "c", frame_of(row, case.payload), version)
        assert isinstance(found, Wrong), str(case)
        assert found.code in CODES[case.kind], (str(case), found.sentence)
        assert found.message_id == (None if row.send else "m")
        if case.kind != "object":
            assert the_package_refuses(version, row.action, case.payload) in (True, None)
    for payload in good(version, row.action):
        assert the_package_refuses(version, row.action, payload) in (False, None)
        found = read_call(SCHEMAS, "c", frame_of(row, payload), version)
        assert isinstance(found, calls.Call), found


@pytest.mark.parametrize(("version", "row"), named(ORDERED))
def test_each_command_to_a_charge_point(version, row):
    cases = [case for case in negatives(version, row.action) if case.kind != "object"]
    assert cases
    for case in cases:
        problem = SCHEMAS.problem(row.action, case.payload, version)
        assert problem is not None, str(case)
        assert problem.code in CODES[case.kind], (str(case), problem.sentence)
        assert the_package_refuses(version, row.action, case.payload) in (True, None)
    for payload in good(version, row.action):
        assert SCHEMAS.problem(row.action, payload, version) is None
        assert the_package_refuses(version, row.action, payload) in (False, None)


@pytest.mark.parametrize(("version", "row"), named([*SAID, *ORDERED]))
def test_wrong_type_missing_and_out_of_range_are_each_tried_where_the_schema_has_such_fields(
    version, row
):
    tried = {case.kind for case in negatives(version, row.action)} - {"object"}
    assert tried == kinds_in(schema_of(version, row.action))
    without = WITHOUT.get((version.value, row.action), set())
    assert sorts(tried) == {"type", "missing", "range"} - without


def test_what_can_not_be_wrong_is_said_of_messages_that_there_are():
    assert WITHOUT.keys() <= {(version.value, row.action) for version, row in (*SAID, *ORDERED)}


@pytest.mark.parametrize("element", ["1", "{}", "[]", '{"sampledValue":[{}]}'])
def test_a_frame_full_of_faults_is_no_more_work_than_one_fault(element):
    """Processor time of this process alone: all its errors together would be a quarter of a second."""
    values = ",".join([element] * (60_000 // (len(element) + 1)))
    raw = f'{{"connectorId":1,"meterValue":[{values}]}}'
    call = frames.Call(message_id="m", action="MeterValues", raw=raw)
    spent_s = []
    for _ in range(5):
        begun_s = time.process_time()
        assert isinstance(read_call(SCHEMAS, "c", call), Wrong)
        spent_s.append(time.process_time() - begun_s)
    assert min(spent_s) < 0.05


def test_every_kind_of_fault_was_tried():
    kinds = {
        case.kind for version, row in (*SAID, *ORDERED) for case in negatives(version, row.action)
    }
    assert kinds == set(CODES)
