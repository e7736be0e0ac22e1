"""The mode card: what holds in each mode by the rules in force; the present mode's table is open."""

from __future__ import annotations

from functools import lru_cache

from holdfast.contracts.envelope import ContractError
from holdfast.contracts.mode import Mode
from holdfast.mode_card import ModeCard
from monitor.domain.cards import CARDS_MAX, Cards, cards_of
from monitor.domain.status import SiteStatus
from monitor.pages.frame import chip, section, table, told
from monitor.pages.html import Html, el

TITLE = "What holds in each mode"


def mode_card(status: SiteStatus) -> Html:
    note = told(status.rules_text, status.now_ms)
    text = status.rules_text.last
    if text is None:
        return section("mode-card", TITLE, el("p", "Unknown.", cls="empty"), note=note)
    try:
        cards = cards_of(text, status.now_ms)
    except ContractError as error:
        problem = f"These rules can't be read here: {error}"
        return section("mode-card", TITLE, el("p", problem, cls="empty"), note=note)
    present = status.mode.value.mode if status.mode.value else None
    return section("mode-card", TITLE, _drawers(cards, present), note=note)


@lru_cache(CARDS_MAX)
def _drawers(cards: Cards, present: Mode | None) -> Html:
    """Made once for all who read a page that is read again every few seconds."""
    return el("div", *(_drawer(card, open=card.mode is present) for card in cards), cls="drawers")


def _drawer(card: ModeCard, *, open: bool) -> Html:
    mode = card.mode.value
    parts = [
        [
            el("h3", title),
            table(
                f"{title}, {mode}",
                ("What holds", "Clause"),
                [(row.says, el("code", row.clause) if row.clause else None) for row in rows],
                "Nothing.",
                narrow=True,
            ),
        ]
        for title, rows in card.parts
    ]
    summary = el("summary", chip(mode, f"m-{mode}"), el("span", "now" if open else "", cls="why"))
    return el("details", summary, *parts, id=f"card-{mode}", open=open)
