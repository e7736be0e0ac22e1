"""The mode card: for each mode one table of what holds at the site, generated from a bundle's values.

    mode_card(rules) -> a card for each mode: which rules apply, what is buffered, what is allowed, how it is
                        reconciled afterwards

For an operator at night: sentences, with the clause they come from beside them. Nothing here decides; a test
holds that no clause which matters in a mode is missing, and that a changed clause changes its row.
"""

from __future__ import annotations

from holdfast.contracts.mode import Mode
from holdfast.contracts.rules import Rules
from holdfast.mode_card.card import CardRow, ModeCard
from holdfast.mode_card.parts import allowed, buffered, reconciled
from holdfast.mode_card.standing_rules import standing_rules

__all__ = ["CardRow", "ModeCard", "mode_card"]


def mode_card(rules: Rules) -> tuple[ModeCard, ...]:
    return tuple(
        ModeCard(
            mode=mode,
            rules=standing_rules(rules, mode),
            buffered=buffered(rules, mode),
            allowed=allowed(rules, mode),
            reconciled=reconciled(rules, mode),
        )
        for mode in Mode
    )
