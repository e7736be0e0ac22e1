"""Goal: a CSMS of 2.0.1 or 2.1 commands like one of 1.6, and each no is an answer by the version's own schema."""

from __future__ import annotations

import json
from importlib.resources import files

import jsonschema_rs
import pytest

from csms_bridge.domain import refusals
from csms_bridge.domain.commanding import TAKEN
from csms_bridge.domain.events import SendToSite
from holdfast.contracts.command import Disposition
from holdfast.ocpp.actions import Away, Sender, rows
from holdfast.ocpp.versions import OcppVersion
from holdfast_testkit.facts_2x import (
    TX,
    V16,
    V21,
    V201,
    booted,
    connected,
    metered,
    said,
    started,
    stopped,
)

FOLDERS = {V16: "v16", V201: "v201", V21: "v21"}
COMPONENT, VARIABLE = {"name": "OCPPCommCtrlr"}, {"name": "HeartbeatInterval"}
PAYLOADS = {
    "SetVariables": {
        "setVariableData": [
            {"attributeValue": "1", "component": COMPONENT, "variable": VARIABLE},
            {"attributeValue": "2", "component": COMPONENT, "variable": {"name": "Other"}},
        ]
    },
    "SetVariableMonitoring": {
        "setMonitoringData": [
            {
                "value": 1,
                "type": "Delta",
                "severity": 3,
                "component": COMPONENT,
                "variable": VARIABLE,
            }
        ]
    },
    "ClearVariableMonitoring": {"id": [3, 4]},
    "ClearTariffs": {"tariffIds": ["a", "b"]},
}
EVERY = [(version, action) for version in OcppVersion for action in sorted(refusals.of(version))]


def validator(version, action):
    file = files("ocpp") / FOLDERS[version] / "schemas" / f"{action}Response.json"
    return jsonschema_rs.validator_for(json.loads(file.read_text(encoding="utf-8-sig")))


@pytest.fixture
def scene_2x(scene):
    scene.journal(connected(), booted())
    scene.open()
    scene.accept()
    return scene


# --- what is said of a command that is not carried out ---


@pytest.mark.parametrize("version", list(OcppVersion))
def test_every_action_of_the_table_has_its_negative_answer(version):
    actions = {one.action for one in rows(version, Sender.CSMS)}
    assert set(refusals.of(version)) == actions


@pytest.mark.parametrize(("version", "action"), EVERY)
def test_every_negative_answer_is_one_by_the_schema(version, action):
    payload = PAYLOADS.get(action, {})
    frame = json.loads(refusals.negative(version, "x1", action, payload, "the site is away" * 40))
    if frame[0] == 4:
        assert frame[2] == "GenericError"
        assert refusals.of(version)[action].status is None
        return
    assert frame[:2] == [3, "x1"]
    validator(version, action).validate(frame[2])
    assert "Accepted" not in json.dumps(frame)
    kept = refusals.of(version)[action].kept
    if kept:
        validator(version, action).validate({"status": kept})


def test_each_thing_that_was_asked_for_gets_its_own_no():
    frame = refusals.negative(V201, "x1", "SetVariables", PAYLOADS["SetVariables"], "away")
    said = json.loads(frame)[2]["setVariableResult"]
    assert [(one["variable"]["name"], one["attributeStatus"]) for one in said] == [
        ("HeartbeatInterval", "Rejected"),
        ("Other", "Rejected"),
    ]
    frame = refusals.negative(V201, "x1", "ClearVariableMonitoring", {"id": [3, 4]}, "away")
    assert [one["id"] for one in json.loads(frame)[2]["clearMonitoringResult"]] == [3, 4]


@pytest.mark.parametrize("payload", [{}, {"setVariableData": 7}, {"setVariableData": [None]}])
def test_a_no_to_what_can_t_be_read_is_an_error(payload):
    frame = json.loads(refusals.negative(V201, "x1", "SetVariables", payload, "away"))
    assert frame[:3] == [4, "x1", "GenericError"]


def test_it_says_why(scene_2x):
    scene_2x.reach(False)
    scene_2x.call("Reset", {"type": "Immediate"})
    info = {"reasonCode": "NotCarriedOut", "additionalInfo": "the site can't be reached"}
    assert scene_2x.answers() == [[3, "x1", {"status": "Rejected", "statusInfo": info}]]
    assert scene_2x.to_site() == []


def test_actions_of_other_versions_are_not_known(scene_2x):
    for action in ("RemoteStartTransaction", "AFRRSignal"):
        scene_2x.call(action, {}, message_id=action)
    assert [one[2] for one in scene_2x.answers()] == ["NotImplemented"] * 2


# --- on its way, and back ---


@pytest.mark.parametrize(
    "action", sorted(TAKEN & set(refusals.of(V201)) - {"GetTransactionStatus"})
)
def test_every_action_goes_to_the_site_and_its_answer_comes_back_as_it_was(scene_2x, action):
    scene_2x.call(action, {"any": [1, "x"], "transactionId": TX})
    (command,) = scene_2x.to_site()
    assert (command.action, command.payload["transactionId"]) == (action, TX)
    scene_2x.end_command(command.id, answer='{"own" : "payload"}')
    assert scene_2x.texts[-1] == '[3,"x1",{"own" : "payload"}]'


