"""Goal: a charge point that sends too fast is slowed down to the rate, no more and no less, and it is said.

Method: the buckets alone, with time as data.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ocpp_edge.pace import BYTES_PER_FRAME, Bucket, Pace, Rates


def taken_within(pace, ms, size=100, authorize=False):
    """By a charge point that always has one more to send; it is read at once, but for the waits."""
    now_ms, count = 1_000, 0
    while now_ms < 1_000 + ms:
        pace.took(size, now_ms)
        if authorize:
            pace.took_authorize(now_ms)
        count += 1
        now_ms += pace.wait_ms(now_ms)
    return count


def test_within_the_burst_nobody_waits():
    pace = Pace(Rates(frames_per_s=10, frames_burst=20))
    for _ in range(20):
        pace.took(100, 1_000)
        assert pace.wait_ms(1_000) == 0
    assert pace.report(1_000) is None


def test_beyond_it_the_rate_holds():
    rates = Rates(frames_per_s=10, frames_burst=20)
    assert 20 + 600 <= taken_within(Pace(rates), 60_000) <= 22 + 600


def test_a_large_frame_counts_as_the_work_that_it_is():
    rates = Rates(frames_per_s=10, frames_burst=20)
    assert taken_within(Pace(rates), 60_000, size=15 * BYTES_PER_FRAME) <= 40


def test_authorize_has_a_bound_of_its_own():
    pace = Pace(Rates(authorize_per_min=60, authorize_burst=5))
    assert 60 + 5 <= taken_within(pace, 60_000, authorize=True) <= 60 + 7
    assert pace.because == "Authorize"


def test_what_is_told_is_coalesced_and_complete():
    pace = Pace(Rates(frames_per_s=10, frames_burst=1))
    told, late, now_ms = [], 0, 1_000
    while now_ms < 200_000:
        pace.took(1, now_ms)
        wait_ms = pace.wait_ms(now_ms)
        late += wait_ms > 0
        now_ms += wait_ms or 1
        told.extend(report for report in [pace.report(now_ms)] if report)
    told.append(pace.report(now_ms + 60_000))
    assert len(told) <= 5
    assert sum(report.frames for report in told) == late
    assert not any(report.authorize for report in told)


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(1, 17)), max_size=50))
def test_after_the_wait_it_is_never_in_debt(steps):
    bucket, now_ms = Bucket(0.05, 10), 0
    for passed_ms, cost in steps:
        now_ms += passed_ms
        bucket.take(cost, now_ms)
        now_ms += bucket.wait_ms(now_ms)
        assert bucket.wait_ms(now_ms) == 0
