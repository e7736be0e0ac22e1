"""Goal: what a charge point says besides its transactions is stored once for each time it says it: a repeat for want
of an answer is none, what it says anew is one, and each CALL has its answer.
"""

from __future__ import annotations

import json
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contracts.charge_point import (
    ChargePointBooted,
    ChargePointSaid,
    ConnectorStatusChanged,
    DataTransferred,
)
from holdfast.contracts.csms import RelayReply
from holdfast.ocpp.versions import OcppVersion
from ocpp_edge.domain import events

V16, V201, V21 = OcppVersion.V16, OcppVersion.V201, OcppVersion.V21
AT = "2025-06-15T15:00:00Z"
ALARM = {"type": "TamperDetectionActivated", "timestamp": AT}
LIMIT = {"chargingLimit": {"chargingLimitSource": "EMS"}, "evseId": 1}


@pytest.fixture
def bench_of(new_bench):
    def of(version: OcppVersion):
        bench = new_bench()
        bench.connect(version)
        return bench

    return of


def status(word, error="NoError"):
    return {"connectorId": 1, "errorCode": error, "status": word}


def said(bench):
    return [json.loads(one.raw) for one in bench.facts(ChargePointSaid)]


def answered(bench):
    return [id for id, _ in bench.answers]


def test_what_is_said_again_later_stands_again(bench_of):
    bench, ids = bench_of(V21), map(str, count())
    for activated in (True, False, True):
        payload = {"transactionId": "T", "activated": activated}
        bench.call("NotifyPriorityCharging", payload, next(ids))
    assert [one["activated"] for one in said(bench)] == [True, False, True]
    for _ in range(2):
        bench.call("NotifyChargingLimit", LIMIT, next(ids))
        bench.call("ClearedChargingLimit", {"chargingLimitSource": "EMS", "evseId": 1}, next(ids))
    actions = [one.action for one in bench.facts(ChargePointSaid)][3:]
    assert actions == ["NotifyChargingLimit", "ClearedChargingLimit"] * 2
    facts = [id for id, _, fact in bench.journal if isinstance(fact, ChargePointSaid)]
    assert len(set(facts)) == 7


@pytest.mark.parametrize("between", ["Downloading", None])
def test_two_updates_that_end_alike_are_two_ends(bench_of, between):
    bench = bench_of(V16)
    for life in range(2):
        if between:
            bench.call("FirmwareStatusNotification", {"status": between}, f"a{life}")
        bench.call("FirmwareStatusNotification", {"status": "Installed"}, f"b{life}")
    ends = [one for one in said(bench) if one["status"] == "Installed"]
    assert len(ends) == 2


def test_a_guaranteed_message_without_a_time_of_its_own_is_kept_each_time_it_is_asked_for(bench_of):
    bench = bench_of(V201)
    for message_id in ("m1", "m2"):
        bench.call("NotifyDisplayMessages", {"requestId": 1}, message_id)
    assert len(said(bench)) == 2


@pytest.mark.parametrize("ids", [("m1", "m2", "m3"), ("m1", "m1", "m1")])
def test_each_of_the_calls_in_flight_that_say_the_same_is_answered(bench_of, ids):
    bench = bench_of(V16)
    bench.holds = True
    for message_id in ids:
        bench.call("SecurityEventNotification", ALARM, message_id)
    assert not bench.answers
    bench.release()
    assert answered(bench) == list(ids)
    assert len(said(bench)) == 1


def test_what_says_the_opposite_meanwhile_is_not_passed_over(bench_of):
    bench = bench_of(V21)
    bench.holds = True
    for message_id, activated in (("m1", True), ("m2", False), ("m3", True)):
        payload = {"transactionId": "T", "activated": activated}
        bench.call("NotifyPriorityCharging", payload, message_id)
    bench.release()
    assert [one["activated"] for one in said(bench)] == [True, False, True]
    assert answered(bench) == ["m1", "m2", "m3"]


@pytest.mark.parametrize("holds", [True, False])
def test_one_message_id_for_everything_names_the_last_thing_said_under_it(bench_of, holds):
    bench = bench_of(V16)
    bench.holds = holds
    words = ["Available", "Charging", "Available", "Charging", "Available"]
    for word in words:
        bench.call("StatusNotification", status(word), "1")
    bench.release()
    assert [one.status for one in bench.facts(ConnectorStatusChanged)] == words
    assert bench.state.known.connectors[1].status == "Available"
    assert answered(bench) == ["1"] * 5


