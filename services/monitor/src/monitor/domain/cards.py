"""What the monitor reads out of the rules in force at a site: the mode card, and how often pulses come."""

from __future__ import annotations

from functools import lru_cache

from holdfast.contracts.envelope import ContractError
from holdfast.contracts.rules import Rules
from holdfast.mode_card import ModeCard, mode_card
from holdfast.standing import parse_rules

CARDS_MAX = 64
"""Sites mostly share their rules, and reading a bundle takes tens of milliseconds."""

Cards = tuple[ModeCard, ...]


def cards_of(rules_text: str) -> Cards:
    """Raise ContractError when this build can't read them: a newer site may have newer clauses."""
    found = _read(rules_text)
    if isinstance(found, str):
        raise ContractError(found)
    return found[1]


def pulse_ms_of(rules_text: str) -> int:
    """0: these rules can't be read here."""
    found = _read(rules_text)
    return 0 if isinstance(found, str) else found[0].uplink.pulse_ms


@lru_cache(CARDS_MAX)
def _read(rules_text: str) -> tuple[Rules, Cards] | str:
    try:
        rules = parse_rules(rules_text) if rules_text else Rules(version=1, name="built-in")
    except ContractError as error:
        return str(error)
    return rules, mode_card(rules)
