"""Bounds of the numbers that come from outside. Beyond them a number is refused where it arrives: further in it would
meet a database, a clock or another language's JSON that can't hold it.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import AfterValidator, Field

WHOLE_MAX = 2**53 - 1
"""The largest whole number that every reader of JSON keeps as it is; SQLite and NATS hold it too."""
MOMENT_MS_MAX = 253_402_300_799_999
"""The last millisecond of the year 9999: no calendar here goes further."""
MOMENT_MS_MIN = -62_135_596_800_000
"""The first of the year 1: what some systems say for "never"."""
DURATION_MS_MAX = 100 * 365 * 86_400_000
"""A hundred years. In nanoseconds, as the bus counts, it still is a number of 64 bits."""
AMPS_MAX = 100_000
DEPTH_MAX = 32
"""Of what a contract carries without knowing its shape."""

Version = Annotated[int, Field(ge=1, le=WHOLE_MAX)]
Moment = Annotated[int, Field(ge=MOMENT_MS_MIN, le=MOMENT_MS_MAX)]
"""Milliseconds since 1970, UTC."""
Amps = Annotated[float, Field(ge=0, le=AMPS_MAX, allow_inf_nan=False)]


def held_moment(at_ms: int) -> int:
    """The nearest that can be held: with an offset the years 1 and 9999 reach beyond."""
    return min(max(at_ms, MOMENT_MS_MIN), MOMENT_MS_MAX)


def _holdable(value: Any, depth: int = 0) -> None:
    if depth > DEPTH_MAX:
        raise ValueError(f"it is nested more than {DEPTH_MAX} deep")
    match value:
        case bool() | None | str():
            pass
        case int() if abs(value) > WHOLE_MAX:
            raise ValueError(f"it has a whole number beyond {WHOLE_MAX}")
        case float() if not math.isfinite(value):
            raise ValueError("it has a number that is not finite")
        case dict():
            for part in value.values():
                _holdable(part, depth + 1)
        case list() | tuple():
            for part in value:
                _holdable(part, depth + 1)
        case _:
            pass


def _holdable_throughout(value: dict[str, Any]) -> dict[str, Any]:
    _holdable(value)
    return value


Payload = Annotated[dict[str, Any], AfterValidator(_holdable_throughout)]
"""Whose shape another standard says (OCPP): JSON with numbers that can be held, wherever they stand."""
