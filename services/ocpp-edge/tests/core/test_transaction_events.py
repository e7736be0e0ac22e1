"""Goal: a session of OCPP 2.x is recorded event by event, under the station's own id; repeats, conflicts, holes and
events out of order change nothing that was said before, and each event is acknowledged after it is stored.
"""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.contracts.rules import TokenStatus, TokenType
from holdfast.contracts.session import (
    SessionEventConflicted,
    SessionMetered,
    SessionStarted,
    SessionStopped,
    SessionStopRepeated,
)
from holdfast.ocpp.versions import OcppVersion
from ocpp_edge.domain import events

TX = "0b8a3a5e-0000-4000-8000-000000000001"
TOKEN = {"idToken": "DRIVER-01", "type": "ISO14443"}
ACCEPTED = {
    "idTokenInfo": {"status": "Accepted", "groupIdToken": {"idToken": "GROUP", "type": "Central"}}
}


def event(
    kind: str, seq_no: int, *, wh: float | None = None, token: dict[str, Any] | None = None,
    trigger: str = "MeterValuePeriodic", at: str = "2025-06-15T15:05:00Z", evse: int | None = None,
    context: str = "Sample.Periodic", tx: str = TX, info: dict[str, Any] | None = None, **more: Any,
) -> dict[str, Any]:  # fmt: skip
    payload: dict[str, Any] = {
        "eventType": kind,
        "timestamp": at,
        "triggerReason": trigger,
        "seqNo": seq_no,
        "transactionInfo": {"transactionId": tx, **(info or {})},
        **more,
    }
    if wh is not None:
        sample = {"value": wh, "context": context}
        payload["meterValue"] = [{"timestamp": at, "sampledValue": [sample]}]
    if token:
        payload["idToken"] = token
    if evse is not None:
        payload["evse"] = {"id": evse, "connectorId": 1}
    return payload


def started(**more: Any) -> dict[str, Any]:
    begin = {
        "token": TOKEN,
        "wh": 100,
        "trigger": "Authorized",
        "context": "Transaction.Begin",
        "evse": 1,
    }
    return event("Started", 0, **(begin | more))


def ended(seq_no: int, **more: Any) -> dict[str, Any]:
    end = {"wh": 300, "trigger": "EVDeparted", "context": "Transaction.End"}
    return event("Ended", seq_no, **(end | more))


@pytest.fixture(params=[OcppVersion.V201, OcppVersion.V21])
def bench(new_bench, request):
    bench = new_bench()
    bench.connect(request.param)
    return bench


def test_a_session_is_recorded_event_by_event_under_the_stations_own_id(bench):
    bench.call("TransactionEvent", started(), "m1")
    bench.call("TransactionEvent", event("Updated", 1, wh=150.4), "m2")
    bench.call("TransactionEvent", ended(2), "m3")

    (begin,) = bench.facts(SessionStarted)
    assert (begin.session, begin.transaction_id, begin.seq_no) == (f"CP-1/{TX}", TX, 0)
    assert (begin.connector, begin.plug, begin.meter_start_wh) == (1, 1, 100)
    assert (begin.driver_token, begin.token_type) == ("DRIVER-01", TokenType.ISO14443)
    assert begin.version is bench.state.live.version
    (metered,) = bench.facts(SessionMetered)
    assert [one.energy_wh for one in metered.readings] == [150]
    assert (metered.connector, metered.seq_no) == (1, 1)
    (end,) = bench.facts(SessionStopped)
    assert (end.meter_stop_wh, end.reason, end.connector) == (300, "Local", 1)
    assert bench.told("m1") == ACCEPTED
    assert (bench.told("m2"), bench.told("m3")) == ({}, {})
    assert not bench.state.known.sessions
    assert bench.transactions.last == 0  # no id of ours was used up


def test_a_cable_may_come_before_its_driver_token(bench):
    bench.call("TransactionEvent", started(token=None, trigger="CablePluggedIn"), "m1")
    assert bench.told("m1") == {}
    (begin,) = bench.facts(SessionStarted)
    assert (begin.driver_token, begin.status, begin.decision) == (None, None, None)

    bench.call("TransactionEvent", event("Updated", 1, token=TOKEN, trigger="Authorized"), "m2")
    assert bench.told("m2") == ACCEPTED
    (asked,) = bench.asked
    assert (asked.starts_session, asked.connector, asked.token_type) == (
        True,
        1,
        TokenType.ISO14443,
    )
    (metered,) = bench.facts(SessionMetered)
    assert metered.authorised.status is TokenStatus.ACCEPTED
    assert bench.state.known.sessions[TX].driver_token == "DRIVER-01"

    bench.call("TransactionEvent", ended(2, token=TOKEN, trigger="StopAuthorized"), "m3")
    assert bench.told("m3") == ACCEPTED  # the same driver token again: nobody has to be asked
    assert len(bench.asked) == 1


