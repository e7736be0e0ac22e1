"""Goal: what the rules leave out is left out and counted, nothing else is, and every message is answered.

Method: the bench of the core, with a policy that thins; the charge point's clock is what a message says.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.contracts.charge_point import ChargePointSampled
from holdfast.contracts.session import SessionMetered, SessionStopped
from holdfast.ocpp.moments import moment_ms
from holdfast.records import replace
from ocpp_edge.domain.state import Policy

MINUTE_MS = 60_000
STARTED_S = 15 * 3_600


def at(second):
    return f"2025-06-15T{second // 3600 % 24:02d}:{second // 60 % 60:02d}:{second % 60:02d}Z"


def thinning(bench, **rules):
    bench.policy = replace(Policy(), **rules)
    bench.connect()
    return bench


def charging(bench, *, every_ms=MINUTE_MS, from_ms=0, **start):
    """A session that has its first reading, which is always kept."""
    thinning(bench, meter_values_every_ms=every_ms, meter_values_from_ms=from_ms)
    bench.start("start", **start)
    transaction = bench.told("start")["transactionId"]
    bench.meter("first", transaction, at=at(STARTED_S))
    return transaction


def passes(bench, seconds):
    bench.tick(seconds * 1000)


def kept(bench):
    return [fact.message_id for fact in bench.facts(SessionMetered)]


def read(bench, id, transaction, second, **sample):
    value = {"timestamp": at(second), "sampledValue": [{"value": "150", **sample}]}
    payload = {"connectorId": 1, "transactionId": transaction, "meterValue": [value]}
    bench.call("MeterValues", payload, id)


# --- sessions ---


def test_by_default_every_reading_is_kept(bench):
    transaction = charging(bench, every_ms=0)
    for number in range(5):
        bench.meter(f"m{number}", transaction, wh=200 + number, at=at(STARTED_S + number))
    assert kept(bench) == ["first", "m0", "m1", "m2", "m3", "m4"]


def test_readings_in_between_are_answered_left_out_and_counted_in_the_next(bench):
    transaction = charging(bench)
    for second in (20, 40, 60, 80):
        passes(bench, 20)
        bench.meter(f"m{second}", transaction, wh=second, at=at(STARTED_S + second))
        assert bench.told(f"m{second}") == {}
    assert kept(bench) == ["first", "m60"]
    assert [fact.left_out for fact in bench.facts(SessionMetered)] == [0, 2]
    bench.stop("stop", transaction, at=at(STARTED_S + 100))
    assert bench.facts(SessionStopped)[0].left_out == 1
    assert bench.state.live.metered == {}


def test_nothing_is_left_out_before_the_mode_has_lasted_long_enough(bench):
    transaction = charging(bench, from_ms=1_750_000_000_000 + 30_000)
    passes(bench, 10)
    bench.meter("early", transaction, wh=1, at=at(STARTED_S + 10))
    passes(bench, 25)
    bench.meter("due", transaction, wh=2, at=at(STARTED_S + 35))
    bench.meter("late", transaction, wh=2, at=at(STARTED_S + 40))
    assert kept(bench) == ["first", "early", "due"]
    # The journal says from where on some may be missing, before any is.
    assert [fact.thinning for fact in bench.facts(SessionMetered)] == [False, False, True]


@pytest.mark.parametrize(
    "sample",
    [
        {"context": "Transaction.Begin"},
        {"context": "Transaction.End"},
        {"context": "Interruption.Begin"},
        {"context": "Interruption.End"},
        {"context": "Trigger"},
        {"context": "Other"},
        {"format": "SignedData"},
    ],
)
def test_what_says_more_than_the_periodic_ones_is_always_kept(bench, sample):
    transaction = charging(bench)
    passes(bench, 1)
    read(bench, "telling", transaction, STARTED_S + 1, **sample)
    assert kept(bench) == ["first", "telling"]


def test_clock_aligned_readings_are_left_out_like_periodic_ones(bench):
    transaction = charging(bench)
    passes(bench, 1)
    read(bench, "aligned", transaction, STARTED_S + 1, context="Sample.Clock")
    assert kept(bench) == ["first"]


def test_what_a_charge_point_sends_out_of_its_memory_is_of_many_moments_and_kept(bench):
    transaction = charging(bench)
    for minute in range(1, 6):  # all at once, a minute and more apart by its own clock
        bench.meter(f"m{minute}", transaction, wh=minute, at=at(STARTED_S + 61 * minute))
    assert kept(bench) == ["first", "m1", "m2", "m3", "m4", "m5"]


def test_a_clock_that_stands_still_hides_no_reading(bench):
    transaction = charging(bench)
    for number in range(4):
        passes(bench, 61)
        bench.meter(f"m{number}", transaction, wh=number, at=at(STARTED_S))
    assert kept(bench) == ["first", "m0", "m1", "m2", "m3"]


@pytest.mark.parametrize("words", [None, "", "soon", "2025-06-15T15:00:00+99:00", "9" * 400])
def test_a_time_that_cannot_be_told_is_none(words):
    assert moment_ms(words) is None


def test_times_are_read_with_their_zone():
    assert moment_ms("2025-06-15T17:00:00+02:00") == moment_ms("2025-06-15T15:00:00Z")
    assert moment_ms("2025-06-15T15:00:00") == moment_ms("2025-06-15T15:00:00.000Z")


def test_a_reading_older_than_the_last_kept_one_is_kept(bench):
    transaction = charging(bench)
    bench.meter("older", transaction, wh=1, at=at(STARTED_S - 30))
    assert kept(bench) == ["first", "older"]


def test_one_that_is_sent_again_counts_once(bench):
    transaction = charging(bench)
    for _ in range(3):
        bench.meter("again", transaction, wh=7, at=at(STARTED_S + 5))
    bench.stop("stop", transaction)
    assert bench.facts(SessionStopped)[0].left_out == 1


def test_a_session_with_a_cap_is_read_in_full(bench):
    transaction = charging(bench)
    sessions = bench.state.known.sessions
    capped = {**sessions, transaction: replace(sessions[transaction], energy_wh_max=5_000)}
    bench.state = replace(bench.state, known=replace(bench.state.known, sessions=capped))
    passes(bench, 1)
    bench.meter("watched", transaction, wh=9, at=at(STARTED_S + 1))
    assert kept(bench) == ["first", "watched"]


def test_a_message_of_no_session_that_is_open_is_kept(bench):
    transaction = charging(bench)
    bench.stop("stop", transaction)
    for number in range(3):
        bench.meter(f"late{number}", transaction, wh=number, at=at(STARTED_S + number))
    assert kept(bench)[1:] == ["late0", "late1", "late2"]


def crashed(bench, *, at_s, written_at_s=None, **how):
    """Three are left out, and what is known of them is written down at one of them; then a crash."""
    transaction = charging(bench)
    for second in (1, 2, 3):
        passes(bench, 1)
        bench.meter(f"m{second}", transaction, wh=second, at=at(STARTED_S + second))
        if second == written_at_s:
            bench.write_down(**how)
    bench.crash()
    bench.connect()
    bench.meter("after", transaction, wh=9, at=at(STARTED_S + at_s))
    return transaction


def told(fact):
    return fact.left_out, fact.uncounted


def test_after_a_crash_the_first_one_is_kept_and_says_that_some_may_be_uncounted(bench):
    crashed(bench, at_s=4)
    assert kept(bench) == ["first", "after"]
    assert told(bench.facts(SessionMetered)[-1]) == (0, True)


def test_what_was_written_down_is_counted_after_a_crash_all_the_same(bench):
    transaction = crashed(bench, at_s=4, written_at_s=2)
    assert told(bench.facts(SessionMetered)[-1]) == (2, True)
    bench.meter("m5", transaction, wh=10, at=at(STARTED_S + 5))
    bench.stop("stop", transaction)
    assert told(bench.facts(SessionStopped)[0]) == (1, False)


def test_who_is_told_to_stop_leaves_nothing_uncounted(bench):
    crashed(bench, at_s=4, written_at_s=3, is_whole=True)
    assert told(bench.facts(SessionMetered)[-1]) == (3, False)


def test_the_one_that_did_not_hear_its_answer_comes_again_and_is_no_longer_left_out(bench):
    transaction = charging(bench)
    passes(bench, 1)
    bench.meter("m1", transaction, wh=1, at=at(STARTED_S + 1))
    bench.write_down(is_whole=True)
    bench.crash()
    bench.connect()
    bench.meter("m1", transaction, wh=1, at=at(STARTED_S + 1))
    assert kept(bench) == ["first", "m1"]
    assert told(bench.facts(SessionMetered)[-1]) == (0, False)


def test_two_crashes_in_a_row_lose_no_more_than_one(bench):
    crashed(bench, at_s=4, written_at_s=3)
    bench.write_down()
    transaction = bench.facts(SessionMetered)[0].transaction_id
    bench.meter("m5", transaction, wh=10, at=at(STARTED_S + 5))
    bench.write_down()
    for _ in range(2):
        bench.crash()
        bench.connect()
        bench.write_down()
    bench.meter("m6", transaction, wh=11, at=at(STARTED_S + 6))
    assert [told(fact) for fact in bench.facts(SessionMetered)] == [
        (0, False),
        (3, True),
        (1, True),
    ]


def test_what_was_written_down_before_a_later_reading_was_told_by_it(bench):
    transaction = charging(bench)
    passes(bench, 1)
    bench.meter("m1", transaction, wh=1, at=at(STARTED_S + 1))
    bench.write_down()
    passes(bench, 60)
    bench.meter("m61", transaction, wh=2, at=at(STARTED_S + 61))
    bench.crash()
    bench.connect()
    bench.stop("stop", transaction)
    assert told(bench.facts(SessionMetered)[-1]) == (1, False)
    assert told(bench.facts(SessionStopped)[0]) == (0, True)


def test_where_no_rule_thinned_a_crash_leaves_nothing_uncounted(bench):
    transaction = charging(bench, every_ms=0)
    bench.crash()
    thinning(bench, meter_values_every_ms=MINUTE_MS)
    bench.meter("after", transaction, wh=2, at=at(STARTED_S + 2))
    bench.stop("stop", transaction)
    assert told(bench.facts(SessionMetered)[-1]) == (0, False)
    assert told(bench.facts(SessionStopped)[0]) == (0, False)


def test_a_count_outlives_a_journal_that_refuses(bench):
    transaction = charging(bench)
    passes(bench, 10)
    bench.meter("left out", transaction, wh=1, at=at(STARTED_S + 10))
    bench.journal_takes = False
    passes(bench, 60)
    bench.meter("refused", transaction, wh=2, at=at(STARTED_S + 70))
    bench.journal_takes = True
    bench.connect()
    bench.meter("again", transaction, wh=2, at=at(STARTED_S + 70))
    assert bench.facts(SessionMetered)[-1].left_out == 1


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.integers(1, 90), min_size=1, max_size=25))
def test_kept_and_left_out_make_all_and_no_gap_is_longer_than_the_rule(new_bench, steps):
    bench = new_bench()
    transaction = charging(bench)
    second, seconds = STARTED_S, {"first": STARTED_S}
    for number, step in enumerate(steps):
        passes(bench, step)
        second += step
        seconds[f"m{number}"] = second
        bench.meter(f"m{number}", transaction, wh=200 + number, at=at(second))
    bench.stop("stop", transaction, at=at(second + 1))
    facts = [*bench.facts(SessionMetered), *bench.facts(SessionStopped)]
    readings = len(bench.facts(SessionMetered))
    assert readings + sum(fact.left_out for fact in facts) == len(steps) + 1
    for message in seconds:
        assert bench.told(message) is not None
        later = [seconds[one] for one in kept(bench) if seconds[one] <= seconds[message]]
        assert seconds[message] - later[-1] < 60


# --- telemetry ---


def samples(bench):
    return [fact for fact in bench.telemetry if isinstance(fact, ChargePointSampled)]


def test_of_heartbeats_one_in_so_long_is_kept_and_says_how_many_were_not(bench):
    thinning(bench, telemetry_every_ms=MINUTE_MS)
    for number in range(7):
        bench.call("Heartbeat", {}, f"h{number}")
        assert "currentTime" in bench.told(f"h{number}")
        passes(bench, 20)
    assert [(one.message_id, one.left_out) for one in samples(bench)] == [
        ("h0", 0),
        ("h3", 2),
        ("h6", 2),
    ]


def test_each_connector_has_its_own_share_and_new_status_is_never_telemetry(bench):
    thinning(bench, telemetry_every_ms=MINUTE_MS)
    for connector in (1, 2):
        for number in range(3):
            payload = {"connectorId": connector, "status": "Available", "errorCode": "NoError"}
            bench.call("StatusNotification", payload, f"s{connector}{number}")
    # The first of each is news and in the journal; of the two that repeat it one is kept.
    assert [one.message_id for one in samples(bench)] == ["s11", "s21"]
