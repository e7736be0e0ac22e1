"""Goal: whatever a charge point may say in any version, it is kept as the class of its action has it, and every answer
the site gives by itself is one that the version's own schemas accept.
"""

from __future__ import annotations

import json
from importlib import resources
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contracts.charge_point import ChargePointSaid, ChargePointSampled, DataTransferred
from holdfast.contracts.csms import RelayReply
from holdfast.contracts.rules import TokenStatus
from holdfast.ocpp.actions import ActionRow, Away, Class, Sender, rows
from holdfast.ocpp.versions import OcppVersion
from ocpp_edge.domain.left_out import is_in, with_seq

V16, V201, V21 = OcppVersion

HASH = {"hashAlgorithm": "SHA256", "issuerNameHash": "a", "issuerKeyHash": "b", "serialNumber": "c"}
AT = "2025-06-15T15:00:00Z"


def sample_of(schema: dict[str, Any], whole: dict[str, Any], depth: int = 0) -> Any:
    """The least that a schema accepts; of a list one part."""
    if "$ref" in schema:
        return sample_of(whole["definitions"][schema["$ref"].rpartition("/")[2]], whole, depth)
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            properties = schema.get("properties", {})
            return {
                name: sample_of(properties[name], whole, depth + 1)
                for name in schema.get("required", ())
            }
        case "array":
            return [sample_of(schema["items"], whole, depth + 1)]
        case "integer" | "number":
            return max(1, int(schema.get("minimum", 1)))
        case "boolean":
            return True
        case _:
            return AT if schema.get("format") == "date-time" else "x"


def schema_of(version: OcppVersion, action: str, kind: str) -> dict[str, Any]:
    folder = resources.files("ocpp") / f"v{version.value.replace('.', '')}" / "schemas"
    file = folder / f"{action}{kind}.json"
    if not file.is_file():
        file = folder / f"{action}.json"
    return json.loads(file.read_text("utf-8-sig"))


def minimal(version: OcppVersion, action: str) -> dict[str, Any]:
    schema = schema_of(version, action, "" if version is V16 else "Request")
    return sample_of(schema, schema)


EVERY = [
    pytest.param(version, row, id=f"{version}-{row.action}")
    for version in OcppVersion
    for row in rows(version, Sender.CHARGE_POINT)
]


ABOUT_TOKENS = {"Authorize", "StartTransaction", "TransactionEvent"}


@pytest.fixture
def bench_of(new_bench):
    def of(version: OcppVersion):
        bench = new_bench()
        bench.connect(version)
        return bench

    return of


@pytest.mark.parametrize(("version", "row"), EVERY)
def test_every_answer_of_the_site_is_valid_by_the_schemas(
    bench_of, schemas, version: OcppVersion, row: ActionRow
):
    for status in TokenStatus if row.action in ABOUT_TOKENS else (TokenStatus.ACCEPTED,):
        bench = bench_of(version)
        bench.status = status
        payload = minimal(version, row.action)
        if row.action == "TransactionEvent":
            payload["idToken"] = {"idToken": "T", "type": "Central"}
        bench.call(row.action, payload, "m1")
        if row.away is Away.NOBODY:
            assert not bench.answers
            return
        answer = bench.told("m1")
        assert schemas.problem(row.action, answer, version, is_answer=True) is None, answer
        if row.action in ABOUT_TOKENS:
            assert status.value in json.dumps(answer)


@pytest.mark.parametrize("version", [V201, V21])
def test_the_answers_without_storage_and_about_certificates_are_valid_too(
    bench_of, schemas, version
):
    bench = bench_of(version)
    asked = minimal(version, "Authorize") | {"certificate": "x"}
    bench.call("Authorize", asked, "m1")
    bench.policy = type(bench.policy)(new_sessions=False)
    bench.call("Authorize", minimal(version, "Authorize"), "m2")
    for message_id in ("m1", "m2"):
        answer = bench.told(message_id)
        assert schemas.problem("Authorize", answer, version, is_answer=True) is None
        assert answer["idTokenInfo"]["status"] == "Invalid"


TYPED = {
    "BootNotification", "Heartbeat", "StatusNotification", "Authorize", "StartTransaction", "StopTransaction",
    "TransactionEvent", "MeterValues", "DataTransfer",
}  # fmt: skip


@pytest.mark.parametrize(("version", "row"), EVERY)
def test_what_is_not_interpreted_is_kept_by_its_class(bench_of, version, row):
    if row.action in TYPED:
        return
    bench = bench_of(version)
    payload = minimal(version, row.action)
    if row.action == "NotifyEvent":
        payload["eventData"][0]["trigger"] = "Alerting"
    call = bench.call(row.action, payload, "m1")
    said = bench.facts(ChargePointSaid)
    sampled = [one for one in bench.telemetry if isinstance(one, ChargePointSampled)]
    match row.kind:
        case Class.GUARANTEED | Class.TRANSACTIONAL:
            assert [(one.action, one.kind, one.raw) for one in said] == [
                (row.action, row.kind.value, call.raw)
            ]
            assert said[0].version is version
        case Class.LATEST if row.send:
            assert [(one.action, one.kind, one.raw) for one in said] == [
                (row.action, "L", call.raw)
            ]
            assert not sampled
        case Class.LATEST:
            assert [(one.action, one.kind, one.version) for one in said] == [
                (row.action, "L", version)
            ]
            assert not sampled
        case Class.RELAYED:
            assert [one.raw for one in bench.relayed] == [call.raw]
            assert not said
            assert not sampled