def test_another_driver_token_is_asked_about_and_does_not_start_a_session(bench):
    bench.call("TransactionEvent", started(), "m1")
    bench.status = TokenStatus.INVALID
    other = {"idToken": "OTHER", "type": "ISO14443"}
    bench.call("TransactionEvent", event("Updated", 1, token=other, trigger="StopAuthorized"), "m2")
    assert bench.told("m2")["idTokenInfo"]["status"] == "Invalid"
    assert not bench.asked[1].starts_session
    assert bench.state.known.sessions[TX].driver_token == "DRIVER-01"


def test_the_same_characters_of_another_type_are_another_driver_token(bench):
    bench.call("TransactionEvent", started(), "m1")
    other = {"idToken": "DRIVER-01", "type": "KeyCode"}
    bench.call("TransactionEvent", event("Updated", 1, token=other, trigger="Authorized"), "m2")
    assert [one.token_type for one in bench.asked] == [TokenType.ISO14443, TokenType.KEY_CODE]


def test_a_start_that_is_not_accepted_is_recorded_all_the_same(bench):
    bench.status = TokenStatus.BLOCKED
    bench.call("TransactionEvent", started(), "m1")
    assert bench.told("m1")["idTokenInfo"]["status"] == "Blocked"
    assert bench.facts(SessionStarted)[0].status is TokenStatus.BLOCKED


@pytest.mark.parametrize("after", ["nothing", "a crash", "another connection"])
def test_a_repeat_is_answered_from_what_is_stored(bench, after):
    bench.call("TransactionEvent", started(), "m1")
    bench.call("TransactionEvent", event("Updated", 1, wh=150), "m2")
    version = bench.state.live.version
    if after == "a crash":
        bench.crash()
        bench.connect(version)
    elif after == "another connection":
        bench.disconnect()
        bench.connect(version)
    bench.status = TokenStatus.INVALID
    bench.call("TransactionEvent", started(), "again")
    bench.call("TransactionEvent", event("Updated", 1, wh=150, offline=True), "again2")
    assert (bench.told("again"), bench.told("again2")) == (ACCEPTED, {})
    assert len(bench.asked) == 1
    assert len(bench.journal) - sum("connect" in fact.TYPE for _, _, fact in bench.journal) == 2


def test_the_same_seqno_with_other_content_is_kept_and_told_as_a_conflict(bench):
    bench.call("TransactionEvent", started(), "m1")
    bench.call("TransactionEvent", event("Updated", 1, wh=150), "m2")
    for message_id in ("m3", "m4"):
        bench.call("TransactionEvent", event("Updated", 1, wh=170), message_id)
        assert bench.told(message_id) == {}
    (conflict,) = bench.facts(SessionEventConflicted)
    assert (conflict.seq_no, conflict.event, conflict.message_id) == (1, "Updated", "m3")
    assert [one.readings[0].energy_wh for one in bench.facts(SessionMetered)] == [150]
    assert bench.state.known.sessions[TX].last_wh == 150


def test_an_end_is_never_given_up_for_its_seqno(bench):
    bench.call("TransactionEvent", started(), "m1")
    bench.call("TransactionEvent", event("Updated", 1, wh=150), "m2")
    bench.call("TransactionEvent", ended(1), "m3")
    assert bench.facts(SessionStopped)[0].meter_stop_wh == 300
    assert not bench.facts(SessionEventConflicted)


def test_a_second_end_is_compared_with_the_first(bench):
    bench.call("TransactionEvent", started(), "m1")
    bench.call("TransactionEvent", ended(1), "m2")
    bench.call("TransactionEvent", ended(2, wh=400), "m3")
    (repeated,) = bench.facts(SessionStopRepeated)
    assert (repeated.first_meter_stop_wh, repeated.meter_stop_wh, repeated.seq_no) == (300, 400, 2)
    bench.call("TransactionEvent", ended(1, wh=500), "m4")
    assert bench.facts(SessionEventConflicted)[0].event == "Ended"
    assert len(bench.facts(SessionStopped)) == 1


def test_holes_and_events_out_of_order_are_recorded_as_they_come(bench):
    bench.call("TransactionEvent", ended(9), "m1")
    bench.call("TransactionEvent", event("Updated", 4, wh=150), "m2")
    bench.call("TransactionEvent", started(), "m3")
    assert [bench.told(one) for one in ("m1", "m2", "m3")] == [{}, {}, ACCEPTED]
    assert len(bench.facts(SessionStarted) + bench.facts(SessionMetered)) == 2
    assert len(bench.facts(SessionStopped)) == 1
    assert not bench.state.known.sessions  # its end is there, so nothing runs


