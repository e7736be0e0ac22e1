"""Goal: commands of OCPP 2.0.1 and 2.1 by the default rules: those that mean the same as one of 1.6 by its row, the
others by ocpp-outage-rules 3.5.
"""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from holdfast.contracts.command import Command, Disposition, Issuer
from holdfast.contracts.decision import (
    AdmitInputs,
    ConnectorState,
    ProfileInstalled,
    RunningOn,
    WaitsFor,
)
from holdfast.contracts.mode import Mode
from holdfast.contracts.rules import Rules
from rule_service.domain.admit import evaluate

AT_MS = 1_750_000_000_000  # 2025-06-15T15:06:40Z
PAST, FUTURE = "2025-06-15T13:00:00Z", "2025-06-15T16:00:00Z"
EXPIRED, OBSOLETE, REFUSED = Disposition.EXPIRED, Disposition.OBSOLETE, Disposition.REFUSED
TOKEN = {"idToken": "04AB", "type": "ISO14443"}
TX = "7d1f-station-1"
RUNS = {"running": (RunningOn(connector=1, transaction_id=TX),), "transaction_id": TX}
START = {"idToken": TOKEN, "remoteStartId": 1, "evseId": 1}
RESERVE = {"id": 5, "expiryDateTime": FUTURE, "idToken": TOKEN, "evseId": 1}


def profile(purpose="TxDefaultProfile", limit=16, **more):
    return {
        "evseId": 1,
        "chargingProfile": {
            "id": 3,
            "stackLevel": 0,
            "chargingProfilePurpose": purpose,
            "chargingProfileKind": "Absolute",
            "chargingSchedule": [
                {
                    "id": 1,
                    "chargingRateUnit": "A",
                    "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit}],
                }
            ],
            **more,
        },
    }


def der(begins, seconds):
    of = {"startTime": begins, "duration": seconds, "priority": 1}
    return {"isDefault": False, "controlId": "a", "controlType": "FixedVar", "fixedVar": of}


def decide(action, payload, mode=Mode.CONNECTED, *, age_ms=1_000, rules=None, **meets):
    command = Command(
        id="c1",
        charge_point="CP-01",
        action=action,
        payload=payload,
        issued_at_ms=AT_MS - age_ms,
        deadline_ms=AT_MS + 30_000,
        issuer=Issuer.CSMS,
    )
    here = ConnectorState(
        connected=True, status="Available", transaction_id=None, booted_at_ms=None, running=()
    )
    target = here.model_copy(update=meets)
    inputs = AdmitInputs(at_ms=AT_MS, mode=mode, command=command, target=target)
    return evaluate(rules or Rules(version=1), inputs)


@pytest.mark.parametrize(
    ("action", "payload", "meets", "end"),
    [
        ("RequestStartTransaction", START, {}, None),
        ("RequestStartTransaction", START, {"status": "Occupied"}, None),
        ("RequestStartTransaction", START, {"status": "Faulted"}, OBSOLETE),
        ("RequestStartTransaction", START, RUNS, OBSOLETE),
        ("RequestStartTransaction", START, {"reserved_for_other": True}, OBSOLETE),
        ("RequestStartTransaction", START, {"status": None}, REFUSED),
        ("RequestStartTransaction", {"idToken": TOKEN, "remoteStartId": 1}, {"status": None}, None),
        ("RequestStopTransaction", {"transactionId": TX}, RUNS, None),
        ("RequestStopTransaction", {"transactionId": "another"}, RUNS, OBSOLETE),
        ("RequestStopTransaction", {"transactionId": TX}, {}, OBSOLETE),
        ("Reset", {"type": "Immediate"}, {"booted_at_ms": AT_MS}, OBSOLETE),
        ("ReserveNow", RESERVE, {}, None),
        ("ReserveNow", {**RESERVE, "expiryDateTime": PAST}, {}, OBSOLETE),
        ("SendLocalList", {"versionNumber": 4, "updateType": "Full"}, {"list_version": 4}, OBSOLETE),
        ("SendLocalList", {"versionNumber": 5, "updateType": "Full"}, {"list_version": 4}, None),
        ("SetChargingProfile", profile(), {}, None),
        ("SetChargingProfile", profile(validTo=PAST), {}, OBSOLETE),
        ("SetChargingProfile", profile("TxProfile", transactionId=TX), RUNS, None),
        ("SetChargingProfile", profile("TxProfile", transactionId="other"), RUNS, OBSOLETE),
        ("UpdateFirmware", {"requestId": 1, "firmware": {"location": "x", "retrieveDateTime": PAST}}, {}, OBSOLETE),
        ("UpdateFirmware", {"requestId": 1, "firmware": {"location": "x", "retrieveDateTime": FUTURE}}, {}, None),
        ("SetDisplayMessage", {"message": {"id": 1, "endDateTime": PAST}}, {}, OBSOLETE),
        ("SetDisplayMessage", {"message": {"id": 1, "endDateTime": FUTURE}}, {}, None),
        ("SetDisplayMessage", {"message": {"id": 1, "transactionId": TX}}, RUNS, None),
        ("SetDisplayMessage", {"message": {"id": 1, "transactionId": TX}}, {}, OBSOLETE),
        ("SetDERControl", der(PAST, 60), {}, OBSOLETE),
        ("SetDERControl", der(PAST, 86_400), {}, None),
        ("SetDERControl", der(FUTURE, 60), {}, None),
        ("SetDERControl", {"isDefault": True, "controlId": "a", "fixedVar": {"setpoint": 3}}, {}, None),
        ("CostUpdated", {"totalCost": 3.5, "transactionId": TX}, RUNS, None),
        ("CostUpdated", {"totalCost": 3.5, "transactionId": TX}, {}, OBSOLETE),
        ("ChangeTransactionTariff", {"transactionId": TX, "tariff": {}}, RUNS, None),
        ("GetVariables", {"getVariableData": []}, {"connected": False}, REFUSED),
    ],
)  # fmt: skip
def test_a_command_of_2_x_meets_what_stands_there(action, payload, meets, end):
    assert decide(action, payload, **meets).verdict.disposition is end


