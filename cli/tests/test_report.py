"""The judge of a drill: a clean account passes, and each single planted fault fails it."""

from typing import Any

import pytest

from holdfast.contracts.decision import AuthoriseInputs, CloudAnswer, DecisionMade
from holdfast.contracts.driver_tokens import ListedToken, TokenStatus
from holdfast.contracts.envelope import Envelope, Fact, body_of
from holdfast.contracts.mode import Mode
from holdfast.contracts.rules import Rules, RulesActivated
from holdfast_cli.drill.report import Evidence, changes_in_a_minute, judge, spans
from holdfast_cli.drill.scenario import Expect
from holdfast_cli.drill.text import render
from rule_service.domain.authorise import evaluate

MODES = ("connected", "degraded", "autonomous", "recovery", "connected")
CUT_MS, HEALED_MS = 100_000, 160_000
TIMES = (50_000, 108_000, 118_000, 168_000, 171_000)


def answered(id: str | None, result: dict[str, Any] | None, code: str = "") -> dict[str, Any]:
    """As the simulated CSMS reports what became of a CALL of its own; without id it called by itself."""
    return {
        "event": "answered", "id": id, "charge_point": "CP-01", "action": "RemoteStartTransaction",
        "result": result, "error": {"code": code, "description": ""} if code else None, "after_ms": 3,
    }  # fmt: skip


def a_journal(status: str = "Accepted", rules_version: int = 1) -> list[Envelope]:
    """Rules activated, then two decisions by them; the second as given."""
    rules = Rules(version=1)
    text = rules.model_dump_json()
    inputs = AuthoriseInputs(
        at_ms=0, mode=Mode.AUTONOMOUS, driver_token_hash="h", listed=ListedToken(driver_token="h"),
        list_version=1, cached=None, cloud=CloudAnswer.NOT_ASKED, cloud_status=None,
    )  # fmt: skip
    ruling = evaluate(rules, inputs)

    def decided(id: str, status: str, rules_version: int) -> DecisionMade:
        return DecisionMade(
            decision=id, charge_point="CP-01", rules_version=rules_version, clause=ruling.clause, inputs=inputs,
            verdict=ruling.verdict.model_copy(update={"status": TokenStatus(status)}), explanation="",
        )  # fmt: skip

    facts: tuple[Fact, ...] = (
        RulesActivated(version=1, hash="h", text=text, previous_version=0),
        decided("d1", "Accepted", 1),
        decided("d2", status, rules_version),
    )
    return [
        Envelope(
            id=f"e{seq}", type=fact.TYPE, at_ms=seq, site="berlin01", incarnation="aaaaaaaa", source="rule-service",
            body=body_of(fact),
        )
        for seq, fact in enumerate(facts)
    ]  # fmt: skip


ENDED = {
    "id": "c1",
    "action": "Reset",
    "charge_point": "CP-01",
    "disposition": "expired",
    "reason": "its deadline passed",
}


def evidence(**changes: Any) -> Evidence:
    oracle = {
        "acknowledged_events": 40,
        "transaction_events": {"acknowledged": 12, "left_out": 2, "uncounted": 0, "complete": 1},
        "guaranteed_events": 3,
        "lost": [],
        "lost_in_named_gaps": [],
        "duplicated_effects": [],
        "energy_differences": [],
        "charge_point_energy_wh": 700,
        "recorded_energy_wh": 700,
        "stale_commands_executed": 0,
        "unexplained": [],
        "csms": {
            "transactions": 2,
            "oracle_transactions": 2,
            "differences": [],
            "in_named_gaps": [],
            "start_never_acknowledged": [],
            "meter_values": {"acknowledged": 9, "received": 9, "missing": 0, "repeated": 0},
            "transaction_events": {},
            "doubled_connections": 0,
            **changes.pop("csms", {}),
        },
        **changes.pop("oracle", {}),
    }
    whole: dict[str, Any] = {
        "scenario": "small",
        "site": "berlin01",
        "open_points": [],
        "quarantined": 0,
        "modes": [
            {"mode": mode, "since_ms": at, "reasons": ["why"]}
            for mode, at in zip(MODES, TIMES, strict=True)
        ],
        "sessions": [{"state": "stopped", "status": "Accepted"}] * 2,
        "decisions": [
            {"kind": "authorise", "outcome": "Accepted", "clause": "authorise.connected"},
            {"kind": "authorise", "outcome": "Blocked", "clause": "authorise.list"},
            {"kind": "admit", "outcome": "expired", "clause": "commands.Reset"},
        ],
        "journal": a_journal(),
        "bundles": {},
        "published_ms": {},
        "commands": [ENDED],
        "gaps": [],
        "copies": [{"retired": False, "watermark": 90, "head_seq": 90, "chain_verified": True}],
        "answered_calls": [answered("call-1", {"status": "Rejected"}), answered(None, {})],
        "problems": [],
        "cut_ms": CUT_MS,
        "healed_ms": HEALED_MS,
        "killed": [],
        "restarts": {},
        "wanted_fleet": {},
    }
    return Evidence(oracle=oracle, **{**whole, **changes})


