"""Goal: whatever dies and whatever is repeated, what was acknowledged is stored, each session is one session,
and a command is sent at most once and ends once.

Method: a charge point that keeps a queue as real ones do (next message only after the answer, retries with
the same or a new id) against the core, which dies before its nth effect, for every n; and Hypothesis for
the mixtures.
"""

from __future__ import annotations

import json
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.contracts.command import (
    CommandObserved,
    CommandReceived,
    CommandSettled,
    Disposition,
)
from holdfast.contracts.session import (
    SessionMessageUnmatched,
    SessionMetered,
    SessionStarted,
    SessionStopped,
    SessionStopRepeated,
)


class Queue:
    """A charge point's transactional queue over two sessions, and what it was answered."""

    def __init__(self, new_ids=False, minus_one=False):
        self.ids = count()
        self.new_ids = new_ids
        self.minus_one = minus_one
        self.waiting = [
            (kind, session) for session in (0, 1) for kind in ("start", "meter", "meter2", "stop")
        ]
        self.message_id = None
        self.transactions = {}
        self.acknowledged = []

    def send_first(self, bench):
        """One try. True when it was answered."""
        kind, session = self.waiting[0]
        if self.message_id is None or self.new_ids:
            self.message_id = f"m{next(self.ids)}"
        before = len(bench.answers)
        transaction = -1 if self.minus_one else self.transactions.get(session, -1)
        at = f"2025-06-15T1{session}:0{{}}:00Z"
        match kind:
            case "start":
                bench.start(self.message_id, meter=1000 * session, at=at.format(0))
            case "meter" | "meter2":
                minute = 1 if kind == "meter" else 2
                wh = 1000 * session + minute
                bench.meter(self.message_id, transaction, wh=wh, at=at.format(minute))
            case _:
                bench.stop(self.message_id, transaction, wh=1000 * session + 9, at=at.format(9))
        answers = dict(bench.answers[before:])
        if self.message_id not in answers:
            return False
        self.acknowledged.append((kind, session, answers[self.message_id]))
        if kind == "start":
            self.transactions[session] = answers[self.message_id]["transactionId"]
        self.message_id = None
        self.waiting.pop(0)
        return True


def run(bench, queue, step):
    """Until the queue is empty; `step(bench, n)` disturbs before the nth try."""
    bench.connect()
    for attempt in count():
        assert attempt < 200, "it does not come to an end"
        step(bench, attempt)
        if not queue.waiting:
            return
        if not queue.send_first(bench) and bench.state.live.connection is None:
            bench.connect()


def check(bench, queue):
    started, stopped = bench.facts(SessionStarted), bench.facts(SessionStopped)
    assert [fact.meter_start_wh for fact in started] == [0, 1000]
    assert [fact.meter_stop_wh for fact in stopped] == [9, 1009]
    assert [fact.transaction_id for fact in started] == [fact.transaction_id for fact in stopped]
    assert len({fact.transaction_id for fact in started}) == 2
    assert [queue.transactions[n] for n in (0, 1)] == [fact.transaction_id for fact in started]
    readings = [
        (fact.transaction_id, fact.readings[0].energy_wh) for fact in bench.facts(SessionMetered)
    ]
    assert [wh for _, wh in readings] == [1, 2, 1001, 1002]
    assert [id for id, _ in readings] == [
        id for fact in started for id in (fact.transaction_id,) * 2
    ]
    assert not bench.facts(SessionMessageUnmatched)
    assert not bench.facts(SessionStopRepeated)


@pytest.mark.parametrize("minus_one", [False, True])
@pytest.mark.parametrize("new_ids", [False, True])
def test_dying_before_any_effect_loses_and_doubles_nothing(new_bench, new_ids, minus_one):
    for effect in range(60):
        bench, queue = new_bench(), Queue(new_ids, minus_one)

        def die_once(bench, attempt, effect=effect):
            if attempt == 0:
                bench.crash_before = effect

        run(bench, queue, die_once)
        check(bench, queue)
    assert bench.crash_before, "the last effect was not reached"


