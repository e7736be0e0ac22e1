"""Goal: the simulated central system speaks 2.0.1 and 2.1 beside 1.6, and keeps what it acknowledged.

Method: the shipped process, a real websockets client, answers held against the schemas of the `ocpp` package.
"""

from __future__ import annotations

import json
from importlib.resources import files

import jsonschema_rs
import pytest

from holdfast_simulators.csms import answers, frames
from holdfast_simulators.csms.answers import Desk
from holdfast_simulators.csms.book import Book
from holdfast_simulators.csms.config import Config
from holdfast_simulators.csms.event_book import EventBook
from holdfast_simulators.csms.quirks import GOOD

BOOT = {"reason": "PowerUp", "chargingStation": {"model": "M", "vendorName": "V"}}
TOKEN = {"idToken": "GOOD", "type": "ISO14443"}
FOLDERS = {"2.0.1": "v201", "2.1": "v21"}


def event(seq_no, kind="Updated", transaction="T-1", **more):
    return {
        "eventType": kind,
        "timestamp": "2026-01-01T00:00:00Z",
        "triggerReason": "Authorized" if kind == "Started" else "MeterValuePeriodic",
        "seqNo": seq_no,
        "transactionInfo": {"transactionId": transaction},
    } | more


@pytest.mark.parametrize("version", ["2.0.1", "2.1"])
async def test_a_session_of_2x_is_kept_event_by_event(central, kept, plugged, version):
    async with central() as (program, port), plugged(port, subprotocols=[f"ocpp{version}"]) as cp:
        assert cp.socket.subprotocol == f"ocpp{version}"
        assert (await cp.call("BootNotification", BOOT))["status"] == "Accepted"
        answer = await cp.call("Authorize", {"idToken": TOKEN})
        assert answer == {"idTokenInfo": {"status": "Accepted"}}
        started = event(0, "Started", idToken=TOKEN, evse={"id": 2}, offline=True)
        assert await cp.call("TransactionEvent", started) == answer
        assert await cp.call("TransactionEvent", event(1)) == {}
        assert await cp.call("TransactionEvent", event(2, "Ended")) == {}
        rows = kept("SELECT * FROM transaction_event ORDER BY n")
        assert [json.loads(one["payload"]) for one in rows] == [
            started,
            event(1),
            event(2, "Ended"),
        ]
        assert [(one["seq_no"], one["event_type"]) for one in rows] == [
            (0, "Started"),
            (1, "Updated"),
            (2, "Ended"),
        ]
        assert (rows[0]["offline"], rows[0]["status"], rows[0]["version"]) == (
            1,
            "Accepted",
            version,
        )
        said = await program.event("transaction-started")
        assert (said["transaction_id"], said["connector"]) == ("T-1", 2)


async def test_a_repeated_event_is_answered_as_the_first_and_kept_once(central, kept, plugged):
    async with central() as (program, port), plugged(port, subprotocols=["ocpp2.0.1"]) as cp:
        first = await cp.call("TransactionEvent", event(0, "Started", idToken=TOKEN))
        again = await cp.call("TransactionEvent", event(0, "Started", idToken=TOKEN), "other-id")
        assert first == again == {"idTokenInfo": {"status": "Accepted"}}
        await program.tell("restart")
        await program.event("listening")
    async with central() as (program, port), plugged(port, subprotocols=["ocpp2.0.1"]) as cp:
        assert await cp.call("TransactionEvent", event(0, "Started", idToken=TOKEN)) == first
        assert await cp.call("TransactionEvent", event(0, "Ended")) == {}
    assert len(kept("SELECT * FROM transaction_event")) == 1
    [refused] = kept("SELECT * FROM failed")
    assert refused["reason"] == "seqNo of another event of its transaction"


async def test_other_messages_stand_in_the_order_in_which_they_came(central, kept, plugged):
    security = {"type": "FirmwareUpdated", "timestamp": "2026-01-01T00:00:00Z"}
    async with central() as (_, port), plugged(port, subprotocols=["ocpp2.1"]) as cp:
        await cp.call("SecurityEventNotification", security)
        await cp.socket.send(json.dumps([6, "s1", "NotifyPeriodicEventStream", {"id": 1}]))
        assert await cp.call("NotifyEvent", {"seqNo": 0}) == {}
        assert cp.asked == [], "a SEND is not answered"
    rows = kept("SELECT action, send FROM said ORDER BY n")
    assert [(one["action"], one["send"]) for one in rows] == [
        ("SecurityEventNotification", 0),
        ("NotifyPeriodicEventStream", 1),
        ("NotifyEvent", 0),
    ]


