"""Goal: the simulated central system keeps what it acknowledged, whoever comes, goes or is killed.

Method: the shipped process, a real websockets client as the station, and the ledger read beside it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

PATIENCE_S = 60
SILENCE_S = 0.3
FIRST_ID = 1_000_001
BOOT = {"chargePointVendor": "Holdfast", "chargePointModel": "Simulated"}
START = {"connectorId": 1, "idTag": "GOOD", "meterStart": 7, "timestamp": "2026-01-01T00:00:00Z"}
METER = {"connectorId": 1, "transactionId": FIRST_ID, "meterValue": []}
STOP = {"transactionId": FIRST_ID, "meterStop": 9, "timestamp": "2026-01-01T01:00:00Z"}


@pytest.fixture
def authority(tmp_path):
    """A function to a client's TLS context, and the `tls` of a central system that trusts the same CA."""
    key, cert = _self_signed()
    files = {"cert_file": tmp_path / "cert.pem", "key_file": tmp_path / "key.pem"}
    files["cert_file"].write_bytes(cert)
    files["key_file"].write_bytes(key)

    def client(*, certified):
        context = ssl.create_default_context(cafile=files["cert_file"])
        if certified:
            context.load_cert_chain(files["cert_file"], files["key_file"])
        return context

    tls = {name: str(file) for name, file in files.items()}
    return client, tls | {"client_ca_file": tls["cert_file"]}


def _self_signed():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "central")])
    now = datetime.now(UTC)
    address = x509.IPAddress(ip_address("127.0.0.1"))
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    pem = serialization.Encoding.PEM
    return key.private_bytes(pem, form, plain), cert.public_bytes(pem)


async def until(condition):
    async with asyncio.timeout(PATIENCE_S):
        while not (found := condition()):
            await asyncio.sleep(0.01)
    return found


# --- what a good central system does


async def test_a_session_is_kept_as_it_was_said(central, kept, plugged):
    async with central() as (program, port), plugged(port) as cp:
        boot = await cp.call("BootNotification", BOOT)
        assert (boot["status"], boot["interval"]) == ("Accepted", 300)
        await program.event("boot", charge_point="CP-1", status="Accepted")
        assert (await cp.call("Authorize", {"idTag": "GOOD"}))["idTagInfo"]["status"] == "Accepted"
        assert await cp.call("StartTransaction", START) == {
            "transactionId": FIRST_ID,
            "idTagInfo": {"status": "Accepted"},
        }
        assert await cp.call("MeterValues", METER) == {}
        assert await cp.call("StopTransaction", STOP | {"reason": "Local"}) == {}
        [row] = kept("SELECT * FROM transactions")
        assert json.loads(row["start_payload"]) == START
        assert json.loads(row["stop_payload"]) == STOP | {"reason": "Local"}
        assert (row["id"], row["meter_start"], row["meter_stop"]) == (FIRST_ID, 7, 9)
        assert (row["reason"], row["status"], row["start_message_id"]) == (
            "Local",
            "Accepted",
            "m3",
        )
        [reading] = kept("SELECT * FROM meter_value")
        assert (reading["transaction_id"], reading["matched"]) == (FIRST_ID, 1)
        assert kept("SELECT * FROM failed") == []


async def test_payloads_and_frames_stand_in_the_ledger_character_by_character(
    central, kept, plugged
):
    frame = '[2, "a\\"{1", "MeterValues",  { "connectorId" : 0, "meterValue": [], "x": 1.10 } ]'
    async with central() as (_, port), plugged(port) as cp:
        await cp.socket.send(frame)
        assert await cp.answer_to('a"{1') == [3, 'a"{1', {}]
        [row] = kept("SELECT * FROM meter_value")
        assert row["payload"] == '{ "connectorId" : 0, "meterValue": [], "x": 1.10 }'
        assert (row["message_id"], row["transaction_id"], row["matched"]) == ('a"{1', None, None)
        wire = await until(lambda: len(rows := kept("SELECT * FROM wire")) == 2 and rows)
        assert [one["direction"] for one in wire] == ["in", "out"]
        assert [one["frame"] for one in wire] == [frame, '[3,"a\\"{1",{}]']


