"""Which rules stand at a moment: a bundle's own, or, once it has expired and says so, the built-in safe ones."""

from __future__ import annotations

from holdfast.contracts.life import AfterExpiry
from holdfast.contracts.rules import Rules

SAFE = Rules(version=1, name="built-in")


def in_force(rules: Rules, at_ms: int) -> Rules:
    """For who may charge and which commands are delivered; everything else the bundle goes on saying."""
    return SAFE if is_replaced(rules, at_ms) else rules


def is_replaced(rules: Rules, at_ms: int) -> bool:
    until_ms = rules.valid_until_ms
    return rules.after_expiry is AfterExpiry.SAFE and until_ms is not None and at_ms >= until_ms
