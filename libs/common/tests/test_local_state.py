"""Goal: the state of a charge point is what its facts say, at every moment, and a diff names what changed and no more.

Method: facts as they are journaled; Hypothesis for any order, and for a history that forgot its beginning.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from holdfast.contracts.charge_point import (
    ChargePointBooted,
    ChargePointConnected,
    ChargePointDisconnected,
    ChargePointSaid,
    ConnectorStatusChanged,
)
from holdfast.contracts.command import Action, Command, CommandSettled, Disposition
from holdfast.contracts.decision import Basis
from holdfast.contracts.driver_tokens import TokenStatus
from holdfast.contracts.envelope import Fact
from holdfast.contracts.session import SessionStarted, SessionStopped
from holdfast.local_state import History, LocalState, diff, fold
from holdfast.local_state.history import CHANGES_MAX
from holdfast.local_state.state import SECRET, STANDS_MAX
from holdfast.ocpp.versions import OcppVersion

CP = "CP-01"


def settled(
    action: Action,
    payload: dict[str, Any],
    answer: dict[str, Any] | None,
    disposition: Disposition = Disposition.DELIVERED,
) -> CommandSettled:
    command = Command(
        id="c1", charge_point=CP, action=action, payload=payload, issued_at_ms=1, deadline_ms=2
    )
    return CommandSettled(
        charge_point=CP,
        command=command,
        disposition=disposition,
        answer=None if answer is None else json.dumps(answer),
    )


def key_set(key: str, value: str, status: str = "Accepted") -> CommandSettled:
    return settled("ChangeConfiguration", {"key": key, "value": value}, {"status": status})


def profile_set(id: int, purpose: str, amperes: float, connector: int = 1) -> CommandSettled:
    profile: dict[str, Any] = {
        "chargingProfileId": id,
        "stackLevel": 0,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Absolute",
        "chargingSchedule": {
            "chargingRateUnit": "A",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": amperes}],
        },
    }
    if purpose == "TxProfile":
        profile["transactionId"] = 7
    payload = {"connectorId": connector, "csChargingProfiles": profile}
    return settled("SetChargingProfile", payload, {"status": "Accepted"})


def started(at: str = "1970-01-01T00:00:01Z") -> SessionStarted:
    return SessionStarted(
        charge_point=CP,
        connector=1,
        session=f"{CP}/7",
        transaction_id=7,
        driver_token="TAG",
        meter_start_wh=0,
        at=at,
        status=TokenStatus.ACCEPTED,
        basis=Basis.LIST,
        flagged=False,
        decision="d1",
        message_id="m1",
        raw="{}",
    )


def stopped() -> SessionStopped:
    return SessionStopped(
        charge_point=CP,
        session=f"{CP}/7",
        transaction_id=7,
        meter_stop_wh=9,
        at="",
        reason="Local",
        message_id="m2",
        raw="{}",
    )


def status(status: str, error: str = "NoError", said: str | None = None) -> ConnectorStatusChanged:
    raw = {} if said is None else {"timestamp": said}
    return ConnectorStatusChanged(
        charge_point=CP,
        connector=1,
        status=status,
        error_code=error,
        message_id="m",
        raw=json.dumps(raw),
    )


def booted(firmware: str | None) -> ChargePointBooted:
    return ChargePointBooted(
        charge_point=CP,
        message_id="b",
        vendor="V",
        model="M",
        serial=None,
        firmware=firmware,
        status="Accepted",
        raw="{}",
    )


def said(action: str, payload: dict[str, Any]) -> ChargePointSaid:
    return ChargePointSaid(
        charge_point=CP,
        version=OcppVersion.V201,
        action=action,
        kind="G",
        key="k",
        message_id="m",
        raw=json.dumps(payload),
    )


def values(*facts: Fact) -> dict[str, str]:
    state = LocalState()
    for number, fact in enumerate(facts, 1):
        state = fold(state, number * 1_000, fact)
    return {key: stand.value for key, stand in state.stands.items()}


def test_a_key_that_was_accepted_stands_and_one_that_was_refused_does_not() -> None:
    assert values(key_set("A", "1"), key_set("B", "2", "Rejected"), key_set("A", "3")) == {
        "configuration/A": "3"
    }
    assert values(key_set("A", "1", "RebootRequired")) == {"configuration/A": "1 (after a boot)"}


def test_what_holds_after_a_boot_is_marked_until_the_boot_and_the_mark_goes_with_it() -> None:
    connected = ChargePointConnected(
        charge_point=CP, connection="k1", protocol="ocpp1.6", remote="r"
    )
    late = key_set("A", "1", "RebootRequired")

    def a(*facts: Fact) -> str:
        return values(*facts)["configuration/A"]

    assert a(connected, late, booted(None)) == "1 (after a boot)", "told again, it has not booted"
    assert a(connected, late, connected, booted(None)) == "1"
    triggered = booted(None).model_copy(update={"reason": "Triggered"})
    assert a(connected, late, connected, triggered) == "1 (after a boot)"
    asked = settled("GetConfiguration", {}, {"configurationKey": [{"key": "a", "value": "0"}]})
    assert a(connected, late, asked) == "0", "what it says holds now"
    assert a(connected, late, asked, connected, booted(None)) == "1"
    assert a(connected, late, key_set("a", "2"), connected, booted(None)) == "2"
    assert a(connected, late, key_set("A", "3", "Rejected"), connected, booted(None)) == "1"
    secret = key_set("AuthorizationKey", "0123456789abcdef", "RebootRequired")
    found = values(connected, secret, connected, booted(None))
    assert found["configuration/AuthorizationKey"] == SECRET


def test_of_variables_set_together_each_holds_when_it_was_said_to() -> None:
    def of(name: str, **more: Any) -> dict[str, Any]:
        return {"component": {"name": "Ctrlr"}, "variable": {"name": name}, **more}

    payload = {"setVariableData": [of("A", attributeValue="1"), of("B", attributeValue="2")]}
    results = [of("B", attributeStatus="RebootRequired"), of("A", attributeStatus="Accepted")]
    both = settled("SetVariables", payload, {"setVariableResult": results})
    assert values(both) == {
        "configuration/Ctrlr.A": "1",
        "configuration/Ctrlr.B": "2 (after a boot)",
    }
    assert values(both, booted(None))["configuration/Ctrlr.B"] == "2"


def test_a_key_is_the_same_however_it_is_spelt() -> None:
    told = {"configurationKey": [{"key": "HeartbeatInterval", "value": "60"}]}
    asked = settled("GetConfiguration", {}, told)
    assert values(asked, key_set("heartbeatinterval", "99")) == {
        "configuration/HeartbeatInterval": "99"
    }
    assert values(key_set("HEARTBEATINTERVAL", "99"), asked) == {
        "configuration/HEARTBEATINTERVAL": "60"
    }
    twice = {"configurationKey": [{"key": "A", "value": "1"}, {"key": "a", "value": "2"}]}
    assert values(settled("GetConfiguration", {}, twice)) == {"configuration/A": "2"}


def test_a_command_that_did_not_arrive_leaves_nothing() -> None:
    for disposition in (Disposition.UNCERTAIN, Disposition.REFUSED, Disposition.EXPIRED):
        payload = {"connectorId": 1, "type": "Inoperative"}
        assert values(settled("ChangeAvailability", payload, None, disposition)) == {}
        assert values(settled("ClearCache", {}, {"status": "Accepted"}, disposition)) == {}


def test_what_a_charge_point_answers_is_what_stands() -> None:
    answer = {
        "configurationKey": [
            {"key": "A", "value": "9", "readonly": False},
            {"key": "B", "readonly": True},
            "nonsense",
        ]
    }
    assert values(key_set("A", "1"), settled("GetConfiguration", {}, answer)) == {
        "configuration/A": "9"
    }
    assert values(settled("GetLocalListVersion", {}, {"listVersion": 4})) == {"list/version": "4"}


def test_a_secret_is_never_shown_and_its_change_is() -> None:
    history = History()
    for at_ms, value in ((1, "0123456789abcdef"), (5, "fedcba9876543210")):
        history = history.taking(at_ms, key_set("AuthorizationKey", value))
    assert history.state.value("configuration/AuthorizationKey") == SECRET
    (change,) = history.between(2, 9)
    assert (change.before, change.after, change.at_ms) == (SECRET, SECRET, 5)
    assert "0123" not in repr(history)
    assert "fedc" not in repr(history)


def test_a_profile_takes_the_place_of_another_and_is_cleared() -> None:
    key = "profile/1/TxDefaultProfile/0"
    assert values(
        profile_set(1, "TxDefaultProfile", 16), profile_set(2, "TxDefaultProfile", 6)
    ) == {key: "profile 2: 6 A"}
    cleared = settled("ClearChargingProfile", {"id": 2}, {"status": "Accepted"})
    assert values(profile_set(2, "TxDefaultProfile", 6), cleared) == {}
    unknown = settled("ClearChargingProfile", {"id": 3}, {"status": "Unknown"})
    assert key in values(profile_set(2, "TxDefaultProfile", 6), unknown)


def test_a_session_and_its_profile_go_with_its_stop() -> None:
    facts = (started(), profile_set(5, "TxProfile", 10), profile_set(6, "TxDefaultProfile", 16))
    running = values(*facts)
    assert running["session/1"] == f"{CP}/7"
    assert running["profile/1/TxProfile/0/7"] == "profile 5: 10 A"
    left = values(*facts, stopped())
    assert [key for key in left if key.startswith(("session", "profile"))] == [
        "profile/1/TxDefaultProfile/0"
    ]


def test_connection_boot_status_and_availability_stand() -> None:
    connected = ChargePointConnected(
        charge_point=CP, connection="k1", protocol="ocpp1.6", remote="r"
    )
    gone = ChargePointDisconnected(charge_point=CP, connection="k1", reason="lost")
    off = settled(
        "ChangeAvailability", {"connectorId": 1, "type": "Inoperative"}, {"status": "Scheduled"}
    )
    found = values(connected, booted("1.2"), booted(None), status("Faulted", "GroundFailure"), off)
    assert found["connection/state"] == "connected"
    assert (found["connection/version"], found["connection/security-profile"]) == ("1.6", "1")
    assert found["firmware/version"] == "1.2"
    assert found["status/1"] == "Faulted, GroundFailure"
    assert found["availability/1"] == "Inoperative"
    assert values(connected, gone)["connection/state"] == "disconnected"


def test_the_whole_of_1_6_is_all_its_connectors_and_an_evse_of_2_x_keeps_its_own() -> None:
    taken = {"status": "Accepted"}

    def of_16(connector: int, kind: str) -> CommandSettled:
        return settled("ChangeAvailability", {"connectorId": connector, "type": kind}, taken)

    assert values(of_16(1, "Inoperative"), of_16(0, "Operative")) == {"availability/0": "Operative"}
    evse = {"evse": {"id": 1}, "operationalStatus": "Inoperative"}
    whole = settled("ChangeAvailability", {"operationalStatus": "Operative"}, taken)
    assert values(settled("ChangeAvailability", evse, taken), whole) == {
        "availability/1": "Inoperative",
        "availability/0": "Operative",
    }


def test_a_reservation_and_a_profile_end_when_they_said_though_nobody_says_so() -> None:
    until = "1970-01-01T00:00:50Z"
    reserved = settled(
        "ReserveNow",
        {"connectorId": 1, "idTag": "T", "reservationId": 3, "expiryDate": until},
        {"status": "Accepted"},
    )
    profile = profile_set(1, "TxDefaultProfile", 16)
    inside = {**profile.command.payload["csChargingProfiles"], "validTo": until}
    payload = {"connectorId": 1, "csChargingProfiles": inside}
    history = History()
    for at_ms, fact in (
        (10_000, reserved),
        (20_000, settled("SetChargingProfile", payload, {"status": "Accepted"})),
    ):
        history = history.taking(at_ms, fact)
    keys = {"reservation/3", "profile/1/TxDefaultProfile/0"}
    assert history.now(49_999).keys() == history.at(49_999).keys() == keys
    assert not history.now(50_000)
    assert not history.at(50_000)
    assert {one.key for one in history.between(30_000, 60_000)} == keys
    history = history.taking(90_000, booted("1"))
    assert not history.state.profiles
    assert [(one.key, one.at_ms) for one in history.changes if one.after is None] == [
        ("profile/1/TxDefaultProfile/0", 50_000),
        ("reservation/3", 50_000),
    ]
    assert history.at(49_999).keys() == keys


def test_a_reservation_goes_with_the_session_that_names_it_or_the_station_that_drops_it() -> None:
    reserved = settled(
        "ReserveNow",
        {"connectorId": 1, "idTag": "T", "reservationId": 3, "expiryDate": "2030-01-01T00:00:00Z"},
        {"status": "Accepted"},
    )
    begun = started().model_copy(update={"raw": '{"reservationId": 3}'})
    assert "reservation/3" in values(reserved, started())
    assert "reservation/3" not in values(reserved, begun)
    dropped = {"reservationId": 3, "reservationUpdateStatus": "Removed"}
    assert not values(reserved, said("ReservationStatusUpdate", dropped))


def test_a_clock_is_told_by_the_message_furthest_ahead_not_by_one_out_of_a_queue() -> None:
    live, queued = "1970-01-01T01:00:00Z", "1970-01-01T00:10:00Z"
    state = fold(LocalState(), 1_000, status("Available", said=live))
    assert state.value("clock/offset_s") == "3599"
    state = fold(state, 2_000, status("Charging", said=queued))
    assert state.value("clock/offset_s") == "3599"
    assert (
        fold(state, 3_000, status("Finishing", said="222222017-01-01")).value("clock/offset_s")
        == "3599"
    )


def test_variables_of_2_x_are_told_by_component_and_variable_whatever_their_order() -> None:
    def of(name: str, **more: Any) -> dict[str, Any]:
        return {"component": {"name": "Ctrlr"}, "variable": {"name": name}, **more}

    payload = {"setVariableData": [of("A", attributeValue="1"), of("B", attributeValue="2")]}
    results = [of("B", attributeStatus="Rejected"), of("A", attributeStatus="Accepted")]
    assert values(settled("SetVariables", payload, {"setVariableResult": results})) == {
        "configuration/Ctrlr.A": "1"
    }
    evse = {
        "component": {"name": "EVSE", "evse": {"id": 2}},
        "variable": {"name": "Power"},
        "attributeType": "MaxSet",
        "attributeStatus": "Accepted",
        "attributeValue": "3",
    }
    assert values(settled("GetVariables", {}, {"getVariableResult": [evse]})) == {
        "configuration/EVSE@2.Power.MaxSet": "3"
    }
    assert values(settled("GetVariables", {}, {"getVariableResult": "nonsense"})) == {}


def test_connectors_of_one_evse_are_kept_apart() -> None:
    def of(plug: int, value: str) -> dict[str, Any]:
        return {
            "component": {"name": "Connector", "evse": {"id": 1, "connectorId": plug}},
            "variable": {"name": "ConnectorType"},
            "variableAttribute": [{"value": value}],
        }

    assert values(said("NotifyReport", {"reportData": [of(1, "cCCS2"), of(2, "cType2")]})) == {
        "configuration/Connector@1.1.ConnectorType": "cCCS2",
        "configuration/Connector@1.2.ConnectorType": "cType2",
    }
    assert (
        values(said("NotifyReport", {"reportData": [{"variableAttribute": [{"value": "1"}]}]}))
        == {}
    )

    def off(**evse: int) -> CommandSettled:
        payload = {"evse": evse, "operationalStatus": "Inoperative"}
        return settled("ChangeAvailability", payload, {"status": "Accepted"})

    on = {"evse": {"id": 1}, "operationalStatus": "Operative"}
    whole = settled("ChangeAvailability", on, {"status": "Accepted"})
    assert values(off(id=1, connectorId=2), whole) == {
        "availability/1.2": "Inoperative",
        "availability/1": "Operative",
    }


def test_a_report_tells_variables_and_firmware_its_status() -> None:
    report = {
        "reportData": [
            {
                "component": {"name": "OCPPCommCtrlr"},
                "variable": {"name": "HeartbeatInterval"},
                "variableAttribute": [{"value": "60"}, {"type": "Target", "value": "90"}, {}],
            },
            {
                "component": {"name": "SecurityCtrlr"},
                "variable": {"name": "BasicAuthPassword"},
                "variableAttribute": [{"value": "0123456789abcdef"}],
            },
        ]
    }
    found = values(
        said("NotifyReport", report), said("FirmwareStatusNotification", {"status": "Installed"})
    )
    assert found == {
        "configuration/OCPPCommCtrlr.HeartbeatInterval": "60",
        "configuration/OCPPCommCtrlr.HeartbeatInterval.Target": "90",
        "configuration/SecurityCtrlr.BasicAuthPassword": SECRET,
        "firmware/status": "Installed",
    }


def test_the_same_value_again_is_heard_of_and_no_change() -> None:
    history = History().taking(1, booted("1.2")).taking(9, booted("1.2"))
    stand = history.state.stands["firmware/version"]
    assert (stand.since_ms, stand.heard_ms) == (1, 9)
    assert history.between(2, 10) == ()


def test_what_changed_and_changed_back_is_no_change() -> None:
    history = History()
    for at_ms, value in ((1, "60"), (2, "5"), (3, "60")):
        history = history.taking(at_ms, key_set("Interval", value))
    assert history.between(1, 3) == ()
    (change,) = history.between(1, 2)
    assert (change.key, change.before, change.after) == ("configuration/Interval", "60", "5")
    assert [one.before for one in history.between(0, 1)] == [None]


def test_values_of_one_charge_point_are_bounded_and_the_one_told_longest_ago_goes() -> None:
    state = LocalState()
    for number in range(STANDS_MAX + 5):
        state = fold(state, number, key_set(f"K{number}", "x" * 600))
    assert len(state.stands) == STANDS_MAX
    assert "configuration/K4" not in state.stands
    assert len(state.stands["configuration/K5"].value) == 500


def test_a_history_that_forgot_its_beginning_says_since_when_it_knows() -> None:
    history = History()
    for number in range(CHANGES_MAX + 10):
        history = history.taking(number, key_set("K", str(number)))
    assert len(history.changes) == CHANGES_MAX
    assert history.begins_ms == 9
    assert history.at(9)["configuration/K"].value == "9"
    assert history.at(CHANGES_MAX + 9)["configuration/K"].value == str(CHANGES_MAX + 9)


FACTS = st.sampled_from(
    [
        key_set("A", "1"),
        key_set("A", "2"),
        key_set("AuthorizationKey", "0123456789abcdef"),
        profile_set(1, "TxDefaultProfile", 16),
        profile_set(2, "TxDefaultProfile", 6),
        profile_set(3, "TxProfile", 6),
        settled("ClearChargingProfile", {}, {"status": "Accepted"}),
        settled("SendLocalList", {"listVersion": 2, "updateType": "Full"}, {"status": "Accepted"}),
        started(),
        stopped(),
        status("Charging"),
        status("Faulted", "GroundFailure"),
        booted("1"),
        booted("2"),
    ]
)


@given(st.lists(FACTS, max_size=30), st.data())
def test_what_stood_at_a_moment_is_what_the_facts_until_then_make(
    facts: list[Fact], data: st.DataObject
) -> None:
    history, states = History(), [LocalState()]
    for at_ms, fact in enumerate(facts, 1):
        history = history.taking(at_ms, fact)
        states.append(fold(states[-1], at_ms, fact))
    begin = data.draw(st.integers(0, len(facts)))
    end = data.draw(st.integers(begin, len(facts)))
    then = {key: stand.value for key, stand in history.at(end).items()}
    assert then == {key: stand.value for key, stand in states[end].stands.items()}
    assert {one.key for one in history.between(begin, end)} == {
        one.key for one in diff(states[begin].stands, states[end].stands)
    }
