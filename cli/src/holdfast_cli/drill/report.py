"""The closing report of a drill: figures from the product's own account, judged by the oracle's.

judge(evidence, expectation) -> Report        pure; `problems` empty means passed
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from holdfast.contracts.envelope import Envelope
from holdfast_cli.drill import csms, decisions, fleet, rules
from holdfast_cli.drill.bundles import Bundle
from holdfast_cli.drill.csms import CsmsAccount
from holdfast_cli.drill.decisions import DecisionsAccount
from holdfast_cli.drill.rules import RulesAccount
from holdfast_cli.drill.scenario import Expect

CONNECTED = "connected"
MINUTE_MS = 60_000
AUTONOMOUS = "autonomous"
CALM_CHANGES_MAX = 2
OF_THE_CSMS = "csms-"
"""How the ids of the commands begin that the csms-bridge makes of the CSMS's calls."""
KEPT = "Scheduled"


class ModeSpan(BaseModel):
    mode: str
    since_ms: int
    causes: list[str]
    seconds: float | None
    """None for the one that still stands."""


class CommandEnd(BaseModel):
    id: str
    action: str
    charge_point: str
    disposition: str | None
    reason: str


class Impact(BaseModel):
    served: int
    refused: int
    refused_because: dict[str, int]


class Report(BaseModel):
    """Also what `report.json` holds."""

    scenario: str
    site: str
    passed: bool
    problems: list[str]
    modes: list[ModeSpan]
    seconds_to_degraded: float | None
    seconds_to_autonomous: float | None
    seconds_to_reconciled: float | None
    charge_points: dict[str, tuple[str, int]]
    """To OCPP version and security profile, as the journal says they came."""
    acknowledged_events: int
    transaction_events: dict[str, int]
    """Of 2.x: `acknowledged`, `left_out` by rule, `uncounted` (perhaps left out, right before a restart), transactions
    `complete` by their seqNos."""
    guaranteed_events: int
    lost: int
    lost_in_named_gaps: int
    duplicated_effects: int
    sessions: dict[str, int]
    driver_impact: Impact
    charge_point_energy_wh: int
    recorded_energy_wh: int
    commands: list[CommandEnd]
    stale_commands_executed: int
    csms: CsmsAccount
    watermark: int
    head: int
    chain_verified: bool
    gaps: list[dict[str, Any]]
    open_points: list[str]
    quarantined: int
    decisions: DecisionsAccount
    rules: RulesAccount
    killed: list[str]
    restarts: dict[str, int]
    unexplained: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything the report is computed from."""

    scenario: str
    site: str
    open_points: list[Any] | None
    quarantined: int
    modes: list[dict[str, Any]]
    sessions: list[dict[str, Any]]
    decisions: list[dict[str, Any]]
    journal: list[Envelope]
    """Every entry that the cloud has of the site, in order."""
    bundles: dict[str, Bundle]
    published_ms: dict[str, int]
    commands: list[dict[str, Any]]
    gaps: list[dict[str, Any]]
    copies: list[dict[str, Any]]
    oracle: dict[str, Any]
    wanted_fleet: fleet.Fleet
    answered_calls: list[dict[str, Any]]
    """As the simulated CSMS said."""
    problems: list[str]
    """What did not come within its bound."""
    cut_ms: int | None
    healed_ms: int | None
    killed: list[str]
    restarts: dict[str, int]


def judge(evidence: Evidence, expect: Expect) -> Report:
    modes = spans(evidence.modes)
    oracle = evidence.oracle
    current = [copy for copy in evidence.copies if not copy["retired"]]
    report = Report(
        scenario=evidence.scenario,
        site=evidence.site,
        passed=False,
        problems=[],
        modes=modes,
        seconds_to_degraded=_seconds_until(modes, "degraded", evidence.cut_ms),
        seconds_to_autonomous=_seconds_until(modes, "autonomous", evidence.cut_ms),
        seconds_to_reconciled=_seconds_until(modes, CONNECTED, evidence.healed_ms, last=True),
        charge_points=dict(fleet.account(evidence.journal)),
        acknowledged_events=oracle["acknowledged_events"],
        transaction_events=oracle["transaction_events"],
        guaranteed_events=oracle["guaranteed_events"],
        lost=len(oracle["lost"]),
        lost_in_named_gaps=len(oracle["lost_in_named_gaps"]),
        duplicated_effects=len(oracle["duplicated_effects"]),
        sessions=dict(Counter(session["state"] for session in evidence.sessions)),
        driver_impact=impact(evidence.sessions, evidence.decisions),
        charge_point_energy_wh=oracle["charge_point_energy_wh"],
        recorded_energy_wh=oracle["recorded_energy_wh"],
        commands=[_command(row) for row in evidence.commands],
        stale_commands_executed=oracle["stale_commands_executed"],
        csms=csms.account(oracle["csms"], evidence.answered_calls),
        watermark=max((copy["watermark"] for copy in current), default=0),
        head=max((copy["head_seq"] for copy in current), default=0),
        chain_verified=bool(evidence.copies) and all(c["chain_verified"] for c in evidence.copies),
        gaps=evidence.gaps,
        open_points=(
            ["the product does not know its open points"]
            if evidence.open_points is None
            else [_point(point) for point in evidence.open_points]
        ),
        quarantined=evidence.quarantined,
        decisions=decisions.account(evidence.journal),
        rules=rules.account(evidence.journal, evidence.bundles, evidence.published_ms),
        killed=evidence.killed,
        restarts=evidence.restarts,
        unexplained=[str(item) for item in oracle["unexplained"]],
    )
    problems = [
        *evidence.problems,
        *_truth(report, oracle),
        *fleet.problems(report.charge_points, evidence.wanted_fleet),
        *decisions.problems(report.decisions),
        *rules.problems(report.rules, evidence.bundles, expect.rules),
        *_expected(report, expect),
    ]
    return report.model_copy(update={"problems": problems, "passed": not problems})


def spans(rows: list[dict[str, Any]]) -> list[ModeSpan]:
    """The mode history from the first `connected` on."""
    began = next((i for i, row in enumerate(rows) if row["mode"] == CONNECTED), len(rows))
    rows = rows[began:]
    ends = [row["since_ms"] for row in rows[1:]]
    return [
        ModeSpan(
            mode=row["mode"],
            since_ms=row["since_ms"],
            causes=list(row["reasons"]),
            seconds=round((ends[i] - row["since_ms"]) / 1000, 1) if i < len(ends) else None,
        )
        for i, row in enumerate(rows)
    ]


def impact(sessions: list[dict[str, Any]], decisions: list[dict[str, Any]]) -> Impact:
    """Drivers who got energy, and authorisations that were refused, with the clause that did."""
    because = Counter(
        f"{row['outcome']} by {row['clause']}"
        for row in decisions
        if row["kind"] == "authorise" and row["outcome"] != "Accepted"
    )
    served = sum(row["status"] == "Accepted" for row in sessions)
    return Impact(served=served, refused=because.total(), refused_because=dict(because))


def _point(point: Any) -> str:
    return f"{point['step']}: {point['what']}" if isinstance(point, dict) else str(point)


def _command(row: dict[str, Any]) -> CommandEnd:
    return CommandEnd(
        id=row["id"],
        action=row["action"],
        charge_point=row["charge_point"],
        disposition=row["disposition"],
        reason=row.get("reason") or "",
    )


def _seconds_until(
    modes: list[ModeSpan], mode: str, from_ms: int | None, *, last: bool = False
) -> float | None:
    if from_ms is None:
        return None
    times = [span.since_ms for span in modes if span.mode == mode and span.since_ms >= from_ms]
    if not times:
        return None
    return round(((times[-1] if last else times[0]) - from_ms) / 1000, 1)


def _truth(report: Report, oracle: dict[str, Any]) -> list[str]:
    """What no scenario may excuse."""
    problems = [f"lost: {item}" for item in oracle["lost"]]
    problems += [f"duplicated in effect: {item}" for item in oracle["duplicated_effects"]]
    problems += [f"energy differs: {item}" for item in oracle["energy_differences"]]
    problems += [f"unexplained: {item}" for item in report.unexplained]
    uncounted = report.transaction_events.get("uncounted", 0)
    if uncounted and not any("ocpp-edge" in process for process in report.killed):
        problems.append(f"{uncounted} TransactionEvents uncounted, and ocpp-edge was never killed")
    problems += _promises(report)
    problems += [
        f"command {command.id} has no disposition"
        for command in report.commands
        if not command.disposition
    ]
    checks = (
        (
            report.stale_commands_executed == 0,
            f"{report.stale_commands_executed} stale commands executed",
        ),
        (report.chain_verified, "the hash chain is not verified"),
        (
            report.watermark >= report.head > 0,
            f"watermark {report.watermark} is behind head {report.head}",
        ),
        (
            "fragment" not in report.sessions or bool(report.gaps),
            "sessions without a beginning, and no gap that took it",
        ),
        (
            "running" not in report.sessions or bool(report.gaps),
            "sessions without an end, though every one was ended, and no gap that took it",
        ),
        (report.quarantined == 0, f"{report.quarantined} messages in quarantine"),
        (report.acknowledged_events > 0, "no event was acknowledged: nothing was tested"),
        (all(span.causes for span in report.modes), "a mode change has no cause"),
    )
    return problems + [sentence for holds, sentence in checks if not holds]


def _promises(report: Report) -> Iterator[str]:
    """What the CSMS was told is kept for later, and then never came about."""
    ended = {
        (command.charge_point, command.action): command
        for command in report.commands
        if command.id.startswith(OF_THE_CSMS)
    }
    for call in report.csms.calls:
        command = ended.get((call.charge_point, call.action))
        if call.answer == KEPT and (command is None or command.disposition != "delivered"):
            how = "nowhere" if command is None else f"{command.disposition}: {command.reason}"
            yield f"csms: call {call.id} was answered {KEPT}, and ended {how}"


def _expected(report: Report, expect: Expect) -> list[str]:
    """What this scenario demands beyond the truth."""
    return [
        *_expected_modes(report, expect),
        *_expected_times(report, expect),
        *_expected_ends(report, expect),
        *_expected_open(report, expect),
        *csms.problems(report.csms, expect),
    ]


def _expected_modes(report: Report, expect: Expect) -> Iterator[str]:
    names = tuple(span.mode for span in report.modes)
    if expect.modes is not None and names != expect.modes:
        yield f"modes were {' > '.join(names)}, expected {' > '.join(expect.modes)}"
    if not names or names[0] != CONNECTED or names[-1] != CONNECTED:
        yield f"the site did not begin and end connected: {' > '.join(names) or 'no modes'}"
    changes = changes_in_a_minute(report.modes)
    if expect.calm and changes > CALM_CHANGES_MAX:
        yield f"{changes} mode changes within a minute, expected at most {CALM_CHANGES_MAX}"


def _expected_times(report: Report, expect: Expect) -> Iterator[str]:
    for word, took, bound in (
        ("degraded", report.seconds_to_degraded, expect.seconds_to_degraded_max),
        ("autonomous", report.seconds_to_autonomous, expect.seconds_to_autonomous_max),
        ("reconciled", report.seconds_to_reconciled, expect.reconciled_within_s),
    ):
        if bound is not None and (took is None or took > bound):
            yield f"{word} after {took} s, expected within {bound:g} s"


def _expected_ends(report: Report, expect: Expect) -> Iterator[str]:
    refused = report.driver_impact.refused
    if refused < expect.refused_drivers_min:
        yield f"{refused} drivers refused, expected at least {expect.refused_drivers_min}"
    ended = {command.id: command.disposition for command in report.commands}
    for command, disposition in expect.dispositions.items():
        if ended.get(command) != disposition:
            yield f"command {command} ended {ended.get(command)!r}, expected {disposition!r}"
    why = {command.id: command.reason for command in report.commands}
    for command, text in expect.reasons.items():
        if text not in why.get(command, ""):
            yield f"command {command} ended because {why.get(command)!r}, expected {text!r}"
    if bool(report.gaps) != expect.gaps:
        yield f"{len(report.gaps)} gaps, expected {'some' if expect.gaps else 'none'}"
    if report.lost_in_named_gaps and not expect.gaps:
        yield f"{report.lost_in_named_gaps} events lost in gaps that should not be"


def _expected_open(report: Report, expect: Expect) -> Iterator[str]:
    for point in dict.fromkeys(report.open_points):
        if not any(text in point for text in expect.open_points):
            yield f"open point: {point}"
    for text in expect.open_points:
        if not any(text in point for point in report.open_points):
            yield f"no open point says {text!r}"


def changes_in_a_minute(modes: list[ModeSpan]) -> int:
    """The most mode changes within any minute; the first span is where the history begins, no change. Those to
    autonomous are not counted, for nothing may hold them up (ADR 0008).
    """
    times = [span.since_ms for span in modes[1:] if span.mode != AUTONOMOUS]
    return max((sum(begin <= at < begin + MINUTE_MS for at in times) for begin in times), default=0)
