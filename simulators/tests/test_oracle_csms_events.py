"""Goal: between stations of 2.x and central system no event is lost, doubled, changed, disordered or invented."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from holdfast_simulators.oracle import csms, csms_ledger, ledger
from holdfast_simulators.oracle.account import NamedGap, RecordedFact
from holdfast_simulators.oracle.csms_events import left_out_of
from holdfast_simulators.oracle.csms_ledger import Kept, KeptEvent
from holdfast_simulators.oracle.ledger import Acknowledged, Truth

QUICK = {"meter_interval_s": 0.1, "reconnect_s": 0.05, "power_w": 600_000}
PATIENCE_S = 60
EVENTS = [
    {"eventType": kind, "seqNo": seq_no, "transactionInfo": {"transactionId": "T-1"}, "wh": seq_no}
    for seq_no, kind in enumerate(("Started", "Updated", "Updated", "Ended"))
]


def said(event):
    return Acknowledged(
        charge_point="CP-1",
        session="T-1",
        action="TransactionEvent",
        payload=json.dumps(event),
        message_id=f"m{event['seqNo']}",
        acked_at_ms=1_000 + event["seqNo"],
    )


TRUTH = Truth(
    acknowledged=tuple(said(one) for one in EVENTS),
    sessions=(),
    executed=(),
    sent=frozenset(("CP-1", "TransactionEvent", json.dumps(one)) for one in EVENTS),
    discarded=0,
    queued=0,
    charge_points=("CP-1",),
)


def kept(*events):
    rows = tuple(KeptEvent(charge_point="CP-1", fields=one) for one in events)
    return Kept(transactions=(), readings=(), not_taken=(), doubled=(), events=rows)


def kinds(verdict):
    return [one["kind"] for one in verdict.differences]


def test_the_same_events_in_the_same_order_are_no_difference():
    verdict = csms.judge(TRUTH, kept(*EVENTS), ())
    assert verdict.differences == []
    assert (verdict.transactions, verdict.oracle_transactions) == (1, 1)
    assert verdict.transaction_events["acknowledged"] == verdict.transaction_events["received"] == 4


@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        ([EVENTS[0], EVENTS[2], EVENTS[3]], ["missing"]),
        (EVENTS[:3], ["unfinished"]),
        ([*EVENTS, EVENTS[0]], ["doubled"]),
        ([*EVENTS, EVENTS[1]], []),
        ([EVENTS[0], EVENTS[2], EVENTS[1], EVENTS[3]], ["disordered"]),
        ([EVENTS[0], EVENTS[1] | {"wh": 9}, *EVENTS[2:]], ["differs"]),
        ([*EVENTS, EVENTS[1] | {"seqNo": 7}], ["invented"]),
    ],
)
def test_each_planted_difference_is_found_as_what_it_is(there, wanted):
    assert kinds(csms.judge(TRUTH, kept(*there), ())) == wanted


def fact(left_out):
    body = {"charge_point": "CP-1", "transaction_id": "T-1", "left_out_seq": left_out}
    return RecordedFact(
        site="s", incarnation="a", seq=1, id="a-1", type="session.metered", at_ms=0, body=body
    )


def test_what_the_account_says_was_left_out_by_rule_is_no_loss_if_it_is_an_updated():
    left_out = left_out_of([fact([[1, 1]])])
    verdict = csms.judge(TRUTH, kept(EVENTS[0], *EVENTS[2:]), (), left_out)
    assert verdict.differences == []
    assert verdict.transaction_events["left_out"] == 1
    everything = left_out_of([fact([[0, 3]])])
    assert kinds(csms.judge(TRUTH, kept(EVENTS[1], EVENTS[2]), (), everything)) == [
        "missing",
        "unfinished",
    ]


def test_a_loss_in_a_named_gap_is_listed_apart():
    gap = NamedGap(incarnation="a", from_seq=1, to_seq=9, from_ms=0, to_ms=None, cause="wiped")
    verdict = csms.judge(TRUTH, kept(*EVENTS[:3]), (gap,))
    assert verdict.differences == []
    assert [one["cause"] for one in verdict.in_named_gaps] == ["wiped"]


def test_charge_points_whose_truth_is_not_known_are_left_out():
    other = replace(TRUTH, charge_points=("CP-2",), acknowledged=(), sent=frozenset())
    assert csms.judge(other, kept(*EVENTS), ()).differences == []


# --- real stations, straight at the central system ---


@pytest.fixture
def play(start, central, tmp_path):
    """A function that has a station run two transactions against a central system with habits."""

    async def playing(version, behaviour=None, **config):
        async with central(tokens={"TOKEN": "Accepted"}, **config) as (program, port):
            point = {"id": "CP-1", "password": "x", "connectors": 2, "version": version}
            point["behaviour"] = QUICK | (behaviour or {})
            file = tmp_path / "points.json"
            document = {"url": f"ws://127.0.0.1:{port}/ocpp", "charge_points": [point]}
            file.write_text(json.dumps(document))
            words = ("--config", file, "--state", tmp_path / "state")
            async with start("charge-points", *words) as points:
                await points.event("online")
                for connector in (1, 2):
                    where = {"charge_point": "CP-1", "connector": connector}
                    await points.tell("plug", **where, driver_token="TOKEN")
                    await points.event("session-started")
                await _until_told(program, 6)
                await points.ask("quiesce", "all-quiesced")
        return csms.judge(
            ledger.read(tmp_path / "state"), csms_ledger.read(tmp_path / "csms.db"), ()
        )

    return playing


async def _until_told(program, count):
    async with asyncio.timeout(PATIENCE_S):
        while True:
            [point] = (await program.ask("status", "status"))["charge_points"]
            if point["counts"].get("TransactionEvent", 0) >= count:
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("version", ["2.0.1", "2.1"])
async def test_a_station_straight_at_the_central_system_agrees_with_it(play, version):
    verdict = await play(version)
    assert verdict.differences == []
    assert (verdict.transactions, verdict.oracle_transactions) == (2, 2)
    counts = verdict.transaction_events
    assert counts["acknowledged"] == counts["received"] >= 6


async def test_lost_answers_and_retries_leave_each_event_once(play):
    behaviour = {"call_timeout_s": 0.3, "retry_interval_s": 0.01, "retry_ids": "new"}
    lost = [{"action": "TransactionEvent", "count": 2}]
    verdict = await play("2.0.1", behaviour, quirks={"lose_answer": lost})
    assert verdict.differences == []
    assert verdict.transaction_events["repeated"] == 0


async def test_without_deduplication_a_retried_begin_is_doubled(play):
    behaviour = {"call_timeout_s": 0.3, "retry_interval_s": 0.01}
    quirks = {"lose_answer": {"action": "TransactionEvent"}, "dedupe": "none"}
    verdict = await play("2.0.1", behaviour, quirks=quirks)
    assert kinds(verdict) == ["doubled"]
