"""Goal: commands of OCPP 2.x supersede each other, meet what stands and are settled by what is observed; answers
that come late, twice or to nothing.
"""

from __future__ import annotations

import json
from itertools import count

import pytest

from holdfast.contracts.charge_point import FrameRefused
from holdfast.contracts.command import Command, CommandObserved, CommandSettled, Disposition, Issuer
from holdfast.ocpp import frames
from holdfast.ocpp.versions import OcppVersion
from ocpp_edge.domain import events
from ocpp_edge.domain.installed import Installed
from ocpp_edge.domain.known import Known, Session
from ocpp_edge.domain.state import State
from ocpp_edge.domain.supersession import ends
from ocpp_edge.domain.targets import target

ids = count()
TOKEN = {"idToken": "04AB", "type": "ISO14443"}


def command(action, **payload):
    return Command(
        id=f"c{next(ids)}", charge_point="CP-1", action=action, payload=payload,
        issued_at_ms=0, deadline_ms=1, issuer=Issuer.CSMS,
    )  # fmt: skip


def profile(evse=1, id=1, stack=0, purpose="TxDefaultProfile"):
    period = {"startPeriod": 0, "limit": 16.0}
    inner = {
        "id": id, "stackLevel": stack, "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Absolute",
        "chargingSchedule": [{"id": 1, "chargingRateUnit": "A", "chargingSchedulePeriod": [period]}],
    }  # fmt: skip
    return command("SetChargingProfile", evseId=evse, chargingProfile=inner)


def variable(name, value="1"):
    one = {"attributeValue": value, "component": {"name": "C"}, "variable": {"name": name}}
    return command("SetVariables", setVariableData=[one])


def start(evse=None, token="04AB"):
    named = {} if evse is None else {"evseId": evse}
    return command(
        "RequestStartTransaction", remoteStartId=1, idToken={**TOKEN, "idToken": token}, **named
    )


def session(id, evse, token="04AB"):
    return Session(
        transaction_id=id, connector=evse, driver_token=token, meter_start_wh=0, message_id="m", at=""
    )  # fmt: skip


@pytest.mark.parametrize(
    ("older", "newer", "is_over"),
    [
        (start(1), start(1, "other"), True),
        (start(1), start(2), False),
        (start(), start(), True),
        (start(1), command("ChangeAvailability", operationalStatus="Inoperative"), True),
        (start(1), command("ChangeAvailability", operationalStatus="Operative"), False),
        (start(1), command("RequestStopTransaction", transactionId="tx-1"), True),
        (start(2), command("RequestStopTransaction", transactionId="tx-1"), False),
        (variable("A"), variable("A", "2"), True),
        (variable("A"), variable("B"), False),
        (profile(1, id=1), profile(1, id=2), True),
        (profile(1, id=1), profile(2, id=2), False),
        (profile(1), command("ClearChargingProfile", chargingProfileId=1), True),
        (
            profile(1),
            command("ClearChargingProfile", chargingProfileCriteria={"evseId": 2}),
            False,
        ),
        (
            command("ChangeAvailability", operationalStatus="Inoperative", evse={"id": 1}),
            command("ChangeAvailability", operationalStatus="Operative"),
            True,
        ),
        (
            command(
                "ChangeAvailability",
                operationalStatus="Inoperative",
                evse={"id": 1, "connectorId": 1},
            ),
            command(
                "ChangeAvailability",
                operationalStatus="Operative",
                evse={"id": 1, "connectorId": 2},
            ),
            False,
        ),
        (command("Reset", type="OnIdle", evseId=1), command("Reset", type="Immediate"), True),
        (command("Reset", type="OnIdle"), command("Reset", type="OnIdle", evseId=1), False),
        (
            command("SetNetworkProfile", configurationSlot=1),
            command("SetNetworkProfile", configurationSlot=1),
            True,
        ),
        (
            command("SetNetworkProfile", configurationSlot=1),
            command("SetNetworkProfile", configurationSlot=2),
            False,
        ),
        (
            command("UnlockConnector", evseId=1, connectorId=1),
            command("UnlockConnector", evseId=1, connectorId=2),
            False,
        ),
        (command("RemoteStartTransaction", idTag="04AB", connectorId=1), start(1), True),
    ],
)
def test_what_a_newer_one_makes_pointless(older, newer, is_over):
    known = Known(sessions={"tx-1": session("tx-1", 1)})
    assert (older.id in ends(known, [older, newer])) == is_over


