"""What a card is made of, and amounts as people read them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from holdfast.contracts.mode import Mode


@dataclass(frozen=True, slots=True)
class CardRow:
    clause: str
    """Where it stands in the bundle; several, if the sentence rests on several."""
    says: str


Rows = tuple[CardRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeCard:
    mode: Mode
    rules: Rows
    """Which rules apply."""
    buffered: Rows
    """What is kept at the site, and what of it is left out."""
    allowed: Rows
    """Of each command."""
    reconciled: Rows
    """How it is made good with the cloud and the CSMS."""

    @property
    def parts(self) -> tuple[tuple[str, Rows], ...]:
        return (
            ("Which rules apply", self.rules),
            ("What is buffered", self.buffered),
            ("Which commands are allowed", self.allowed),
            ("How it is reconciled", self.reconciled),
        )


def row(section: str, *clauses: str, says: str) -> CardRow:
    """`row("storage", "soft_fraction", says=...)`."""
    return CardRow(clause=", ".join(f"{section}.{clause}" for clause in clauses), says=says)


def duration(ms: int) -> str:
    """Exact, so that a changed number is a changed word."""
    if ms == 0:
        return "0 s"
    for unit_ms, unit in ((86_400_000, "day"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")):
        if ms % unit_ms == 0 and ms >= unit_ms:
            count = ms // unit_ms
            if unit == "day":
                return f"{count} day" if count == 1 else f"{count} days"
            return f"{count} {unit}"
    return f"{ms / 1000:g} s" if ms % 10 == 0 and ms < 100_000 else f"{ms} ms"


def moment(at_ms: int) -> str:
    try:
        exact = datetime.fromtimestamp(at_ms // 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"
    return f"{exact:%Y-%m-%d %H:%M:%S} UTC" + (f" and {at_ms % 1000} ms" if at_ms % 1000 else "")


def size(count: int) -> str:
    for unit_size, unit in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count % unit_size == 0 and count >= unit_size:
            return f"{count // unit_size} {unit}"
    return f"{count} bytes"


def listed(words: Iterable[str], none: str = "none") -> str:
    found = list(words)
    if len(found) < 2:
        return found[0] if found else none
    return f"{', '.join(found[:-1])} and {found[-1]}"
