"""The site's storage budget: which level stands, and how far the journal may be trimmed.

    level(policy, level, measured) -> level
    trim_bound(...)                -> the mark that everything up to may go, or None

Never beyond what the cloud verified and committed, never beyond what a fold still has to read, never
inside the retention time: three bounds, and the lowest of them counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.contracts.envelope import ENVELOPE_BYTES_MAX
from holdfast.contracts.journal import StorageLevel

RESERVE_FRACTION = 0.03
"""Of a small journal: when less than this is left the next large entry may not fit."""
BETTER_FRACTION = 0.95
"""A level is left for a better one only below this part of its limit: no flapping at the edge."""
TRIM_ENTRIES_MIN = 1_000
"""Trimming writes an anchor itself; less than this is not worth one."""


@dataclass(frozen=True, slots=True)
class Measured:
    bytes: int
    bytes_max: int
    """-1: no limit."""
    refused: bool
    """The last append was refused for want of room."""


def level(soft_fraction: float, stands: StorageLevel, measured: Measured) -> StorageLevel:
    """Worse at once, better only with some room to spare."""
    if measured.refused:
        return StorageLevel.HARD
    if measured.bytes_max < 0:
        return StorageLevel.OK
    hard = measured.bytes_max - min(
        ENVELOPE_BYTES_MAX, round(measured.bytes_max * RESERVE_FRACTION)
    )
    soft = min(round(measured.bytes_max * soft_fraction), hard)
    slack = 1.0 if stands is StorageLevel.OK else BETTER_FRACTION
    if measured.bytes >= hard * (slack if stands is StorageLevel.HARD else 1):
        return StorageLevel.HARD
    if measured.bytes >= soft * slack:
        return StorageLevel.SOFT
    return StorageLevel.OK


@dataclass(frozen=True, slots=True)
class Mark:
    """A checkpoint that was read back: the chain's hash at `seq`, everything up to it stored by `at_ms`."""

    seq: int
    hash: bytes
    at_ms: int


def trim_bound(
    marks: Sequence[Mark],
    *,
    watermark: int,
    fold_floor: int | None,
    kept_from_ms: int,
    first_seq: int,
) -> Mark | None:
    """The newest mark that may go; None when nothing (or too little) may."""
    bound = watermark if fold_floor is None else min(watermark, fold_floor)
    allowed = [mark for mark in marks if mark.seq <= bound and mark.at_ms < kept_from_ms]
    newest = max(allowed, key=lambda mark: mark.seq, default=None)
    if newest is None or newest.seq - first_seq + 1 < TRIM_ENTRIES_MIN:
        return None
    return newest
