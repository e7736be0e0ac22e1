"""I6: at any time exactly one mode; the history has no holes; each change has its reasons.

Per life of the disk: the first change comes from nothing, each later one from the mode before it, along an
arrow of the table in the architecture. A disruption has one name from leaving connected to returning to it.
"""

from __future__ import annotations

from holdfast.contracts.mode import Mode, ModeChanged
from simulation.evidence import Evidence, Written

CONNECTED, DEGRADED, AUTONOMOUS, RECOVERY = (
    Mode.CONNECTED,
    Mode.DEGRADED,
    Mode.AUTONOMOUS,
    Mode.RECOVERY,
)
FOLLOWS: dict[Mode | None, set[Mode]] = {
    None: {AUTONOMOUS},
    CONNECTED: {DEGRADED, AUTONOMOUS},
    DEGRADED: {CONNECTED, AUTONOMOUS, RECOVERY},
    AUTONOMOUS: {RECOVERY, DEGRADED},
    RECOVERY: {CONNECTED, DEGRADED, AUTONOMOUS},
}
"""Written down here once more: a table checked against itself proves nothing."""


def check(evidence: Evidence) -> list[str]:
    found: list[str] = []
    for incarnation in evidence.lives():
        found += _of_life([one for one in evidence.written if one.incarnation == incarnation])
    return found


def _of_life(life: list[Written]) -> list[str]:
    found = []
    stands: Mode | None = None
    disruption: str | None = None
    for entry in life:
        fact = entry.fact
        if not isinstance(fact, ModeChanged):
            continue
        where = f"{entry.incarnation}:{entry.seq}"
        if fact.previous is not stands:
            found.append(f"{where}: {fact.mode} follows {fact.previous}, and {stands} stood")
        if fact.mode not in FOLLOWS[fact.previous]:
            found.append(f"{where}: no arrow leads from {fact.previous} to {fact.mode}")
        if not fact.reasons:
            found.append(f"{where}: {fact.mode} without a reason")
        found += _disruption(where, fact, disruption)
        stands = fact.mode
        disruption = None if fact.mode is CONNECTED else fact.disruption
    return found


def _disruption(where: str, fact: ModeChanged, runs: str | None) -> list[str]:
    if fact.mode is not CONNECTED and fact.disruption is None:
        return [f"{where}: {fact.mode} belongs to no disruption"]
    if runs is not None and fact.disruption not in (runs, None):
        return [f"{where}: disruption {runs} goes on under the name {fact.disruption}"]
    return []