@settings(max_examples=150, deadline=None)
@given(data=st.data(), new_ids=st.booleans(), minus_one=st.booleans())
def test_any_mixture_of_faults_loses_and_doubles_nothing(new_bench, data, new_ids, minus_one):
    bench, queue = new_bench(), Queue(new_ids, minus_one)
    faults = st.sampled_from(
        ["nothing", "die", "die in a moment", "link", "disk", "doubt stored", "doubt lost", "boot"]
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
            case "boot":
                bench.connect()
        if bench.state.live.connection is None:
            bench.connect()

    run(bench, queue, disturb)
    check(bench, queue)
    before = bench.state.known
    bench.crash()
    assert bench.state.known.sessions == before.sessions
    assert bench.state.known.ended == before.ended
    assert bench.state.known.starts == before.starts
    assert bench.state.known.others == before.others


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_command_is_sent_at_most_once_and_ends_once(new_bench, data):  # noqa: C901  a case per step
    bench = new_bench()
    connected = lambda: bench.state.live.connection  # noqa: E731
    steps = st.sampled_from(
        ["command", "again", "connect", "disconnect", "answer", "late", "tick", "long", "die"]
    )
    given_ids: list[str] = []

    def step(name):
        match name:
            case "command":
                given_ids.append(f"c{len(given_ids)}")
                bench.command(given_ids[-1], type="Soft", action="Reset")
            case "again" if given_ids:
                bench.command(data.draw(st.sampled_from(given_ids)), type="Soft", action="Reset")
            case "connect":
                bench.connect()
            case "disconnect" if connected():
                bench.disconnect()
            case "answer" if bench.sent and connected():
                bench.answer(bench.sent[-1][0], {"status": "Accepted"})
            case "late" if bench.sent and connected():
                bench.answer(data.draw(st.sampled_from(bench.sent))[0], {"status": "Accepted"})
            case "tick":
                bench.tick()
            case "long":
                bench.tick(40_000)
            case "die":
                bench.crash_before = data.draw(st.integers(0, 3))

    for name in data.draw(st.lists(steps, max_size=40)):
        step(name)

    bench.crash_before = None
    bench.crash()
    bench.connect()
    for _ in given_ids:  # the charge point answers no more: everything comes to its end
        bench.tick(40_000)
    received = {fact.command.id for fact in bench.facts(CommandReceived)}
    settled = [fact.command.id for fact in bench.facts(CommandSettled)]
    assert sorted(settled) == sorted(received)
    sent = [message_id for message_id, _, _ in bench.sent]
    assert len(sent) == len(set(sent))
    delivered = {
        fact.command.id
        for fact in bench.facts(CommandSettled)
        if fact.disposition is Disposition.DELIVERED
    }
    observed = [fact.command_id for fact in bench.facts(CommandObserved)]
    assert len(observed) == len(set(observed))
    assert not delivered & set(observed)


@given(
    st.lists(
        st.tuples(st.sampled_from(["start", "meter", "stop", "unknown"]), st.integers(1, 2)),
        max_size=12,
    )
)
@settings(max_examples=60, deadline=None)
def test_what_is_known_survives_a_snapshot(new_bench, steps):
    from pydantic import TypeAdapter

    from ocpp_edge.domain.known import Known

    bench = new_bench()
    bench.connect()
    for number, (kind, connector) in enumerate(steps):
        match kind:
            case "start":
                bench.start(f"m{number}", connector=connector, meter=number)
            case "meter":
                bench.meter(f"m{number}", -1, connector=connector, wh=number)
            case "stop":
                bench.stop(f"m{number}", -1, wh=number)
            case _:
                bench.command(f"c{number}")
    adapter = TypeAdapter(Known)
    known = bench.state.known
    again = adapter.validate_json(adapter.dump_json(known))
    assert again == known
    assert list(again.sessions) == list(known.sessions)
    assert json.loads(adapter.dump_json(again)) == json.loads(adapter.dump_json(known))
