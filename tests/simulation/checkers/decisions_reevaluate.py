"""I5: every decision names rules, clause, inputs and mode, and the same rules on the same inputs give it again.

The rules are taken from the journal itself: the text that was in force under the version it names. That is the newest
one activated before it, or the one before that: a decision under way ends by the rules it began with.
"""

from __future__ import annotations

from holdfast.contracts.decision import Considered, DecisionMade
from holdfast.contracts.rules import Rules, RulesActivated
from holdfast.standing import parse_rules
from rule_service.domain.reevaluate import reevaluate
from simulation.evidence import Evidence


def check(evidence: Evidence) -> list[str]:
    found: list[str] = []
    parsed: dict[str, Rules] = {}
    for incarnation in evidence.lives():
        rules: dict[int, Rules] = {}
        newest: tuple[int, ...] = ()
        for entry in evidence.written:
            if entry.incarnation != incarnation:
                continue
            where = f"{incarnation}:{entry.seq}"
            match entry.fact:
                case RulesActivated(version=version, text=text, hash=hash):
                    if hash not in parsed:
                        parsed[hash] = parse_rules(text)
                    rules[version] = parsed[hash]
                    newest = (*newest, version)[-2:]
                case DecisionMade() as decision:
                    found += [f"{where}: {why}" for why in _of(decision, rules)]
                    if decision.rules_version in rules and decision.rules_version not in newest:
                        found.append(
                            f"{where}: decided by rules {decision.rules_version}, long after {newest}"
                        )
    return found


def _of(decision: DecisionMade, rules: dict[int, Rules]) -> list[str]:
    named = rules.get(decision.rules_version)
    if named is None:
        return [f"decided by rules {decision.rules_version}, which the journal does not have"]
    ruling = reevaluate(named, decision)
    if ruling.verdict != decision.verdict:
        return [f"the verdict was {decision.verdict}, and is now {ruling.verdict}"]
    if ruling.clause != decision.clause:
        return [f"the clause was {decision.clause}, and is now {ruling.clause}"]
    return _explained(decision, ruling.considered)


def _explained(decision: DecisionMade, again: tuple[Considered, ...]) -> list[str]:
    """Whoever asks "why not?" is told all that was looked at, and the one clause that decided."""
    if decision.considered != again:
        return [f"it says it looked at {decision.considered}, and it is now {again}"]
    deciding = [one.clause for one in decision.considered if one.decided]
    if deciding != [decision.clause]:
        return [f"decided by {decision.clause}, and what it looked at says {deciding}"]
    if not decision.explanation:
        return ["it has no explanation"]
    return []
