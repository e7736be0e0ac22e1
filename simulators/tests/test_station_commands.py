"""Goal: a 2.x station does what it is told, answers by its schemas, and its ledger says which instructions took effect.

Method: the shipped process on a real socket; each command of 2.0.1 and 2.1 at least once.
"""

from __future__ import annotations

from pathlib import Path

import ocpp
import pytest

PEM = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----"
LATER = "2099-01-01T00:00:00Z"
ID = {"idToken": "DRIVER-1", "type": "Central"}
HASH = {"hashAlgorithm": "SHA256", "issuerNameHash": "a", "issuerKeyHash": "b", "serialNumber": "c"}


def profile(purpose="TxDefaultProfile", limit=0.0, **more):
    periods = [{"startPeriod": 0, "limit": limit}]
    schedule = {"id": 1, "chargingRateUnit": "W", "chargingSchedulePeriod": periods}
    return {
        "id": 1,
        "stackLevel": 0,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Absolute",
        "chargingSchedule": [schedule],
    } | more


def variable(component, name, **more):
    return {"component": {"name": component}, "variable": {"name": name}} | more


INTERVAL = variable("SampledDataCtrlr", "TxUpdatedInterval")
FIRMWARE = {"location": "https://example.test/fw-3.bin", "retrieveDateTime": "2020-01-01T00:00:00Z"}
LOG = {"log": {"remoteLocation": "ftp://example.test/"}, "logType": "SecurityLog", "requestId": 8}
MONITOR = variable("EVSE", "Power", value=1.0, type="Delta", severity=5)
COMMANDS = [
    ("CancelReservation", {"reservationId": 9}, "Rejected", 0),
    ("CertificateSigned", {"certificateChain": PEM}, "Accepted", 1),
    ("CertificateSigned", {"certificateChain": "nonsense"}, "Rejected", 0),
    ("ChangeAvailability", {"operationalStatus": "Inoperative", "evse": {"id": 2}}, "Accepted", 1),
    ("ChangeAvailability", {"operationalStatus": "Operative", "evse": {"id": 7}}, "Rejected", 0),
    ("ClearCache", {}, "Accepted", 1),
    ("ClearChargingProfile", {"chargingProfileId": 5}, "Unknown", 0),
    ("ClearVariableMonitoring", {"id": [1]}, None, 0),
    ("CostUpdated", {"totalCost": 1.5, "transactionId": "none"}, None, 1),
    ("CustomerInformation", {"requestId": 1, "report": True, "clear": False}, "Accepted", 1),
    ("DataTransfer", {"vendorId": "org.example"}, "UnknownVendorId", 0),
    ("DeleteCertificate", {"certificateHashData": HASH}, "NotFound", 0),
    ("GetBaseReport", {"requestId": 1, "reportBase": "FullInventory"}, "Accepted", 1),
    ("GetBaseReport", {"requestId": 1, "reportBase": "SummaryInventory"}, "NotSupported", 0),
    ("GetChargingProfiles", {"requestId": 1, "chargingProfile": {}}, "NoProfiles", 0),
    ("GetCompositeSchedule", {"duration": 60, "evseId": 0}, "Accepted", 1),
    ("GetCompositeSchedule", {"duration": 60, "evseId": 9}, "Rejected", 0),
    ("GetInstalledCertificateIds", {}, "NotFound", 0),
    ("GetLocalListVersion", {}, None, 1),
    ("GetLog", LOG, "Accepted", 1),
    ("GetMonitoringReport", {"requestId": 1}, "EmptyResultSet", 0),
    ("GetReport", {"requestId": 1, "componentVariable": [INTERVAL]}, "Accepted", 1),
    ("GetReport", {"requestId": 1, "componentVariable": [variable("No", "Thing")]}, "EmptyResultSet", 0),
    ("GetTransactionStatus", {}, None, 1),
    ("GetVariables", {"getVariableData": [INTERVAL]}, None, 1),
    ("InstallCertificate", {"certificateType": "CSMSRootCertificate", "certificate": PEM}, "Accepted", 1),
    ("InstallCertificate", {"certificateType": "CSMSRootCertificate", "certificate": "no"}, "Rejected", 0),
    ("RequestStartTransaction", {"idToken": ID, "remoteStartId": 1, "evseId": 1}, "Accepted", 1),
    ("RequestStartTransaction", {"idToken": ID, "remoteStartId": 1, "evseId": 9}, "Rejected", 0),
    ("RequestStopTransaction", {"transactionId": "none"}, "Rejected", 0),
    ("ReserveNow", {"id": 9, "expiryDateTime": LATER, "idToken": ID, "evseId": 1}, "Accepted", 1),
    ("ReserveNow", {"id": 9, "expiryDateTime": LATER, "idToken": ID}, "Rejected", 0),
    ("Reset", {"type": "OnIdle"}, "Accepted", 1),
    ("Reset", {"type": "Immediate", "evseId": 1}, "Rejected", 0),
    ("SendLocalList", {"versionNumber": 1, "updateType": "Full"}, "Accepted", 1),
    ("SendLocalList", {"versionNumber": 0, "updateType": "Full"}, "Failed", 0),
    ("SetChargingProfile", {"evseId": 1, "chargingProfile": profile()}, "Accepted", 1),
    ("SetChargingProfile", {"evseId": 1, "chargingProfile": profile("TxProfile")}, "Rejected", 0),
    ("SetMonitoringBase", {"monitoringBase": "All"}, "NotSupported", 0),
    ("SetMonitoringLevel", {"severity": 5}, "Rejected", 0),
    ("SetVariableMonitoring", {"setMonitoringData": [MONITOR]}, None, 0),
    ("SetVariables", {"setVariableData": [INTERVAL | {"attributeValue": "7"}]}, None, 1),
    ("SetVariables", {"setVariableData": [INTERVAL | {"attributeValue": "soon"}]}, None, 0),
    ("TriggerMessage", {"requestedMessage": "Heartbeat"}, "Accepted", 1),
    ("TriggerMessage", {"requestedMessage": "TransactionEvent"}, "Rejected", 0),
    ("TriggerMessage", {"requestedMessage": "SignV2GCertificate"}, "NotImplemented", 0),
    ("UnlockConnector", {"evseId": 1, "connectorId": 1}, "Unlocked", 1),
    ("UnlockConnector", {"evseId": 1, "connectorId": 2}, "UnknownConnector", 0),
    ("UpdateFirmware", {"requestId": 1, "firmware": FIRMWARE}, "Accepted", 1),
]  # fmt: skip
NOT_IMPLEMENTED = [
    "ClearDisplayMessage", "GetDisplayMessages", "PublishFirmware", "SetDisplayMessage", "UnpublishFirmware",
]  # fmt: skip
OF_STATION = {
    "Authorize", "BootNotification", "ClearedChargingLimit", "FirmwareStatusNotification", "Get15118EVCertificate",
    "GetCertificateStatus", "Heartbeat", "LogStatusNotification", "MeterValues", "NotifyChargingLimit",
    "NotifyCustomerInformation", "NotifyDisplayMessages", "NotifyEVChargingNeeds", "NotifyEVChargingSchedule",
    "NotifyEvent", "NotifyMonitoringReport", "NotifyReport", "PublishFirmwareStatusNotification",
    "ReportChargingProfiles", "ReservationStatusUpdate", "SecurityEventNotification", "SignCertificate",
    "StatusNotification", "TransactionEvent",
}  # fmt: skip


