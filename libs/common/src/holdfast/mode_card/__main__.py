"""docs/spec/mode-card.md: the card of the built-in rules.

python -m holdfast.mode_card > docs/spec/mode-card.md
"""

from __future__ import annotations

import sys

from holdfast.contracts.rules import Rules
from holdfast.mode_card import ModeCard, mode_card

OPENING = """# Mode card of the default rules

Generated from the code: `python -m holdfast.mode_card > docs/spec/mode-card.md`. Do not edit. Every site shows its own,
of the rules in force there: on its page, and by `GET /api/sites/{site}/mode-card`.
"""


def render() -> str:
    return "\n".join([OPENING, *(_card(card) for card in mode_card(Rules(version=1)))])


def _card(card: ModeCard) -> str:
    lines = [f"## {card.mode.value.capitalize()}", ""]
    for title, rows in card.parts:
        lines += [f"### {title}, {card.mode.value}", "", "| what holds | clause |", "|---|---|"]
        lines += [f"| {row.says} | {_clauses(row.clause)} |" for row in rows]
        lines.append("")
    return "\n".join(lines)


def _clauses(clause: str) -> str:
    return ", ".join(f"`{one}`" for one in clause.split(", ")) if clause else ""


if __name__ == "__main__":
    sys.stdout.write(render())
