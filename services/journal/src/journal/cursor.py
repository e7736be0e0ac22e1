"""Where a page of entries ends: `incarnation:seq`, as callers hand it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from holdfast import subjects
from holdfast.contracts.envelope import ContractError

PAGE_BYTES_MAX = 384 * 1024
"""A page stops once it is over this: with one more entry of the largest size it still fits a message."""


@dataclass(frozen=True, slots=True)
class Cursor:
    incarnation: str
    seq: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """None for the beginning. Raise ContractError."""
        if not text:
            return None
        incarnation, _, seq = text.partition(":")
        if not subjects.INCARNATION.match(incarnation) or not (
            seq.isascii() and seq.isdigit() and len(seq) <= 18
        ):
            raise ContractError(f"{text[:40]!r} is no cursor: use `next` of the page before")
        return cls(incarnation, int(seq))

    def __str__(self) -> str:
        return f"{self.incarnation}:{self.seq}"