@pytest.fixture(params=["2.0.1", "2.1"])
def stations(request, checked, charge_points):
    return lambda **behaviour: charge_points(version=request.param, upkeep_s=0.02, **behaviour)


async def begin(program, csms):
    await program.tell("plug", charge_point="CP-1", connector=1, driver_token="DRIVER-1")
    started = (await program.event("transaction-id"))["transaction_id"]
    await csms.until(lambda: len(csms.of("TransactionEvent")) >= 2)
    return started


def test_every_command_of_2_0_1_is_tried_or_known_not_to_be_implemented():
    folder = Path(ocpp.__file__).parent / "v201" / "schemas"
    all_of_it = {one.stem.removesuffix("Request") for one in folder.glob("*Request.json")}
    tried = {action for action, *_ in COMMANDS} | {*NOT_IMPLEMENTED, "SetNetworkProfile"}
    assert tried == all_of_it - OF_STATION


@pytest.mark.parametrize(("action", "payload", "status", "executed"), COMMANDS)
async def test_each_command_is_answered_and_written_down(
    csms, stations, ledger, action, payload, status, executed
):
    async with stations() as program:
        await program.event("online")
        answer = await csms.order("CP-1", action, payload)
        await program.event("command", action=action)
    assert answer.get("status") == status
    [command] = ledger("SELECT action, executed FROM command")
    assert command == {"action": action, "executed": executed}


async def test_what_it_does_not_know_is_not_implemented_and_nonsense_a_format_violation(
    csms, stations
):
    async with stations() as program:
        await program.event("online")
        for action in [*NOT_IMPLEMENTED, "NoSuchThing"]:
            assert await csms.order("CP-1", action, {}) == "NotImplemented"
        assert await csms.order("CP-1", "Reset", {"type": "Sideways"}) == "FormatViolation"


