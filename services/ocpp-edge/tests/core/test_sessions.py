"""Goal: a session is recorded once, whatever the charge point repeats, mixes up or leaves out; each message is
acknowledged after it is stored, and never before.
"""

from __future__ import annotations

import pytest

from holdfast.contracts.charge_point import ChargePointSaid
from holdfast.contracts.rules import TokenStatus
from holdfast.contracts.session import (
    SessionMessageUnmatched,
    SessionMetered,
    SessionStarted,
    SessionStopped,
    SessionStopRepeated,
)
from holdfast.ocpp.versions import OcppVersion
from ocpp_edge.domain import events
from ocpp_edge.domain.transactions import LOWEST


def test_a_session_is_recorded_and_each_message_acknowledged(bench):
    bench.start("m1")
    transaction = bench.told("m1")["transactionId"]
    bench.meter("m2", transaction)
    bench.stop("m3", transaction)

    (started,) = bench.facts(SessionStarted)
    assert (started.transaction_id, started.session) == (transaction, f"CP-1/{transaction}")
    assert started.raw.startswith('{"connectorId": 1')
    assert bench.told("m1") == {
        "idTagInfo": {"status": "Accepted", "parentIdTag": "GROUP"},
        "transactionId": transaction,
    }
    (metered,) = bench.facts(SessionMetered)
    assert [reading.energy_wh for reading in metered.readings] == [150]
    (stopped,) = bench.facts(SessionStopped)
    assert (stopped.meter_stop_wh, stopped.reason) == (200, "Local")
    assert (bench.told("m2"), bench.told("m3")) == ({}, {})
    assert not bench.state.known.sessions


@pytest.mark.parametrize(
    ("said", "known"), [("2", 2), ("0", None), ("two", None), ("9" * 5_000, None), ("²", None)]
)
def test_a_start_says_how_many_connectors_the_charge_point_said_it_has(bench, said, known):
    bench.start("before")
    bench.command("q", action="GetConfiguration")
    keys = [{"key": "NumberOfConnectors", "readonly": True, "value": said}]
    bench.answer(bench.sent[-1][0], {"configurationKey": keys})
    bench.start("after", connector=42, meter=7)
    assert [one.connectors for one in bench.facts(SessionStarted)] == [None, known]


def test_a_start_that_is_not_accepted_is_recorded_and_answered_with_its_id(bench):
    bench.status = TokenStatus.BLOCKED
    bench.start("m1")
    assert bench.told("m1")["idTagInfo"]["status"] == "Blocked"
    (started,) = bench.facts(SessionStarted)
    assert started.status is TokenStatus.BLOCKED
    assert bench.told("m1")["transactionId"] == started.transaction_id


def test_a_repeated_start_gets_the_stored_answer_with_the_same_or_a_new_message_id(bench):
    bench.start("m1")
    bench.start("m1")
    bench.start("another")
    assert len(bench.facts(SessionStarted)) == 1
    assert [payload for _, payload in bench.answers] == [bench.told("m1")] * 3


def test_a_repeat_is_answered_alike_after_a_restart(bench):
    bench.start("m1")
    first = bench.told("m1")
    bench.crash()
    bench.connect()
    bench.start("m1")
    assert bench.told("m1") == first
    assert len(bench.facts(SessionStarted)) == 1


def test_message_ids_used_again_after_a_boot_with_other_payloads_are_served_anew(bench):
    bench.start("1")
    bench.stop("2", bench.told("1")["transactionId"])
    bench.disconnect()
    bench.connect()
    bench.start("1", meter=200, at="2025-06-15T16:00:00Z")
    bench.stop("2", bench.told("1")["transactionId"], wh=300, at="2025-06-15T16:10:00Z")
    assert len(bench.facts(SessionStarted)) == len(bench.facts(SessionStopped)) == 2


def test_a_repeated_reading_is_recorded_once(bench):
    bench.start("m1")
    transaction = bench.told("m1")["transactionId"]
    for message_id in ("m2", "m2", "other"):
        bench.meter(message_id, transaction)
    assert len(bench.facts(SessionMetered)) == 1
    assert bench.told("other") == {}


def test_a_second_different_stop_is_shown_and_answered_alike(bench):
    bench.start("m1")
    transaction = bench.told("m1")["transactionId"]
    bench.stop("m2", transaction)
    bench.stop("m3", transaction)
    bench.stop("m4", transaction, wh=999)
    bench.stop("m5", transaction, wh=999)
    assert len(bench.facts(SessionStopped)) == 1
    (repeated,) = bench.facts(SessionStopRepeated)
    assert (repeated.meter_stop_wh, repeated.first_meter_stop_wh) == (999, 200)
    assert [bench.told(id) for id in ("m3", "m4", "m5")] == [{}, {}, {}]


