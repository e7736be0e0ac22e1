"""Goal: the whole service keeps its promises to charge points of OCPP 2.0.1 and 2.1, and to those that change.

Method: virtual time, a simulated server, connections in memory; a csms-bridge of two lines on the bus.
"""

from __future__ import annotations

import asyncio
import json

import pytest

from holdfast import rpc, subjects
from holdfast.bus import NotAcknowledged
from holdfast.contracts.charge_point import (
    ChargePointConnected,
    ChargePointSaid,
    ChargePointsStatus,
)
from holdfast.contracts.csms import RelayReply, RelayRequest
from holdfast.contracts.rules import TokenType
from holdfast.contracts.session import SessionMetered, SessionStarted, SessionStopped
from holdfast.ocpp.versions import OcppVersion
from holdfast_testkit.sim_clock import virtual_time

SITE = "berlin01"
BOOT = {"reason": "PowerUp", "chargingStation": {"model": "M", "vendorName": "V"}}
AT = "2025-06-15T15:00:00Z"


def event(kind, seq_no, **more):
    return {
        "eventType": kind,
        "timestamp": AT,
        "triggerReason": "Authorized",
        "seqNo": seq_no,
        "transactionInfo": {"transactionId": "1001"},
        "evse": {"id": 2, "connectorId": 1},
        **more,
    }


async def charger_of(place, version):
    """As `place.connect`, with a version."""
    return await place.connect("CP-1", version)


async def gone(charger):
    charger.end.lose()
    await asyncio.sleep(1)


TOKEN = {"idToken": "DRIVER-01", "type": "eMAID"}


@pytest.mark.parametrize("version", [OcppVersion.V201, OcppVersion.V21])
@virtual_time
async def test_a_session_from_boot_to_end_over_a_kill(new_place, version):
    place = await new_place()
    place.begin()
    charger = await charger_of(place, version)
    assert (await charger.call("BootNotification", BOOT))["status"] == "Accepted"
    begin = event("Started", 0, idToken=TOKEN)
    told = await charger.call("TransactionEvent", begin)
    assert told["idTokenInfo"]["status"] == "Accepted"
    assert (place.asked[0].token_type, place.asked[0].starts_session) == (TokenType.EMAID, True)
    await asyncio.sleep(3)  # a snapshot: the id "1001" is a text in it, and stays one
    await place.kill()
    place.begin()
    charger = await charger_of(place, version)
    assert await charger.call("TransactionEvent", begin) == told
    assert await charger.call("TransactionEvent", event("Updated", 1)) == {}
    assert await charger.call("TransactionEvent", event("Ended", 2)) == {}
    assert len(place.asked) == 1
    (started,) = place.facts(SessionStarted)
    assert (started.transaction_id, started.connector, started.version) == ("1001", 2, version)
    assert len(place.facts(SessionMetered)) == len(place.facts(SessionStopped)) == 1
    assert place.facts(ChargePointConnected)[-1].version is version
    (view,) = [
        one
        for one in (await place.ask("charge-points", ChargePointsStatus)).charge_points
        if one.charge_point == "CP-1"
    ]
    assert (view.version, view.vendor) == (version, "V")
    await place.kill()


@virtual_time
async def test_ids_of_both_kinds_stay_apart_over_a_snapshot(new_place):
    """A station of 1.6 becomes one of 2.0.1 that counts its transactions as we do."""
    place = await new_place()
    place.begin()
    charger = await place.connect()
    transaction = await charger.start()
    await gone(charger)
    charger = await charger_of(place, OcppVersion.V201)
    info = {"transactionInfo": {"transactionId": str(transaction)}}
    await charger.call("TransactionEvent", event("Started", 0, idToken=TOKEN) | info)
    await asyncio.sleep(3)
    await place.kill()
    place.begin()
    charger = await charger_of(place, OcppVersion.V201)
    assert await charger.call("TransactionEvent", event("Ended", 1) | info) == {}
    await gone(charger)
    charger = await place.connect()
    assert await charger.stop(transaction) == {}
    ended = [one.transaction_id for one in place.facts(SessionStopped)]
    assert ended == [str(transaction), transaction]
    await place.kill()


class Bridge:
    def __init__(self):
        self.asked = []
        self.reply = RelayReply(raw='{"status":"Accepted"}')
        self.takes_s = 0

    async def relay(self, request, _):
        self.asked.append(request)
        await asyncio.sleep(self.takes_s)
        if self.reply is None:
            raise NotAcknowledged("away")
        return self.reply


