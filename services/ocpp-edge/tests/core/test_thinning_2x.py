"""Goal: of a 2.x session only plain periodic readings are ever left out, their seqNos are named in the next event that
is kept, and every one of them is answered.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.contracts.session import SessionMetered, SessionStopped
from holdfast.ocpp.versions import OcppVersion
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


@settings(max_examples=60, deadline=None)
@given(gaps=st.lists(st.integers(1, 90), max_size=30), crash_at=st.integers(0, 30))
def test_what_is_neither_kept_nor_named_was_left_out_right_before_a_restart(
    new_bench, gaps, crash_at
):
    bench = new_bench()
    bench.policy = replace(Policy(), meter_values_every_ms=60_000)
    bench.connect(OcppVersion.V201)
    send(bench, 0, 0, "Started", "CablePluggedIn")
    second, pending = 0, set()
    excused = set()
    for seq, gap in enumerate(gaps, 1):
        second += gap
        before = len(kept(bench))
        send(bench, seq, second)
        pending = set() if len(kept(bench)) > before else pending | {seq}
        if seq == crash_at:
            excused = pending
            bench.crash()
            bench.connect(OcppVersion.V201)
    send(bench, len(gaps) + 1, second + 1, "Ended", "EVDeparted")
    named = {
        seq
        for fact in bench.facts(SessionMetered) + bench.facts(SessionStopped)
        for first, last in fact.left_out_seq
        for seq in range(first, last + 1)
    }
    assert set(kept(bench)) | named | excused == set(range(1, len(gaps) + 1))
    assert not named & set(kept(bench))
