"""Goal: a CSMS of 2.0.1 or 2.1 behind Holdfast hears what it would hear from the charge point itself.

As `test_transparency.py`, of 2.x: ids, seqNos and the `offline` flag are the station's own all the way.
"""

import asyncio
import json

import pytest

from holdfast.ocpp.versions import OcppVersion
from simulation.csms import Said
from simulation.provisioning import BLOCKED, LISTED
from transparency.conversation import (
    CHARGE_POINT,
    QUIET_MS,
    Heard,
    Place,
    Told,
    directly,
    through,
)

VERSIONS = [OcppVersion.V201, OcppVersion.V21]
LIVE = ("Authorize", "SignCertificate")
OWN = ("Heartbeat",)
AT = "2025-06-15T15:07:00.000+02:00"
BOOT = '{"reason":"PowerUp","chargingStation" :{"model":"Säule Ω","vendorName":"\\u00dcberlader"} }'
SECURITY = f'{{"type":"SettingSystemTime", "timestamp":"{AT}"}}'
ALERT = (
    f'{{"generatedAt":"{AT}","seqNo":0,"eventData":[{{"eventId":7,"timestamp":"{AT}","trigger":"Alerting",'
    '"actualValue":"true" , "eventNotificationType":"HardWiredNotification","component":{"name":"EVSE"},'
    '"variable":{"name":"Problem"}}]}'
)
EVENTS = [
    f'{{"generatedAt":"{AT}","seqNo":{seq_no},"eventData":[{{"eventId":8,"timestamp":"{AT}","trigger":"Delta",'
    f'"actualValue":"{value}" , "eventNotificationType":"CustomMonitor","component":{{"name":"EVSE"}},'
    '"variable":{"name":"Temperature"}}]}'
    for seq_no, value in ((1, "20"), (2, "31"), (3, "32"))
]
"""Below an alert; the first before the cut, the others in it."""
CSR = '{"csr":"-----BEGIN CERTIFICATE REQUEST-----\\nMII\\n-----END"}'
SIGNED = (
    '"meterValue":[ {"timestamp":"2025-06-15T15:08:00Z","sampledValue":[{"value": 1010.50,'
    '"signedMeterValue":{"signedMeterData":"T0NNRnw\\/","signingMethod":"","encodingMethod":"OCMF",'
    '"publicKey":""}}]}]'
)


def token(name: str = LISTED) -> str:
    return f'"idToken" : {{"type":"ISO14443","idToken":"{name}"}}'


def event(transaction: str, seq_no: int, kind: str, trigger: str, *more: str) -> str:
    parts = [f'"seqNo":{seq_no} ', f'"eventType":"{kind}"', f'"timestamp":"{AT}"', *more]
    parts += [
        f'"triggerReason":"{trigger}"',
        f'"transactionInfo":{{"transactionId":"{transaction}"}}',
    ]
    return "{" + ", ".join(parts) + "}"


def status(evse: int, word: str) -> str:
    return f'{{"evseId":{evse},"connectorId":1, "connectorStatus":"{word}","timestamp":"{AT}"}}'


