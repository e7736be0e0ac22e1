"""Pages of rows: a cursor is the place of the last row shown, so it stays true while rows come and go."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from monitor.domain.rows import Place, SiteState

LIMIT = 100
LIMIT_MAX = 1_000

Row = TypeVar("Row")

_PLACE = re.compile(r"^([a-z0-9]{8}):([0-9]{1,15})$")


class BadRequest(ValueError):
    """What was asked can't be: the sentence says which part and what now."""


def limit_of(text: str | None, default: int = LIMIT) -> int:
    if text is None or text == "":
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= LIMIT_MAX):
        raise BadRequest(f"limit {text[:20]!r} is not a number from 1 to {LIMIT_MAX}")
    return int(text)


def page_by_place(
    rows: Sequence[Row], place_of: Callable[[Row], Place], state: SiteState, after: str, limit: int
) -> tuple[Sequence[Row], str | None]:
    """The rows after the cursor, and the next one. Rows that were dropped at their bound are skipped."""
    begin = _begin(rows, place_of, state, after) if after else 0
    shown = rows[begin : begin + limit]
    more = begin + limit < len(rows)
    return shown, str(place_of(shown[-1])) if more else None


def page_by_number(rows: Sequence[Row], after: str, limit: int) -> tuple[Sequence[Row], str | None]:
    """For short lists that only grow: the cursor is how many were shown."""
    if after and not (after.isascii() and after.isdigit() and len(after) <= 9):
        raise BadRequest(f"{after[:40]!r} is no cursor: use `next` of the page before")
    begin = int(after or 0)
    end = begin + limit
    return rows[begin:end], str(end) if end < len(rows) else None


def _begin(
    rows: Sequence[Row], place_of: Callable[[Row], Place], state: SiteState, after: str
) -> int:
    matched = _PLACE.match(after)
    if matched is None or matched[1] not in state.positions:
        raise BadRequest(f"{after[:40]!r} is no cursor of this list: use `next` of the page before")
    incarnation, seq = matched[1], int(matched[2])
    lives = list(state.positions)
    life = lives.index(incarnation)
    for index, row in enumerate(rows):
        place = place_of(row)
        # A life that is no longer remembered is older than all that are.
        row_life = lives.index(place.incarnation) if place.incarnation in state.positions else -1
        if (row_life, place.seq) > (life, seq):
            return index
    return len(rows)
