"""Goal: whatever bytes a charge point sends, it gets the right answer or none, and nothing falls over.

Method: frames met in the field, then mutations of valid payloads made from the schemas themselves.
"""

from __future__ import annotations

import copy
import json
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.ocpp import frames
from holdfast.ocpp.actions import Sender, rows
from holdfast.ocpp.frames import Code, Reason, Wrong
from holdfast.ocpp.versions import OcppVersion
from ocpp_edge.adapters.schemas import read_call
from ocpp_edge.domain import calls

MINIMAL = {
    "Authorize": {"idTag": "T"},
    "BootNotification": {"chargePointVendor": "V", "chargePointModel": "M"},
    "DataTransfer": {"vendorId": "V"},
    "DiagnosticsStatusNotification": {"status": "Idle"},
    "FirmwareStatusNotification": {"status": "Idle"},
    "Heartbeat": {},
    "MeterValues": {
        "connectorId": 1,
        "transactionId": 5,
        "meterValue": [
            {"timestamp": "2025-01-01T00:00:00Z", "sampledValue": [{"value": "1", "unit": "Wh"}]}
        ],
    },
    "StartTransaction": {
        "connectorId": 1,
        "idTag": "T",
        "meterStart": 0,
        "timestamp": "2025-01-01T00:00:00Z",
    },
    "LogStatusNotification": {"status": "Idle"},
    "SecurityEventNotification": {"type": "X", "timestamp": "2025-01-01T00:00:00Z"},
    "SignCertificate": {"csr": "X"},
    "SignedFirmwareStatusNotification": {"status": "Idle"},
    "StatusNotification": {"connectorId": 1, "errorCode": "NoError", "status": "Available"},
    "StopTransaction": {"transactionId": 5, "meterStop": 1, "timestamp": "2025-01-01T00:00:00Z"},
}


ACTIONS = {one.action for one in rows(OcppVersion.V16, Sender.CHARGE_POINT)}


def read(schemas, action, payload):
    raw = payload if isinstance(payload, str) else json.dumps(payload)
    return read_call(schemas, "c", frames.Call(message_id="m", action=action, raw=raw))


def negatives():
    """For each action: every required field missing, every field of a wrong type, every text too long,
    every closed word unknown, one field too many.
    """
    for action, payload in MINIMAL.items():
        text = (resources.files("ocpp") / "v16" / "schemas" / f"{action}.json").read_text()
        schema = json.loads(text)
        for path, code, wrong in mutations(schema, payload):
            yield pytest.param(action, wrong, code, id=f"{action}-{path}-{code.name}")
        yield pytest.param(action, [], Code.FORMATION, id=f"{action}-array")
        yield pytest.param(action, "null", Code.FORMATION, id=f"{action}-null")


def mutations(schema, payload):
    yield "extra", Code.FORMATION, {**payload, "surely-unknown": 1}
    for field, rule in schema["properties"].items():
        if field in schema.get("required", ()):
            yield field, Code.OCCURRENCE, {k: v for k, v in payload.items() if k != field}
        rule = schema["definitions"][rule["$ref"].rpartition("/")[2]] if "$ref" in rule else rule
        wrong_type = {"string": 1, "integer": "1", "array": {}, "object": []}[rule["type"]]
        yield field, Code.TYPE, {**payload, field: wrong_type}
        if "maxLength" in rule:
            yield field, Code.PROPERTY, {**payload, field: "x" * (rule["maxLength"] + 1)}
        if "enum" in rule:
            yield field, Code.PROPERTY, {**payload, field: "Surely-Unknown"}
        if "minItems" in rule and field in payload:
            yield field, Code.OCCURRENCE, {**payload, field: []}


@pytest.mark.parametrize(("action", "payload", "code"), list(negatives()))
def test_a_wrong_payload_is_answered_with_the_code_that_says_what_is_wrong(
    schemas, action, payload, code
):
    wrong = read(schemas, action, payload)
    assert isinstance(wrong, Wrong)
    assert (wrong.code, wrong.message_id) == (code, "m")


def test_every_action_has_at_least_three_negatives():
    found = [parameter.values[0] for parameter in negatives()]
    assert set(found) == ACTIONS
    assert all(found.count(action) >= 3 for action in ACTIONS)


@pytest.mark.parametrize("action", sorted(MINIMAL))
def test_a_minimal_payload_is_served(schemas, action):
    assert isinstance(read(schemas, action, MINIMAL[action]), calls.Call)


def test_nested_faults_are_found_too(schemas):
    payload = copy.deepcopy(MINIMAL["MeterValues"])
    payload["meterValue"][0]["sampledValue"][0]["unit"] = "furlong"
    assert read(schemas, "MeterValues", payload).code is Code.PROPERTY
    payload["meterValue"][0]["sampledValue"] = []
    assert read(schemas, "MeterValues", payload).code is Code.OCCURRENCE


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        (
            {"connectorId": 1, "idTag": 12345678},
            "idTag: violates 'type' (has to be of type string)",
        ),
        ({"idTag": "4" * 21}, "idTag: violates 'maxLength' (the limit is 20)"),
        ({"connectorId": 1}, "payload: violates 'required' (lacks idTag)"),
        ({"idTag": "A", "4711": 1}, "payload: violates 'additionalProperties'"),
    ],
)
def test_a_refusal_says_what_is_wanted_and_never_what_was_given(schemas, payload, sentence):
    problem = schemas.problem("RemoteStartTransaction", payload)
    assert problem.sentence == sentence