def test_a_reservation_and_its_cancellation_cancel_each_other_out():
    older = command("ReserveNow", id=7, expiryDateTime="2099-01-01T00:00:00Z", idToken=TOKEN)
    newer = command("CancelReservation", reservationId=7)
    found = ends(Known(installed=Installed()), [older, newer])
    assert {one.disposition for one in found.values()} == {Disposition.OBSOLETE}
    assert set(found) == {older.id, newer.id}


def test_a_start_may_claim_the_session_whose_cable_came_first():
    unclaimed, claimed = session("tx-1", 1, token=None), session("tx-1", 1)
    for on_it, expected in ((unclaimed, None), (claimed, "tx-1")):
        state = State(charge_point="CP-1", known=Known(sessions={"tx-1": on_it}))
        assert target(state, start(1), 0).transaction_id == expected


def test_a_reset_of_one_evse_meets_what_runs_there():
    state = State(charge_point="CP-1", known=Known(sessions={"tx-1": session("tx-1", 1)}))
    assert target(state, command("Reset", type="OnIdle", evseId=2), 0).transaction_id is None
    assert target(state, command("Reset", type="OnIdle", evseId=1), 0).transaction_id == "tx-1"
    assert target(state, command("Reset", type="OnIdle"), 0).transaction_id == "tx-1"


def event(bench, kind, seq, message_id, *, trigger="Authorized", **more):
    bench.call(
        "TransactionEvent",
        {
            "eventType": kind,
            "timestamp": "2025-06-15T15:06:40Z",
            "triggerReason": trigger,
            "seqNo": seq,
            "transactionInfo": {"transactionId": "tx-1", **more.pop("info", {})},
            **more,
        },
        message_id,
    )


def uncertain(bench, id, action, **payload):
    bench.command(id, action=action, **payload)
    bench.tick(10 * bench.policy.answer_ms_max)
    (fact,) = [one for one in bench.facts(CommandSettled) if one.command.id == id]
    assert fact.disposition is Disposition.UNCERTAIN


def observed(bench, id):
    return next((one for one in bench.facts(CommandObserved) if one.command_id == id), None)


@pytest.fixture
def bench_2x(bench):
    bench.disconnect()
    bench.connect(OcppVersion.V201)
    return bench


def test_an_uncertain_start_is_settled_by_the_session_that_names_it(bench_2x):
    uncertain(bench_2x, "c1", "RequestStartTransaction", idToken=TOKEN, remoteStartId=7)
    event(bench_2x, "Started", 0, "m1", evse={"id": 1}, idToken=TOKEN, info={"remoteStartId": 7})
    assert observed(bench_2x, "c1").took_effect


def test_an_uncertain_stop_is_settled_by_the_sessions_end(bench_2x):
    event(bench_2x, "Started", 0, "m1", evse={"id": 1}, idToken=TOKEN)
    uncertain(bench_2x, "c1", "RequestStopTransaction", transactionId="tx-1")
    event(bench_2x, "Ended", 1, "m2", trigger="RemoteStop", info={"stoppedReason": "Remote"})
    assert observed(bench_2x, "c1").took_effect


def test_variables_set_are_seen_in_a_later_answer(bench_2x):
    asked = {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "HeartbeatInterval"}}
    uncertain(bench_2x, "c1", "SetVariables", setVariableData=[{**asked, "attributeValue": "60"}])
    bench_2x.command("c2", action="GetVariables", getVariableData=[asked])
    answer = {
        "getVariableResult": [{**asked, "attributeStatus": "Accepted", "attributeValue": "60"}]
    }
    bench_2x.answer(bench_2x.sent[-1][0], answer)
    assert observed(bench_2x, "c1").took_effect