def test_readings_after_the_stop_are_recorded(bench):
    bench.start("m1")
    transaction = bench.told("m1")["transactionId"]
    bench.stop("m2", transaction)
    bench.meter("m3", transaction)
    assert bench.facts(SessionMetered)[0].transaction_id == transaction


def test_minus_one_is_bound_to_the_open_session_of_the_connector(bench):
    bench.start("m1", connector=1)
    bench.start("m2", connector=2, token="OTHER")
    bench.meter("m3", -1, connector=2)
    assert bench.facts(SessionMetered)[0].transaction_id == bench.told("m2")["transactionId"]


def test_a_stop_with_minus_one_is_bound_only_where_it_can_mean_one_session(bench):
    bench.start("m1", connector=1, token="ONE")
    bench.start("m2", connector=2, token="TWO")
    bench.stop("m3", -1)
    (unmatched,) = bench.facts(SessionMessageUnmatched)
    assert unmatched.transaction_id == -1
    assert bench.told("m3") == {}
    bench.stop("m4", -1, token="TWO", wh=300)
    assert bench.facts(SessionStopped)[0].transaction_id == bench.told("m2")["transactionId"]
    bench.stop("m5", -1, wh=400)  # one is left
    assert bench.facts(SessionStopped)[1].transaction_id == bench.told("m1")["transactionId"]
    bench.stop("m6", -1, wh=400)  # a repeat
    assert len(bench.facts(SessionStopped)) == 2
    assert len(bench.facts(SessionMessageUnmatched)) == 1


def test_minus_one_means_the_newest_session_where_an_older_one_lost_its_stop(bench):
    bench.start("m1")
    bench.start("m2", meter=500, at="2025-06-15T17:00:00Z")
    bench.stop("m3", -1, wh=600, at="2025-06-15T17:10:00Z")
    assert bench.facts(SessionStopped)[0].transaction_id == bench.told("m2")["transactionId"]


def test_an_id_that_could_be_of_an_earlier_life_of_the_disk_is_recorded_under_it(bench):
    from_before = bench.transactions.highest(bench.at_ms) - 100_000
    bench.meter("m1", from_before)
    bench.stop("m2", from_before)
    assert bench.facts(SessionMetered)[0].session == f"CP-1/{from_before}"
    assert bench.facts(SessionStopped)[0].transaction_id == from_before
    assert (bench.told("m1"), bench.told("m2")) == ({}, {})


@pytest.mark.parametrize("id", [1, 5, 999_999, LOWEST - 1, 2**31])
def test_an_id_that_was_never_given_out_is_acknowledged_and_kept_as_unmatched(bench, id):
    bench.meter("m0", id)
    bench.stop("m1", id)
    unmatched = bench.facts(SessionMessageUnmatched)
    assert [one.action for one in unmatched] == ["MeterValues", "StopTransaction"]
    assert not bench.facts(SessionStopped)
    assert (bench.told("m0"), bench.told("m1")) == ({}, {})


def test_an_id_of_a_clock_that_stood_in_the_past_is_known_to_the_site_that_gave_it_out(bench):
    bench.at_ms = 0
    bench.start("m1")
    assert bench.told("m1")["transactionId"] == 1
    bench.at_ms = 1_750_000_000_000
    bench.stop("m2", 1)
    assert bench.facts(SessionStopped)[0].transaction_id == 1


def test_another_charge_points_transaction_is_never_touched(bench):
    bench.transactions.owned("CP-2", 44_000_000)
    bench.meter("m1", 44_000_000)
    assert "another charge point" in bench.facts(SessionMessageUnmatched)[0].reason
    assert bench.told("m1") == {}


def test_transactional_messages_wait_for_the_start_and_others_overtake_it(bench):
    bench.authorises = False
    bench.start("m1")
    bench.meter("m2", -1)
    bench.call("Heartbeat", {}, "m3")
    assert [id for id, _ in bench.answers] == ["m3"]
    bench.authorise(bench.asked[0])
    bench.tick()
    assert [id for id, _ in bench.answers] == ["m3", "m1", "m2"]
    assert bench.facts(SessionMetered)[0].transaction_id == bench.told("m1")["transactionId"]


def test_without_a_decision_the_socket_is_closed_and_nothing_acknowledged(bench):
    bench.authorises = False
    bench.start("m1")
    bench.feed(events.NotAuthorised(**bench.now, request=bench.asked[0].request))
    assert bench.closed == ["connection-1"]
    assert not bench.answers
    bench.authorises = True
    bench.connect()
    bench.start("m1")
    assert bench.asked[1].request == bench.asked[0].request
    assert len(bench.facts(SessionStarted)) == 1


