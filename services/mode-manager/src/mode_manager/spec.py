"""docs/spec/modes.md, written from the tables the code keeps to.

python -m mode_manager.spec > docs/spec/modes.md
"""

from __future__ import annotations

import sys

from holdfast.contracts.data_rules import MeteredRules
from holdfast.contracts.mode import Mode, Reason
from holdfast.contracts.recovery import Step
from holdfast.contracts.rules import ModeRules, Rules
from mode_manager.domain.impairments import (
    BEYOND_RECOVERY,
    GRAVEST_FIRST,
    LEAVES_SOMETHING_OPEN,
    WAIVED_BY,
)
from mode_manager.domain.overrides import AHEAD_MS_MAX, LASTS_MS_MAX
from mode_manager.domain.table import BETTER, FIRST, OVERRIDES, TRANSITIONS, WORSE

STANDS_WHEN = {
    Reason.MAINTENANCE: "people made the site autonomous, and its end is not reached",
    Reason.PULSE_LOST: "no answered pulse for `autonomous_after_ms`",
    Reason.PULSE_LATE: "no answered pulse for `degraded_after_ms`",
    Reason.UPLINK_UNSTABLE: "more than `breaks_max` breaks in `changes_window_ms`, and not yet held for its latch",
    Reason.JOURNAL: "the site's journal service gives no head for `degraded_after_ms`",
    Reason.STORAGE: "storage level soft or hard",
    Reason.CSMS: "the cloud says that the CSMS is down",
    Reason.SYNC_STALLED: "the watermark has not reached the head reported `sync_lag_ms` ago",
    Reason.CLOCK: "site and cloud clock are over `clock_offset_ms_max` apart",
    Reason.RULES_EXPIRED: "the active rules are past `valid_until_ms`",
    Reason.RULES_STALE: "site and cloud name different rules for `rules_stale_after_ms`",
}

OPENING = """# Modes

Generated from the code: `python -m mode_manager.spec > docs/spec/modes.md`. Do not edit.

A site is in exactly one mode. Changes for the worse happen at once. Improvements wait until they are sure, and until
an uplink that relapsed has held for its latch. An ordinary cut, one that went through autonomous, is over as fast as
its recovery is.

A site that falls out of connected or recovery a second time within `latch_ms_max` has relapsed. From then on, while the
uplink breaks more often than `breaks_max`, and whenever it leaves degraded, the bound holds: at most `changes_max`
changes in any `changes_window_ms`, changes to autonomous not counted. An improvement is made only when a change for the
worse could follow it at once and still fit.
"""

LATCH = """## Latch

The uplink *falls* when it takes the site to a worse mode. A first fall is an ordinary cut: `stable_for_ms` of answered
pulses end it. From the second on, the uplink must hold (be neither late nor broken more often than `breaks_max` in
`changes_window_ms`) for `latch_ms`, twice as long with each further fall, at most `latch_ms_max`. An uplink called
unstable must hold for `latch_ms` at least. When it has held for `latch_ms_max`, its falls are forgotten. The latch does
not outlive a restart of mode-manager; the bound on changes does.
"""


def render() -> str:
    return "\n".join(
        [
            OPENING,
            _matrix(),
            _transitions(),
            _reasons(),
            _overrides(),
            _open_points(),
            LATCH,
            _rules(),
        ]
    )


def _matrix() -> str:
    lines = [
        "## Which may follow which",
        "",
        rf"| from \ to | {' | '.join(Mode)} |",
        "|---" * (len(Mode) + 1) + "|",
    ]
    for before in (None, *Mode):
        cells = " | ".join(_cell(before, after) for after in Mode)
        lines.append(f"| {before or '(start)'} | {cells} |")
    return "\n".join([*lines, ""])


def _cell(before: Mode | None, after: Mode) -> str:
    if (before, after) in WORSE:
        return "worse"
    if (before, after) in BETTER:
        return "better"
    return "first" if (before, after) in FIRST else ""


def _transitions() -> str:
    lines = ["## When", "", "| from | to | | when |", "|---|---|---|---|"]
    for (before, after), when in TRANSITIONS.items():
        lines.append(f"| {before or '(start)'} | {after} | {_cell(before, after)} | {when} |")
    return "\n".join([*lines, ""])


def _reasons() -> str:
    lines = [
        "## Reasons, gravest first",
        "",
        "The first reason of a change brought it. All others that stand follow, and then those that came and went",
        "since the change before, so that none goes unsaid.",
        "",
        "| reason | stands when | recovery can heal it | leaves something open |",
        "|---|---|---|---|",
    ]
    for reason in GRAVEST_FIRST:
        heals = "no" if reason in BEYOND_RECOVERY else "yes"
        opens = "yes" if reason in LEAVES_SOMETHING_OPEN else ""
        lines.append(f"| {reason} | {STANDS_WHEN[reason]} | {heals} | {opens} |")
    others = ", ".join(
        f"`{reason}`"
        for reason in Reason
        if reason not in GRAVEST_FIRST and reason is not Reason.PLANNED
    )
    return "\n".join([*lines, "", f"Reasons that bring an improvement or the start: {others}.", ""])


def _overrides() -> str:
    ahead, lasts = AHEAD_MS_MAX // 86_400_000, LASTS_MS_MAX // 86_400_000
    lines = [
        "## Local overrides",
        "",
        "What people say about the mode, on `rpc.override` and `rpc.override-end`: journaled first",
        "(`override.begun`, `override.ended`), then in force, then answered. At most",
        f"{ahead} days ahead and {lasts} days long; one of a kind at a time, a newer one in place of the older.",
        "It ends at `until_ms` (site clock) by itself, or when somebody ends it, and outlives a restart;",
        "a new incarnation knows none.",
        "",
        "| override | the mode meanwhile | when it begins | when it ends | reason |",
        "|---|---|---|---|---|",
    ]
    lines += [f"| {kind} | {' | '.join(says)} |" for kind, says in OVERRIDES.items()]
    return "\n".join([*lines, ""])


def _open_points() -> str:
    lines = [
        "## Open points",
        "",
        "When recovery reached its bound, the site is connected with named open points. What they name takes it out of",
        "connected again only after it has once been over:",
        "",
    ]
    lines += [f"* step {step}: {WAIVED_BY[step]}" for step in Step if step in WAIVED_BY]
    return "\n".join([*lines, ""])


def _rules() -> str:
    lines = ["## Default numbers (`modes` of the rules)", "", "| clause | default |", "|---|---|"]
    lines += [f"| `{name}` | {value} |" for name, value in ModeRules().model_dump().items()]
    metered = Rules(version=1, metered=MeteredRules(link=True)).uplink
    lines += [
        "",
        "With `metered.link` the clauses of `metered` stand in the place of those of the same name:",
        "",
        "| clause | default |",
        "|---|---|",
    ]
    lines += [
        f"| `{name}` | {value} |"
        for name, value in metered.model_dump().items()
        if name in MeteredRules.model_fields
    ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.stdout.write(render())