def test_a_status_that_returns_while_another_is_on_its_way_is_stored(bench_of):
    bench = bench_of(V16)
    bench.call("StatusNotification", status("Available"), "m1")
    bench.holds = True
    bench.call("StatusNotification", status("Charging"), "m2")
    bench.call("StatusNotification", status("Available"), "m3")
    bench.release()
    assert bench.state.known.connectors[1].status == "Available"
    assert answered(bench) == ["m1", "m2", "m3"]


def test_a_fault_told_again_under_its_id_is_the_same_and_after_something_else_another(bench_of):
    bench, fault = bench_of(V16), status("Faulted", "GroundFailure")
    for message_id in ("m1", "m1"):
        bench.call("StatusNotification", fault, message_id)
    assert len(bench.facts(ConnectorStatusChanged)) == 1
    bench.call("Heartbeat", {}, "m2")
    bench.call("StatusNotification", fault, "m1")
    assert len(bench.facts(ConnectorStatusChanged)) == 2
    assert answered(bench) == ["m1", "m1", "m2", "m1"]


@pytest.mark.parametrize("again", ["m1", "other"])
def test_what_was_not_acknowledged_when_the_connection_broke_is_the_same_on_the_next(
    bench_of, again
):
    bench = bench_of(V201)
    bench.holds = True
    bench.call("SecurityEventNotification", ALARM, "m1")
    bench.disconnect()
    bench.connect(V201)
    bench.call("SecurityEventNotification", ALARM, again)
    bench.release()
    assert answered(bench)[-1] == again
    assert len(said(bench)) == 1


@pytest.mark.parametrize("again", ["m1", "other"])
def test_an_answer_that_may_have_been_lost_with_its_connection_leaves_a_repeat(bench_of, again):
    bench = bench_of(V201)
    bench.call("SecurityEventNotification", ALARM, "m1")
    bench.disconnect()
    bench.connect(V201)
    boot = {"reason": "PowerUp", "chargingStation": {"vendorName": "V", "model": "M"}}
    bench.call("BootNotification", boot, "boot")
    bench.call("SecurityEventNotification", ALARM, again)
    assert bench.told(again) == {}
    assert len(said(bench)) == 1
    bench.call("Heartbeat", {}, "m3")
    bench.call("SecurityEventNotification", ALARM, again)  # it has its answer, and says it anew
    assert len(said(bench)) == 2


def test_who_went_on_before_the_connection_broke_had_its_answer(bench_of):
    bench = bench_of(V201)
    bench.call("NotifyDisplayMessages", {"requestId": 1}, "m1")
    bench.call("Heartbeat", {}, "m2")
    bench.disconnect()
    bench.connect(V201)
    bench.call("NotifyDisplayMessages", {"requestId": 1}, "m1")
    assert len(said(bench)) == 2


def test_an_hour_after_its_connection_broke_nothing_is_a_repeat(bench_of):
    bench = bench_of(V201)
    bench.call("NotifyDisplayMessages", {"requestId": 1}, "m1")
    bench.disconnect()
    bench.tick(3_600_000)
    bench.connect(V201)
    bench.call("NotifyDisplayMessages", {"requestId": 1}, "m1")
    assert len(said(bench)) == 2


@pytest.mark.parametrize("goes_on", [True, False])
def test_after_a_crash_what_was_stored_last_may_be_sent_again(bench_of, goes_on):
    bench = bench_of(V201)
    bench.call("SecurityEventNotification", ALARM, "m1")
    if goes_on:
        available = {"timestamp": AT, "connectorStatus": "Available", "evseId": 1, "connectorId": 1}
        bench.call("StatusNotification", available, "m2")
    bench.crash()
    bench.connect(V201)
    bench.call("SecurityEventNotification", ALARM, "m1")
    assert bench.told("m1") == {}
    assert len(said(bench)) == 1 + goes_on


def test_an_hour_after_it_was_stored_a_restart_leaves_no_repeat(bench_of):
    bench = bench_of(V201)
    bench.call("NotifyDisplayMessages", {"requestId": 1}, "m1")
    bench.at_ms += 3_600_000
    bench.crash()
    bench.connect(V201)
    bench.call("NotifyDisplayMessages", {"requestId": 1}, "m1")
    assert len(said(bench)) == 2


def test_what_is_remembered_of_a_charge_point_is_bounded(bench_of):
    bench = bench_of(V16)
    for life in range(100):
        bench.call("SecurityEventNotification", ALARM | {"techInfo": str(life)}, "m1")
        bench.call("StatusNotification", status("Available") | {"connectorId": life}, "m2")
        bench.disconnect()
        bench.connect()
    assert len(bench.state.live.said) <= 64
    assert len(said(bench)) == 100


