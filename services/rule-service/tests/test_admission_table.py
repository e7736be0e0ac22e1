"""Goal: each row of ocpp-outage-rules 3.5 (column 1.6) as the default rules have it: what makes a command obsolete,
what it is told, when somebody has to confirm it.
"""

from __future__ import annotations

from typing import get_args

import pytest
from pydantic import ValidationError

from holdfast.contracts.command import Action, Command, Disposition, Issuer
from holdfast.contracts.command_rules import CommandKind
from holdfast.contracts.decision import AdmitInputs, ConnectorState, RunningOn, WaitsFor
from holdfast.contracts.mode import Mode
from holdfast.contracts.rules import CommandRules, Precondition, Rules
from holdfast.ocpp.actions import ROWS, Class, Sender, same_as
from rule_service.domain.admit import evaluate

AT_MS = 1_750_000_000_000  # 2025-06-15T15:06:40Z
PAST, FUTURE = "2025-06-15T14:00:00Z", "2025-06-15T16:00:00Z"
RULES = Rules(version=1)
EXPIRED, OBSOLETE, REFUSED = Disposition.EXPIRED, Disposition.OBSOLETE, Disposition.REFUSED
HERE = ConnectorState(
    connected=True, status="Available", transaction_id=None, booted_at_ms=None, running=()
)


def command(action, payload, *, age_ms=1_000, issuer=Issuer.CSMS):
    return Command(
        id="c-1",
        charge_point="CP-01",
        action=action,
        payload=payload,
        issued_at_ms=AT_MS - age_ms,
        deadline_ms=AT_MS + 30_000,
        issuer=issuer,
    )


def decide(one, mode=Mode.CONNECTED, confirmed_by=None, **meets):
    inputs = AdmitInputs(
        at_ms=AT_MS,
        mode=mode,
        command=one,
        target=HERE.model_copy(update=meets),
        confirmed_by=confirmed_by,
    )
    return evaluate(RULES, inputs)


def end(*args, **kwargs):
    return decide(*args, **kwargs).verdict.disposition


def test_every_action_has_a_row_or_shares_one_of_ocpp_1_6():
    assert {same_as(action) for action in get_args(Action)} <= set(RULES.commands)


def test_a_row_is_of_the_kind_that_the_table_of_actions_says():
    kinds = {
        Class.EXPIRING: CommandKind.EXPIRING,
        Class.DESIRED: CommandKind.DESIRED,
        Class.QUERY: CommandKind.QUERY,
        Class.RELAYED: CommandKind.REQUEST,
    }
    for one in ROWS:
        if one.sender is Sender.CSMS and same_as(one.action) == one.action:
            assert RULES.commands[one.action].kind is kinds[one.kind], one.action


RESERVE = {"connectorId": 1, "idTag": "A", "reservationId": 5, "expiryDate": FUTURE}
FULL = {"listVersion": 4, "updateType": "Full"}
CHANGES = {"listVersion": 4, "updateType": "Differential"}
TX = {
    "connectorId": 1,
    "csChargingProfiles": {"chargingProfilePurpose": "TxProfile", "transactionId": 9},
}


def ending(**more):
    profile = {"chargingProfilePurpose": "TxDefaultProfile", **more}
    return {"connectorId": 1, "csChargingProfiles": profile}