# --- answers that come late, twice, or to nothing ---


def given_up(bench, id="c1", action="TriggerMessage", **payload):
    uncertain(bench, id, action, **payload)
    return next(message_id for message_id, name, _ in bench.sent if name == action)


def test_an_action_that_takes_its_time_gets_it(bench):
    bench.command("c1", action="GetDiagnostics", location="ftp://example.net/")
    bench.tick(4 * bench.policy.answer_ms_max - 1)
    assert not bench.facts(CommandSettled)
    bench.tick(1)
    (fact,) = bench.facts(CommandSettled)
    assert fact.disposition is Disposition.UNCERTAIN
    assert fact.reason == f"no answer within {4 * bench.policy.answer_ms_max} ms"


def test_a_late_answer_settles_its_command_and_is_kept(bench):
    key = {"key": "HeartbeatInterval", "value": "60"}
    message_id = given_up(bench, action="ChangeConfiguration", **key)
    bench.answer(message_id, {"status": "Accepted"})
    fact = observed(bench, "c1")
    assert (fact.took_effect, fact.answer) == (True, '{"status": "Accepted"}')
    assert not bench.state.known.uncertain


def test_a_late_answer_is_matched_on_another_connection_and_after_a_crash(bench):
    message_id = given_up(bench)
    bench.crash()
    bench.connect()
    bench.answer(message_id, {"status": "Rejected"})
    assert observed(bench, "c1").took_effect is False


def test_a_late_error_settles_too_and_nothing_is_said_back(bench):
    message_id = given_up(bench)
    error = frames.Error(message_id=message_id, code="NotSupported", description="not now")
    bench.feed(events.CallAnswered(**bench.now, connection="connection-1", answer=error))
    fact = observed(bench, "c1")
    assert (fact.took_effect, fact.answer) == (False, None)
    assert "NotSupported not now" in fact.evidence
    assert not bench.answers


def test_a_late_answer_comes_while_its_disposition_is_on_its_way_to_the_disk(bench):
    bench.command("c1")
    message_id = bench.sent[0][0]
    bench.journal_takes = None
    bench.tick(10 * bench.policy.answer_ms_max)
    bench.answer(message_id, {"status": "Accepted"})
    bench.journal_takes = True
    bench.resolve(stored=True)
    assert observed(bench, "c1").took_effect
    assert not bench.state.known.uncertain


def test_what_a_late_answer_took_stands_at_the_charge_point(bench):
    message_id = given_up(
        bench, action="SendLocalList", listVersion=4, updateType="Full", localAuthorizationList=[]
    )
    assert bench.state.known.installed.list_missing == 4
    bench.answer(message_id, {"status": "Accepted"})
    assert bench.state.known.installed.list_version == 4
    assert bench.state.known.installed.list_missing is None


@pytest.mark.parametrize("late", [False, True])
def test_a_second_answer_changes_nothing_and_is_told(bench, late):
    bench.command("c1")
    message_id = bench.sent[0][0]
    if late:
        bench.tick(10 * bench.policy.answer_ms_max)
    bench.answer(message_id, {"status": "Accepted"})
    before = len(bench.journal)
    bench.answer(message_id, {"status": "Rejected"})
    assert len(bench.journal) == before
    assert not bench.answers
    (told,) = [fact for fact in bench.telemetry if isinstance(fact, FrameRefused)]
    assert (told.reason, told.code) == ("second answer", None)
    assert "Rejected" in told.frame


def test_an_answer_to_nothing_is_told_and_gets_no_answer(bench):
    bench.answer("never-sent", {})
    error = frames.Error(message_id='odd"id', code="X", description="")
    bench.feed(events.CallAnswered(**bench.now, connection="connection-1", answer=error))
    told = [fact for fact in bench.telemetry if isinstance(fact, FrameRefused)]
    assert [fact.reason for fact in told] == ["answer to nothing"] * 2
    assert json.loads(told[1].frame)[:2] == [4, 'odd"id']
    assert not bench.answers