async def bridged(place):
    bridge = Bridge()
    subject = subjects.up(SITE, "relay")
    client = place.bus.client("csms-bridge")
    await rpc.serve(client, subject, RelayRequest, bridge.relay)
    return bridge


@virtual_time
async def test_what_only_the_csms_can_answer_is_asked_of_it_with_its_bytes_untouched(new_place):
    place = await new_place()
    bridge = await bridged(place)
    place.begin()
    charger = await charger_of(place, OcppVersion.V201)
    asked = {"csr": "x", "certificateType": "ChargingStationCertificate"}
    assert await charger.call("SignCertificate", asked) == {"status": "Accepted"}
    (request,) = bridge.asked
    assert request.raw == json.dumps(asked)
    assert (request.charge_point, request.version, request.action) == (
        "CP-1",
        OcppVersion.V201,
        "SignCertificate",
    )
    await place.kill()


@pytest.mark.parametrize(
    ("reply", "takes_s"),
    [
        (None, 0),
        (RelayReply(reason="not attached"), 0),
        (RelayReply(raw="[1]"), 0),
        (RelayReply(raw='{"status":"Accepted"}'), 60),
    ],
)
@virtual_time
async def test_without_an_answer_in_time_it_is_declined_in_the_actions_own_words(
    new_place, reply, takes_s
):
    place = await new_place()
    bridge = await bridged(place)
    bridge.reply, bridge.takes_s = reply, takes_s
    place.begin()
    charger = await charger_of(place, OcppVersion.V201)
    began = asyncio.get_running_loop().time()
    asked = {"csr": "x", "certificateType": "ChargingStationCertificate"}
    assert await charger.call("SignCertificate", asked) == {"status": "Rejected"}
    assert asyncio.get_running_loop().time() - began < 10
    await place.kill()


@virtual_time
async def test_others_are_served_while_the_csms_thinks(new_place):
    place = await new_place()
    bridge = await bridged(place)
    bridge.takes_s = 5
    place.begin()
    charger = await charger_of(place, OcppVersion.V201)
    ask = [2, "slow", "SignCertificate", {"csr": "x"}]
    await charger.end.send(json.dumps(ask))
    event_sent = {"type": "SettingSystemTime", "timestamp": AT}
    assert await charger.call("SecurityEventNotification", event_sent) == {}
    assert json.loads(await charger.end.receive()) == [3, "slow", {"status": "Accepted"}]
    assert place.facts(ChargePointSaid)[0].action == "SecurityEventNotification"
    await place.kill()


@pytest.mark.parametrize("version", OcppVersion)
@virtual_time
async def test_wrong_frames_are_refused_in_the_words_of_the_version(new_place, version):
    place = await new_place()
    place.begin()
    charger = await charger_of(place, version)
    await charger.end.send('[2,"m1","Authorize",{}]')
    spelled = "Occurence" if version is OcppVersion.V16 else "Occurrence"
    answer = json.loads(await charger.end.receive())
    assert answer[:3] == [4, "m1", f"{spelled}ConstraintViolation"]
    await charger.end.send('[2,7,"Heartbeat",{}]')
    if version is not OcppVersion.V16:
        assert json.loads(await charger.end.receive())[:3] == [4, "-1", "RpcFrameworkError"]
    await charger.end.send('[5,"m","FormatViolation","",{}]')
    assert "currentTime" in await charger.call("Heartbeat", {})
    await place.kill()


STREAM = {"id": 1, "pending": 0, "basetime": AT, "data": [{"t": 0, "v": "1"}]}


@pytest.mark.parametrize(
    ("version", "payload", "answer"),
    [
        (OcppVersion.V21, STREAM, None),
        (OcppVersion.V21, {}, None),
        (OcppVersion.V201, STREAM, "MessageTypeNotSupported"),
        (OcppVersion.V16, STREAM, None),
    ],
)
@virtual_time
async def test_a_send_is_never_answered_where_there_are_any(new_place, version, payload, answer):
    place = await new_place()
    place.begin()
    charger = await charger_of(place, version)
    await charger.end.send(json.dumps([6, "s1", "NotifyPeriodicEventStream", payload]))
    if answer:
        assert json.loads(await charger.end.receive())[:3] == [4, "s1", answer]
    assert "currentTime" in await charger.call("Heartbeat", {})
    await place.kill()