@pytest.mark.parametrize(
    ("action", "payload", "meets", "expected"),
    [
        ("RemoteStartTransaction", {"connectorId": 1, "idTag": "A"}, {}, None),
        ("RemoteStartTransaction", {"connectorId": 1}, {"reserved_for_other": True}, OBSOLETE),
        ("RemoteStartTransaction", {"connectorId": 1}, {"status": "Reserved"}, None),
        ("RemoteStartTransaction", {"idTag": "A"}, {"token_sessions": ("CP-2/7",)}, OBSOLETE),
        ("Reset", {"type": "Soft"}, {}, None),
        ("UnlockConnector", {"connectorId": 1}, {"status_since_ms": AT_MS - 2_000}, None),
        ("UnlockConnector", {"connectorId": 1}, {"status_since_ms": AT_MS - 500}, OBSOLETE),
        ("ClearCache", {}, {"connected": False}, None),
        ("GetConfiguration", {}, {}, None),
        ("GetConfiguration", {}, {"connected": False}, REFUSED),
        ("GetLocalListVersion", {}, {"connected": False}, REFUSED),
        ("GetCompositeSchedule", {}, {"connected": False}, REFUSED),
        ("DataTransfer", {"vendorId": "x"}, {"connected": False}, REFUSED),
        ("TriggerMessage", {"requestedMessage": "Heartbeat"}, {"connected": False}, None),
        ("ChangeConfiguration", {"key": "HeartbeatInterval", "value": "1"}, {}, None),
        ("ChangeConfiguration", {"key": "authorizationKEY", "value": "1"}, {}, REFUSED),
        ("SendLocalList", FULL, {}, None),
        ("SendLocalList", FULL, {"list_version": 3}, None),
        ("SendLocalList", FULL, {"list_version": 4}, OBSOLETE),
        ("SendLocalList", FULL, {"list_broken": True}, None),
        ("SendLocalList", CHANGES, {}, None),
        ("SendLocalList", CHANGES, {"list_version": 3}, None),
        ("SendLocalList", CHANGES, {"list_version": 0}, OBSOLETE),
        ("SendLocalList", CHANGES, {"list_broken": True}, OBSOLETE),
        ("ReserveNow", RESERVE, {}, None),
        ("ReserveNow", {**RESERVE, "expiryDate": PAST}, {}, OBSOLETE),
        ("ReserveNow", RESERVE, {"status": "Faulted"}, OBSOLETE),
        ("ReserveNow", RESERVE, {"reserved_for_other": True}, OBSOLETE),
        ("CancelReservation", {"reservationId": 5}, {}, None),
        ("CancelReservation", {"reservationId": 5}, {"reservation_over": True}, OBSOLETE),
        ("SetChargingProfile", TX, {"transaction_id": 9}, None),
        ("SetChargingProfile", TX, {"transaction_id": None}, OBSOLETE),
        ("SetChargingProfile", TX, {"transaction_id": 10}, OBSOLETE),
        ("SetChargingProfile", ending(validTo=PAST), {}, OBSOLETE),
        ("SetChargingProfile", ending(validTo=FUTURE), {}, None),
        (
            "SetChargingProfile",
            ending(
                chargingProfileKind="Absolute",
                chargingSchedule={"startSchedule": PAST, "duration": 60},
            ),
            {},
            OBSOLETE,
        ),
        ("UpdateFirmware", {"retrieveDate": "2025-06-15T14:30:00Z"}, {}, None),
        ("UpdateFirmware", {"retrieveDate": PAST}, {}, OBSOLETE),
        ("UpdateFirmware", {"retrieveDate": FUTURE}, {"transaction_id": 3}, OBSOLETE),
        ("UpdateFirmware", {"retrieveDate": FUTURE}, {"waiting_records": 1}, REFUSED),
        ("GetDiagnostics", {"location": "x"}, {"connected": False}, None),
    ],
)
def test_a_row_of_the_table(action, payload, meets, expected):
    assert end(command(action, payload), **meets) is expected


@pytest.mark.parametrize(
    ("action", "payload", "age_ms"),
    [
        ("RemoteStartTransaction", {"connectorId": 1}, 60_000),
        ("UnlockConnector", {"connectorId": 1}, 60_000),
        ("Reset", {"type": "Soft"}, 180_000),
        ("Reset", {"type": "Hard"}, 120_000),
        ("TriggerMessage", {}, 10_000),
        ("GetConfiguration", {}, 60_000),
        ("DataTransfer", {}, 30_000),
        ("GetDiagnostics", {}, 86_400_000),
    ],
)
def test_what_is_older_than_its_row_allows_is_expired(action, payload, age_ms):
    assert end(command(action, payload, age_ms=age_ms), confirmed_by="Ada") is None
    assert end(command(action, payload, age_ms=age_ms + 1), confirmed_by="Ada") is EXPIRED


@pytest.mark.parametrize("meets", [{"waiting_records": 2}, {"late_record_at_ms": AT_MS - 29_999}])
def test_a_hard_reset_waits_for_no_records_to_be_lost(meets):
    hard = command("Reset", {"type": "Hard"})
    ruling = decide(hard, confirmed_by="Ada", **meets)
    assert ruling.verdict.disposition is REFUSED
    assert ruling.clause == "commands.Reset.Hard.precondition"
    assert end(command("Reset", {"type": "Soft"}), **meets) is None
    assert end(hard, confirmed_by="Ada", late_record_at_ms=AT_MS - 30_000) is None