def test_what_the_journal_refused_was_never_said(bench_of):
    bench = bench_of(V201)
    bench.journal_takes = False
    bench.call("SecurityEventNotification", ALARM, "m1")
    assert bench.closed == ["connection-1"]
    bench.journal_takes = True
    bench.connect(V201)
    bench.call("SecurityEventNotification", ALARM, "m2")
    assert bench.told("m2") == {}
    assert len(said(bench)) == 1


def test_an_outcome_that_is_not_known_is_waited_for_and_nothing_stored_twice(bench_of):
    bench = bench_of(V201)
    bench.journal_takes = None
    bench.call("SecurityEventNotification", ALARM, "m1")
    bench.journal_takes = True
    bench.connect(V201)
    bench.call("SecurityEventNotification", ALARM, "m2")
    assert not bench.answers
    bench.resolve(stored=True)
    assert answered(bench) == ["m2"]
    assert len(said(bench)) == 1


def test_a_boot_told_again_while_it_is_on_its_way_is_one_boot(bench_of):
    bench = bench_of(V16)
    bench.holds = True
    for message_id in ("m1", "m2"):
        boot = {"chargePointVendor": "V", "chargePointModel": "M"}
        bench.call("BootNotification", boot, message_id)
    bench.release()
    assert answered(bench) == ["m1", "m2"]
    assert len(bench.facts(ChargePointBooted)) == 1


def test_each_authorize_is_answered_and_a_message_id_used_again_asks_again(bench_of):
    bench = bench_of(V16)
    bench.authorises = False
    for _ in range(3):
        bench.call("Authorize", {"idTag": "TAG"}, "1")
    (asked,) = bench.asked
    bench.authorise(asked)
    bench.tick()
    assert answered(bench) == ["1"] * 3
    bench.call("Authorize", {"idTag": "TAG"}, "1")
    assert bench.asked[1].request != asked.request  # a verdict of another day is no answer to it


@pytest.mark.parametrize(
    ("action", "payload"),
    [("SignCertificate", {"csr": "x"}), ("DataTransfer", {"vendorId": "V"})],
)
def test_each_question_to_the_csms_is_answered_and_asked_once(bench_of, action, payload):
    bench = bench_of(V16)
    bench.csms = None
    for message_id in ("1", "1", "2"):
        bench.call(action, payload, message_id)
    assert [one.message_id for one in bench.relayed] == ["1", "2"]
    for request in tuple(bench.state.live.relayed):
        reply = RelayReply(raw='{"status":"Accepted"}')
        bench.feed(events.CsmsAnswered(**bench.now, request=request, reply=reply))
    assert answered(bench) == ["1", "1", "2"]
    assert len(bench.facts(DataTransferred)) == (2 if action == "DataTransfer" else 0)
    bench.call(action, payload, "1")
    assert [one.message_id for one in bench.relayed] == ["1", "2", "1"]


def test_repeats_without_end_leave_the_socket_unread(bench_of):
    bench = bench_of(V16)
    bench.holds = True
    for _ in range(17):
        assert bench.state.has_room
        bench.call("SecurityEventNotification", ALARM, "m1")
    assert not bench.state.has_room
    bench.release()
    assert bench.state.has_room
    assert answered(bench) == ["m1"] * 17


SAYINGS = st.lists(
    st.tuples(
        st.sampled_from(["1", "2", "3"]),
        st.sampled_from([None, True, False]),
        st.sampled_from(["", "release", "reconnect", "crash"]),
    ),
    max_size=12,
)


@given(SAYINGS)
def test_whatever_a_charge_point_says_in_whatever_order_its_last_word_stands(new_bench, sayings):
    """True and False of one key, and faults between them, under few message ids, with answers late or lost."""
    bench = new_bench()
    bench.connect(V21)
    sent, last = 0, None
    bench.holds = True
    for message_id, activated, then in sayings:
        if activated is None:
            bench.call("Heartbeat", {}, message_id)
        else:
            payload = {"transactionId": "T", "activated": activated}
            bench.call("NotifyPriorityCharging", payload, message_id)
            last = activated
        sent += 1
        if then:
            bench.release()
        if then == "crash":
            bench.crash()
        if then in ("reconnect", "crash"):
            bench.connect(V21)
    bench.release()
    assert [one["activated"] for one in said(bench)][-1:] == ([] if last is None else [last])
    assert len(bench.answers) == sent
    assert not bench.state.live.joined
    assert not bench.state.live.recording