@pytest.mark.parametrize(
    ("action", "payload", "age_ms", "meets"),
    [
        ("RequestStartTransaction", START, 60_000, {}),
        ("AFRRSignal", {"timestamp": PAST, "signal": 1}, 5_000, {}),
        ("ChangeTransactionTariff", {"transactionId": TX, "tariff": {}}, 15_000, RUNS),
        ("UsePriorityCharging", {"transactionId": TX, "activate": True}, 60_000, RUNS),
    ],
)
def test_what_was_for_the_moment_ends_with_it(action, payload, age_ms, meets):
    assert decide(action, payload, age_ms=age_ms, **meets).verdict.admitted
    assert decide(action, payload, age_ms=age_ms + 1, **meets).verdict.disposition is EXPIRED


@pytest.mark.parametrize(
    ("name", "disposition"),
    [
        ("BasicAuthPassword", REFUSED),
        ("identity", REFUSED),
        ("NetworkConfigurationPriority", REFUSED),
        ("HeartbeatInterval", None),
    ],
)
def test_variables_that_would_cut_the_charge_point_off_are_not_set(name, disposition):
    data = [
        {"attributeValue": "1", "component": {"name": "Any"}, "variable": {"name": "Harmless"}},
        {"attributeValue": "x", "component": {"name": "SecurityCtrlr"}, "variable": {"name": name}},
    ]
    assert decide("SetVariables", {"setVariableData": data}).verdict.disposition is disposition


@pytest.mark.parametrize(
    ("action", "payload", "is_harm"),
    [
        ("RequestStopTransaction", {"transactionId": TX}, True),
        ("Reset", {"type": "Immediate", "evseId": 1}, True),
        ("Reset", {"type": "Immediate", "evseId": 2}, False),
        ("Reset", {"type": "OnIdle"}, False),
        ("ChangeAvailability", {"operationalStatus": "Inoperative"}, True),
        ("ChangeAvailability", {"operationalStatus": "Inoperative", "evse": {"id": 2}}, False),
        ("ChangeAvailability", {"operationalStatus": "Operative", "evse": {"id": 1}}, False),
        ("UnlockConnector", {"evseId": 2, "connectorId": 1}, False),
        ("UnlockConnector", {"evseId": 1, "connectorId": 2}, True),
        ("SetChargingProfile", profile(limit=5), True),
        ("SetChargingProfile", profile(limit=10), False),
        ("SetChargingProfile", profile("ChargingStationMaxProfile", limit=10) | {"evseId": 0}, False),
        ("UpdateDynamicSchedule", {"chargingProfileId": 1, "scheduleUpdate": {"limit": 1}}, True),
        ("SetVariables", {"setVariableData": []}, True),
    ],
)  # fmt: skip
def test_running_sessions_are_protected_from_commands_of_2_x(action, payload, is_harm):
    rules = Rules.model_validate(
        {"version": 1, "commands": {"Reset": {"modes": ["degraded"], "age_ms_max": 0}}}
        if action == "Reset"
        else {"version": 1}
    )
    ruling = decide(action, payload, Mode.DEGRADED, rules=rules, **RUNS)
    assert (ruling.clause == "protection.modes") == is_harm


