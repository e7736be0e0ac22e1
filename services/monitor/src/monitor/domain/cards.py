"""What the monitor reads out of the rules in force at a site: the mode card, how often pulses come, when they end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from holdfast.contracts.envelope import ContractError
from holdfast.contracts.rules import Rules
from holdfast.expiry import SAFE, is_replaced
from holdfast.mode_card import ModeCard, mode_card
from holdfast.standing import parse_rules

CARDS_MAX = 64
"""Sites mostly share their rules, and reading a bundle takes tens of milliseconds."""
GISTS_MAX = 4_096
"""Of every site at once: what is asked in each answer about all sites is not read again."""
PROBLEM_LENGTH_MAX = 300

Cards = tuple[ModeCard, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gist:
    """The few clauses that the monitor itself goes by."""

    pulse_ms: int = 0
    valid_until_ms: int | None = None
    gives_way: bool = False
    """After the end: to the built-in safe rules."""
    problem: str = ""
    """Why these rules can't be read here; nothing else is known then."""


def cards_of(rules_text: str, at_ms: int) -> Cards:
    """As they hold at this moment. Raise ContractError when this build can't read them: a newer site may have newer
    clauses.
    """
    gist = gist_of(rules_text)
    ended = gist.valid_until_ms is not None and at_ms >= gist.valid_until_ms
    found = _cards(rules_text, gist.valid_until_ms if ended else None)
    if isinstance(found, str):
        raise ContractError(found)
    return found


@lru_cache(GISTS_MAX)
def gist_of(rules_text: str) -> Gist:
    """Of a text that can't be read: why."""
    rules = _read(rules_text)
    if isinstance(rules, str):
        return Gist(problem=rules)
    until_ms = rules.valid_until_ms
    return Gist(
        pulse_ms=rules.uplink.pulse_ms,
        valid_until_ms=until_ms,
        gives_way=until_ms is not None and is_replaced(rules, until_ms),
    )


@lru_cache(CARDS_MAX)
def _cards(rules_text: str, at_ms: int | None) -> Cards | str:
    rules = _read(rules_text)
    if isinstance(rules, str):
        return rules
    try:
        return mode_card(rules, at_ms)
    except Exception as error:  # noqa: BLE001  # as in _read: numbers that this build can't put into words
        return _problem(error)


def _read(rules_text: str) -> Rules | str:
    """The text comes from one site's journal. Whatever is wrong with it, readers and validators of several libraries
    being what they are, it is wrong with that site alone: the answer about all the others must not end with it.
    """
    try:
        return parse_rules(rules_text) if rules_text else SAFE
    except Exception as error:  # noqa: BLE001  # the boundary between one site and all the others
        return _problem(error)


def _problem(error: Exception) -> str:
    said = str(error) if isinstance(error, ContractError) else f"{type(error).__name__}: {error}"
    return said[:PROBLEM_LENGTH_MAX]
