"""What the card says once the rules have expired and give way to the built-in safe ones."""

from __future__ import annotations

from holdfast.contracts.rules import Rules
from holdfast.expiry import SAFE
from holdfast.mode_card.card import CardRow, moment


def after_the_end(rules: Rules) -> CardRow:
    assert rules.valid_until_ms is not None  # or they have no end
    return CardRow(
        clause="valid_until_ms, after_expiry",
        says=f"These rules ended at {moment(rules.valid_until_ms)}: the built-in safe ones decide who may charge and "
        "which commands are delivered, and the rows here are theirs.",
    )


def with_the_safe_ones(rules: Rules) -> Rules:
    """Those that evaluate in their place. How much is kept of answers and words is the bundle's own to the end."""
    kept = {
        name: getattr(rules.authorise, name) for name in ("cache_entries_max", "revocations_max")
    }
    return SAFE.model_copy(
        update={"authorise": SAFE.authorise.model_copy(update=kept), "upstream": rules.upstream}
    )