def test_a_reset_does_not_meet_a_session_that_began_after_it_was_issued():
    before = RunningOn(connector=1, transaction_id=1, started_at_ms=AT_MS - 5_000)
    since = before.model_copy(update={"started_at_ms": AT_MS - 500})
    soft = command("Reset", {"type": "Soft"})
    assert end(soft, running=(before,), transaction_id=1) is None
    assert end(soft, running=(since,), transaction_id=1) is OBSOLETE


@pytest.mark.parametrize(
    ("one", "mode", "waits"),
    [
        (command("Reset", {"type": "Hard"}), Mode.CONNECTED, True),
        (command("Reset", {"type": "Soft"}), Mode.CONNECTED, False),
        (command("UpdateFirmware", {"retrieveDate": FUTURE}), Mode.RECOVERY, True),
        (command("UpdateFirmware", {"retrieveDate": FUTURE}), Mode.CONNECTED, False),
        (command("RemoteStopTransaction", {}, age_ms=900_000), Mode.CONNECTED, False),
        (command("RemoteStopTransaction", {}, age_ms=900_001), Mode.CONNECTED, True),
    ],
    ids=lambda one: getattr(one, "action", str(one)),
)
def test_who_has_to_be_asked_first(one, mode, waits):
    meets = {"transaction_id": 1} if one.action == "RemoteStopTransaction" else {}
    ruling = decide(one, mode, **meets)
    assert (ruling.verdict.waits_for is WaitsFor.WORD) is waits
    assert ruling.verdict.admitted is not waits
    confirmed = decide(one, mode, confirmed_by="Ada", **meets)
    assert confirmed.verdict.admitted
    here = one.model_copy(update={"issuer": Issuer.OPERATOR_AT_SITE})
    assert decide(here, mode, **meets).verdict.admitted, "who stands there has said so"


def test_a_word_does_not_outweigh_what_has_become_obsolete():
    hard = command("Reset", {"type": "Hard"})
    assert end(hard, confirmed_by="Ada", booted_at_ms=AT_MS) is OBSOLETE


def test_desired_state_waits_for_its_mode_and_everything_else_is_refused():
    change = command("ChangeConfiguration", {"key": "a", "value": "b"})
    verdict = decide(change, Mode.AUTONOMOUS).verdict
    assert (verdict.disposition, verdict.waits_for) == (None, WaitsFor.TIME)
    assert end(command("GetConfiguration", {}), Mode.AUTONOMOUS) is REFUSED


def test_every_check_on_the_way_is_told_in_its_order_and_the_last_decided():
    ruling = decide(command("RemoteStartTransaction", {"connectorId": 1}, age_ms=5_000))
    row = "commands.RemoteStartTransaction"
    parts = ["deadline", "age_ms_max", "modes", "precondition", "precondition", "precondition"]
    assert [one.clause for one in ruling.considered] == [*(f"{row}.{part}" for part in parts), row]
    assert [one.decided for one in ruling.considered] == [False] * 6 + [True]
    refused = decide(command("RemoteStartTransaction", {}), Mode.DEGRADED)
    assert [one.clause.rpartition(".")[2] for one in refused.considered] == parts[:3]
    assert refused.considered[-1].decided


def test_a_bundle_from_before_says_one_precondition_in_a_word():
    old = CommandRules.model_validate(
        {"modes": ["connected"], "age_ms_max": 0, "precondition": "no-session"}
    )
    assert old.precondition == (Precondition.NO_SESSION,)
    none = CommandRules.model_validate(
        {"modes": ["connected"], "age_ms_max": 0, "precondition": "none"}
    )
    assert none.precondition == ()


@pytest.mark.parametrize("row", ["Reboot", "Reset.Medium", "reset"])
def test_a_row_that_no_command_comes_to_refuses_the_bundle(row):
    with pytest.raises(ValidationError, match="no action"):
        Rules(version=1, commands={row: CommandRules(modes=(), age_ms_max=0)})
