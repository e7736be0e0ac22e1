"""Goal: whatever dies and whatever is repeated, each event of a 2.x session that was acknowledged is stored once.

Method: as for 1.6 (`test_crash_properties.py`): a station that keeps its events in order and sends the first again
until it is answered, with the same message id or a new one, against the core and its faults.
"""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.contracts.session import (
    SessionEventConflicted,
    SessionMetered,
    SessionStarted,
    SessionStopped,
    SessionStopRepeated,
)
from holdfast.ocpp.versions import OcppVersion

TOKEN = {"idToken": "DRIVER-01", "type": "ISO14443"}


def events_of(session):
    def one(kind, seq, wh, **more):
        at = f"2025-06-15T1{session}:0{seq}:00Z"
        return {
            "eventType": kind,
            "timestamp": at,
            "triggerReason": "MeterValuePeriodic",
            "seqNo": seq,
            "transactionInfo": {"transactionId": f"tx-{session}"},
            "evse": {"id": 1},
            "meterValue": [{"timestamp": at, "sampledValue": [{"value": 1000 * session + wh}]}],
            **more,
        }

    return [
        one("Started", 0, 0),
        one("Updated", 1, 1, idToken=TOKEN),
        one("Updated", 2, 2),
        one("Ended", 3, 9, idToken=TOKEN),
    ]


class Station:
    def __init__(self, new_ids):
        self.ids = count()
        self.new_ids = new_ids
        self.waiting = [*events_of(0), *events_of(1)]
        self.message_id = None
        self.is_again = False

    def send_first(self, bench):
        if self.message_id is None or self.new_ids:
            self.message_id = f"m{next(self.ids)}"
        payload = self.waiting[0] | ({"offline": True} if self.is_again else {})
        before = len(bench.answers)
        bench.call("TransactionEvent", payload, self.message_id)
        answers = dict(bench.answers[before:])
        self.is_again = self.message_id not in answers
        if self.is_again:
            return
        assert ("idTokenInfo" in answers[self.message_id]) is ("idToken" in payload)
        self.message_id = None
        self.waiting.pop(0)


def run(bench, station, disturb):
    bench.connect(OcppVersion.V201)
    for attempt in count():
        assert attempt < 200, "it does not come to an end"
        disturb(bench, attempt)
        if not station.waiting:
            return
        while bench.state.live.connection is None:
            bench.connect(OcppVersion.V201)
        station.send_first(bench)


def check(bench):
    started, stopped = bench.facts(SessionStarted), bench.facts(SessionStopped)
    assert [(one.transaction_id, one.meter_start_wh) for one in started] == [
        ("tx-0", 0),
        ("tx-1", 1000),
    ]
    assert [(one.transaction_id, one.meter_stop_wh) for one in stopped] == [
        ("tx-0", 9),
        ("tx-1", 1009),
    ]
    metered = [(one.transaction_id, one.seq_no) for one in bench.facts(SessionMetered)]
    assert metered == [("tx-0", 1), ("tx-0", 2), ("tx-1", 1), ("tx-1", 2)]
    assert [one.authorised.driver_token for one in stopped] == ["DRIVER-01"] * 2
    assert not bench.facts(SessionEventConflicted)
    assert not bench.facts(SessionStopRepeated)


@pytest.mark.parametrize("new_ids", [False, True])
def test_dying_before_any_effect_loses_and_doubles_nothing(new_bench, new_ids):
    for effect in range(50):
        bench, station = new_bench(), Station(new_ids)

        def die_once(bench, attempt, effect=effect):
            if attempt == 0:
                bench.crash_before = effect

        run(bench, station, die_once)
        check(bench)
    assert bench.crash_before, "the last effect was not reached"


@settings(max_examples=120, deadline=None)
@given(data=st.data(), new_ids=st.booleans())
def test_any_mixture_of_faults_loses_and_doubles_nothing(new_bench, data, new_ids):
    bench, station = new_bench(), Station(new_ids)
    faults = st.sampled_from(
        ["nothing", "die", "die in a moment", "link", "disk", "doubt stored", "doubt lost"]
    )

    def disturb(bench, attempt):
        bench.at_ms += 1_000
        in_doubt, bench.journal_takes = bench.journal_takes is None, True
        if in_doubt:
            bench.resolve(stored=bench.doubt_stored)
        match data.draw(faults) if attempt < 60 else "nothing":
            case "die":
                bench.crash()
            case "die in a moment":
                bench.crash_before = data.draw(st.integers(0, 4))
            case "link":
                bench.disconnect()
            case "disk":
                bench.journal_takes = False
            case "doubt stored" | "doubt lost" as doubt:
                bench.doubt_stored = doubt == "doubt stored"
                bench.journal_takes = None

    run(bench, station, disturb)
    check(bench)
    before = bench.state.known
    bench.crash()
    assert bench.state.known.sessions == before.sessions
    assert bench.state.known.ended == before.ended
    assert bench.state.known.events == before.events


@settings(max_examples=100, deadline=None)
@given(order=st.permutations(range(4)), twice=st.integers(0, 3))
def test_any_order_of_events_makes_the_same_facts(new_bench, order, twice):
    bench = new_bench()
    bench.connect(OcppVersion.V201)
    events = events_of(1)
    for place, number in enumerate((*order, twice)):
        bench.call("TransactionEvent", events[number], f"m{place}")
    assert [one.seq_no for one in bench.facts(SessionStarted)] == [0]
    assert sorted(one.seq_no for one in bench.facts(SessionMetered)) == [1, 2]
    assert [one.seq_no for one in bench.facts(SessionStopped)] == [3]
    assert not bench.facts(SessionEventConflicted)
    assert not bench.state.known.sessions
    assert bench.state.known.ended["tx-1"].begun
