"""Which seqNos of an OCPP 2.x transaction are accounted for: as closed ranges, in order, none touching the next.

    seen([0..3], 5) -> [0..3], [5..5]          missing(that, end=5) -> [4..4]

A number that the rules left out is accounted for: the station sent it, and the site says so (`left_out_seq`). One
that nobody knows of (`uncounted_seq`) is neither: it is told apart from what never came.
"""

from __future__ import annotations

from collections.abc import Iterable

from holdfast.contracts.session import SeqRange

RANGES_MAX = 64
"""Kept per session, the lowest; what lies beyond them is told as one hole."""

Ranges = tuple[SeqRange, ...]


def seen(ranges: Ranges, *new: SeqRange) -> Ranges:
    """With more of them. What is no range (backwards, below 0) is none."""
    merged: list[SeqRange] = []
    for begin, end in sorted((*ranges, *(one for one in new if 0 <= one[0] <= one[1]))):
        if merged and begin <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return tuple(merged[:RANGES_MAX])


def missing(ranges: Ranges, end: int | None) -> Ranges:
    """From 0 to `end`, both included (2.0.1 E01: the first seqNo is 0)."""
    return tuple(_holes(ranges, end)) if end is not None else ()


def common(some: Ranges, others: Ranges) -> Ranges:
    """What is in both."""
    found = [
        (max(begin, other_begin), min(end, other_end))
        for begin, end in some
        for other_begin, other_end in others
    ]
    return tuple(one for one in found if one[0] <= one[1])


def _holes(ranges: Ranges, end: int) -> Iterable[SeqRange]:
    at = 0
    for begin, until in ranges:
        if begin > end:
            break
        if begin > at:
            yield at, begin - 1
        at = until + 1
    if at <= end:
        yield at, end