async def test_a_bad_payload_and_an_unknown_action_get_the_codes_of_2x(central, plugged):
    async with central() as (_, port), plugged(port, subprotocols=["ocpp2.0.1"]) as cp:
        bad = {name: value for name, value in event(0).items() if name != "seqNo"}
        assert await cp.call("TransactionEvent", bad) == "FormatViolation"
        assert await cp.call("StartTransaction", {}) == "NotImplemented"
        assert await cp.call("NotifySettlement", {}) == "NotImplemented", "of 2.1 only"


async def test_a_charge_point_that_can_t_read_an_answer_says_so_in_2_1(central, plugged):
    async with central() as (program, port), plugged(port, subprotocols=["ocpp2.1"]) as cp:
        await cp.socket.send(json.dumps([5, "m1", "FormatViolation", "no object", {}]))
        told = await program.event("result-error")
        assert (told["message_id"], told["code"]) == ("m1", "FormatViolation")


async def test_it_can_be_told_to_speak_one_version_only(central, plugged):
    async with (
        central(versions=["1.6"]) as (_, port),
        plugged(port, subprotocols=["ocpp2.0.1", "ocpp1.6"]) as cp,
    ):
        assert cp.socket.subprotocol == "ocpp1.6"


async def test_its_own_calls_after_a_boot_are_of_the_charge_point_s_version(central, plugged):
    for version, wanted in (
        ("1.6", ["GetConfiguration"]),
        ("2.0.1", ["GetBaseReport", "SetVariables"]),
    ):
        boot = BOOT if version != "1.6" else {"chargePointVendor": "V", "chargePointModel": "M"}
        async with (
            central(kind="citrineos") as (_, port),
            plugged(port, subprotocols=[f"ocpp{version}"]) as cp,
        ):
            await cp.call("BootNotification", boot)
            for action in wanted:
                frame = json.loads(await cp.socket.recv())
                assert frame[2] == action
                await cp.socket.send(json.dumps([3, frame[1], {}]))


@pytest.mark.parametrize("version", ["2.0.1", "2.1"])
def test_every_answer_is_one_by_the_schema(version):
    desk = Desk(config=Config(tokens={"GOOD": "Accepted"}), book=Book(1), events=EventBook())
    hashed = {
        "hashAlgorithm": "SHA256",
        "issuerNameHash": "a",
        "issuerKeyHash": "b",
        "serialNumber": "c",
    }
    payloads = {
        "BootNotification": BOOT,
        "Authorize": {"idToken": TOKEN},
        "TransactionEvent": event(0, "Started", idToken=TOKEN),
        "StatusNotification": {
            "timestamp": "t",
            "connectorStatus": "Available",
            "evseId": 1,
            "connectorId": 1,
        },
        "MeterValues": {"evseId": 1, "meterValue": []},
        "DataTransfer": {"vendorId": "V"},
        "GetCertificateChainStatus": {
            "certificateStatusRequests": [{"certificateHashData": hashed, "source": "OCSP"}]
        },
        "VatNumberValidation": {"vatNumber": "DE1"},
    }
    for action in answers.HANDLERS_OF[version]:
        if action == "NotifyPeriodicEventStream":
            continue
        text = json.dumps(payloads.get(action, {}))
        call = frames.parse(f'[2,"m","{action}",{text}]', "CP-1", 1_767_225_600_000, version)
        _, decision = answers.decide(desk, GOOD, call)
        kind, _, answer = json.loads(decision.reply)
        assert kind == 3, action
        _validator(version, f"{action}Response").validate(answer)


def _validator(version, name):
    file = files("ocpp") / FOLDERS[version] / "schemas" / f"{name}.json"
    schema = json.loads(file.read_text(encoding="utf-8-sig"))
    return jsonschema_rs.validator_for(schema)
