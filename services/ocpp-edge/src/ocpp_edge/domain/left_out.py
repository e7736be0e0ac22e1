"""What was left out by rule and is not told yet; and ranges of seqNos, in order, none touching the next."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.contracts.session import SeqRange

Ranges = tuple[SeqRange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Untold:
    """Of one session, since its last reading that was kept: what the store has of it, for a restart."""

    after: int
    """Sequence of that reading in the journal. Once there is a newer one, this has been told."""
    left_out: int = 0
    left_out_seq: Ranges = ()
    last_left_out: str = ""
    """Message id of the last one: it may not have heard its answer, and come again."""
    is_whole: bool = False
    """Written when ocpp-edge was told to stop: nothing was left out after it."""


def is_in(ranges: Ranges, seq_no: int) -> bool:
    return any(first <= seq_no <= last for first, last in ranges)


def with_seq(ranges: Ranges, seq_no: int) -> Ranges:
    """With one more."""
    joined: list[SeqRange] = []
    for first, last in sorted((*ranges, (seq_no, seq_no))):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(last, joined[-1][1])
        else:
            joined.append((first, last))
    return tuple(joined)


def without_seq(ranges: Ranges, seq_no: int) -> Ranges:
    left: list[SeqRange] = []
    for first, last in ranges:
        if first <= seq_no <= last:
            parts = (first, seq_no - 1), (seq_no + 1, last)
            left += [one for one in parts if one[0] <= one[1]]
        else:
            left.append((first, last))
    return tuple(left)


def between(after: int, before: int, ranges: Ranges) -> Ranges:
    """The seqNos between two, both excluded, that are in none of the ranges."""
    holes: list[SeqRange] = []
    at = after + 1
    for first, last in ranges:
        if last < at:
            continue
        if first >= before:
            break
        if first > at:
            holes.append((at, first - 1))
        at = last + 1
    if at < before:
        holes.append((at, before - 1))
    return tuple(holes)
