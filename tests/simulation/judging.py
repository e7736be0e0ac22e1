"""Every checker over one life's evidence, and how a life that broke something is told."""

from __future__ import annotations

from collections.abc import Callable

from simulation.checkers import (
    acknowledged_is_archived,
    archive_is_contiguous,
    chain_verifies,
    commands_are_admitted,
    csms_matches_ledgers,
    decisions_reevaluate,
    modes_have_no_holes,
    no_stale_command,
    rules_take_over_in_order,
    sessions_match_ledgers,
    settled_means_settled,
)
from simulation.evidence import Evidence
from simulation.story import SETTLED_WITHIN_MS, Lived

CHECKERS: dict[str, Callable[[Evidence], list[str]]] = {
    "I1 acknowledged is archived": acknowledged_is_archived.check,
    "I2 archive is contiguous": archive_is_contiguous.check,
    "I3 sessions match ledgers": sessions_match_ledgers.check,
    "I4 settled means settled": settled_means_settled.check,
    "I5 decisions re-evaluate": decisions_reevaluate.check,
    "I5 rules take over in order": rules_take_over_in_order.check,
    "I6 modes have no holes": modes_have_no_holes.check,
    "I7 no stale command": no_stale_command.check,
    "I7 commands are admitted": commands_are_admitted.check,
    "I10 chain verifies": chain_verifies.check,
    "I11 csms matches ledgers": csms_matches_ledgers.check,
}
TOLD_MAX = 5
"""Of each kind: the first ones say it."""


def judge(lived: Lived) -> list[str]:
    """Everything that was broken, one sentence each; empty: all promises kept."""
    broken = []
    for name, check in CHECKERS.items():
        broken += _told(name, check(lived.evidence))
    broken += _told(f"not settled within {SETTLED_WITHIN_MS} ms", list(lived.unsettled))
    ends = [f"{death.process} at {death.at_ms} ms:\n{death.why}" for death in lived.died]
    return broken + _told("died by itself", ends)


def _told(name: str, violations: list[str]) -> list[str]:
    told = [f"{name}: {violation}" for violation in violations[:TOLD_MAX]]
    left = len(violations) - TOLD_MAX
    return [*told, f"{name}: and {left} more"] if left > 0 else told