async def test_every_other_action_is_answered_and_unknown_ones_refused(central, kept, plugged):
    async with central() as (program, port), plugged(port) as cp:
        assert (await cp.call("Heartbeat", {}))["currentTime"].endswith("Z")
        said = {"connectorId": 2, "errorCode": "NoError", "status": "Charging"}
        assert await cp.call("StatusNotification", said | {"status": "Preparing"}) == {}
        assert await cp.call("StatusNotification", said) == {}
        assert await cp.call("DataTransfer", {"vendorId": "x"}) == {"status": "UnknownVendorId"}
        assert await cp.call("DiagnosticsStatusNotification", {"status": "Idle"}) == {}
        assert await cp.call("FirmwareStatusNotification", {"status": "Idle"}) == {}
        assert await cp.call("Invented", {}) == "NotImplemented"
        assert (
            await cp.call("StartTransaction", START | {"meterStart": "7"}) == "FormationViolation"
        )
        assert await cp.call("StopTransaction", {}) == "FormationViolation"
        for rubbish in ("{", '[2,"1","Heartbeat",{},{}]', '[2,"\\ud800","Heartbeat",{}]', "[3]"):
            await cp.socket.send(rubbish)
            await program.event("bad-frame")
        await until(lambda: kept("SELECT status FROM status") == [{"status": "Charging"}])


async def test_a_token_is_answered_by_its_status_and_the_transaction_opens_anyway(
    central, kept, plugged
):
    async with central(parent_tokens={"GOOD": "FLEET"}) as (_, port), plugged(port) as cp:
        good = {"status": "Accepted", "parentIdTag": "FLEET"}
        assert (await cp.call("Authorize", {"idTag": "GOOD"}))["idTagInfo"] == good
        for tag, status in (("OLD", "Expired"), ("NEVER-SEEN", "Invalid")):
            said = await cp.call("StartTransaction", START | {"idTag": tag})
            assert said["idTagInfo"] == {"status": status}
            assert said["transactionId"] >= FIRST_ID
        assert [one["status"] for one in kept("SELECT * FROM transactions")] == [
            "Expired",
            "Invalid",
        ]


@pytest.mark.parametrize(
    ("mode", "same_message", "same_business"),
    [("none", False, False), ("message-id", True, False), ("business-key", True, True)],
)
async def test_a_repeated_start_is_one_transaction_as_dedupe_says(
    central, mode, same_message, same_business, plugged
):
    async with central(quirks={"dedupe": mode}) as (_, port), plugged(port) as cp:
        first = await cp.call("StartTransaction", START, "start")
        assert (await cp.call("StartTransaction", START, "start") == first) is same_message
        assert (await cp.call("StartTransaction", START, "other") == first) is same_business
        later = START | {"timestamp": "2026-01-01T00:00:01Z"}
        assert await cp.call("StartTransaction", later, "later") != first


async def test_what_is_acknowledged_and_not_taken_stands_with_its_reason(central, kept, plugged):
    async with central() as (_, port), plugged(port) as cp, plugged(port, "CP-2") as other:
        await cp.call("StartTransaction", START)
        assert await cp.call("StopTransaction", STOP | {"transactionId": -1}) == {}
        assert await other.call("StopTransaction", STOP) == {}
        assert await cp.call("StopTransaction", STOP | {"idTag": "OLD"}) == {
            "idTagInfo": {"status": "Expired"}
        }
        assert await cp.call("StopTransaction", STOP) == {}
        assert await cp.call("StopTransaction", STOP | {"meterStop": 10}) == {}
        assert await cp.call("MeterValues", METER) == {}
        assert [one["reason"] for one in kept("SELECT * FROM failed ORDER BY n")] == [
            "stop of an unknown transaction",
            "stop of an unknown transaction",
            "second stop with other values",
        ]
        assert [one["meter_stop"] for one in kept("SELECT * FROM transactions")] == [9]
        assert [one["matched"] for one in kept("SELECT * FROM meter_value")] == [0]


# --- who may connect


async def test_only_who_knows_the_password_of_its_identity_comes_in(central, plugged, station):
    async with central(passwords={"Hof 1/ä": "gehéim", "CP-2": "b"}) as (program, port):
        path = "Hof%201%2F%C3%A4"
        for identity, password in ((path, "b"), ("CP-2", None), ("CP-3", "b")):
            with pytest.raises(InvalidStatus, match="401"):
                await station(port, identity, password=password)
        pair = base64.b64encode("Hof 1/ä:gehéim".encode()).decode()
        headers = {"Authorization": f"Basic {pair}"}
        async with plugged(port, path, additional_headers=headers) as cp:
            await program.event("connected", charge_point="Hof 1/ä")
            assert await cp.call("Heartbeat", {})
        await program.event("disconnected", charge_point="Hof 1/ä")


