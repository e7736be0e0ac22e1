"""Goal: a CSMS that commands is answered once, honestly and in time, and what it names is what is meant."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from csms_bridge.domain.commanding import TAKEN
from csms_bridge.domain.events import SendToSite
from csms_bridge.domain.refusals import NEGATIVES
from holdfast.contracts.command import Disposition, Issuer

START = {"transactionId": 1000042, "idTagInfo": {"status": "Accepted"}}
REJECTED = [3, "x1", {"status": "Rejected"}]
STATUSES = {
    # outage rules 3.5, the last column; None: a CALLERROR
    "RemoteStartTransaction": "Rejected",
    "RemoteStopTransaction": "Rejected",
    "Reset": "Rejected",
    "UnlockConnector": "UnlockFailed",
    "ChangeAvailability": "Rejected",
    "ChangeConfiguration": "Rejected",
    "ClearCache": "Rejected",
    "SendLocalList": "Failed",
    "GetLocalListVersion": None,
    "GetConfiguration": None,
    "GetCompositeSchedule": None,
    "GetInstalledCertificateIds": None,
    "SetChargingProfile": "Rejected",
    "ClearChargingProfile": "Unknown",
    "ReserveNow": "Rejected",
    "CancelReservation": "Rejected",
    "TriggerMessage": "Rejected",
    "ExtendedTriggerMessage": "Rejected",
    "GetDiagnostics": None,
    "GetLog": "Rejected",  # the table means 1.6's GetDiagnostics; this one's answer has a status
    "UpdateFirmware": None,
    "SignedUpdateFirmware": "Rejected",
    "CertificateSigned": "Rejected",
    "InstallCertificate": "Rejected",
    "DeleteCertificate": "Failed",
    "DataTransfer": "Rejected",
}


def test_every_action_has_its_row():
    assert set(STATUSES) == set(NEGATIVES)


@pytest.mark.parametrize("action", sorted(STATUSES))
def test_the_negative_answer_of_each_action_is_the_tables(scene, action):
    scene.connect()
    scene.role(primary=False)
    scene.call(action, {})
    (answer,) = scene.answers()
    if STATUSES[action] is None:
        assert answer[:3] == [4, "x1", "GenericError"]
    else:
        assert answer == [3, "x1", {"status": STATUSES[action]}]
    assert scene.to_site() == []


def test_an_action_that_nobody_knows_is_not_implemented(scene):
    scene.connect()
    scene.call("MakeCoffee" * 100, {})
    assert scene.answers()[0][:3] == [4, "x1", "NotImplemented"]
    assert len(scene.texts[-1]) < 300


# --- on its way, and back ---


def test_a_command_goes_to_the_site_with_a_deadline_and_comes_back_as_it_was_answered(scene):
    scene.connect()
    scene.call("Reset", {"type": "Soft"})
    (command,) = scene.to_site()
    assert (command.action, command.payload, command.issuer) == (
        "Reset",
        {"type": "Soft"},
        Issuer.CSMS,
    )
    assert command.deadline_ms == command.issued_at_ms + 25_000
    assert scene.answers() == []
    scene.end_command(command.id, answer='{ "status":"Accepted" }')
    assert scene.texts[-1] == '[3,"x1",{ "status":"Accepted" }]'


ANSWERED = (Disposition.DELIVERED, Disposition.FROM_KNOWN)


def test_a_question_that_the_site_answers_from_what_is_known_has_its_answer(scene):
    scene.connect()
    scene.call("GetConfiguration", {})
    (command,) = scene.to_site()
    known = '{"configurationKey":[]}'
    scene.end_command(command.id, Disposition.FROM_KNOWN, answer=known, reason="3 s old")
    assert scene.texts[-1] == f'[3,"x1",{known}]'


@pytest.mark.parametrize("disposition", [one for one in Disposition if one not in ANSWERED])
def test_whatever_else_became_of_it_is_a_no(scene, disposition):
    scene.connect()
    scene.call("UnlockConnector" if disposition == "refused" else "Reset", {"type": "Soft"})
    for command in scene.to_site():
        scene.end_command(command.id, disposition, answer=None, reason="so it is")
    assert len(scene.answers()) == 1
    assert scene.answers()[0][2]["status"] in ("Rejected", "UnlockFailed")


def test_one_that_the_charge_point_answered_with_an_error_is_an_error(scene):
    scene.connect()
    scene.call("Reset", {"type": "Soft"})
    (command,) = scene.to_site()
    scene.end_command(command.id, answer=None, reason="NotSupported")
    assert scene.answers() == [[4, "x1", "GenericError", "NotSupported", {}]]


def test_a_command_without_an_end_is_answered_before_the_csms_gives_up(scene):
    scene.connect()
    scene.call("Reset", {"type": "Soft"})
    scene.wait(24_999)
    assert scene.answers() == []
    scene.wait(1)
    assert scene.answers() == [REJECTED]


@pytest.mark.parametrize("action", sorted(TAKEN & set(NEGATIVES) - {"RemoteStopTransaction"}))
def test_every_action_of_ocpp_goes_to_the_site_and_its_answer_comes_back_as_it_was(scene, action):
    scene.connect()
    scene.call(action, {"any": [1, "x"]})
    (command,) = scene.to_site()
    assert (command.action, command.payload) == (action, {"any": [1, "x"]})
    scene.end_command(command.id, answer='{"own" : "payload"}')
    assert scene.texts[-1] == '[3,"x1",{"own" : "payload"}]'


@pytest.mark.parametrize(
    ("action", "within_ms"),
    [
        ("GetConfiguration", 10_000),
        ("GetLocalListVersion", 10_000),
        ("GetCompositeSchedule", 10_000),
        ("TriggerMessage", 10_000),
        ("DataTransfer", 10_000),
        ("UnlockConnector", 25_000),
        ("ChangeConfiguration", 25_000),
        ("UpdateFirmware", 25_000),
    ],
)
def test_what_is_about_now_is_not_begun_late_and_nothing_after_the_csms_was_told_no(
    scene, action, within_ms
):
    scene.connect()
    scene.call(action, {})
    (command,) = scene.to_site()
    assert command.deadline_ms - command.issued_at_ms == within_ms


def test_a_query_whose_answer_comes_in_time_is_answered_with_it_however_late_it_began(scene):
    scene.connect()
    scene.call("GetConfiguration", {})
    (command,) = scene.to_site()
    scene.wait(24_000)
    scene.end_command(command.id, answer='{"configurationKey":[]}')
    assert scene.texts[-1] == '[3,"x1",{"configurationKey":[]}]'


@pytest.mark.parametrize("disposition", [one for one in Disposition if one not in ANSWERED])
def test_a_query_that_nobody_answered_is_an_error(scene, disposition):
    scene.connect()
    scene.call("GetConfiguration", {})
    scene.end_command(scene.to_site()[0].id, disposition, answer=None, reason="so it is")
    (answer,) = scene.answers()
    assert answer[:3] == [4, "x1", "GenericError"]
    assert "so it is" in answer[3]


def test_a_command_that_waits_for_an_operator_is_a_no_at_the_bound_and_no_sooner(scene):
    scene.connect()
    scene.call("UpdateFirmware", {"location": "ftp://x", "retrieveDate": "2026-01-01T00:00:00Z"})
    (command,) = scene.to_site()
    scene.hold_command(command.id)
    scene.wait(24_999)
    assert scene.answers() == []
    scene.wait(1)
    ((kind, _, code, why, _),) = scene.answers()
    assert (kind, code) == (4, "GenericError")
    assert "operator" in why


def test_what_is_only_ever_begun_on_an_operator_s_word_waits_longer_than_the_csms(scene):
    scene.policy = replace(scene.policy, held_ms={"Reset.Hard": 120_000})
    scene.connect()
    for kind in ("Hard", "Soft"):
        scene.call("Reset", {"type": kind}, message_id=kind)
    hard, soft = scene.to_site()
    assert hard.deadline_ms - hard.issued_at_ms == 120_000
    assert soft.deadline_ms - soft.issued_at_ms == 25_000
    scene.wait(25_000)
    assert {answer[1] for answer in scene.answers()} == {"Hard", "Soft"}


def test_what_was_confirmed_after_the_no_is_recorded_and_answered_no_more(scene):
    scene.connect()
    scene.call("Reset", {"type": "Hard"})
    (command,) = scene.to_site()
    scene.hold_command(command.id)
    scene.wait(25_000)
    scene.end_command(command.id)
    assert scene.answers() == [REJECTED]
    assert scene.notes() == ["command of the CSMS carried out after it was told no"]


def test_one_that_nobody_takes_is_answered_at_once(scene):
    scene.connect()
    scene.call("Reset", {"type": "Soft"})
    scene.command_not_taken(scene.to_site()[0].id)
    assert scene.answers() == [REJECTED]


def test_a_call_is_answered_while_an_answer_to_ours_is_due(scene, facts):
    scene.connect()
    scene.journal(facts.started())
    scene.call("RemoteStopTransaction", {"transactionId": 4711})
    assert scene.answers() == [REJECTED]
    scene.answer(START)
    assert scene.is_idle


def test_an_answer_goes_to_nobody_once_who_asked_is_gone(scene):
    scene.connect()
    scene.call("Reset", {"type": "Soft"})
    (command,) = scene.to_site()
    scene.lose()
    scene.reconnect()
    scene.end_command(command.id)
    assert scene.answers() == []


# --- bounds ---


def test_beyond_sixteen_without_an_end_the_next_is_refused(scene):
    scene.connect()
    for number in range(17):
        scene.call("Reset", {"type": "Soft"}, message_id=f"x{number}")
    assert scene.answers() == [[3, "x16", {"status": "Rejected"}]]
    assert len({one.id for one in scene.to_site()}) == 16


def test_a_repeat_of_what_is_under_way_is_one_command_with_one_answer(scene):
    scene.connect()
    for _ in range(3):
        scene.call("Reset", {"type": "Soft"})
    (command,) = scene.to_site()
    scene.end_command(command.id)
    assert len(scene.answers()) == 1


def test_a_message_id_that_was_answered_may_be_used_for_another_command(scene):
    """Some count from one, some use one id for everything."""
    scene.connect()
    for _ in range(2):
        scene.call("Reset", {"type": "Soft"}, message_id="1")
        scene.end_command(scene.to_site()[-1].id)
    first, second = scene.to_site()
    assert first.id != second.id
    assert len(scene.answers()) == 2


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        7,
        "x",
        [[]],
        '{"type":"Soft","type":"Hard"}',
        "[" * 40 + "]" * 40,
        "1e999",
        '{"n":1e999}',
    ],
)
def test_a_payload_that_is_no_object_everybody_reads_alike_is_refused(scene, payload):
    scene.connect()
    raw = payload if isinstance(payload, str) and payload != "x" else json.dumps(payload)
    scene.say(f'[2,"x1","Reset",{raw}]')
    assert scene.answers() == [REJECTED]
    assert scene.to_site() == []


# --- where it stands ---


def test_for_a_site_that_is_cut_off_the_no_comes_at_once(scene):
    scene.connect()
    scene.reach(False)
    of_1_6 = set(STATUSES) & TAKEN
    for action in sorted(of_1_6 - {"ChangeAvailability"}):
        scene.call(action, {}, message_id=action)
    assert len(scene.answers()) == len(of_1_6) - 1
    for kind, action, said, *_ in scene.answers():
        status = STATUSES[action]
        assert (kind, said) == ((4, "GenericError") if status is None else (3, {"status": status}))
    assert scene.to_site() == []


def test_desired_state_is_kept_for_it_and_said_to_be_once_it_is_on_its_way(scene):
    scene.connect()
    scene.reach(False)
    scene.call("ChangeAvailability", {"connectorId": 1, "type": "Inoperative"})
    (command,) = scene.to_site()
    assert command.deadline_ms - command.issued_at_ms > 80_000_000
    assert scene.answers() == []
    scene.command_taken(command.id)
    assert scene.answers() == [[3, "x1", {"status": "Scheduled"}]]
    scene.end_command(command.id)
    assert len(scene.answers()) == 1


def test_and_is_refused_where_nobody_takes_it(scene):
    scene.connect()
    scene.reach(False)
    scene.call("ChangeAvailability", {"connectorId": 1, "type": "Inoperative"})
    scene.command_not_taken(scene.to_site()[0].id)
    assert scene.answers() == [REJECTED]


def test_that_a_command_was_taken_is_no_answer_where_its_site_is_there(scene):
    scene.connect()
    scene.call("ChangeAvailability", {"connectorId": 1, "type": "Inoperative"})
    scene.command_taken(scene.to_site()[0].id)
    assert scene.answers() == []


def test_while_pending_nothing_is_started_or_stopped_and_other_commands_go(scene, facts):
    scene.journal(facts.connected(), facts.booted())
    scene.open()
    scene.accept("Pending")
    scene.call("RemoteStartTransaction", {"idTag": "DRIVER-01"}, message_id="x1")
    assert scene.answers() == [REJECTED]
    scene.call("ChangeAvailability", {"connectorId": 1, "type": "Operative"}, message_id="x2")
    assert [one.action for one in scene.to_site()] == ["ChangeAvailability"]


def test_a_csms_that_rejects_the_charge_point_gets_no_answer_from_it(scene, facts):
    scene.journal(facts.connected(), facts.booted())
    scene.open()
    scene.accept("Rejected")
    scene.call("Reset", {"type": "Soft"})
    assert scene.answers() == []
    assert scene.to_site() == []


def test_a_backend_that_follows_commands_nothing(scene):
    scene.connect()
    scene.role(primary=False)
    scene.call("Reset", {"type": "Soft"})
    assert scene.answers() == [REJECTED]


# --- ids ---


def running(scene, facts, csms_id: int = 1000042) -> None:
    scene.connect()
    scene.journal(facts.started(5))
    scene.answer({"transactionId": csms_id, "idTagInfo": {"status": "Accepted"}})


def test_the_transaction_that_a_stop_names_is_the_sites_own(scene, facts):
    running(scene, facts)
    scene.call("RemoteStopTransaction", {"transactionId": 1000042})
    assert scene.to_site()[0].payload == {"transactionId": 5}


@pytest.mark.parametrize("named", [5, 7, "1000042", True, 1000042.5, None, [1000042], {}, 10**30])
def test_what_names_no_session_stops_none(scene, facts, named):
    running(scene, facts)
    scene.call("RemoteStopTransaction", {"transactionId": named})
    scene.call("RemoteStopTransaction", {}, message_id="x2")
    assert len(scene.answers()) == 2
    assert scene.to_site() == []


def test_true_is_not_one(scene, facts):
    running(scene, facts, csms_id=1)
    scene.call("RemoteStopTransaction", {"transactionId": True})
    assert scene.to_site() == []


def test_an_id_that_the_csms_gave_twice_means_its_newest_session(scene, facts):
    running(scene, facts, csms_id=7)
    scene.journal(facts.stopped(5), facts.started(6))
    scene.answer({})
    scene.answer({"transactionId": 7, "idTagInfo": {"status": "Accepted"}})
    scene.call("RemoteStopTransaction", {"transactionId": 7})
    assert scene.to_site()[0].payload == {"transactionId": 6}


@pytest.mark.parametrize(
    ("action", "field"),
    [
        ("SetChargingProfile", "csChargingProfiles"),
        ("RemoteStartTransaction", "chargingProfile"),
    ],
)
def test_profiles_name_the_sites_transaction_too(scene, facts, action, field):
    running(scene, facts)
    scene.call(action, {"connectorId": 1, field: {"transactionId": 1000042, "stackLevel": 1}})
    assert scene.to_site()[0].payload[field] == {"transactionId": 5, "stackLevel": 1}
    scene.call(action, {"connectorId": 1, field: {"transactionId": 8}}, message_id="x2")
    assert scene.answers() == [[3, "x2", {"status": "Rejected"}]]


def test_profiles_of_no_transaction_and_of_no_shape_pass_to_who_checks_them(scene):
    scene.connect()
    scene.call("SetChargingProfile", {"connectorId": 0, "csChargingProfiles": {"stackLevel": 1}})
    scene.call("SetChargingProfile", {"csChargingProfiles": [7]}, message_id="x2")
    assert len(scene.to_site()) == 2


@pytest.mark.parametrize("absurd", [10**30, [[[{"a": -(10**20)}]]]])
def test_a_call_with_a_number_that_can_not_be_held_gets_its_negative_answer(scene, absurd):
    scene.connect()
    scene.call("DataTransfer", {"vendorId": "v", "data": absurd})
    assert scene.answers() == [REJECTED]
    scene.call("Reset", {"type": "Soft"}, "x2")
    [sent] = [one.command for one in scene.effects if isinstance(one, SendToSite)]
    assert sent.action == "Reset"