EXPECT = Expect(
    modes=MODES,
    dispositions={"c1": "expired"},
    reasons={"c1": "deadline"},
    refused_drivers_min=1,
    csms_answers={"call-1": "Rejected"},
)
DIFFERENCE = {"kind": "missing", "what": "CP-01 session 1-1: its transaction is missing"}


def test_a_clean_account_passes_with_its_figures():
    report = judge(evidence(), EXPECT)
    assert report.problems == []
    assert report.passed
    assert report.seconds_to_degraded == 8.0
    assert report.seconds_to_autonomous == 18.0
    assert report.seconds_to_reconciled == 11.0
    assert report.sessions == {"stopped": 2}
    assert report.driver_impact.model_dump() == {
        "served": 2,
        "refused": 1,
        "refused_because": {"Blocked by authorise.list": 1},
    }
    assert (report.decisions.total, report.decisions.reevaluated_equal) == (2, 2)
    assert report.csms.transactions == report.csms.oracle_transactions == 2
    assert [(call.id, call.answer) for call in report.csms.calls] == [("call-1", "Rejected")]
    assert "2 transactions, oracle 2, no differences" in render(report)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"oracle": {"lost": ["m1"]}}, "lost"),
        ({"oracle": {"duplicated_effects": ["m1"]}}, "duplicated"),
        ({"oracle": {"energy_differences": ["s"]}}, "energy"),
        ({"oracle": {"unexplained": ["x"]}}, "unexplained"),
        ({"oracle": {"stale_commands_executed": 1}}, "stale"),
        ({"oracle": {"acknowledged_events": 0}}, "nothing was tested"),
        ({"oracle": {"lost_in_named_gaps": ["m1"]}}, "in gaps"),
        ({"commands": [ENDED | {"reason": "no idea"}]}, "expected 'deadline'"),
        ({"open_points": ["csms"]}, "open point"),
        ({"open_points": None}, "open point"),
        ({"quarantined": 2}, "quarantine"),
        ({"gaps": [{"from_seq": 1}]}, "gaps"),
        (
            {
                "copies": [
                    {"retired": False, "watermark": 89, "head_seq": 90, "chain_verified": True}
                ]
            },
            "behind",
        ),
        (
            {
                "copies": [
                    {"retired": False, "watermark": 90, "head_seq": 90, "chain_verified": False}
                ]
            },
            "chain",
        ),
        ({"copies": []}, "chain"),
        ({"modes": []}, "connected"),
        ({"decisions": []}, "refused"),
        ({"journal": a_journal(status="Blocked")}, "1 of 2 decisions are equal"),
        ({"journal": a_journal(status="Blocked")}, "decision differs: d2 at CP-01 was Blocked"),
        ({"journal": a_journal(rules_version=9)}, "decision not explained: d2"),
        ({"journal": []}, "no decision is in the journal"),
        ({"sessions": [{"state": "fragment", "status": None}]}, "without a beginning"),
        ({"sessions": [{"state": "running", "status": "Accepted"}]}, "without an end"),
        ({"commands": []}, "c1"),
        (
            {
                "commands": [
                    {"id": "c1", "action": "Reset", "charge_point": "CP-01", "disposition": None}
                ]
            },
            "no disposition",
        ),
        ({"csms": {"differences": [DIFFERENCE]}}, "csms missing: CP-01 session 1-1"),
        ({"csms": {"doubled_connections": 1}}, "two connections"),
        ({"answered_calls": []}, "call-1 was answered None"),
        ({"answered_calls": [answered("call-1", {"status": "Scheduled"})]}, "ended nowhere"),
        ({"answered_calls": [answered("call-1", {"status": "Accepted"})]}, "'Accepted'"),
        ({"answered_calls": [answered("call-1", None, "GenericError")]}, "'GenericError'"),
        ({"problems": ["it did not come"]}, "did not come"),
        ({"healed_ms": None}, "reconciled"),
        ({"cut_ms": 90_000}, "degraded"),
    ],
)
def test_each_planted_fault_fails_it(changes: dict[str, Any], word: str):
    report = judge(evidence(**changes), EXPECT)
    assert not report.passed
    assert any(word in problem for problem in report.problems)