def test_a_transaction_whose_start_never_came_runs_under_its_own_id(bench):
    bench.call("TransactionEvent", event("Updated", 7, wh=900, evse=2), "m1")
    (session,) = bench.state.known.running()
    assert (session.transaction_id, session.connector, session.begun) == (TX, 2, False)
    bench.call("TransactionEvent", started(evse=2), "m2")
    (session,) = bench.state.known.running()
    assert (session.begun, session.meter_start_wh, session.driver_token) == (True, 100, "DRIVER-01")


@pytest.mark.parametrize("tx", ["", " ", "a\x00b"])
def test_an_id_that_names_nothing_is_refused(bench, tx):
    with pytest.raises(AssertionError, match="transactionId"):
        bench.call("TransactionEvent", started(tx=tx), "m1")


def test_what_the_disk_refuses_is_not_acknowledged(bench):
    bench.journal_takes = False
    bench.call("TransactionEvent", started(), "m1")
    assert not bench.answers
    assert bench.closed
    bench.journal_takes = True
    bench.connect(OcppVersion.V201)
    bench.call("TransactionEvent", started(), "m1")
    assert bench.told("m1") == ACCEPTED
    assert bench.asked[0].request == bench.asked[1].request


def test_without_a_decision_the_socket_is_closed(bench):
    bench.authorises = False
    bench.call("TransactionEvent", started(), "m1")
    bench.feed(events.NotAuthorised(**bench.now, request=bench.asked[0].request))
    assert bench.closed
    assert not bench.answers


def test_both_ends_of_a_register_may_come_with_the_last_event(bench):
    at = "2025-06-15T15:05:00Z"
    both = ended(1)
    both["meterValue"] = [
        {"timestamp": at, "sampledValue": [{"value": 100, "context": "Transaction.Begin"}]},
        {
            "timestamp": at,
            "sampledValue": [
                {"value": 0.4, "context": "Transaction.End", "unitOfMeasure": {"unit": "kWh"}},
                {"value": 7, "measurand": "SoC"},
            ],
        },
    ]
    bench.call("TransactionEvent", started(), "m1")
    bench.call("TransactionEvent", both, "m2")
    assert bench.facts(SessionStopped)[0].meter_stop_wh == 400


def test_a_charge_point_that_comes_back_with_another_version_keeps_its_old_session(new_bench):
    """A firmware update in the middle: the stop of the 1.6 session never comes."""
    bench = new_bench()
    bench.connect()
    bench.start("m1")
    old = bench.told("m1")["transactionId"]
    bench.disconnect()
    bench.connect(OcppVersion.V201)
    bench.crash()
    bench.connect(OcppVersion.V201)
    assert bench.state.known.version is OcppVersion.V201
    assert [one.transaction_id for one in bench.state.known.running()] == [old]
    bench.call("TransactionEvent", started(), "m2")
    assert [one.transaction_id for one in bench.state.known.running()] == [TX]
    bench.disconnect()
    bench.connect()
    bench.stop("m3", old)
    assert bench.facts(SessionStopped)[0].transaction_id == old
    assert TX in bench.state.known.sessions


def test_a_stations_number_is_no_session_of_its_days_as_a_charge_point_of_1_6(new_bench):
    bench = new_bench()
    bench.connect()
    bench.start("m1")
    id = bench.told("m1")["transactionId"]
    bench.stop("m2", id)
    bench.connect(OcppVersion.V201)
    bench.call("TransactionEvent", started(tx=str(id)), "e1")
    bench.call("TransactionEvent", ended(1, tx=str(id)), "e2")
    (old, new), (old_end, new_end) = bench.facts(SessionStarted), bench.facts(SessionStopped)
    assert old.session == old_end.session == f"CP-1/{id}"
    assert new.session == new_end.session == f"CP-1/={id}"


def test_a_session_of_before_keys_were_marked_keeps_its_key_to_its_end(new_bench):
    bench = new_bench()
    bench.connect(OcppVersion.V201)
    bench.call("TransactionEvent", started(tx="1001"), "e1")
    bench.journal = [
        (
            id,
            at_ms,
            fact.model_copy(update={"session": "CP-1/1001"})
            if isinstance(fact, SessionStarted)
            else fact,
        )
        for id, at_ms, fact in bench.journal
    ]
    bench.crash()
    bench.connect(OcppVersion.V201)
    bench.call("TransactionEvent", event("Updated", 1, wh=150, tx="1001"), "e2")
    bench.call("TransactionEvent", ended(2, tx="1001"), "e3")
    bench.call("TransactionEvent", ended(3, tx="1001", wh=999), "e4")
    bench.call("TransactionEvent", started(tx="1002"), "e5")
    kinds = (SessionStarted, SessionMetered, SessionStopped, SessionStopRepeated)
    keys = [fact.session for _, _, fact in bench.journal if isinstance(fact, kinds)]
    assert keys == ["CP-1/1001"] * 4 + ["CP-1/=1002"]