def test_what_the_disk_refuses_is_not_acknowledged(bench):
    bench.start("m1")
    transaction = bench.told("m1")["transactionId"]
    bench.journal_takes = False
    bench.stop("m2", transaction)
    assert bench.closed == ["connection-1"]
    assert [id for id, _ in bench.answers] == ["m1"]
    bench.journal_takes = True
    bench.connect()
    bench.stop("m2", transaction)
    assert bench.told("m2") == {}
    assert len(bench.facts(SessionStopped)) == 1


def test_an_append_in_doubt_is_waited_for_before_the_next_transactional_message(bench):
    bench.journal_takes = None
    bench.start("m1")
    assert bench.closed
    assert not bench.answers
    bench.journal_takes = True
    bench.connect()
    bench.start("m1")
    assert not bench.answers  # its outcome is not known yet
    bench.resolve(stored=True)
    assert len(bench.facts(SessionStarted)) == 1
    assert bench.told("m1")["transactionId"] == bench.facts(SessionStarted)[0].transaction_id


def test_a_message_that_is_not_acknowledged_in_time_closes_the_socket(bench):
    bench.journal_takes = None
    bench.start("m1")
    bench.connect()
    bench.start("m1")
    bench.tick(bench.policy.transaction_ms_max)
    assert bench.closed == ["connection-1", "connection-2"]
    assert not bench.answers


def test_meter_values_of_no_transaction_are_answered_at_once_and_kept_for_the_csms(bench):
    bench.journal_takes = False
    values = [{"timestamp": "2025-06-15T15:05:00Z", "sampledValue": [{"value": "1"}]}]
    bench.call("MeterValues", {"connectorId": 0, "meterValue": values}, "m1")
    assert bench.told("m1") == {}
    assert not bench.closed
    bench.journal_takes = True
    bench.tick(1_000)
    bench.call("MeterValues", {"connectorId": 0, "meterValue": values}, "m2")
    assert [one.kind for one in bench.facts(ChargePointSaid)] == ["L"]


def test_an_answer_never_goes_to_another_connection(bench):
    bench.authorises = False
    bench.start("m1")
    bench.disconnect()
    bench.connect()
    bench.authorise(bench.asked[0])
    bench.tick()
    assert not bench.answers
    assert not bench.facts(SessionStarted)


def test_a_late_close_of_an_old_connection_touches_nothing(bench):
    bench.connect()
    bench.disconnect("connection-1")
    assert bench.state.live.connection == "connection-2"
    bench.start("m1")
    assert bench.told("m1")
    bench.call("Heartbeat", {}, "m2", connection="connection-1")
    assert "m2" not in dict(bench.answers)


BOOT = {"chargePointVendor": "v", "chargePointModel": "m"}


def test_without_a_clock_a_session_after_a_boot_is_another_one(bench):
    """Nothing was charged, and the time is always the same: only the boot tells the two apart."""
    for life in range(3):
        bench.call("BootNotification", BOOT, f"boot{life}")
        bench.start(f"start{life}")
        bench.start(f"start{life}")
        bench.stop(f"stop{life}", bench.told(f"start{life}")["transactionId"], wh=100)
    transactions = {fact.transaction_id for fact in bench.facts(SessionStarted)}
    assert len(transactions) == len(bench.facts(SessionStarted)) == 3
    assert len({id for id, _, fact in bench.journal if isinstance(fact, SessionStarted)}) == 3


def test_with_the_same_message_id_it_is_a_repeat_over_a_boot_and_a_crash(bench):
    bench.start("m1")
    first = bench.told("m1")
    bench.stop("m2", first["transactionId"])
    bench.call("BootNotification", BOOT, "boot")
    bench.crash()
    bench.connect()
    bench.start("m1")
    assert bench.told("m1") == first
    assert len(bench.facts(SessionStarted)) == 1


def test_a_start_sent_again_after_a_boot_is_a_repeat_while_its_session_has_not_ended(bench):
    bench.start("m1")
    for boot in ("boot1", "boot2"):
        bench.call("BootNotification", BOOT, boot)
        bench.start(f"after {boot}")
        assert bench.told(f"after {boot}") == bench.told("m1")
    assert len(bench.facts(SessionStarted)) == 1


def test_an_ended_session_without_a_boot_since_is_still_repeated(bench):
    bench.start("m1")
    bench.stop("m2", bench.told("m1")["transactionId"])
    bench.start("m3")
    assert bench.told("m3") == bench.told("m1")