async def test_a_path_without_identity_or_a_wrong_subprotocol_is_refused(central, station):
    async with central() as (_, port):
        with pytest.raises(InvalidStatus, match="404"):
            await station(port, "")
        for offered in (None, ["ocpp1.5"]):
            with pytest.raises(InvalidHandshake):
                await station(port, subprotocols=offered)


async def test_tls_is_spoken_and_a_client_certificate_asked_for(central, authority, plugged):
    client, tls = authority
    async with central(tls=tls) as (_, port):
        async with plugged(port, scheme="wss", ssl=client(certified=True)) as cp:
            assert await cp.call("Heartbeat", {})
        with pytest.raises((OSError, InvalidHandshake, ConnectionClosed)):
            # TLS 1.3 tells of a missing certificate only after the client's handshake.
            async with plugged(port, scheme="wss", ssl=client(certified=False)) as cp:
                await cp.call("Heartbeat", {})


async def test_two_connections_of_one_identity_are_said_and_the_older_one_closed(
    central, kept, plugged
):
    async with central() as (program, port), plugged(port) as old, plugged(port) as new:
        said = await program.event("doubled", charge_point="CP-1")
        assert said["connections"] == 2
        await old.ends()
        assert await new.call("Heartbeat", {})
        assert len(await until(lambda: kept("SELECT * FROM doubled"))) == 1
        await program.until_status("status", lambda said: said["connections"] == 1)


async def test_one_after_the_other_is_never_doubled(central, kept, plugged):
    async with central() as (program, port):
        for _ in range(5):
            async with plugged(port) as cp:
                await cp.call("Heartbeat", {})
        await until(lambda: len(kept("SELECT * FROM wire")) == 10)
        await program.ask("status", "status")
        assert kept("SELECT * FROM doubled") == []


async def test_the_older_connection_may_be_left_open(central, plugged):
    quirks = {"older_connection": "keep"}
    async with (
        central(quirks=quirks) as (program, port),
        plugged(port) as old,
        plugged(port) as new,
    ):
        await program.event("doubled")
        assert await old.call("Heartbeat", {})
        await program.tell("call", id="c", charge_point="CP-1", action="Reset", payload={})
        assert (await new.is_asked())[2] == "Reset"


# --- its own calls


async def test_calls_go_out_one_after_the_other_and_their_answers_are_reported(central, plugged):
    async with central() as (program, port), plugged(port) as cp:
        for name in ("a", "b", "c"):
            await program.tell("call", id=name, charge_point="CP-1", action=name, payload={"x": 1})
        _, first, action, payload = await cp.is_asked()
        assert (action, payload) == ("a", {"x": 1})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SILENCE_S):
                await cp.is_asked()
        await cp.socket.send(json.dumps([3, first, {"status": "Accepted"}]))
        said = await program.event("answered", id="a", charge_point="CP-1", action="a")
        assert (said["result"], said["error"]) == ({"status": "Accepted"}, None)
        assert said["after_ms"] >= SILENCE_S * 1_000
        _, second, *_ = await cp.is_asked()
        await cp.socket.send(json.dumps([4, second, "NotSupported", "no", {}]))
        said = await program.event("answered", id="b", result=None)
        assert said["error"] == {"code": "NotSupported", "description": "no"}
        await cp.is_asked()
        await cp.socket.close()
        said = await program.event("answered", id="c", result=None)
        assert said["error"]["code"] == "ConnectionLost"


async def test_a_call_without_connection_or_answer_is_said(central, plugged):
    async with central() as (program, port):
        await program.tell("call", id="x", charge_point="CP-1", action="Reset")
        assert "CP-1" in (await program.event("error", id="x"))["error"]
        async with plugged(port) as cp:
            await cp.call("Heartbeat", {})
            named = {"charge_point": "CP-1", "action": "Reset", "timeout_s": 0.1}
            await program.tell("call", id="y", **named)
            assert (await program.event("answered", id="y"))["error"]["code"] == "NoAnswer"


# --- gone and back