def test_what_is_left_open_is_what_a_scenario_expects_and_nothing_else():
    point = {"step": "csms caught up", "what": "CP-04 at main: the start of its session never came"}
    expect = EXPECT.model_copy(update={"open_points": ("never came",)})
    report = judge(evidence(open_points=[point, point]), expect)
    assert report.passed
    assert f"2 x csms caught up: {point['what']}" in render(report)
    assert judge(evidence(), expect).problems == ["no open point says 'never came'"]
    other = {"step": "report written", "what": "nobody wrote it"}
    problems = judge(evidence(open_points=[point, other]), expect).problems
    assert problems == ["open point: report written: nobody wrote it"]


def test_what_is_uncounted_is_excused_by_a_restart_alone():
    events = {"acknowledged": 12, "left_out": 2, "uncounted": 3, "complete": 1}
    told = {"oracle": {"transaction_events": events}}
    assert judge(evidence(**told), EXPECT).problems == [
        "3 TransactionEvents uncounted, and ocpp-edge was never killed"
    ]
    told = {"oracle": {"transaction_events": events}}
    assert judge(evidence(killed=["berlin01/ocpp-edge"], **told), EXPECT).passed


def test_differences_at_the_csms_are_demanded_where_a_scenario_expects_them():
    expect = EXPECT.model_copy(update={"csms_differences": True})
    assert judge(evidence(csms={"differences": [DIFFERENCE]}), expect).passed
    assert judge(evidence(), expect).problems == ["csms: no differences, expected some"]


def test_the_history_begins_with_the_first_connected():
    rows = [{"mode": "autonomous", "since_ms": 1, "reasons": ["started"]}, *evidence().modes]
    assert tuple(span.mode for span in spans(rows)) == MODES


def test_changes_within_a_minute_are_counted():
    assert (
        changes_in_a_minute(judge(evidence(), EXPECT).modes) == 2
    )  # of four, and one is to autonomous


def test_changes_to_autonomous_are_not_counted_and_those_around_them_are():
    rows = [
        {"mode": mode, "since_ms": number * 1_000, "reasons": []}
        for number, mode in enumerate(
            ("connected", "degraded", "autonomous", "recovery", "connected")
        )
    ]
    assert changes_in_a_minute(spans(rows)) == 3


def connected(charge_point: str, version: str, profile: int) -> Envelope:
    body = {
        "charge_point": charge_point, "connection": "1", "protocol": "", "remote": "", "version": version,
        "security_profile": profile,
    }  # fmt: skip
    return Envelope(
        id=f"{charge_point}-{profile}", type="charge-point.connected", at_ms=1, site="berlin01", incarnation="a",
        source="ocpp-edge", body=body,
    )  # fmt: skip


def test_the_report_counts_charge_points_by_version_and_profile_as_they_came():
    journal = [*a_journal(), connected("CP-01", "1.6", 1), connected("CP-02", "2.1", 2)]
    wanted = {"CP-01": ("1.6", 1), "CP-02": ("2.1", 2)}
    report = judge(evidence(journal=journal, wanted_fleet=wanted), EXPECT)
    assert report.problems == []
    text = render(report)
    assert "1 x 1.6 profile 1, 1 x 2.1 profile 2" in text
    assert (
        "12 of them TransactionEvents: 2 left out by rule, 0 perhaps (a restart), 1 transactions complete by seqNo"
        in text
    )


def test_a_charge_point_that_came_otherwise_or_never_is_a_problem():
    journal = [*a_journal(), connected("CP-01", "2.1", 1)]
    wanted = {"CP-01": ("2.1", 2), "CP-02": ("1.6", 1)}
    assert judge(evidence(journal=journal, wanted_fleet=wanted), EXPECT).problems == [
        "CP-01 came by 2.1 profile 1, expected 2.1 profile 2",
        "CP-02 never came: 1.6 profile 1 was expected",
    ]
