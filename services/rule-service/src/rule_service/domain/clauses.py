"""Two sets of rules, clause by clause."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from holdfast.contracts.rules import Rules
from rule_service.domain.composing import leaves


@dataclass(frozen=True, slots=True)
class Change:
    clause: str
    """Its path in the bundle."""
    old: Any
    """None where it was not there, too."""
    new: Any


def difference(old: Rules, new: Rules) -> tuple[Change, ...]:
    """In the order of the bundle."""
    before = dict(leaves(old.model_dump(mode="json")))
    after = dict(leaves(new.model_dump(mode="json")))
    return tuple(
        Change(".".join(path), before.get(path), after.get(path))
        for path in dict.fromkeys((*before, *after))
        if (path in before) != (path in after) or before.get(path) != after.get(path)
    )