async def test_a_remote_start_carries_its_id_and_a_remote_stop_ends_it(csms, stations):
    async with stations() as program:
        await program.event("online")
        start = {"idToken": ID, "remoteStartId": 77, "evseId": 2}
        await csms.order("CP-1", "RequestStartTransaction", start)
        await csms.until(lambda: csms.of("TransactionEvent"))
        started = csms.of("TransactionEvent")[0].payload
        assert started["triggerReason"] == "RemoteStart"
        assert started["transactionInfo"]["remoteStartId"] == 77
        assert started["evse"]["id"] == 2
        transaction = {"transactionId": started["transactionInfo"]["transactionId"]}
        told = await csms.order("CP-1", "GetTransactionStatus", transaction)
        assert told["ongoingIndicator"] is True
        await csms.order("CP-1", "RequestStopTransaction", transaction)
        ended = await csms.until(
            lambda: [
                one for one in csms.of("TransactionEvent") if one.payload["eventType"] == "Ended"
            ]
        )
        assert ended[0].payload["triggerReason"] == "RemoteStop"


async def test_a_limit_of_nothing_suspends_and_clearing_it_goes_on(csms, stations):
    async with stations() as program:
        await program.event("online")
        await begin(program, csms)
        await csms.order("CP-1", "SetChargingProfile", {"evseId": 1, "chargingProfile": profile()})
        await csms.until(lambda: _states(csms)[-1] == "SuspendedEVSE")
        told = await csms.order("CP-1", "GetCompositeSchedule", {"duration": 60, "evseId": 1})
        assert told["schedule"]["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 0.0}]
        asked = {"requestId": 5, "chargingProfile": {"chargingProfilePurpose": "TxDefaultProfile"}}
        assert (await csms.order("CP-1", "GetChargingProfiles", asked))["status"] == "Accepted"
        [report] = await csms.until(lambda: csms.of("ReportChargingProfiles"))
        assert report.payload["chargingProfile"] == [profile()]
        await csms.order("CP-1", "ClearChargingProfile", {"chargingProfileId": 1})
        await csms.until(lambda: _states(csms)[-1] == "Charging")


def _states(csms):
    return [one.payload["transactionInfo"]["chargingState"] for one in csms.of("TransactionEvent")]


async def test_a_reset_on_idle_waits_for_the_transaction_an_immediate_one_ends_it(csms, stations):
    async with stations() as program:
        await program.event("online")
        await begin(program, csms)
        assert (await csms.order("CP-1", "Reset", {"type": "OnIdle"}))["status"] == "Scheduled"
        await program.tell("stop", charge_point="CP-1", connector=1)
        await program.event("rebooting")
        await program.event("online")
        assert csms.of("BootNotification")[1].payload["reason"] == "RemoteReset"
        await begin(program, csms)
        await csms.order("CP-1", "Reset", {"type": "Immediate"})
        ended = await program.event("session-stopped")
        assert ended["reason"] == "ImmediateReset"


async def test_unlock_is_refused_while_an_authorised_transaction_runs(csms, stations):
    async with stations() as program:
        await program.event("online")
        await begin(program, csms)
        answer = await csms.order("CP-1", "UnlockConnector", {"evseId": 1, "connectorId": 1})
    assert answer["status"] == "OngoingAuthorizedTransaction"


async def test_variables_take_effect_are_reported_and_outlive_a_kill(csms, stations):
    asked = {"getVariableData": [INTERVAL]}
    async with stations() as program:
        await program.event("online")
        wanted = {"setVariableData": [INTERVAL | {"attributeValue": "7"}]}
        [result] = (await csms.order("CP-1", "SetVariables", wanted))["setVariableResult"]
        assert result["attributeStatus"] == "Accepted"
        await csms.order("CP-1", "GetBaseReport", {"requestId": 3, "reportBase": "FullInventory"})
        await csms.until(lambda: [r for r in csms.of("NotifyReport") if not r.payload["tbc"]])
        reports = [one.payload for one in csms.of("NotifyReport")]
        assert [one["seqNo"] for one in reports] == list(range(len(reports)))
        values = {
            f"{one['component']['name']}.{one['variable']['name']}": one["variableAttribute"][0][
                "value"
            ]
            for report in reports
            for one in report["reportData"]
        }
        assert values["SampledDataCtrlr.TxUpdatedInterval"] == "7"
        await program.kill()
    async with stations() as program:
        await program.event("online")
        [result] = (await csms.order("CP-1", "GetVariables", asked))["getVariableResult"]
        assert result["attributeValue"] == "7"


async def test_the_local_list_decides_while_the_link_is_down(csms, stations, ledger):
    listed = [{"idToken": ID, "idTokenInfo": {"status": "Blocked"}}]
    payload = {"versionNumber": 4, "updateType": "Full", "localAuthorizationList": listed}
    async with stations() as program:
        await program.event("online")
        await csms.order("CP-1", "SendLocalList", payload)
        assert await csms.order("CP-1", "GetLocalListVersion", {}) == {"versionNumber": 4}
        older = payload | {"updateType": "Differential", "versionNumber": 4}
        assert (await csms.order("CP-1", "SendLocalList", older))["status"] == "VersionMismatch"
        await program.tell("drop-link", charge_point="CP-1", for_s=5)
        await program.event("disconnected")
        await program.tell("plug", charge_point="CP-1", connector=1, driver_token="DRIVER-1")
        await program.event("refused")
        await program.tell("plug", charge_point="CP-1", connector=2, driver_token="DRIVER-2")
        await program.event("session-started", online=False)


async def test_a_reservation_is_for_its_driver(csms, stations):
    reserve = {"id": 9, "expiryDateTime": LATER, "idToken": ID, "evseId": 1}
    async with stations() as program:
        await program.event("online")
        await csms.order("CP-1", "ReserveNow", reserve)
        await csms.until(
            lambda: csms.of("StatusNotification")[-1].payload["connectorStatus"] == "Reserved"
        )
        await program.tell("plug", charge_point="CP-1", connector=1, driver_token="DRIVER-2")
        await program.event("refused", reason="reserved for another driver token")
        await program.tell("plug", charge_point="CP-1", connector=1, driver_token="DRIVER-1")
        await csms.until(lambda: csms.of("TransactionEvent"))
    assert csms.of("TransactionEvent")[0].payload["reservationId"] == 9


async def test_firmware_goes_through_its_statuses_and_a_log_through_its_own(csms, stations):
    async with stations() as program:
        await program.event("online")
        await csms.order("CP-1", "GetLog", LOG)
        logs = await csms.until(
            lambda: len(csms.of("LogStatusNotification")) == 2 and csms.of("LogStatusNotification")
        )
        assert [one.payload["status"] for one in logs] == ["Uploading", "Uploaded"]
        await csms.order("CP-1", "UpdateFirmware", {"requestId": 6, "firmware": FIRMWARE})
        told = await csms.until(
            lambda: (
                len(csms.of("FirmwareStatusNotification")) == 4
                and csms.of("FirmwareStatusNotification")
            )
        )
        assert [one.payload["status"] for one in told] == [
            "Downloading", "Downloaded", "Installing", "Installed",
        ]  # fmt: skip
        assert {one.payload["requestId"] for one in told} == {6}
        await csms.until(
            lambda: (
                "FirmwareUpdated"
                in [one.payload["type"] for one in csms.of("SecurityEventNotification")]
            )
        )
    boots = [
        one.payload["chargingStation"]["firmwareVersion"] for one in csms.of("BootNotification")
    ]
    assert boots == ["simulated 2", "fw-3.bin"]


async def test_certificates_are_listed_and_deleted(csms, stations):
    install = {"certificateType": "CSMSRootCertificate", "certificate": PEM}
    async with stations() as program:
        await program.event("online")
        await csms.order("CP-1", "InstallCertificate", install)
        told = await csms.order("CP-1", "GetInstalledCertificateIds", {})
        [chain] = told["certificateHashDataChain"]
        delete = {"certificateHashData": chain["certificateHashData"]}
        assert (await csms.order("CP-1", "DeleteCertificate", delete))["status"] == "Accepted"
        assert (await csms.order("CP-1", "GetInstalledCertificateIds", {}))["status"] == "NotFound"


async def test_each_trigger_brings_its_message(csms, stations):
    async with stations() as program:
        await program.event("online")
        await begin(program, csms)
        for action in (
            "BootNotification", "FirmwareStatusNotification", "Heartbeat", "LogStatusNotification", "MeterValues",
            "StatusNotification",
        ):  # fmt: skip
            before = len(csms.of(action))
            await csms.order("CP-1", "TriggerMessage", {"requestedMessage": action})
            await csms.until(lambda action=action, before=before: len(csms.of(action)) > before)
        await csms.order("CP-1", "TriggerMessage", {"requestedMessage": "TransactionEvent"})
        await csms.until(
            lambda: (
                "Trigger" in [one.payload["triggerReason"] for one in csms.of("TransactionEvent")]
            )
        )


async def test_the_schemas_that_frames_are_held_against_do_refuse(checked, csms, charge_points):
    with pytest.raises(ValueError, match="required"):
        checked.checked("ocpp2.0.1", "StatusNotification", "Request", {"connectorId": 1})
