"""Goal: between stations of 2.x and central system no event is lost, doubled, changed, disordered or invented."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from holdfast_simulators.oracle import csms
from holdfast_simulators.oracle.account import NamedGap, RecordedFact
from holdfast_simulators.oracle.csms_events import left_out_of
from holdfast_simulators.oracle.csms_ledger import Kept, KeptEvent
from holdfast_simulators.oracle.ledger import Acknowledged, Truth

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