async def converse(place: Place) -> Told:
    charge_point = place.charge_point

    async def say(action: str, payload: str) -> str:
        answer = await charge_point.say(action, payload)
        await place.pause()
        return answer

    await say("BootNotification", BOOT)
    for evse in (1, 2):
        await say("StatusNotification", status(evse, "Available"))
    verdicts = [await say("Authorize", f"{{{token(name)}}}") for name in (LISTED, BLOCKED)]
    await say("SecurityEventNotification", SECURITY)
    signed = await say("SignCertificate", CSR)
    await say("NotifyEvent", EVENTS[0])
    await say("StatusNotification", status(1, "Occupied"))
    first = "a4f0-Ω".encode("ascii", "backslashreplace").decode().replace("\\", "-")
    evse = '"evse":{"id":1,"connectorId":1}'
    await say("TransactionEvent", event(first, 0, "Started", "CablePluggedIn", evse))
    await say("TransactionEvent", event(first, 1, "Updated", "Authorized", token()))
    await say("TransactionEvent", event(first, 2, "Updated", "MeterValuePeriodic", SIGNED))

    await place.cut()
    second = "other-1"
    offline = '"offline" :true'
    evse = '"evse":{"id":2}'
    await say("StatusNotification", status(2, "Occupied"))
    await say("TransactionEvent", event(second, 0, "Started", "Authorized", token(), evse, offline))
    await say("NotifyEvent", ALERT)
    for below in EVENTS[1:]:
        await say("NotifyEvent", below)
        await place.pause(1_500)
    await say("TransactionEvent", event(first, 3, "Updated", "ChargingStateChanged"))
    await say("TransactionEvent", event(second, 1, "Ended", "StopAuthorized", offline))
    await say("StatusNotification", status(2, "Available"))
    await place.heal()

    payload = f'{{ "transactionId": "{first}"}}'
    await asyncio.gather(
        place.csms.call(CHARGE_POINT, "RequestStopTransaction", payload, within_ms=20_000),
        place.pause(3_000),
    )
    await say("TransactionEvent", event(first, 4, "Ended", "RemoteStop", SIGNED))
    await say("StatusNotification", status(1, "Available"))
    await place.pause(QUIET_MS)
    return Told(
        place.csms.ledger,
        tuple(charge_point.heard),
        (),
        (*verdicts, signed),
        tuple(charge_point.said_ids),
    )


@pytest.fixture(scope="module", params=VERSIONS, ids=str)
def version(request) -> OcppVersion:
    return OcppVersion(request.param)


@pytest.fixture(scope="module")
def direct(version) -> Told:
    return directly(converse, version)


@pytest.fixture(scope="module")
def bridged(version) -> Told:
    return through(converse, version)


@pytest.fixture(scope="module")
def cut(version) -> Told:
    return through(converse, version, cuts=True)


def calls(every: list[Said]) -> list[tuple[str, str]]:
    return [(one.action, one.payload) for one in every]


def ordered(told: Told) -> list[tuple[str, str]]:
    """What goes up in the order in which it was said."""
    return calls([said for said in told.upstream() if said.action not in (*LIVE, *OWN)])


def test_the_csms_is_told_the_same_in_the_same_order_byte_for_byte(direct, bridged, version):
    assert ordered(bridged) == ordered(direct)
    assert {said.version for said in bridged.upstream()} == {version.value}


def test_what_only_the_csms_can_say_is_asked_of_it_and_comes_back(direct, bridged):
    relayed = calls(bridged.upstream("SignCertificate"))
    assert relayed == calls(direct.upstream("SignCertificate")) != []
    assert [json.loads(one) for one in bridged.verdicts] == [
        json.loads(one) for one in direct.verdicts
    ]


def test_a_remote_stop_reaches_the_station_under_its_own_id_and_its_bytes_come_back(
    direct, bridged
):
    [heard] = bridged.heard
    assert Heard(heard.action, heard.payload.replace(" ", "")) == Heard(
        direct.heard[0].action, direct.heard[0].payload.replace(" ", "")
    )
    assert direct.remote.answer == bridged.remote.answer


def test_there_is_one_connection_and_one_call_at_a_time(bridged, cut):
    for seen in (bridged, cut):
        assert {said.connection for said in seen.upstream()} == {1}
        assert seen.ledger.overlapping == seen.ledger.doubled == []


def test_transactions_are_the_same_after_a_cut_each_once_and_in_order(direct, cut):
    assert list(cut.ledger.events) == list(direct.ledger.events)
    for key, events in direct.ledger.events.items():
        assert [one.payload for one in cut.ledger.events[key]] == [one.payload for one in events]


def test_what_is_guaranteed_arrives_after_a_cut_and_statuses_collapse(direct, cut):
    assert calls(cut.upstream("SecurityEventNotification")) == calls(
        direct.upstream("SecurityEventNotification")
    )
    said = [payload for _, payload in calls(cut.upstream("NotifyEvent"))]
    assert said == [EVENTS[0], ALERT, EVENTS[2]], "below an alert of the cut only the newest"
    said = [json.loads(payload) for _, payload in calls(cut.upstream("StatusNotification"))]
    of_second = [one["connectorStatus"] for one in said if one["evseId"] == 2]
    assert of_second == ["Available", "Available"], "of the cut only the newest"
