"""Pages: every row once and in order, whatever the limit, and no cursor that is none is taken."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.paging import BadRequest, limit_of, page_by_number, page_by_place
from monitor.domain.rows import Place, SiteState

LIVES = ("aaaaaaaa", "bbbbbbbb")
STATE = SiteState(site="berlin01", positions={"aaaaaaaa": 99, "bbbbbbbb": 99})


@st.composite
def rows(draw: st.DrawFn) -> list[Place]:
    return [
        Place(life, seq)
        for life in LIVES
        for seq in sorted(draw(st.sets(st.integers(1, 99), max_size=15)))
    ]


@given(rows(), st.integers(1, 40))
def test_pages_by_place_give_every_row_once_in_order(places: list[Place], limit: int) -> None:
    seen: list[Place] = []
    after: str | None = ""
    while after is not None:
        shown, after = page_by_place(places, lambda place: place, STATE, after, limit)
        seen += shown
    assert seen == places


@given(rows(), st.integers(1, 9), st.integers(0, 20))
def test_rows_dropped_at_their_bound_between_two_pages_are_skipped_not_repeated(
    places: list[Place], limit: int, dropped: int
) -> None:
    shown, after = page_by_place(places, lambda place: place, STATE, "", limit)
    if after is None:
        return
    left = places[dropped:]
    rest, _ = page_by_place(left, lambda place: place, STATE, after, 1000)
    assert list(rest) == [place for place in left if place not in shown]


@given(st.lists(st.integers(), max_size=30), st.integers(1, 40))
def test_pages_by_number_give_every_row_once_in_order(numbers: list[int], limit: int) -> None:
    seen: list[int] = []
    after: str | None = ""
    while after is not None:
        shown, after = page_by_number(numbers, after, limit)
        seen += shown
    assert seen == numbers


@pytest.mark.parametrize(
    "cursor", ["x", "aaaaaaaa", "aaaaaaaa:", "aaaaaaaa:-1", "zzzzzzzz:1", "a:1", "::", "\x00"]
)
def test_a_cursor_that_is_none_of_this_list_is_refused(cursor: str) -> None:
    with pytest.raises(BadRequest, match="no cursor"):
        page_by_place([Place("aaaaaaaa", 1)], lambda place: place, STATE, cursor, 10)


@given(st.text(max_size=30))
def test_any_text_as_cursor_or_limit_is_read_or_refused(text: str) -> None:
    with suppress(BadRequest):
        page_by_place([Place("aaaaaaaa", 1)], lambda place: place, STATE, text, 10)
    with suppress(BadRequest):
        page_by_number([1, 2], text, 10)
    with suppress(BadRequest):
        assert 1 <= limit_of(text) <= 1000


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "1e3", "99999999", "٣"])
def test_a_limit_out_of_range_is_refused(limit: str) -> None:
    with pytest.raises(BadRequest):
        limit_of(limit)
