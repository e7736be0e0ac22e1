"""Goal: who guesses passwords gets few tries, and a bounded place in memory.

Method: the core alone, on times that the test says.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ocpp_edge.domain.attempts import (
    ADDRESSES_MAX,
    FAILURES_MAX,
    PAIRS_MAX,
    TRUSTED_MAX,
    WINDOW_MS,
    Attempts,
    network_of,
)


def fail(attempts, address, identity, now_ms):
    attempts.begin(address, identity, now_ms)
    attempts.failed(address, identity, now_ms)


def test_the_oldest_failure_leaves_after_a_minute():
    attempts = Attempts()
    for second in range(FAILURES_MAX):
        assert attempts.wait_ms("a", "CP-1", second * 1_000) == 0
        fail(attempts, "a", "CP-1", second * 1_000)
    assert attempts.wait_ms("a", "CP-1", 10_000) == WINDOW_MS - 10_000
    assert attempts.wait_ms("a", "CP-1", WINDOW_MS) == 0
    fail(attempts, "a", "CP-1", WINDOW_MS)
    assert attempts.wait_ms("a", "CP-1", WINDOW_MS) == 1_000


@given(st.lists(st.integers(0, 30_000), max_size=60))
def test_in_no_minute_are_more_than_five_tries_looked_at(steps_ms):
    attempts, now_ms, looked_at = Attempts(), 0, []
    for step_ms in steps_ms:
        now_ms += step_ms
        if not attempts.wait_ms("a", "CP-1", now_ms):
            fail(attempts, "a", "CP-1", now_ms)
            looked_at.append(now_ms)
    for at in looked_at:
        assert sum(at <= other < at + WINDOW_MS for other in looked_at) <= FAILURES_MAX


def test_right_ones_are_no_failures():
    attempts = Attempts()
    for _ in range(100):
        assert attempts.wait_ms("a", "CP-1", 0) == 0
        attempts.begin("a", "CP-1", 0)
        attempts.withdrawn("a", "CP-1")
        attempts.came_in("a", "CP-1")


def test_another_address_and_another_identity_are_not_concerned():
    attempts = Attempts()
    for _ in range(FAILURES_MAX):
        fail(attempts, "a", "CP-1", 0)
    assert attempts.wait_ms("a", "CP-1", 0)
    assert attempts.wait_ms("b", "CP-1", 0) == 0
    assert attempts.wait_ms("a", "CP-2", 0) == 0


def test_an_address_from_which_many_identities_fail_is_not_listened_to_but_for_who_is_known_there():
    attempts = Attempts()
    for number in range(FAILURES_MAX):
        assert attempts.wait_ms("a", "CP-9", 0) == 0
        for _ in range(3):
            fail(attempts, "a", f"CP-{number}", number)
    assert attempts.wait_ms("a", "CP-9", 10_000) == WINDOW_MS - 10_000
    assert attempts.own_wait_ms("a", "CP-9", 10_000) == 0
    assert attempts.wait_ms("b", "CP-9", 10_000) == 0
    attempts.came_in("a", "CP-9")
    assert attempts.wait_ms("a", "CP-9", 10_000) == 0


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 30)), max_size=200))
def test_from_one_address_at_most_25_tries_a_minute_are_looked_at_under_whatever_identities(tries):
    attempts, now_ms, looked_at = Attempts(), 0, []
    for step_ms, number in tries:
        now_ms += step_ms
        if not attempts.wait_ms("a", f"CP-{number}", now_ms):
            fail(attempts, "a", f"CP-{number}", now_ms)
            looked_at.append(now_ms)
    for at in looked_at:
        assert sum(at <= other < at + WINDOW_MS for other in looked_at) <= 25


def test_an_identity_tried_from_many_addresses_is_known_and_not_kept_out():
    attempts = Attempts()
    for number in range(FAILURES_MAX):
        assert not attempts.is_spread("CP-1", 1_000)
        fail(attempts, f"10.0.0.{number}", "CP-1", number)
        fail(attempts, f"10.0.0.{number}", "CP-1", number)
    assert attempts.is_spread("CP-1", 1_000)
    assert not attempts.is_spread("CP-2", 1_000)
    assert not attempts.is_spread("CP-1", WINDOW_MS)
    assert attempts.wait_ms("10.0.0.9", "CP-1", 1_000) == 0


def test_memory_is_bounded_whoever_comes():
    attempts = Attempts()
    for number in range(3 * TRUSTED_MAX):
        fail(attempts, f"a-{number}", f"CP-{number}", 0)
        attempts.came_in(f"b-{number}", f"CP-{number}")
        attempts.came_in(f"c-{number}", "CP-1")
    assert len(attempts._pairs._at_ms) == PAIRS_MAX
    assert len(attempts._addresses) == len(attempts._identities) == ADDRESSES_MAX
    assert len(attempts._trusted) == TRUSTED_MAX
    assert len(attempts._trusted["CP-1"]) == 4


def test_one_customer_s_ipv6_addresses_are_one():
    assert (
        network_of("2001:db8:1:2::7") == network_of("2001:db8:1:2:ffff::1") == "2001:db8:1:2::/64"
    )
    assert network_of("2001:db8:1:2::7") != network_of("2001:db8:1:3::7")
    assert network_of("::ffff:10.0.0.1") == network_of("10.0.0.1") == "10.0.0.1"
    assert network_of("fe80::1%eth0") == "fe80::/64"
    assert network_of("in memory") == "in memory"
