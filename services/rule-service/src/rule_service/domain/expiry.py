"""Which rules decide at a moment: the bundle's own, or, once it has expired and says so, the built-in safe ones.

A function of the rules and the time in a decision's inputs, so a decision evaluates the same for ever (I5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from holdfast.contracts.decision import (
    AdmitInputs,
    AdmitVerdict,
    AuthoriseInputs,
    AuthoriseVerdict,
    Considered,
)
from holdfast.contracts.rules import Rules
from holdfast.expiry import SAFE, is_replaced
from rule_service.domain.ruling import Ruling

CLAUSE = "after_expiry"

Inputs = TypeVar("Inputs", AuthoriseInputs, AdmitInputs)
Verdict = TypeVar("Verdict", AuthoriseVerdict, AdmitVerdict)


def by_rules_in_force(
    evaluate: Callable[[Rules, Inputs], Ruling[Verdict]], rules: Rules, inputs: Inputs
) -> Ruling[Verdict]:
    """The clause named, and the one that is said to have decided, is the bundle's own: `after_expiry`. The sentences
    have that of the built-in rules.
    """
    if not is_replaced(rules, inputs.at_ms):
        return evaluate(rules, inputs)
    ruling: Ruling[Verdict] = evaluate(SAFE, inputs)
    why = (
        f"{ruling.explanation} (the rules have expired: the built-in ones decide, {ruling.clause})"
    )
    said = f"the rules have expired: the built-in ones decide instead, by {ruling.clause}"
    considered = (Considered(clause=CLAUSE, said=said, decided=True), *_beside(ruling.considered))
    return replace(ruling, clause=CLAUSE, explanation=why, considered=considered)


def _beside(considered: tuple[Considered, ...]) -> tuple[Considered, ...]:
    return tuple(one.model_copy(update={"decided": False}) for one in considered)
