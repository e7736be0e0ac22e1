"""Goal: everything that is not transactional is answered at once, journaled where it changes something, and
holds up nothing.
"""

from __future__ import annotations

import pytest

from holdfast.contracts.charge_point import (
    ChargePointBooted,
    ChargePointConnected,
    ChargePointDisconnected,
    ChargePointSampled,
    ConnectorStatusChanged,
    DataTransferred,
    FrameRefused,
)
from holdfast.ocpp import frames
from holdfast.records import replace
from ocpp_edge.domain import events

BOOT = {"chargePointVendor": "Vendor", "chargePointModel": "Model"}
AVAILABLE = {"connectorId": 1, "errorCode": "NoError", "status": "Available"}


def test_a_boot_is_accepted_with_the_sites_time_and_journaled(bench):
    bench.call("BootNotification", BOOT, "m1")
    assert bench.told("m1") == {
        "status": "Accepted",
        "currentTime": "2025-06-15T15:06:40.000Z",
        "interval": 300,
    }
    assert bench.facts(ChargePointBooted)[0].vendor == "Vendor"
    assert bench.state.known.booted.at_ms == bench.at_ms


def test_a_boot_repeated_on_one_connection_is_one_boot_and_on_another_another(bench):
    bench.call("BootNotification", BOOT, "m1")
    bench.call("BootNotification", BOOT, "m1")
    assert len(bench.facts(ChargePointBooted)) == 1
    bench.connect()
    bench.call("BootNotification", BOOT, "m1")
    assert len(bench.facts(ChargePointBooted)) == 2


def test_a_boot_is_answered_even_when_the_disk_refuses(bench):
    bench.journal_takes = False
    bench.call("BootNotification", BOOT, "m1")
    assert bench.told("m1")["status"] == "Accepted"
    assert not bench.closed


def test_the_first_frame_may_be_anything(bench):
    bench.stop("m1", 46_000_000)
    bench.call("StatusNotification", AVAILABLE, "m2")
    assert [id for id, _ in bench.answers] == ["m1", "m2"]


def test_a_status_is_journaled_on_change_or_error_and_telemetry_otherwise(bench):
    for number in range(3):
        bench.call("StatusNotification", AVAILABLE, f"m{number}")
    assert len(bench.facts(ConnectorStatusChanged)) == 1
    assert sum(isinstance(fact, ChargePointSampled) for fact in bench.telemetry) == 2
    fault = {**AVAILABLE, "errorCode": "GroundFailure", "status": "Faulted"}
    bench.call("StatusNotification", fault, "m4")
    bench.call("StatusNotification", fault, "m5")
    assert len(bench.facts(ConnectorStatusChanged)) == 3
    assert all(bench.told(f"m{number}") == {} for number in (0, 1, 2, 4, 5))


def test_connectors_beyond_the_bound_are_served_but_not_remembered(bench):
    for number in range(100):
        bench.call("StatusNotification", {**AVAILABLE, "connectorId": number}, f"m{number}")
    assert len(bench.state.known.connectors) == 64
    assert bench.told("m99") == {}


def test_an_authorize_is_answered_with_the_decision(bench):
    bench.call("Authorize", {"idTag": "TAG"}, "m1")
    assert bench.told("m1") == {"idTagInfo": {"status": "Accepted", "parentIdTag": "GROUP"}}
    assert not bench.asked[0].starts_session


def test_an_authorize_without_a_decision_is_answered_with_an_error(bench):
    bench.authorises = False
    bench.call("Authorize", {"idTag": "TAG"}, "m1")
    bench.feed(events.NotAuthorised(**bench.now, request=bench.asked[0].request))
    assert bench.told("m1") == "InternalError"
    assert not bench.closed


def test_an_authorize_of_another_connection_is_another_question(bench):
    bench.call("Authorize", {"idTag": "TAG"}, "1")
    bench.connect()
    bench.call("Authorize", {"idTag": "TAG"}, "1")
    assert bench.asked[0].request != bench.asked[1].request


def test_at_the_soft_storage_limit_no_session_begins_and_running_ones_finish(bench):
    bench.start("m1")
    bench.policy = replace(bench.policy, new_sessions=False)
    bench.call("Authorize", {"idTag": "TAG"}, "m2")
    assert bench.told("m2")["idTagInfo"]["status"] == "Invalid"
    assert "expiryDate" in bench.told("m2")["idTagInfo"]
    bench.stop("m3", bench.told("m1")["transactionId"])
    assert bench.told("m3") == {}
    bench.start("m4", meter=200)  # it happened
    assert bench.told("m4")["transactionId"]


def test_data_transfer_is_journaled_and_of_an_unknown_vendor_while_the_csms_is_away(bench):
    bench.call("DataTransfer", {"vendorId": "V", "data": "x"}, "m1")
    assert bench.told("m1") == {"status": "UnknownVendorId"}
    assert bench.facts(DataTransferred)[0].vendor == "V"


@pytest.mark.parametrize(
    ("action", "status"),
    [
        ("DiagnosticsStatusNotification", "Uploaded"),
        ("FirmwareStatusNotification", "Installed"),
    ],
)
def test_progress_is_acknowledged(bench, action, status):
    bench.call(action, {"status": status}, "m1")
    assert bench.told("m1") == {}


def test_a_refused_frame_is_answered_and_kept_and_the_connection_stays(bench):
    wrong = frames.parse('[2,"m1","Heartbeat"]')
    bench.feed(
        events.FrameWrong(**bench.now, connection="connection-1", wrong=wrong, frame="x" * 9_999)
    )
    assert bench.told("m1") == "FormationViolation"
    (refused,) = bench.telemetry
    assert isinstance(refused, FrameRefused)
    assert len(refused.frame) == 2_000
    assert not bench.closed


def test_connections_are_journaled_and_a_restart_closes_what_it_finds_open(bench):
    assert bench.facts(ChargePointConnected)[0].connection == "connection-1"
    bench.crash()
    (gone,) = bench.facts(ChargePointDisconnected)
    assert (gone.connection, gone.reason) == ("connection-1", "ocpp-edge was restarted")
    bench.crash()
    assert len(bench.facts(ChargePointDisconnected)) == 1