def test_an_unknown_action_is_not_implemented(schemas):
    wrong = read(schemas, "Fly", {})
    assert (wrong.code, wrong.reason) == (Code.NOT_IMPLEMENTED, Reason.UNKNOWN_ACTION)


@pytest.mark.parametrize(
    ("frame", "reason", "message_id"),
    [
        (b"[2]", Reason.NOT_TEXT, None),
        ("", Reason.NOT_JSON, None),
        ("hello", Reason.NOT_JSON, None),
        ("{}", Reason.NOT_JSON, None),
        ("[]", Reason.NOT_A_MESSAGE, None),
        ("null", Reason.NOT_JSON, None),
        ('[2,"m","Heartbeat"]', Reason.WRONG_ARITY, "m"),
        ('[2,"m","Heartbeat",{},{}]', Reason.WRONG_ARITY, "m"),
        ('[2,"m"]', Reason.WRONG_ARITY, "m"),
        ('[2,5,"Heartbeat",{}]', Reason.NO_MESSAGE_ID, None),
        ('[2,"","Heartbeat",{}]', Reason.NO_MESSAGE_ID, None),
        ('[2,"' + "x" * 256 + '","Heartbeat",{}]', Reason.NO_MESSAGE_ID, None),
        ('[2,"m",7,{}]', Reason.NOT_A_MESSAGE, "m"),
        ('[9,"m","Heartbeat",{}]', Reason.MESSAGE_TYPE, "m"),
        ('[3,"m"]', Reason.NOT_A_MESSAGE, None),
        ('[6,"m","Heartbeat"]', Reason.NOT_A_MESSAGE, None),
        ('["2","m","Heartbeat",{}]', Reason.NOT_A_MESSAGE, None),
        ('[2.0,"m","Heartbeat",{}]', Reason.NOT_A_MESSAGE, None),
        ('[2, "m", "BootNotification", {"chargePointVen', Reason.NOT_JSON, "m"),
        ('[2,"m","Heartbeat",{"a":NaN}]', Reason.NOT_JSON, "m"),
        ('[2,"a\\"b","Heartbeat",{]', Reason.NOT_JSON, 'a"b'),
        ('[2,"m","Heartbeat",' + "[" * 60_000, Reason.TOO_DEEP, "m"),
        ("[" * 60_000, Reason.TOO_DEEP, None),
        ('[3,"",{}]', Reason.NO_MESSAGE_ID, None),
        ("[3]", Reason.NOT_A_MESSAGE, None),
    ],
)  # fmt: skip
def test_frames_of_the_field(frame, reason, message_id):
    wrong = frames.parse(frame)
    assert isinstance(wrong, Wrong)
    assert (wrong.reason, wrong.message_id) == (reason, message_id)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ('{"idTag":"A","idTag":"B"}', Reason.DUPLICATE_KEY),
        ('{ "idTag": "A", "idTag": "A" }', Reason.DUPLICATE_KEY),
        ('{"idTag":"\\ud800"}', Reason.NOT_JSON),
        ('{"idTag":1e999}', Reason.NOT_JSON),
        ('{"idTag":' + "9" * 5_000 + "}", Reason.NOT_JSON),
        ('{"idTag":' + "[" * 500 + "]" * 500 + "}", Reason.TOO_DEEP),
    ],
)  # fmt: skip
def test_payloads_that_read_differently_in_different_readers(schemas, raw, reason):
    wrong = read(schemas, "Authorize", raw)
    assert isinstance(wrong, Wrong)
    assert wrong.reason is reason


def test_the_same_key_twice_is_refused_also_deep_inside(schemas):
    raw = (
        '{"connectorId":1,"transactionId":5,"meterValue":[{"timestamp":"t",'
        '"sampledValue":[{"value":"1","value":"2"}]}]}'
    )
    assert read(schemas, "MeterValues", raw).reason is Reason.DUPLICATE_KEY


@pytest.mark.parametrize("field", ["transactionId", "meterStop"])
def test_numbers_no_store_holds_are_refused(schemas, field):
    payload = {**MINIMAL["StopTransaction"], field: 10**30}
    assert read(schemas, "StopTransaction", payload).code is Code.PROPERTY


def test_what_databases_refuse_stays_in_the_raw_payload_only(schemas):
    call = read(schemas, "StartTransaction", {**MINIMAL["StartTransaction"], "idTag": "a\x00b"})
    assert call.request.driver_token == "a\N{REPLACEMENT CHARACTER}b"
    assert "\\u0000" in call.raw


