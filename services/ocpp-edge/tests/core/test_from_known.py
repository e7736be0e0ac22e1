"""Goal: a question to a charge point that is away is answered from what it has told, whole and with its age, or not."""

from __future__ import annotations

import json

import pytest

from holdfast.contracts.command import CommandSettled, Disposition
from holdfast.contracts.decision import AdmitVerdict
from holdfast.ocpp.versions import OcppVersion

KEYS = [
    {"key": "HeartbeatInterval", "readonly": False, "value": "60"},
    {"key": "NumberOfConnectors", "readonly": True, "value": "2"},
    {"key": "AuthorizationKey", "readonly": False, "value": "hush"},
]
INTERVAL = {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "HeartbeatInterval"}}


def settled(bench, id):
    return next(one for one in bench.facts(CommandSettled) if one.command.id == id)


def away_after(bench, *answered):
    """It answered these questions, and left; an hour passes. The rules let questions be answered from then on."""
    for number, (action, payload, answer) in enumerate(answered):
        bench.command(f"q{number}", action=action, **payload)
        bench.answer(bench.sent[-1][0], answer)
    bench.disconnect()
    bench.at_ms += 3_600_000
    verdict = AdmitVerdict(admitted=True, disposition=None, from_known=True)
    usual = bench.admit
    bench.admit = lambda command: usual(command).model_copy(update={"verdict": verdict})


def ask(bench, action, **payload):
    sent = len(bench.sent)
    bench.command("c1", action=action, **payload)
    assert len(bench.sent) == sent
    return settled(bench, "c1")


def test_named_keys_are_answered_with_their_age(bench):
    away_after(bench, ("GetConfiguration", {}, {"configurationKey": KEYS}))
    fact = ask(bench, "GetConfiguration", key=["heartbeatinterval", "NumberOfConnectors"])
    assert fact.disposition is Disposition.FROM_KNOWN
    assert json.loads(fact.answer) == {"configurationKey": KEYS[:2]}
    assert "3600 s old" in fact.reason
    assert bench.admits[-1].target.known_age_ms == 3_600_000


@pytest.mark.parametrize(
    "asked",
    [{}, {"key": []}, {"key": ["HeartbeatInterval", "Unheard"]}, {"key": ["AuthorizationKey"]}],
)
def test_what_is_not_whole_or_secret_is_no_answer(bench, asked):
    away_after(bench, ("GetConfiguration", {}, {"configurationKey": KEYS}))
    fact = ask(bench, "GetConfiguration", **asked)
    assert bench.admits[-1].target.known_age_ms is None
    assert (fact.disposition, fact.answer) == (Disposition.REFUSED, None)


def test_a_key_that_was_set_in_another_spelling_has_one_value(bench):
    told = ("GetConfiguration", {}, {"configurationKey": KEYS})
    change = {"key": "HEARTBEATinterval", "value": "30"}
    away_after(bench, told, ("ChangeConfiguration", change, {"status": "Accepted"}))
    fact = ask(bench, "GetConfiguration", key=["heartbeatinterval", "numberofconnectors"])
    assert json.loads(fact.answer)["configurationKey"] == [{**KEYS[0], "value": "30"}, KEYS[1]]


def test_a_key_that_holds_only_after_a_boot_is_not_told(bench):
    change = {"key": "HeartbeatInterval", "value": "30"}
    away_after(bench, ("ChangeConfiguration", change, {"status": "RebootRequired"}))
    assert ask(bench, "GetConfiguration", key=["HeartbeatInterval"]).answer is None


def test_a_key_that_held_only_after_a_boot_is_told_once_it_has_booted(bench):
    change = {"key": "HeartbeatInterval", "value": "30"}
    bench.command("q0", action="ChangeConfiguration", **change)
    bench.answer(bench.sent[-1][0], {"status": "RebootRequired"})
    bench.crash()
    bench.at_ms += 1_000
    bench.disconnect()
    bench.connect()
    bench.call("BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"}, "b1")
    away_after(bench)
    fact = ask(bench, "GetConfiguration", key=["HeartbeatInterval"])
    told = {**KEYS[0], "value": "30"}
    assert json.loads(fact.answer) == {"configurationKey": [told]}


def test_the_list_version_is_answered_in_the_words_of_the_version(bench):
    away_after(bench, ("GetLocalListVersion", {}, {"listVersion": 4}))
    assert json.loads(ask(bench, "GetLocalListVersion").answer) == {"listVersion": 4}


def test_variables_of_2_x_say_in_the_answer_how_old_it_is(bench):
    bench.disconnect()
    bench.connect(OcppVersion.V201)
    told = {**INTERVAL, "attributeStatus": "Accepted", "attributeValue": "60"}
    asked = {"getVariableData": [INTERVAL]}
    away_after(bench, ("GetVariables", asked, {"getVariableResult": [told]}))
    answer = json.loads(ask(bench, "GetVariables", **asked).answer)
    assert answer["getVariableResult"] == [told]
    assert answer["customData"]["ageSeconds"] == 3_600
    assert answer["customData"]["fromWhatIsKnown"] is True


def test_it_is_known_after_a_crash_and_its_age_is_not_refreshed_by_being_told(bench):
    away_after(bench, ("GetLocalListVersion", {}, {"listVersion": 4}))
    bench.crash()
    ask(bench, "GetLocalListVersion")
    bench.at_ms += 1_000
    bench.command("c2", action="GetLocalListVersion")
    assert "3601 s old" in settled(bench, "c2").reason
