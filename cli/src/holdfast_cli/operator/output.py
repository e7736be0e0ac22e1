"""What a verb prints: tables fitted to the terminal for people, the API's documents for programs.

Identities, reasons and vendors' texts come from outside: control characters are shown, never sent to the terminal.
"""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from holdfast.clock import iso

DASH = "-"
WIDTH_UNBOUNDED = 100_000
"""Into a file or pipe nothing is cut."""
COLUMN_MIN = 6
GAP = "  "
YEAR_9999_MS = 253_402_300_800_000

Cell = Any


def print_json(document: Any) -> None:
    print(json.dumps(document, indent=2))


def clean(value: Cell) -> str:
    """One line of printable text, whatever came."""
    if value is None or value == "":
        return DASH
    text = ("yes" if value else "no") if isinstance(value, bool) else str(value)
    return "".join(_shown(letter) for letter in text)


def _shown(letter: str) -> str:
    """Controls, and the marks that turn the direction of writing, stand as they are written in source code."""
    if letter.isprintable() or unicodedata.category(letter) == "Zs":
        return letter
    return letter.encode("unicode_escape").decode()


def width_now() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH_UNBOUNDED


def table(
    headers: Sequence[str], rows: Iterable[Sequence[Cell]], empty: str, width: int | None = None
) -> str:
    """Columns as wide as they need; where that is too much the widest give way, with an ellipsis. A column without
    a header holds marks: there nothing is nothing.
    """
    told = [
        [
            "" if not header and not cell else clean(cell)
            for header, cell in zip(headers, row, strict=True)
        ]
        for row in rows
    ]
    if not told:
        return empty
    widths = [
        max(len(header), *(len(row[place]) for row in told)) for place, header in enumerate(headers)
    ]
    room = (width or width_now()) - len(GAP) * (len(headers) - 1)
    while sum(widths) > room and max(widths) > COLUMN_MIN:
        widest = widths.index(max(widths))
        others = sum(widths) - widths[widest]
        second = max(sorted(widths)[-2] if len(widths) > 1 else 0, COLUMN_MIN)
        widths[widest] = max(
            min(room - others, widths[widest] - 1), min(second, widths[widest] - 1)
        )
    lines = [[header.upper() for header in headers], *told]
    return "\n".join(
        GAP.join(_fitted(cell, size) for cell, size in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _fitted(text: str, size: int) -> str:
    return text.ljust(size) if len(text) <= size else text[: size - 1] + "…"


def fields(pairs: Iterable[tuple[str, Cell]]) -> str:
    """`name   value`, one a line."""
    told = [(name, clean(value)) for name, value in pairs]
    size = max((len(name) for name, _ in told), default=0)
    return "\n".join(f"{name.ljust(size)}{GAP}{value}" for name, value in told)


def moment(at_ms: Cell) -> str:
    """UTC, to the second."""
    if not isinstance(at_ms, int) or not 0 < at_ms < YEAR_9999_MS:
        return DASH
    return iso(at_ms)[:19].replace("T", " ") + "Z"


def duration(for_ms: int) -> str:
    seconds = max(0, for_ms) // 1000
    if seconds < 100:
        return f"{seconds} s"
    if seconds < 6_000:
        return f"{seconds // 60} min"
    hours = seconds // 3600
    return f"{hours} h {seconds // 60 % 60:02d} min" if hours < 48 else f"{hours // 24} days"


def reading(of: Mapping[str, Any], said: Any) -> str:
    """A reading of the API's: unknown says why and what was known last, never nothing."""
    if of.get("known"):
        return clean(said)
    why = of.get("problem") or "not heard yet"
    age_ms = of.get("age_ms")
    age = "" if age_ms is None else f", last known {duration(age_ms)} ago"
    return f"unknown ({clean(why)}{age})"
