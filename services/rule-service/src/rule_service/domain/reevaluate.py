"""Apply the rule again to a decision's own inputs: the proof that the journal explains it (I5)."""

from __future__ import annotations

from holdfast.contracts.decision import (
    AdmitVerdict,
    AuthoriseInputs,
    AuthoriseVerdict,
    DecisionMade,
)
from holdfast.contracts.rules import Rules
from rule_service.domain import admit, authorise
from rule_service.domain.ruling import Ruling


def reevaluate(
    rules: Rules, decision: DecisionMade
) -> Ruling[AuthoriseVerdict] | Ruling[AdmitVerdict]:
    """`rules` must be those of `decision.rules_version`."""
    if isinstance(decision.inputs, AuthoriseInputs):
        return authorise.evaluate(rules, decision.inputs)
    return admit.evaluate(rules, decision.inputs)


def holds(rules: Rules, decision: DecisionMade) -> bool:
    ruling = reevaluate(rules, decision)
    return (ruling.verdict, ruling.clause) == (decision.verdict, decision.clause)
