"""The mode card: for each mode one table of what holds at the site, generated from a bundle's values.

    mode_card(rules, at_ms) -> a card for each mode: which rules apply, what is buffered, what is allowed, how it is
                               reconciled afterwards

Once the rules have expired, and give way to the built-in safe ones, the rows of who may charge and of commands are
those that decide then. Without a moment: as the bundle has it.

For an operator at night: sentences, with the clause they come from beside them. Nothing here decides; a test
holds that no clause which matters in a mode is missing, and that a changed clause changes its row.
"""

from __future__ import annotations

from holdfast.contracts.mode import Mode
from holdfast.contracts.rules import Rules
from holdfast.expiry import is_replaced
from holdfast.mode_card.after_the_end import after_the_end, with_the_safe_ones
from holdfast.mode_card.card import CardRow, ModeCard, Rows
from holdfast.mode_card.parts import allowed, buffered, reconciled
from holdfast.mode_card.standing_rules import standing_rules

__all__ = ["CardRow", "ModeCard", "mode_card"]


def mode_card(rules: Rules, at_ms: int | None = None) -> tuple[ModeCard, ...]:
    ended = at_ms is not None and is_replaced(rules, at_ms)
    first: Rows = (after_the_end(rules),) if ended else ()
    deciding = with_the_safe_ones(rules) if ended else rules
    return tuple(
        ModeCard(
            mode=mode,
            rules=(*first, *standing_rules(rules, deciding, mode)),
            buffered=buffered(rules, mode),
            allowed=(*first, *allowed(deciding, mode)),
            reconciled=reconciled(rules, mode),
        )
        for mode in Mode
    )
