"""Apply the rule again to a decision's own inputs: the proof that the journal explains it (I5); and apply other rules
to them: what would a candidate have said?
"""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.contracts.decision import (
    AdmitVerdict,
    AuthoriseInputs,
    AuthoriseVerdict,
    CloudAnswer,
    DecisionMade,
)
from holdfast.contracts.rules import Rules
from holdfast.expiry import in_force
from rule_service.domain import admit, authorise
from rule_service.domain.authorise import Asking
from rule_service.domain.ruling import Ruling

Verdict = AuthoriseVerdict | AdmitVerdict
AnyRuling = Ruling[AuthoriseVerdict] | Ruling[AdmitVerdict]


@dataclass(frozen=True, slots=True)
class Unknowable:
    """The inputs do not say what the candidate would have decided."""

    why: str


def reevaluate(rules: Rules, decision: DecisionMade) -> AnyRuling:
    """`rules` must be those of `decision.rules_version`."""
    if isinstance(decision.inputs, AuthoriseInputs):
        return authorise.evaluate(rules, decision.inputs)
    return admit.evaluate(rules, decision.inputs)


def holds(rules: Rules, decision: DecisionMade) -> bool:
    ruling = reevaluate(rules, decision)
    return (ruling.verdict, ruling.clause) == (decision.verdict, decision.clause)


def under_candidate(
    rules: Rules, candidate: Rules, decision: DecisionMade
) -> AnyRuling | Unknowable:
    """What `candidate` would have said where `rules` decided.

    An answer of the cloud is an input that the rules themselves had asked for. One that the candidate would not
    have waited for is left out; one that it would have waited for, and that nobody asked for, is not made up. How
    long an answer took is not journaled: one that came is taken to come within a shorter budget too.
    """
    inputs = decision.inputs
    if not isinstance(inputs, AuthoriseInputs):
        return admit.evaluate(candidate, inputs)
    silent = inputs.model_copy(
        update={"cloud": CloudAnswer.NOT_ASKED, "cloud_status": None, "cloud_parent": None}
    )
    if authorise.asking(candidate, inputs) is not Asking.AWAITED:
        return authorise.evaluate(candidate, silent)
    match inputs.cloud:
        case CloudAnswer.NOT_ASKED | CloudAnswer.NOT_AWAITED:
            return Unknowable(
                "the candidate waits for the cloud here, and nobody had: what it would have said is not known"
            )
        case CloudAnswer.TOO_LATE if _budget_ms(candidate, inputs) > _budget_ms(rules, inputs):
            return Unknowable("the candidate waits longer for the cloud, which gave no answer yet")
        case _:
            return authorise.evaluate(candidate, inputs)


def _budget_ms(rules: Rules, inputs: AuthoriseInputs) -> int:
    return in_force(rules, inputs.at_ms).authorise.of(inputs.mode).budget_ms
