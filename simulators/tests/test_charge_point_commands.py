"""Goal: a charge point answers every command of OCPP 1.6 as the specification has it, keeps what it was told over a
reboot, and its ledger says what took effect.

Method: the shipped process against a small central system on a real socket.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from holdfast_simulators.charge_points.v16.commands import COMMANDS

ACCEPTED, REJECTED = {"status": "Accepted"}, {"status": "Rejected"}


def in_s(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def reserve(seconds=60, connector=1, id=7, id_tag="MINE", **more):
    return {
        "connectorId": connector,
        "expiryDate": in_s(seconds),
        "idTag": id_tag,
        "reservationId": id,
        **more,
    }


async def reboot(program):
    await program.tell("reboot", charge_point="CP-1", kind="power-loss")
    await program.event("rebooting")
    await program.event("online")


def statuses(csms, connector=1):
    every = [one.payload for one in csms.of("StatusNotification")]
    return [one["status"] for one in every if one["connectorId"] == connector]


async def until_status(csms, status):
    await csms.until(lambda: statuses(csms)[-1:] == [status])


async def keys(csms, *names):
    answer = await csms.order("CP-1", "GetConfiguration", {"key": list(names)} if names else {})
    return {one["key"]: one["value"] for one in answer.get("configurationKey", [])}, answer


# --- configuration ---


async def test_keys_are_told_changed_and_kept(csms, charge_points):
    async with charge_points() as program:
        await program.event("online")
        known, answer = await keys(csms, "HeartbeatInterval", "Nonsense")
        assert (known, answer["unknownKey"]) == ({"HeartbeatInterval": "60"}, ["Nonsense"])

        async def change(key, value):
            return (await csms.order("CP-1", "ChangeConfiguration", {"key": key, "value": value}))[
                "status"
            ]

        assert await change("HeartbeatInterval", "7") == "Accepted"
        assert await change("HeartbeatInterval", "often") == "Rejected"
        assert await change("SupportedFeatureProfiles", "Core") == "Rejected"
        assert await change("Nonsense", "1") == "NotSupported"
        assert await change("WebSocketPingInterval", "30") == "RebootRequired"
        await reboot(program)
        known, _ = await keys(csms)
        assert known["HeartbeatInterval"] == "7"
        assert known["WebSocketPingInterval"] == "30"


async def test_a_changed_interval_is_followed_at_once(csms, charge_points):
    async with charge_points() as program:
        await program.event("online")
        assert not csms.of("Heartbeat")
        change = {"key": "HeartbeatInterval", "value": "1"}
        assert await csms.order("CP-1", "ChangeConfiguration", change) == ACCEPTED
        await csms.until(lambda: csms.of("Heartbeat"))


# --- the list and the cache ---


async def test_a_list_is_replaced_and_changed_by_version(csms, charge_points):
    async with charge_points() as program:
        await program.event("online")

        async def send(kind, version, *entries):
            payload = {
                "listVersion": version,
                "updateType": kind,
                "localAuthorizationList": list(entries),
            }
            return (await csms.order("CP-1", "SendLocalList", payload))["status"]

        async def version():
            return (await csms.order("CP-1", "GetLocalListVersion", {}))["listVersion"]

        mine, blocked = (
            {"idTag": "MINE", "idTagInfo": {"status": "Accepted"}},
            {"idTag": "BAD", "idTagInfo": {"status": "Blocked"}},
        )
        assert await version() == 0
        assert await send("Full", 5, mine) == "Accepted"
        assert await send("Differential", 5, blocked) == "VersionMismatch"
        assert await send("Differential", 6, blocked) == "Accepted"
        assert await send("Full", 7, {"idTag": "MINE"}) == "Failed"
        assert await send("Full", 0, mine) == "Failed"
        await reboot(program)
        assert await version() == 6


@pytest.mark.parametrize(
    ("token", "event"), [("MINE", "session-started"), ("BAD", "refused"), ("OLD", "refused")]
)
async def test_the_list_decides_while_the_link_is_gone(csms, charge_points, token, event):
    async with charge_points(offline_start=False) as program:
        await program.event("online")
        entries = [
            {"idTag": "MINE", "idTagInfo": {"status": "Accepted"}},
            {"idTag": "BAD", "idTagInfo": {"status": "Blocked"}},
            {"idTag": "OLD", "idTagInfo": {"status": "Accepted", "expiryDate": in_s(-1)}},
        ]
        full = {"listVersion": 1, "updateType": "Full", "localAuthorizationList": entries}
        assert await csms.order("CP-1", "SendLocalList", full) == ACCEPTED
        await program.tell("drop-link", charge_point="CP-1", for_s=600)
        await program.event("disconnected")
        await program.tell("plug", charge_point="CP-1", driver_token=token)
        await program.event(event)


async def test_a_cleared_cache_knows_nobody(csms, charge_points, ledger):
    async with charge_points() as program:
        await program.event("online")
        await program.tell("plug", charge_point="CP-1", driver_token="TOKEN")
        await program.event("session-started")
        assert ledger("SELECT driver_token FROM known_token") == [{"driver_token": "TOKEN"}]
        assert await csms.order("CP-1", "ClearCache", {}) == ACCEPTED
        await program.ask("status", "status")
        assert ledger("SELECT * FROM known_token") == []
        off = {"key": "AuthorizationCacheEnabled", "value": "false"}
        assert await csms.order("CP-1", "ChangeConfiguration", off) == ACCEPTED
        assert await csms.order("CP-1", "ClearCache", {}) == REJECTED


# --- reservations ---


async def test_what_is_reserved_starts_for_that_driver_alone(csms, charge_points):
    async with charge_points() as program:
        await program.event("online")
        assert await csms.order("CP-1", "ReserveNow", reserve()) == ACCEPTED
        await until_status(csms, "Reserved")
        await program.tell("plug", charge_point="CP-1", driver_token="OTHER")
        assert (await program.event("refused"))["reason"] == "reserved for another driver token"
        other = {"connectorId": 1, "idTag": "OTHER"}
        assert await csms.order("CP-1", "RemoteStartTransaction", other) == REJECTED
        await reboot(program)
        await program.tell("plug", charge_point="CP-1", driver_token="MINE")
        await program.event("session-started")
        await csms.until(lambda: csms.of("StartTransaction"))
        assert csms.of("StartTransaction")[0].payload["reservationId"] == 7
        assert await csms.order("CP-1", "CancelReservation", {"reservationId": 7}) == REJECTED


async def test_a_reservation_ends_with_its_time(csms, charge_points):
    async with charge_points() as program:
        await program.event("online")
        assert await csms.order("CP-1", "ReserveNow", reserve(seconds=6)) == ACCEPTED
        await csms.until(lambda: statuses(csms)[-2:] == ["Reserved", "Available"])
        assert await csms.order("CP-1", "CancelReservation", {"reservationId": 7}) == REJECTED


async def test_a_reservation_is_replaced_cancelled_and_refused(csms, charge_points):
    async with charge_points() as program:
        await program.event("online")

        async def ask(**of):
            return (await csms.order("CP-1", "ReserveNow", reserve(**of)))["status"]

        assert await ask(seconds=-1) == "Rejected"
        assert await ask(connector=0) == "Rejected"
        assert await ask() == "Accepted"
        assert await ask(id=8) == "Occupied"
        assert await ask(id_tag="OTHER") == "Accepted"
        assert await csms.order("CP-1", "CancelReservation", {"reservationId": 7}) == ACCEPTED
        await program.tell("plug", charge_point="CP-1", driver_token="TOKEN")
        await program.event("session-started")
        assert await ask() == "Occupied"
        closed = {"connectorId": 2, "type": "Inoperative"}
        assert await csms.order("CP-1", "ChangeAvailability", closed) == ACCEPTED
        assert await ask(connector=2) == "Unavailable"


async def test_the_parent_of_a_driver_may_hold_the_reservation(csms, charge_points):
    info = {"status": "Accepted", "parentIdTag": "FLEET"}
    csms.answers["Authorize"] = lambda _: {"idTagInfo": info}
    async with charge_points() as program:
        await program.event("online")
        fleet = reserve(parentIdTag="FLEET")
        assert await csms.order("CP-1", "ReserveNow", fleet) == ACCEPTED
        await program.tell("plug", charge_point="CP-1", driver_token="COLLEAGUE")
        await program.event("session-started")


# --- sessions ---


async def test_unlocking_ends_the_session_there(csms, charge_points):
    async with charge_points() as program:
        await program.event("online")
        await program.tell("plug", charge_point="CP-1", driver_token="TOKEN")
        await program.event("transaction-id")
        unlocked = {"status": "Unlocked"}
        assert await csms.order("CP-1", "UnlockConnector", {"connectorId": 1}) == unlocked
        await csms.until(lambda: csms.of("StopTransaction"))
        assert csms.of("StopTransaction")[0].payload["reason"] == "UnlockCommand"
        assert await csms.order("CP-1", "UnlockConnector", {"connectorId": 1}) == unlocked
        assert await csms.order("CP-1", "UnlockConnector", {"connectorId": 9}) == {
            "status": "NotSupported"
        }


def limit(watts, id=1, purpose="TxDefaultProfile"):
    return {
        "chargingProfileId": id,
        "stackLevel": 0,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Absolute",
        "chargingSchedule": {
            "chargingRateUnit": "W",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": watts}],
        },
    }


async def test_profiles_are_kept_shown_and_cleared(csms, charge_points):
    async with charge_points() as program:
        await program.event("online")
        body = {"connectorId": 1, "csChargingProfiles": limit(4_000)}
        assert await csms.order("CP-1", "SetChargingProfile", body) == ACCEPTED
        await reboot(program)
        ask = {"connectorId": 1, "duration": 60, "chargingRateUnit": "W"}
        shown = await csms.order("CP-1", "GetCompositeSchedule", ask)
        assert shown["chargingSchedule"]["chargingSchedulePeriod"] == [
            {"startPeriod": 0, "limit": 4_000}
        ]
        assert (
            await csms.order("CP-1", "GetCompositeSchedule", ask | {"connectorId": 9}) == REJECTED
        )
        unknown = {"status": "Unknown"}
        assert await csms.order("CP-1", "ClearChargingProfile", {"id": 5}) == unknown
        assert await csms.order("CP-1", "ClearChargingProfile", {"id": 1}) == ACCEPTED
        assert await csms.order("CP-1", "ClearChargingProfile", {}) == unknown


async def test_a_remote_start_brings_the_profile_of_its_session(csms, charge_points):
    async with charge_points() as program:
        await program.event("online")
        start = {"idTag": "TOKEN", "chargingProfile": limit(3_000, purpose="TxProfile")}
        assert await csms.order("CP-1", "RemoteStartTransaction", start) == ACCEPTED
        await program.event("transaction-id")
        status = await program.ask("status", "status")
        assert status["charge_points"][0]["connectors"][0]["power_w"] == 3_000


# --- upkeep ---


def said(csms, action):
    return [one.payload["status"] for one in csms.of(action)]


async def test_a_firmware_is_fetched_installed_and_shown_after_the_boot(csms, charge_points):
    async with charge_points(upkeep_s=1) as program:
        await program.event("online")
        update = {"location": "https://example.test/images/v2.bin", "retrieveDate": in_s(0.2)}
        assert await csms.order("CP-1", "UpdateFirmware", update) == {}
        for status in ("Downloading", "Downloaded", "Installing", "Installed"):
            await program.event("notice", status=status)
        told = "FirmwareStatusNotification"
        await csms.until(lambda: said(csms, told)[-1:] == ["Installed"])
        # What is said last before the boot need not get out any more.
        assert said(csms, told)[:2] == ["Downloading", "Downloaded"]
    assert csms.of("BootNotification")[-1].payload["firmwareVersion"] == "v2.bin"


async def test_a_running_session_keeps_the_firmware_waiting(csms, charge_points):
    async with charge_points(upkeep_s=0.05) as program:
        await program.event("online")
        await program.tell("plug", charge_point="CP-1", driver_token="TOKEN")
        await program.event("transaction-id")
        update = {"location": "https://example.test/v2.bin", "retrieveDate": in_s(-1)}
        assert await csms.order("CP-1", "UpdateFirmware", update) == {}
        await program.event("notice", status="Downloaded")
        readings = len(csms.of("MeterValues"))
        await csms.until(lambda: len(csms.of("MeterValues")) > readings + 3)
        assert "Installing" not in said(csms, "FirmwareStatusNotification")
        await program.tell("unplug", charge_point="CP-1")
        await program.event("notice", status="Installed")


async def test_what_can_not_be_fetched_fails(csms, charge_points):
    async with charge_points(upkeep_s=0.05) as program:
        await program.event("online")
        nowhere = {"location": "nowhere", "retrieveDate": in_s(-1)}
        assert await csms.order("CP-1", "UpdateFirmware", nowhere) == {}
        await program.event("notice", status="DownloadFailed")
        assert "fileName" in await csms.order("CP-1", "GetDiagnostics", {"location": "nowhere"})
        await program.event("notice", status="UploadFailed")


async def test_diagnostics_are_uploaded_and_said(csms, charge_points):
    async with charge_points(upkeep_s=3) as program:
        await program.event("online")
        where = {"location": "ftp://example.test/up"}
        assert await csms.order("CP-1", "GetDiagnostics", where) == {"fileName": "diagnostics.zip"}
        trigger = {"requestedMessage": "DiagnosticsStatusNotification"}
        assert await csms.order("CP-1", "TriggerMessage", trigger) == ACCEPTED
        action = "DiagnosticsStatusNotification"
        await csms.until(lambda: said(csms, action)[-1:] == ["Uploaded"])
        assert said(csms, action) == ["Uploading", "Uploading", "Uploaded"]
        assert await csms.order("CP-1", "GetDiagnostics", where | {"startTime": in_s(99)}) == {}


async def test_a_vendor_that_nobody_knows_is_said_to_be_unknown(csms, charge_points):
    async with charge_points() as program:
        await program.event("online")
        assert await csms.order("CP-1", "DataTransfer", {"vendorId": "X"}) == {
            "status": "UnknownVendorId"
        }


# --- the ledger ---


async def test_the_ledger_says_which_commands_took_effect(csms, charge_points, ledger):
    commands = [
        ("ReserveNow", reserve(), 1),
        ("ReserveNow", reserve(id=8), 0),
        ("CancelReservation", {"reservationId": 7}, 1),
        ("ChangeConfiguration", {"key": "WebSocketPingInterval", "value": "5"}, 1),
        ("ChangeConfiguration", {"key": "Nonsense", "value": "5"}, 0),
        ("GetConfiguration", {}, 1),
        ("GetLocalListVersion", {}, 1),
        ("SendLocalList", {"listVersion": 1, "updateType": "Full"}, 1),
        ("SendLocalList", {"listVersion": 1, "updateType": "Differential"}, 0),
        ("ClearCache", {}, 1),
        ("UnlockConnector", {"connectorId": 1}, 1),
        ("ClearChargingProfile", {}, 0),
        ("GetCompositeSchedule", {"connectorId": 1, "duration": 5}, 1),
        ("DataTransfer", {"vendorId": "X"}, 0),
        ("GetDiagnostics", {"location": "ftp://example.test/up"}, 1),
        ("UpdateFirmware", {"location": "ftp://example.test/v2", "retrieveDate": in_s(99)}, 1),
        ("MakeCoffee", {}, 0),
    ]
    async with charge_points() as program:
        await program.event("online")
        for action, payload, _ in commands:
            await csms.order("CP-1", action, payload)
    rows = ledger("SELECT action, executed, at_ms FROM command ORDER BY seq")
    assert [(one["action"], one["executed"]) for one in rows] == [
        (action, executed) for action, _, executed in commands
    ]
    assert all(one["at_ms"] > 1_700_000_000_000 for one in rows)


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"listVersion": "x"},
        {"connectorId": [], "reservationId": {}, "key": {}, "vendorId": None},
    ],
)
async def test_no_payload_brings_a_charge_point_down(csms, charge_points, payload):
    hostile = payload | {
        "csChargingProfiles": "x",
        "localAuthorizationList": ["x"],
        "duration": 1e999,
    }
    async with charge_points() as program:
        await program.event("online")
        for action in sorted(set(COMMANDS) - {"Reset"}):
            await csms.order("CP-1", action, hostile)
        await asyncio.sleep(0)
        await program.ask("status", "status")
    assert csms.connections == 1


@pytest.mark.parametrize("version", ["1.6", "2.0.1", "2.1"])
async def test_an_answer_that_is_lost_leaves_the_command_obeyed(
    csms, charge_points, ledger, version
):
    """And only that one: the next is answered."""
    of_16 = {"connectorId": 1, "type": "Inoperative"}
    of_2x = {"evse": {"id": 1}, "operationalStatus": "Inoperative"}
    payload = of_16 if version == "1.6" else of_2x
    async with charge_points(version=version) as program:
        await program.event("online")
        await program.tell("lose-answer", charge_point="CP-1", action="ChangeAvailability")
        await program.ask("status", "status")  # it has read what it was told before
        ordering = asyncio.ensure_future(csms.order("CP-1", "ChangeAvailability", payload))
        await program.event("answer-lost", action="ChangeAvailability")
        await program.event("disconnected")
        await program.event("online")
        assert not ordering.done()
        ordering.cancel()
        assert (await csms.order("CP-1", "ChangeAvailability", payload))["status"] == "Accepted"
    assert ledger("SELECT executed FROM command") == [{"executed": 1}] * 2
