"""I5: what decides is a bundle that somebody who may has signed; newer ones take over at a safe point, older never.

Told by the journal alone: an activation names what it replaces, and no newer bundle replaces another while the site
is autonomous. The mode is known to rule-service a moment after it stands in the journal: so much is let pass.
"""

from __future__ import annotations

from collections import Counter
from hashlib import sha256

from holdfast.contracts.mode import Mode, ModeChanged
from holdfast.contracts.rules import RulesActivated
from simulation.evidence import Evidence, Written

HEARD_WITHIN_MS = 5_000


def check(evidence: Evidence) -> list[str]:
    found: list[str] = []
    for incarnation in evidence.lives():
        life = [one for one in evidence.written if one.incarnation == incarnation]
        found += _of_life(evidence, life)
    return found


def _of_life(evidence: Evidence, life: list[Written]) -> list[str]:
    found: list[str] = []
    stands = 0
    mode: tuple[Mode, int] | None = None
    times: Counter[int] = Counter()
    for entry in life:
        match entry.fact:
            case ModeChanged(mode=now):
                mode = now, entry.envelope.at_ms
            case RulesActivated() as fact:
                where = f"{entry.incarnation}:{entry.seq}"
                found += [f"{where}: {why}" for why in _activation(evidence, fact, stands)]
                if stands and fact.version != stands and _in_autonomous(evidence, entry, mode):
                    found.append(f"{where}: {fact.version} replaces {stands} in autonomous")
                stands = fact.version
                times[fact.version] += 1
    found += [
        f"rules {one} were activated {count} times" for one, count in times.items() if count > 1
    ]
    return found


def _activation(evidence: Evidence, fact: RulesActivated, stands: int) -> list[str]:
    found = []
    if fact.hash != sha256(fact.text.encode()).hexdigest():
        found.append(f"rules {fact.version} do not have the hash they are journaled with")
    if fact.hash not in evidence.good_rules:
        found.append(f"rules {fact.version} were activated, and nobody who may has signed them")
    if fact.previous_version != stands:
        found.append(f"rules {fact.version} replace {fact.previous_version}, and {stands} stood")
    if fact.version < stands:
        found.append(f"rules {fact.version} replace the newer {stands}")
    return found


def _in_autonomous(evidence: Evidence, entry: Written, mode: tuple[Mode, int] | None) -> bool:
    if mode is None or mode[0] is not Mode.AUTONOMOUS:
        return False
    return not evidence.clock_stepped and entry.envelope.at_ms - mode[1] > HEARD_WITHIN_MS