def test_a_higher_limit_that_comes_late_is_stale_whatever_its_version():
    stands = ProfileInstalled(
        connector=1,
        profile_id=9,
        purpose="TxDefaultProfile",
        stack_level=0,
        lowest_a=8,
        highest_a=8,
    )
    late = {"age_ms": 400_000, "profiles": (stands,)}
    assert decide("SetChargingProfile", profile(limit=16), **late).verdict.disposition is EXPIRED
    assert decide("SetChargingProfile", profile(limit=7), **late).verdict.admitted
    cleared = {"chargingProfileCriteria": {"chargingProfilePurpose": "TxDefaultProfile"}}
    assert decide("ClearChargingProfile", cleared, **late).verdict.disposition is EXPIRED
    unlimited = profile()
    period = unlimited["chargingProfile"]["chargingSchedule"][0]["chargingSchedulePeriod"][0]
    del period["limit"]  # of 2.1: set from outside, so it may be anything
    assert decide("SetChargingProfile", unlimited, **late).verdict.disposition is EXPIRED


def test_a_network_profile_waits_for_an_operator_in_every_mode_it_may_come_in():
    ruling = decide("SetNetworkProfile", {"configurationSlot": 1, "connectionData": {}})
    assert ruling.verdict.waits_for is WaitsFor.WORD


def test_the_erasure_of_a_persons_data_is_kept_and_a_report_of_it_is_not():
    erase = {"requestId": 1, "report": False, "clear": True}
    assert decide("CustomerInformation", erase, Mode.AUTONOMOUS, age_ms=10**9).verdict.admitted
    ask = {"requestId": 1, "report": True, "clear": False}
    assert decide("CustomerInformation", ask, age_ms=60_001).verdict.disposition is EXPIRED


def test_an_action_that_shares_a_row_may_have_its_own():
    own = {"RequestStartTransaction": {"modes": ["connected"], "age_ms_max": 5_000}}
    rules = Rules.model_validate({"version": 1, "commands": own})
    ruling = decide("RequestStartTransaction", START, age_ms=6_000, rules=rules)
    assert ruling.clause == "commands.RequestStartTransaction.age_ms_max"
    shared = decide("RequestStartTransaction", START, age_ms=60_001)
    assert shared.clause == "commands.RemoteStartTransaction.age_ms_max"


# --- questions that are answered from what is known ---

KNOWN = {"known_age_ms": 60_000}


def asked(mode=Mode.CONNECTED, known_age_ms_max=120_000, **meets):
    row = {
        "kind": "query",
        "modes": ["connected"],
        "age_ms_max": 0,
        "known_age_ms_max": known_age_ms_max,
    }
    rules = Rules.model_validate({"version": 1, "commands": {"GetConfiguration": row}})
    return decide("GetConfiguration", {"key": ["A"]}, mode, rules=rules, **meets).verdict


def test_a_question_to_a_charge_point_that_is_away_is_answered_from_what_is_known_where_the_rules_say_so():
    assert asked(connected=False, **KNOWN).from_known
    assert not asked(connected=True, **KNOWN).from_known  # it is there: it is asked
    assert asked(connected=False, known_age_ms=120_001).disposition is REFUSED
    assert asked(connected=False).disposition is REFUSED
    assert asked(connected=False, known_age_ms_max=0, **KNOWN).disposition is REFUSED


def test_a_question_in_a_mode_that_bars_it_is_answered_from_what_is_known():
    assert asked(Mode.AUTONOMOUS, **KNOWN).from_known
    assert asked(Mode.AUTONOMOUS).disposition is REFUSED


def test_by_default_no_question_is_answered_from_what_is_known():
    assert not any(row.known_age_ms_max for row in Rules(version=1).commands.values())
    with pytest.raises(ValidationError, match="of a query alone"):
        Rules.model_validate(
            {
                "version": 1,
                "commands": {"Reset": {"modes": [], "age_ms_max": 0, "known_age_ms_max": 1}},
            }
        )