def test_variables_of_which_a_newer_command_took_the_place_are_told_as_rejected(scene_2x):
    payload = PAYLOADS["SetVariables"]
    scene_2x.call("SetVariables", payload)
    (command,) = scene_2x.to_site()
    taken = {"attributeStatus": "Accepted", "component": COMPONENT, "variable": VARIABLE}
    why = "without what newer commands set: ocppcommctrlr.other (command c2)"
    answer = json.dumps({"setVariableResult": [taken]})
    scene_2x.end_command(command.id, answer=answer, reason=why)
    said = scene_2x.answers()[-1][2]
    validator(V201, "SetVariables").validate(said)
    assert said["setVariableResult"][0] == taken
    (_, left) = said["setVariableResult"]
    assert (left["variable"]["name"], left["attributeStatus"]) == ("Other", "Rejected")
    assert left["attributeStatusInfo"]["additionalInfo"] == why
    for nonsense in ('{"setVariableResult":7}', "[]", "{"):
        assert refusals.completed(nonsense, payload, why) == nonsense


def test_desired_state_is_kept_for_a_site_that_is_away(scene_2x):
    scene_2x.reach(False)
    scene_2x.call("ChangeAvailability", {"operationalStatus": "Inoperative"})
    (command,) = scene_2x.to_site()
    scene_2x.command_taken(command.id)
    assert scene_2x.answers() == [[3, "x1", {"status": "Scheduled"}]]


def test_a_command_to_a_charge_point_that_has_changed_its_version_meanwhile_is_a_no(scene):
    scene.connect()
    scene.journal(connected(V201, "k2"))
    # The old connection has not ended yet.
    scene.state = scene.state.with_live(connection="c1", version=V16)
    scene.call("Reset", {"type": "Soft"})
    assert scene.answers() == [[3, "x1", {"status": "Rejected"}]]


@pytest.mark.parametrize("version", OcppVersion)
def test_what_is_answered_for_a_site_that_is_away_is_what_the_table_says(version):
    kept = {action for action, row in refusals.of(version).items() if row.kept}
    known = {"GetTransactionStatus"} & set(refusals.of(version))
    told = rows(version, Sender.CSMS)
    assert {one.action for one in told if one.away is Away.BRIDGE} == kept | known


# --- GetTransactionStatus ---


def transaction_status(scene, **payload):
    scene.call("GetTransactionStatus", payload, message_id=f"q{len(scene.frames)}")
    for effect in scene.effects:
        if isinstance(effect, SendToSite) and effect.command.action == "GetTransactionStatus":
            scene.end_command(effect.command.id, Disposition.REFUSED, answer=None)
    kind, _, answer = scene.answers()[-1]
    assert kind == 3
    validator(V201, "GetTransactionStatus").validate(answer)
    return answer


def test_messages_wait_until_the_last_of_the_transaction_is_answered(scene_2x):
    scene = scene_2x
    scene.journal(started(), metered(1))
    assert transaction_status(scene, transactionId=TX) == {
        "messagesInQueue": True,
        "ongoingIndicator": True,
    }
    assert transaction_status(scene, transactionId="other") == {
        "messagesInQueue": False,
        "ongoingIndicator": False,
    }
    assert transaction_status(scene) == {"messagesInQueue": True}
    scene.take_all()
    assert transaction_status(scene, transactionId=TX) == {
        "messagesInQueue": False,
        "ongoingIndicator": True,
    }
    scene.journal(stopped(2))
    assert transaction_status(scene, transactionId=TX) == {
        "messagesInQueue": True,
        "ongoingIndicator": False,
    }
    scene.take_all()
    assert transaction_status(scene, transactionId=TX) == {
        "messagesInQueue": False,
        "ongoingIndicator": False,
    }


def test_what_is_of_no_transaction_does_not_count(scene_2x):
    scene_2x.journal(said("SecurityEventNotification"))
    assert not scene_2x.is_idle, "it is under way"
    assert transaction_status(scene_2x) == {"messagesInQueue": False}
    scene_2x.journal(started())
    assert transaction_status(scene_2x) == {"messagesInQueue": True}


def test_what_a_site_that_is_away_may_hold_waits_too(scene_2x):
    scene = scene_2x
    scene.journal(started(), started("over"), stopped(1, "over"))
    scene.take_all()
    scene.reach(False)
    assert transaction_status(scene, transactionId=TX)["messagesInQueue"]
    assert transaction_status(scene, transactionId="never heard of") == {"messagesInQueue": True}
    assert transaction_status(scene, transactionId="over") == {
        "messagesInQueue": False,
        "ongoingIndicator": False,
    }
    assert transaction_status(scene) == {"messagesInQueue": True}


def test_what_the_site_has_and_is_still_on_its_way_here_waits_too(scene_2x):
    """The link is back; the station has nothing left, for it gave everything to its site."""
    scene = scene_2x
    scene.journal(started(), started("over"), stopped(1, "over"))
    scene.take_all()
    scene.reach(True, behind=True)

    def asked(**payload):
        scene.call("GetTransactionStatus", payload, message_id=f"q{len(scene.frames)}")
        of_station = {"messagesInQueue": False, "ongoingIndicator": False} if payload else {
            "messagesInQueue": False
        }  # fmt: skip
        scene.end_command(scene.to_site()[-1].id, answer=json.dumps(of_station))
        validator(V201, "GetTransactionStatus").validate(scene.answers()[-1][2])
        return scene.answers()[-1][2]["messagesInQueue"]

    assert asked(transactionId=TX)
    assert asked(transactionId="never heard of")
    assert asked()
    assert not asked(transactionId="over")
    scene.reach(True)
    assert not asked(transactionId=TX)
    assert not asked()


def test_the_station_s_own_queue_counts_with_ours(scene_2x):
    scene = scene_2x
    scene.journal(started())
    scene.take_all()
    for waits, wanted in ((True, True), (False, False)):
        scene.call("GetTransactionStatus", {"transactionId": TX}, message_id=f"s{waits}")
        answer = json.dumps({"messagesInQueue": waits, "ongoingIndicator": True})
        scene.end_command(scene.to_site()[-1].id, answer=answer)
        assert scene.answers()[-1][2] == {"messagesInQueue": wanted, "ongoingIndicator": True}