def test_a_guaranteed_message_is_acknowledged_after_it_is_stored_and_never_before(bench_of):
    bench = bench_of(V201)
    event = {"type": "SettingSystemTime", "timestamp": AT}
    bench.journal_takes = False
    bench.call("SecurityEventNotification", event, "m1")
    assert not bench.answers
    assert bench.closed
    bench.journal_takes = True
    bench.connect(V201)
    bench.call("SecurityEventNotification", event, "m1")
    assert bench.told("m1") == {}
    assert len(bench.facts(ChargePointSaid)) == 1


def test_the_same_key_with_other_content_is_another_message_of_that_key(bench_of):
    bench = bench_of(V16)
    for info in ("a", "b"):
        event = {"type": "TamperDetectionActivated", "timestamp": AT, "techInfo": info}
        bench.call("SecurityEventNotification", event, info)
    one, other = bench.facts(ChargePointSaid)
    assert one.key == other.key
    assert one.raw != other.raw


@pytest.mark.parametrize(
    ("version", "event", "is_kept"),
    [
        (V201, {"trigger": "Alerting"}, True),
        (V201, {"trigger": "Delta"}, False),
        (V21, {"trigger": "Delta", "severity": 3}, True),
        (V21, {"trigger": "Periodic", "severity": 8}, False),
    ],
)
def test_events_are_guaranteed_when_one_is_an_alert_or_critical(bench_of, version, event, is_kept):
    bench = bench_of(version)
    payload = minimal(version, "NotifyEvent")
    payload["eventData"][0] |= event
    bench.call("NotifyEvent", payload, "m1")
    assert [one.kind for one in bench.facts(ChargePointSaid)] == ["G" if is_kept else "L"]
    assert bench.told("m1") == {}


@pytest.mark.parametrize("action", ["NotifyChargingLimit", "ClearedChargingLimit"])
def test_what_stands_until_the_next_of_its_kind_is_stored(bench_of, action):
    bench = bench_of(V201)
    call = bench.call(action, minimal(V201, action), "m1")
    (said,) = bench.facts(ChargePointSaid)
    assert (said.kind, said.raw) == ("L", call.raw)
    assert bench.told("m1") == {}


@pytest.mark.parametrize("takes", [True, False])
def test_a_send_is_stored_for_the_csms_and_never_answered(bench_of, takes):
    bench = bench_of(V21)
    bench.journal_takes = takes
    stream = minimal(V21, "NotifyPeriodicEventStream")
    for message_id in ("m1", "m2"):
        bench.call("NotifyPeriodicEventStream", stream, message_id)
    said = bench.facts(ChargePointSaid)
    assert [one.kind for one in said] == ["L", "L"] * takes
    assert len({one.key for one in said}) == takes
    assert not bench.answers
    assert not bench.closed


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (RelayReply(raw='{"status":"Accepted"}'), {"status": "Accepted"}),
        (RelayReply(code="InternalError", description="no"), "InternalError"),
        (RelayReply(reason="too late"), {"status": "Rejected"}),
    ],
)
def test_only_the_csms_answers_what_only_it_can(bench_of, reply, told):
    bench = bench_of(V16)
    bench.csms = reply
    bench.call("SignCertificate", {"csr": "x"}, "m1")
    assert bench.told("m1") == told
    assert not bench.state.live.relayed


def test_an_answer_of_the_csms_never_goes_to_another_connection(bench_of):
    bench = bench_of(V201)
    bench.csms = None
    bench.call("SignCertificate", {"csr": "x"}, "m1")
    bench.disconnect()
    bench.connect(V201)
    assert not bench.state.live.relayed
    assert not bench.answers


def test_a_data_transfer_is_kept_and_handed_on(bench_of):
    bench = bench_of(V201)
    bench.csms = RelayReply(raw='{"status":"Accepted","data":{"a":1}}')
    bench.call("DataTransfer", {"vendorId": "V"}, "m1")
    assert bench.told("m1") == {"status": "Accepted", "data": {"a": 1}}
    assert bench.facts(DataTransferred)[0].version is V201


def test_too_many_questions_to_the_csms_leave_the_socket_unread(bench_of):
    bench = bench_of(V201)
    bench.csms = None
    for number in range(4):
        assert bench.state.has_room
        bench.call("SignCertificate", {"csr": "x"}, f"m{number}")
    assert not bench.state.has_room


@given(st.lists(st.integers(0, 40)))
def test_ranges_of_seqnos_are_the_seqnos(numbers):
    ranges = ()
    for number in numbers:
        ranges = with_seq(ranges, number)
    assert {one for one in range(50) if is_in(ranges, one)} == set(numbers)
    assert all(one[1] + 1 < other[0] for one, other in pairwise(ranges))