def test_a_stop_that_brings_signed_readings_after_one_without_is_kept(bench):
    bench.start("m1")
    transaction = bench.told("m1")["transactionId"]
    stop = {"transactionId": transaction, "meterStop": 200, "timestamp": "2025-06-15T15:10:00Z"}
    data = [
        {"timestamp": stop["timestamp"], "sampledValue": [{"value": "x", "format": "SignedData"}]}
    ]
    bench.call("StopTransaction", stop, "m2")
    bench.call("StopTransaction", dict(reversed(stop.items())), "m3")  # the same, written otherwise
    bench.call("StopTransaction", stop | {"transactionData": data}, "m4")
    (repeated,) = bench.facts(SessionStopRepeated)
    assert (repeated.message_id, repeated.meter_stop_wh) == ("m4", 200)
    assert [bench.told(one) for one in ("m2", "m3", "m4")] == [{}, {}, {}]


def test_without_an_id_a_reading_is_the_open_sessions_of_its_connector_and_of_no_other(bench):
    for connector in (1, 2):
        bench.start(f"s{connector}", connector=connector, token=f"TAG{connector}")
    for message_id, id, connector in (("a", -1, 2), ("b", -7, 1), ("c", 0, 2), ("d", -1, 3)):
        bench.meter(message_id, id, wh=500 + connector, connector=connector)
        assert bench.told(message_id) == {}
    ids = {connector: bench.told(f"s{connector}")["transactionId"] for connector in (1, 2)}
    metered = [(one.message_id, one.transaction_id) for one in bench.facts(SessionMetered)]
    assert metered == [("a", ids[2]), ("b", ids[1]), ("c", ids[2])]
    assert [one.message_id for one in bench.facts(SessionMessageUnmatched)] == ["d"]


@pytest.mark.parametrize("life", ["one", "another"])
def test_a_stop_without_an_id_never_ends_a_session_that_goes_by_its_own_id(bench, life):
    """The charge point knows that id: its -1 is another session's, whose start never came here."""
    bench.start("m1", token="ONE")
    transaction = bench.told("m1")["transactionId"]
    bench.meter("m2", transaction)
    if life == "another":
        bench.crash()
        bench.connect()
    bench.stop("m3", -1, wh=5_000)
    bench.meter("m4", -1, wh=5_000)
    bench.meter("m5", transaction, wh=200)
    bench.stop("m6", transaction, wh=300, token="ONE")
    assert [one.message_id for one in bench.facts(SessionMessageUnmatched)] == ["m3", "m4"]
    assert [one.message_id for one in bench.facts(SessionMetered)] == ["m2", "m5"]
    assert [one.message_id for one in bench.facts(SessionStopped)] == ["m6"]
    assert not bench.facts(SessionStopRepeated)
    assert all(bench.told(one) == {} for one in ("m3", "m4"))


def test_without_an_id_it_is_the_one_session_whose_id_was_never_used(bench):
    bench.start("m1", connector=1)
    bench.start("m2", connector=2)
    bench.meter("m3", bench.told("m1")["transactionId"], connector=1)
    bench.meter("m4", -1, connector=2)
    bench.stop("m5", -1)
    (stopped,) = bench.facts(SessionStopped)
    assert stopped.transaction_id == bench.told("m2")["transactionId"]


def test_an_id_is_used_in_readings_that_say_nothing_of_energy_too(bench):
    bench.start("m1")
    transaction = bench.told("m1")["transactionId"]
    sample = {"value": "21", "measurand": "Temperature"}
    values = [{"timestamp": "2025-06-15T15:05:00Z", "sampledValue": [sample]}]
    payload = {"connectorId": 1, "transactionId": transaction, "meterValue": values}
    bench.call("MeterValues", payload, "m2")
    bench.stop("m3", -1)
    assert len(bench.facts(SessionMessageUnmatched)) == 1


@pytest.mark.parametrize("stop", [{"token": "ANOTHER"}, {"wh": 99}], ids=str)
def test_a_stop_without_an_id_that_can_not_be_the_open_sessions_ends_none(bench, stop):
    """The start that it belongs to never came: another session is open meanwhile."""
    bench.start("m1", meter=100)
    bench.stop("m2", -1, **stop)
    assert bench.told("m2") == {}
    assert len(bench.facts(SessionMessageUnmatched)) == 1
    assert bench.state.known.sessions
    bench.stop("m3", -1, token="tag")
    assert not bench.state.known.sessions


def test_a_stop_of_1_6_without_an_id_never_ends_a_session_of_2_x(new_bench):
    bench = new_bench()
    bench.connect(OcppVersion.V201)
    begin = {
        "eventType": "Started",
        "timestamp": "2025-06-15T15:00:00Z",
        "triggerReason": "CablePluggedIn",
        "seqNo": 0,
        "transactionInfo": {"transactionId": "tx"},
        "evse": {"id": 1},
    }
    bench.call("TransactionEvent", begin, "m1")
    bench.disconnect()
    bench.connect()
    bench.meter("m2", -1)
    bench.stop("m3", -1)
    assert len(bench.facts(SessionMessageUnmatched)) == 2
    assert list(bench.state.known.sessions) == ["tx"]
