"""The closing report as people read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest

from holdfast_cli.drill import csms, decisions, fleet, rules
from holdfast_cli.drill.csms import CallEnd
from holdfast_cli.drill.report import CommandEnd, ModeSpan, Report

PROBLEMS_SHOWN_MAX = 30
LABEL_WIDTH = 22


def render(report: Report) -> str:
    return "\n".join(_lines(report))


def _lines(report: Report) -> Iterator[str]:
    verdict = "PASSED" if report.passed else "FAILED"
    yield f"\nDrill {report.scenario!r} at site {report.site}: {verdict}\n"
    yield "  modes"
    yield from map(_mode, report.modes)
    yield ""
    for label, value in _rows(report):
        yield f"  {label:<{LABEL_WIDTH}}{value}"
    if report.csms.calls:
        yield "  calls of the csms"
        yield from map(_call, report.csms.calls)
    yield "  commands"
    width = max((len(command.id) for command in report.commands), default=0) + 2
    yield from (_command(command, width) for command in report.commands)
    for label, point in zip_longest(("open points",), _counted(report.open_points), fillvalue=""):
        yield _row(label, point)
    if report.problems:
        yield "\n  problems"
        yield from (f"    - {problem}" for problem in report.problems[:PROBLEMS_SHOWN_MAX])
        hidden = len(report.problems) - PROBLEMS_SHOWN_MAX
        if hidden > 0:
            yield f"    ... and {hidden} more, all in report.json"


def _counted(points: list[str]) -> list[str]:
    counts = Counter(points)
    lines = [f"{count} x {it}" if count > 1 else it for it, count in counts.items()]
    return lines or ["none"]


def _row(label: str, value: str) -> str:
    return f"  {label:<{LABEL_WIDTH}}{value}"


def _rows(report: Report) -> Iterator[tuple[str, str]]:
    yield "charge points", fleet.sentence(report.charge_points)
    yield "time to degraded", _seconds(report.seconds_to_degraded)
    yield "time to autonomous", _seconds(report.seconds_to_autonomous)
    yield "heal to reconciled", _seconds(report.seconds_to_reconciled)
    yield "drivers", f"{report.driver_impact.served} served, {report.driver_impact.refused} refused"
    for why, count in report.driver_impact.refused_because.items():
        yield "", f"{count} x {why}"
    yield "sessions", _counts(report.sessions)
    yield (
        "energy",
        f"charge points {report.charge_point_energy_wh} Wh, recorded {report.recorded_energy_wh} Wh",
    )
    yield (
        "events",
        f"{report.acknowledged_events} acknowledged, {report.lost} lost, "
        f"{report.duplicated_effects} duplicated in effect",
    )
    events = report.transaction_events
    if events.get("acknowledged"):
        yield (
            "",
            f"{events['acknowledged']} of them TransactionEvents: {events['left_out']} left out by rule, "
            f"{events['uncounted']} perhaps (a restart), {events['complete']} transactions complete by seqNo",
        )
    if report.guaranteed_events:
        yield "", f"{report.guaranteed_events} guaranteed ones of no session besides"
    chain = "verified" if report.chain_verified else "NOT VERIFIED"
    yield "journal", f"watermark {report.watermark}, head {report.head}, chain {chain}"
    yield from decisions.rows(report.decisions)
    yield from rules.rows(report.rules)
    yield "unexplained", str(len(report.unexplained))
    yield "stale commands", f"{report.stale_commands_executed} executed"
    yield "csms", csms.sentence(report.csms)
    for gap in report.gaps:
        until = "?" if gap["to_seq"] is None else gap["to_seq"]
        yield (
            "gap",
            f"{gap['incarnation']} {gap['from_seq']}..{until}: {gap['cause']}; "
            f"{report.lost_in_named_gaps} acknowledged events in it",
        )
    if report.killed:
        yield "killed", ", ".join(report.killed)


def _mode(span: ModeSpan) -> str:
    seconds = "" if span.seconds is None else f"{span.seconds:.1f} s"
    return f"    {span.mode:<11}{seconds:>9}  because {', '.join(span.causes)}"


def _call(call: CallEnd) -> str:
    return f"    {call.id:<18}{call.action:<24}{call.answer} after {call.after_ms} ms"


def _command(command: CommandEnd, width: int) -> str:
    ended = command.disposition or "NO DISPOSITION"
    reason = f": {command.reason}" if command.reason else ""
    return f"    {command.id:<{max(width, 18)}}{command.action:<24}{ended}{reason}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"
