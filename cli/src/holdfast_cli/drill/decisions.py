"""Does the journal explain each decision? All of them are decided again, by the rules that they name (I5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import BaseModel

from holdfast.contracts.envelope import Envelope
from holdfast_cli.operator.retest import retest


class DecisionsAccount(BaseModel):
    total: int
    reevaluated_equal: int
    differing: list[str]
    unexplained: list[str]
    """Could not be decided again: also one that names rules before their activation in the journal."""


def account(journal: Iterable[Envelope]) -> DecisionsAccount:
    """`journal`: whole and in order."""
    again = retest(journal)
    return DecisionsAccount(
        total=again.total,
        reevaluated_equal=again.equal,
        differing=[
            f"{one.decision} at {one.charge_point} was {one.was.outcome} by {one.was.clause}, "
            f"rules {one.rules_version} give {one.now.outcome} by {one.now.clause}"
            for one in again.differing
        ],
        unexplained=[f"{one.decision}: {one.why}" for one in again.unexplained],
    )


def problems(of: DecisionsAccount) -> Iterator[str]:
    yield from (f"decision differs: {one}" for one in of.differing)
    yield from (f"decision not explained: {one}" for one in of.unexplained)
    if of.reevaluated_equal != of.total:
        yield f"{of.reevaluated_equal} of {of.total} decisions are equal when they are decided again"
    if not of.total:
        yield "no decision is in the journal: nothing was tested"


def rows(of: DecisionsAccount) -> Iterator[tuple[str, str]]:
    yield (
        "decisions",
        f"{of.total}, each with its rule and inputs; {of.reevaluated_equal} equal when decided again",
    )
