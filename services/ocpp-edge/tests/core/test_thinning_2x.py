"""Goal: of a 2.x session only plain periodic readings are ever left out, their seqNos are named in the next event that
is kept, and every one of them is answered.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.contracts.session import SessionMetered, SessionStopped
from holdfast.ocpp.versions import OcppVersion
from holdfast.records import replace
from ocpp_edge.domain.state import Policy

TX = "tx-1"
SIGNED = {"signedMeterData": "x", "signingMethod": "", "encodingMethod": "x", "publicKey": ""}
COST = {
    "totalCost": {"currency": "EUR", "typeOfCost": "NormalCost", "total": {}},
    "totalUsage": {"energy": 1, "chargingTime": 1, "idleTime": 1},
}


def at(second):
    return f"2025-06-15T15:{second // 60:02d}:{second % 60:02d}Z"


def send(
    bench, seq, second, kind="Updated", trigger="MeterValuePeriodic", info=None, sample=None, **more
):
    reading = {"value": 100 + seq, **(sample or {})}
    payload = {
        "eventType": kind,
        "timestamp": at(second),
        "triggerReason": trigger,
        "seqNo": seq,
        "transactionInfo": {"transactionId": TX, **(info or {})},
        "meterValue": [{"timestamp": at(second), "sampledValue": [reading]}],
        **more,
    }
    bench.call("TransactionEvent", payload, f"m{seq}-{second}")
    return payload


@pytest.fixture
def bench(new_bench):
    bench = new_bench()
    bench.policy = replace(Policy(), meter_values_every_ms=60_000)
    bench.connect(OcppVersion.V21)
    send(bench, 0, 0, "Started", "CablePluggedIn", {"chargingState": "Charging"})
    send(bench, 1, 1)
    return bench


def kept(bench):
    return [fact.seq_no for fact in bench.facts(SessionMetered)]


def test_the_seqnos_left_out_are_named_in_the_next_that_is_kept(bench):
    for seq, second in ((2, 11), (3, 21), (4, 31), (5, 61), (6, 71)):
        send(bench, seq, second)
        assert bench.told(f"m{seq}-{second}") == {}
    assert kept(bench) == [1, 5]
    assert [fact.left_out_seq for fact in bench.facts(SessionMetered)] == [(), ((2, 4),)]
    send(bench, 7, 80, "Ended", "EVDeparted")
    (end,) = bench.facts(SessionStopped)
    assert (end.left_out, end.left_out_seq) == (1, ((6, 6),))


def test_one_that_is_sent_again_is_counted_once(bench):
    send(bench, 2, 11)
    send(bench, 2, 11)
    bench.call("TransactionEvent", send(bench, 2, 11), "another id")
    send(bench, 3, 61)
    assert bench.facts(SessionMetered)[-1].left_out == 1


@pytest.mark.parametrize(
    "special",
    [
        {"trigger": "Trigger"},
        {"trigger": "ChargingStateChanged"},
        {"trigger": "TariffChanged"},
        {"trigger": "RunningCost"},
        {"info": {"chargingState": "SuspendedEV"}},
        {"info": {"tariffId": "T"}},
        {"sample": {"signedMeterValue": SIGNED}},
        {"sample": {"context": "Trigger"}},
        {"idToken": {"idToken": "T", "type": "Central"}},
        {"costDetails": COST},
        {"reservationId": 1},
        {"cableMaxCurrent": 32},
    ],
    ids=str,
)  # fmt: skip
def test_whatever_is_more_than_a_periodic_reading_is_kept(bench, special):
    send(bench, 2, 11, **special)
    assert kept(bench) == [1, 2]


def test_the_same_charging_state_again_is_no_news(bench):
    send(bench, 2, 11, info={"chargingState": "Charging"})
    assert kept(bench) == [1]


def test_a_capped_session_is_not_thinned(bench):
    session = replace(bench.state.known.sessions[TX], energy_wh_max=5_000)
    known = replace(bench.state.known, sessions={TX: session})
    bench.state = replace(bench.state, known=known)
    send(bench, 2, 11)
    assert kept(bench) == [1, 2]


def test_after_a_crash_the_hole_is_told_as_not_known(bench):
    for seq in (2, 3, 4):
        send(bench, seq, 10 + seq)
        if seq == 3:
            bench.write_down()
    bench.crash()
    bench.connect(OcppVersion.V21)
    send(bench, 5, 15)
    first = bench.facts(SessionMetered)[-1]
    assert (first.left_out, first.left_out_seq) == (2, ((2, 3),))
    assert (first.uncounted, first.uncounted_seq) == (True, ((4, 4),))
    send(bench, 6, 16)
    send(bench, 7, 17, "Ended", "EVDeparted")
    (end,) = bench.facts(SessionStopped)
    assert (end.left_out_seq, end.uncounted, end.uncounted_seq) == (((6, 6),), False, ())


def test_the_end_may_be_the_first_after_a_crash(bench):
    send(bench, 2, 11)
    bench.crash()
    bench.connect(OcppVersion.V21)
    send(bench, 3, 12, "Ended", "EVDeparted")
    assert bench.facts(SessionStopped)[0].uncounted_seq == ((2, 2),)


def test_who_is_told_to_stop_leaves_every_seqno_named(bench):
    send(bench, 2, 11)
    bench.write_down(is_whole=True)
    bench.crash()
    bench.connect(OcppVersion.V21)
    send(bench, 4, 15)  # the 3 never came, and nobody excuses it
    first = bench.facts(SessionMetered)[-1]
    assert (first.left_out_seq, first.uncounted_seq) == (((2, 2),), ())


def test_without_a_hole_a_crash_leaves_no_doubt(bench):
    bench.crash()
    bench.connect(OcppVersion.V21)
    send(bench, 2, 11)
    assert not bench.facts(SessionMetered)[-1].uncounted


def test_the_one_left_out_that_comes_again_after_a_crash_is_kept_and_not_named(bench):
    send(bench, 2, 11)
    send(bench, 3, 12)
    bench.write_down()
    bench.crash()
    bench.connect(OcppVersion.V21)
    send(bench, 3, 12)
    first = bench.facts(SessionMetered)[-1]
    assert kept(bench) == [1, 3]
    assert (first.left_out, first.left_out_seq, first.uncounted_seq) == (1, ((2, 2),), ())


def test_one_that_comes_out_of_order_is_kept(bench):
    send(bench, 4, 11)
    send(bench, 3, 11)
    assert kept(bench) == [1, 3]


def numbers(facts, name):
    return {
        seq
        for fact in facts
        for first, last in getattr(fact, name)
        for seq in range(first, last + 1)
    }


@settings(max_examples=100, deadline=None)
@given(
    gaps=st.lists(st.integers(1, 90), max_size=30),
    crashes=st.sets(st.integers(0, 30), max_size=4),
    lost=st.sets(st.integers(1, 30), max_size=3),
    written=st.sets(st.integers(0, 30), max_size=8),
    orderly=st.booleans(),
)
def test_every_seqno_is_kept_named_or_told_as_not_known_and_only_restarts_leave_doubt(
    new_bench, gaps, crashes, lost, written, orderly
):
    """Those that never came are excused by no crash but the one that they fell in with."""
    bench = new_bench()
    bench.policy = replace(Policy(), meter_values_every_ms=60_000)
    bench.connect(OcppVersion.V201)
    send(bench, 0, 0, "Started", "CablePluggedIn")
    second, sent = 0, {0}
    for seq, gap in enumerate(gaps, 1):
        second += gap
        if seq not in lost:
            send(bench, seq, second)
            sent.add(seq)
        if seq in written:
            bench.write_down()
        if seq in crashes:
            if orderly:
                bench.write_down(is_whole=True)
            bench.crash()
            bench.connect(OcppVersion.V201)
    send(bench, len(gaps) + 1, second + 1, "Ended", "EVDeparted")
    facts = bench.facts(SessionMetered) + bench.facts(SessionStopped)
    named, unknown = numbers(facts, "left_out_seq"), numbers(facts, "uncounted_seq")
    there = set(kept(bench))
    assert there | named | unknown >= sent - {0}
    assert not there & (named | unknown)
    assert not named & unknown
    assert named <= sent
    assert sum(fact.left_out for fact in facts) == len(named)
    assert all(fact.uncounted == bool(fact.uncounted_seq) for fact in facts)
    if orderly or not crashes:
        assert not unknown
        assert there | named == sent - {0}


def test_an_older_one_that_comes_first_after_a_crash_hides_nothing(bench):
    send(bench, 5, 61)
    send(bench, 6, 71)
    bench.crash()
    bench.connect(OcppVersion.V21)
    send(bench, 3, 31)  # out of the station's queue
    assert kept(bench) == [1, 5, 3]
    assert bench.facts(SessionMetered)[-1].uncounted