async def test_down_closes_and_refuses_and_up_listens_again_with_the_same_ledger(
    central, kept, plugged, station
):
    async with central() as (program, port):
        async with plugged(port) as cp:
            await cp.call("StartTransaction", START)
            await program.ask("down", "down")
            await cp.ends()
            with pytest.raises(ConnectionRefusedError):
                await station(port)
            assert (await program.ask("status", "status"))["listening"] is False
        assert (await program.ask("up", "listening"))["port"] == port
        async with plugged(port) as cp:
            assert (await cp.call("StartTransaction", START))["transactionId"] == FIRST_ID
            await program.ask("restart", "listening")
            await cp.ends()
        async with plugged(port) as cp:
            assert (await cp.call("StartTransaction", START))["transactionId"] == FIRST_ID
            assert await cp.call("StopTransaction", STOP) == {}
        assert [one["meter_stop"] for one in kept("SELECT * FROM transactions")] == [9]


async def test_going_down_in_a_black_hole_leaves_nobody_waiting(central, plugged, station):
    async with central() as (program, port), plugged(port) as cp:
        await cp.call("Heartbeat", {})
        await program.quirk("black_hole")
        await cp.send("StartTransaction", START)
        with pytest.raises(TimeoutError):
            await station(port, "CP-2", open_timeout=SILENCE_S)
        await program.ask("restart", "listening")
        await cp.ends()
        with pytest.raises(TimeoutError):
            await station(port, "CP-2", open_timeout=SILENCE_S)
        assert (await program.ask("status", "status"))["transactions"] == 0
        await program.tell("quit")
        await program.event("stopped")
        assert await program.process.wait() == 0


async def test_a_kill_loses_nothing_that_was_acknowledged(central, kept, plugged):
    async with central() as (program, port), plugged(port) as cp:
        await cp.call("StartTransaction", START)
        for n in range(20):
            await cp.call("MeterValues", METER | {"connectorId": n})
        await program.kill()
    assert len(kept("SELECT * FROM meter_value")) == 20
    async with central() as (program, port), plugged(port) as cp:
        assert (await cp.call("StartTransaction", START))["transactionId"] == FIRST_ID
        later = START | {"meterStart": 8}
        assert (await cp.call("StartTransaction", later))["transactionId"] == FIRST_ID + 1
        said = await program.ask("status", "status")
        assert said["charge_points"][0]["open_transactions"] == [FIRST_ID, FIRST_ID + 1]


async def test_two_processes_never_keep_one_ledger(central, start, tmp_path):
    async with central():
        words = ("--listen", "127.0.0.1:0", "--state", tmp_path / "csms.db")
        async with start("csms", *words) as second:
            assert await second.process.wait() == 2


# --- what it says of itself


async def test_status_tells_who_is_there_and_what_came(central, plugged):
    async with central() as (program, port):
        async with plugged(port) as cp:
            await cp.call("BootNotification", BOOT)
            await cp.call("StartTransaction", START)
            said = await program.ask("status", "status")
            assert (said["listening"], said["connections"], said["transactions"]) == (True, 1, 1)
            [point] = said["charge_points"]
            assert point["connected"]
            assert point["boot"]["chargePointModel"] == "Simulated"
            assert point["open_transactions"] == [FIRST_ID]
            assert point["counts"] == {"BootNotification": 1, "StartTransaction": 1}
        await program.event("disconnected")
        assert not (await program.ask("status", "status"))["charge_points"][0]["connected"]


async def test_quiet_reports_only_what_was_asked_for(central, plugged):
    words = ("--quiet", "--no-wire-log")
    async with central(*words) as (program, port), plugged(port) as cp:
        await cp.call("BootNotification", BOOT)
        await cp.call("StartTransaction", START)
        await program.quirk("ignore", action="Heartbeat")
        await cp.hears_nothing("Heartbeat", {})
        await program.ask("status", "status")
        assert [one["event"] for one in program.seen] == ["listening", "quirk", "status"]


async def test_many_at_once_are_all_answered_and_kept(central, kept, plugged):
    """Not a measurement: only that group commits mix nothing up."""

    async def one_day(port, name):
        async with plugged(port, name) as cp:
            for n in range(10):
                start = START | {"meterStart": n}
                number = (await cp.call("StartTransaction", start))["transactionId"]
                await cp.call("MeterValues", METER | {"transactionId": number})
                await cp.call("StopTransaction", STOP | {"transactionId": number, "meterStop": n})

    async with central("--quiet") as (_, port):
        await asyncio.gather(*(one_day(port, f"CP-{n}") for n in range(20)))
        assert kept("SELECT count(*) AS n FROM transactions WHERE meter_stop = meter_start") == [
            {"n": 200}
        ]
        assert kept("SELECT count(*) AS n FROM meter_value WHERE matched") == [{"n": 200}]