def test_the_payload_stays_the_text_it_was():
    frame = ' [ 2 , "m" , "MeterValues" , { "z" : 1.00 ,"a":"\\u00e4ä" } ] '
    assert frames.parse(frame) == frames.Call(
        message_id="m", action="MeterValues", raw='{ "z" : 1.00 ,"a":"\\u00e4ä" }'
    )


def test_answers_of_charge_points_are_read_with_four_elements_too():
    assert frames.parse('[3,"m",{"status":"Accepted"}]').raw == '{"status":"Accepted"}'
    assert frames.parse('[4,"m","NotImplemented",""]').code == "NotImplemented"
    assert frames.parse('[4,"m","E","d",{"x":1}]').description == "d"


@given(st.text(), st.text(), st.text())
def test_what_is_written_can_be_read(message_id, action, text):
    frame = frames.call(message_id or "m", action, json.dumps({"a": text}))
    parsed = frames.parse(frame)
    if len(message_id) <= frames.MESSAGE_ID_CHARACTERS_MAX:
        assert isinstance(parsed, frames.Call)
        assert (parsed.message_id, parsed.action) == (message_id or "m", action)
    assert json.loads(frames.error("m", Code.TYPE, text))[3] == text[:255]


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_no_frame_raises(frame):
    frames.parse(frame)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists))
def test_no_payload_raises(schemas, payload):
    for action in ACTIONS:
        read(schemas, action, json.dumps({"connectorId": payload, "idTag": payload}))


@pytest.mark.parametrize("version", OcppVersion)
def test_codes_are_spelled_as_the_version_spells_them(version):
    names = {code: frames.name_of(code, version) for code in Code}
    if version is OcppVersion.V16:
        assert names[Code.OCCURRENCE] == "OccurenceConstraintViolation"
        assert names[Code.FORMATION] == names[Code.RPC] == "FormationViolation"
    else:
        assert names[Code.OCCURRENCE] == "OccurrenceConstraintViolation"
        assert names[Code.FORMATION] == "FormatViolation"
        assert names[Code.RPC] == "RpcFrameworkError"
    assert json.loads(frames.error("m", Code.FORMATION, "", version))[2] == names[Code.FORMATION]


@pytest.mark.parametrize(
    ("frame", "answered"),
    [
        ('[2,"","Heartbeat",{}]', (None, "-1", "-1")),
        ("[2]", (None, "-1", "-1")),
        ('[2,7,"Heartbeat"]', (None, "-1", "-1")),
        ("[2,", (None, "-1", "-1")),
        ('[2,"m","Heartbeat"]', ("m", "m", "m")),
        ("{", (None, None, None)),
        ('[9,"m",{}]', (None, "m", "m")),
        ('[3,"m"]', (None, None, None)),
        ('[5,"m"]', (None, None, None)),
        ('[6,"m","NotifyPeriodicEventStream"]', (None, None, None)),
        ('[6,"","NotifyPeriodicEventStream",{}]', (None, None, None)),
    ],
)
def test_a_wrong_frame_is_answered_where_its_version_has_an_answer(frame, answered):
    wrong = frames.parse(frame)
    assert isinstance(wrong, Wrong)
    assert tuple(wrong.answered_id(version) for version in OcppVersion) == answered


def test_a_send_and_a_refused_answer_are_messages_of_2_1_alone():
    send = frames.parse('[6,"m","NotifyPeriodicEventStream",{"a":1}]')
    refused = frames.parse('[5,"m","FormatViolation","",{}]')
    assert (send.action, send.raw) == ("NotifyPeriodicEventStream", '{"a":1}')
    assert frames.not_served(send, OcppVersion.V21) is None
    assert frames.not_served(send, OcppVersion.V201).answered_id(OcppVersion.V201) == "m"
    assert frames.not_served(send, OcppVersion.V16).answered_id(OcppVersion.V16) is None
    for version in OcppVersion:
        assert frames.not_served(refused, version).answered_id(version) is None


@pytest.mark.parametrize("version", OcppVersion)
@pytest.mark.parametrize(
    ("action", "code"),
    [("Reset", Code.NOT_SUPPORTED), ("Surely", Code.NOT_IMPLEMENTED)],
)
def test_what_a_charge_point_does_not_send_is_told_from_what_nobody_knows(
    schemas, version, action, code
):
    call = frames.Call(message_id="m", action=action, raw="{}")
    assert read_call(schemas, "c", call, version).code is code


def test_a_send_is_no_call_and_a_call_no_send(schemas):
    stream = "NotifyPeriodicEventStream"
    call = frames.Call(message_id="m", action=stream, raw="{}")
    assert read_call(schemas, "c", call, OcppVersion.V21).message_id == "m"
    send = frames.Send(message_id="m", action="Heartbeat", raw="{}")
    wrong = read_call(schemas, "c", send, OcppVersion.V21)
    assert (wrong.code, wrong.message_id) == (Code.MESSAGE_TYPE, None)
