"""The judge of a drill: a clean account passes, and each single planted fault fails it."""

from typing import Any

import pytest

from holdfast_cli.drill.report import Evidence, changes_in_a_minute, judge, spans
from holdfast_cli.drill.scenario import Expect

MODES = ("connected", "degraded", "autonomous", "recovery", "connected")
CUT_MS, HEALED_MS = 100_000, 160_000
TIMES = (50_000, 108_000, 118_000, 168_000, 171_000)


def evidence(**changes: Any) -> Evidence:
    oracle = {
        "acknowledged_events": 40,
        "lost": [],
        "lost_in_named_gaps": [],
        "duplicated_effects": [],
        "energy_differences": [],
        "charge_point_energy_wh": 700,
        "recorded_energy_wh": 700,
        "stale_commands_executed": 0,
        "unexplained": [],
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
        "commands": [
            {
                "id": "c1",
                "action": "Reset",
                "charge_point": "CP-01",
                "disposition": "expired",
                "reason": "",
            }
        ],
        "gaps": [],
        "copies": [{"retired": False, "watermark": 90, "head_seq": 90, "chain_verified": True}],
        "problems": [],
        "cut_ms": CUT_MS,
        "healed_ms": HEALED_MS,
        "killed": [],
        "restarts": {},
    }
    return Evidence(oracle=oracle, **{**whole, **changes})


EXPECT = Expect(modes=MODES, dispositions={"c1": "expired"}, refused_drivers_min=1)


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
        ({"problems": ["it did not come"]}, "did not come"),
        ({"healed_ms": None}, "reconciled"),
        ({"cut_ms": 90_000}, "degraded"),
    ],
)
def test_each_planted_fault_fails_it(changes: dict[str, Any], word: str):
    report = judge(evidence(**changes), EXPECT)
    assert not report.passed
    assert any(word in problem for problem in report.problems)


def test_the_history_begins_with_the_first_connected():
    rows = [{"mode": "autonomous", "since_ms": 1, "reasons": ["started"]}, *evidence().modes]
    assert tuple(span.mode for span in spans(rows)) == MODES


def test_changes_within_a_minute_are_counted():
    assert changes_in_a_minute(judge(evidence(), EXPECT).modes) == 3
