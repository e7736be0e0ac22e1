"""I6: at any time exactly one mode; the history has no holes; each change has its reasons.

Per life of the disk: the first change comes from nothing, each later one from the mode before it, along an
arrow of the table in the architecture. A disruption has one name from leaving connected to returning to it. While
people have the site in maintenance it is autonomous, and only then is maintenance its reason; each override has one
end. Decisions name the mode that stands.
"""

from __future__ import annotations

from collections import Counter

from holdfast.contracts.decision import DecisionMade
from holdfast.contracts.mode import (
    Mode,
    ModeChanged,
    Override,
    OverrideBegun,
    OverrideEnded,
    OverrideKind,
    Reason,
)
from simulation.evidence import Evidence, Written

CONNECTED, DEGRADED, AUTONOMOUS, RECOVERY = (
    Mode.CONNECTED,
    Mode.DEGRADED,
    Mode.AUTONOMOUS,
    Mode.RECOVERY,
)
SEEN_WITHIN_MS = 5_000
"""From an entry in the journal to those who act by it, whatever dies in between."""
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
        life = [one for one in evidence.written if one.incarnation == incarnation]
        found += _of_life(life)
        found += _overrides(life, stepped=evidence.clock_stepped)
        found += _decided_in(life, stepped=evidence.clock_stepped)
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


def _overrides(life: list[Written], *, stepped: bool) -> list[str]:
    found = []
    standing: dict[str, Override] = {}
    ends: Counter[str] = Counter()
    for entry in life:
        where = f"{entry.incarnation}:{entry.seq}"
        match entry.fact:
            case OverrideBegun(standing=now):
                standing = {one.id: one for one in now}
            case OverrideEnded(override=override, standing=now):
                ends[override.id] += 1
                if override.id not in standing:
                    found.append(f"{where}: override {override.id} ends, and did not stand")
                standing = {one.id: one for one in now}
            case ModeChanged() as fact if not stepped:
                found += [f"{where}: {why}" for why in _maintained(fact, standing)]
    found += [f"override {id} has {count} ends" for id, count in ends.items() if count > 1]
    return found


def _maintained(fact: ModeChanged, standing: dict[str, Override]) -> list[str]:
    kept = [one for one in standing.values() if one.kind is OverrideKind.MAINTENANCE]
    now = [one for one in kept if one.from_ms <= fact.since_ms < one.until_ms]
    if now and fact.mode is not AUTONOMOUS and fact.since_ms - now[0].from_ms > SEEN_WITHIN_MS:
        return [f"{fact.mode} in the middle of the maintenance {now[0].id}"]
    if fact.mode is AUTONOMOUS and Reason.MAINTENANCE in fact.reasons[:1] and not kept:
        return ["autonomous for a maintenance that nobody began"]
    return []


def _decided_in(life: list[Written], *, stepped: bool) -> list[str]:
    """In the mode that stood when the decision was begun, a moment late at most. Before the journal has named one that
    is autonomous; while it waited for the cloud it may have named more than one newer.
    """
    if stepped:
        return []
    found = []
    mode = AUTONOMOUS
    ended_ms: dict[Mode, int] = {}
    for entry in life:
        match entry.fact:
            case ModeChanged(mode=now):
                ended_ms[mode] = entry.envelope.at_ms
                mode = now
            case DecisionMade(inputs=inputs) if inputs.mode is not mode:
                late_ms = inputs.at_ms - ended_ms.get(inputs.mode, -SEEN_WITHIN_MS)
                if late_ms > SEEN_WITHIN_MS:
                    found.append(
                        f"{entry.incarnation}:{entry.seq}: decided in {inputs.mode}, {late_ms} ms after its end"
                    )
    return found
