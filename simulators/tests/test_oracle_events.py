"""Goal: of 2.x the judge accounts for every seqNo: recorded, left out by rule where a rule may, or lost."""

from __future__ import annotations

import json

import pytest

from holdfast_simulators.oracle.account import Account, NamedGap, RecordedFact, RecordedSession
from holdfast_simulators.oracle.judge import judge
from holdfast_simulators.oracle.ledger import Acknowledged, TrueSession, Truth

TX = "tx-1"


def event(seq_no, kind="Updated", state="Charging", trigger="MeterValuePeriodic", **more):
    info = {"transactionId": TX, "chargingState": state}
    return {
        "eventType": kind,
        "seqNo": seq_no,
        "triggerReason": trigger,
        "transactionInfo": info,
    } | more


EVENTS = [
    event(0, "Started", "EVConnected", "Authorized"),
    event(1, trigger="ChargingStateChanged"),
    event(2),
    event(3),
    event(4),
    event(5, "Ended", trigger="StopAuthorized"),
]


def said(fields, action="TransactionEvent", session="1-1"):
    text = json.dumps(fields)
    return Acknowledged(
        charge_point="CP-1", session=session, action=action, payload=text, message_id="m", acked_at_ms=50,
    )  # fmt: skip


def truth(events=EVENTS, guaranteed=()):
    acknowledged = tuple(said(one) for one in events)
    session = TrueSession(
        charge_point="CP-1", key="1-1", connector=1, transaction_id=TX, meter_start_wh=10, meter_stop_wh=15,
        started_at_ms=0, is_start_acked=True, is_stop_acked=True,
    )  # fmt: skip
    return Truth(
        acknowledged=acknowledged, sessions=(session,), executed=(), guaranteed=tuple(guaranteed),
        sent=frozenset((one.charge_point, one.action, one.payload) for one in acknowledged),
        discarded=0, queued=0, charge_points=("CP-1",),
    )  # fmt: skip


def account(*seq_nos, left_out=(), uncounted=(), events=EVENTS, extra=(), gaps=()):
    facts = []
    for number, one in enumerate((*(events[seq_no] for seq_no in seq_nos), *extra), start=1):
        raw, action = json.dumps(one), "TransactionEvent" if "seqNo" in one else one["action"]
        body = {"charge_point": "CP-1", "action": action, "raw": one.get("raw", raw)}
        if "seqNo" in one:
            body |= {"transaction_id": TX, "seq_no": one["seqNo"]}
        if one.get("eventType") == "Ended":
            body |= {"left_out_seq": left_out, "uncounted_seq": uncounted}
        facts.append(
            RecordedFact(
                site="s", incarnation="a", seq=number, id=f"f{number}", type="t", at_ms=0, body=body
            )
        )
    session = RecordedSession(
        site="s", charge_point="CP-1", connector=1, transaction_id=TX, state="stopped", meter_start_wh=10,
        meter_stop_wh=15, energy_wh=5, name="s: CP-1/tx-1",
    )  # fmt: skip
    return Account(sessions=(session,), facts=tuple(facts), gaps=tuple(gaps))


def test_a_whole_transaction_is_complete_by_its_seq_nos():
    verdict = judge(truth(), account(0, 1, 2, 3, 4, 5))
    assert verdict.is_clean
    assert verdict.transaction_events == {
        "acknowledged": 6,
        "left_out": 0,
        "uncounted": 0,
        "complete": 1,
    }


def test_plain_readings_that_are_listed_as_left_out_are_no_loss():
    verdict = judge(truth(), account(0, 1, 4, 5, left_out=[[2, 3]]))
    assert verdict.is_clean
    assert verdict.transaction_events == {
        "acknowledged": 6,
        "left_out": 2,
        "uncounted": 0,
        "complete": 1,
    }


def test_plain_readings_that_the_product_does_not_know_of_are_no_loss_and_counted_apart():
    verdict = judge(truth(), account(0, 1, 4, 5, left_out=[[2, 2]], uncounted=[[3, 3]]))
    assert verdict.is_clean
    assert (verdict.transaction_events["left_out"], verdict.transaction_events["uncounted"]) == (
        1,
        1,
    )


def test_a_hole_that_nobody_lists_is_lost_and_named():
    verdict = judge(truth(), account(0, 1, 2, 4, 5))
    assert [one["message_id"] for one in verdict.lost] == ["m"]
    assert "seqNos [3]" in verdict.unexplained[0]


@pytest.mark.parametrize("told", ["left_out", "uncounted"])
@pytest.mark.parametrize(
    "precious",
    [
        event(3, idToken={"idToken": "A"}),
        event(3, trigger="Trigger"),
        event(3, state="SuspendedEVSE"),
        event(3, meterValue=[{"sampledValue": [{"signedMeterValue": {}}]}]),
    ],
)
def test_what_no_rule_may_leave_out_is_lost_though_it_is_listed(precious, told):
    events = [*EVENTS[:3], precious, *EVENTS[4:]]
    verdict = judge(truth(events), account(0, 1, 2, 4, 5, events=events, **{told: [[3, 3]]}))
    assert len(verdict.lost) == 1


def test_begin_and_end_are_never_left_out():
    verdict = judge(truth(), account(1, 2, 3, 4, 5, left_out=[[0, 0]]))
    assert len(verdict.lost) == 1


def test_what_is_listed_as_left_out_is_not_recorded_too():
    verdict = judge(truth(), account(0, 1, 2, 3, 4, 5, left_out=[[3, 3]]))
    assert "seqNo 3 is recorded, and said left out" in verdict.unexplained[0]


def test_one_event_in_two_facts_is_duplicated():
    verdict = judge(truth(), account(0, 1, 2, 2, 3, 4, 5))
    assert len(verdict.duplicated_effects) == 1


def test_a_hole_in_a_named_gap_is_told_apart():
    gap = NamedGap(incarnation="a", from_seq=1, to_seq=None, from_ms=0, to_ms=None, cause="disk")
    verdict = judge(truth(), account(0, 1, 2, 4, 5, gaps=[gap]))
    assert verdict.lost == []
    assert len(verdict.lost_in_named_gaps) == 1


def test_guaranteed_messages_of_no_session_are_recorded_too():
    event = {"type": "StartupOfTheDevice"}
    told = said(event, "SecurityEventNotification", "")
    kept = {"action": "SecurityEventNotification", "raw": json.dumps(event)}
    verdict = judge(truth(guaranteed=[told]), account(0, 1, 2, 3, 4, 5, extra=[kept]))
    assert verdict.is_clean
    assert verdict.guaranteed_events == 1
    assert len(judge(truth(guaranteed=[told]), account(0, 1, 2, 3, 4, 5)).lost) == 1
