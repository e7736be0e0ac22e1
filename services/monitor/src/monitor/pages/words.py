"""Times, durations and amounts as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

from monitor.pages.html import Html, el

DASH = "–"


def clock(at_ms: int, now_ms: int) -> str:
    """17:34:28, with the day where it is another one. UTC."""
    at, now = datetime.fromtimestamp(at_ms / 1000, UTC), datetime.fromtimestamp(now_ms / 1000, UTC)
    if at.date() == now.date():
        return f"{at:%H:%M:%S}"
    return f"{at.day} {at:%b %H:%M:%S}" if at.year == now.year else f"{at:%Y-%m-%d %H:%M:%S}"


def moment(at_ms: int | None, now_ms: int) -> Html:
    """A time that machines can read too."""
    if at_ms is None or not 0 <= at_ms < 253_402_300_800_000:
        return Html(DASH)
    exact = datetime.fromtimestamp(at_ms / 1000, UTC)
    return el(
        "time",
        clock(at_ms, now_ms),
        datetime=f"{exact:%Y-%m-%dT%H:%M:%S}Z",
        title=f"{exact:%Y-%m-%d %H:%M:%S} UTC",
    )


def duration(for_ms: int) -> str:
    seconds = max(0, for_ms) // 1000
    if seconds < 100:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 100:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h {minutes % 60:02d} min" if hours < 48 else f"{hours // 24} days"


def ago(at_ms: int | None, now_ms: int) -> str:
    return "never" if at_ms is None else f"{duration(now_ms - at_ms)} ago"


def energy(energy_wh: int | None) -> str:
    return DASH if energy_wh is None else f"{energy_wh / 1000:.2f} kWh"


def number(value: int | None) -> str:
    """Thousands apart by a thin space: 12 345."""
    return DASH if value is None else f"{value:,}".replace(",", "\u202f")


def size(size_bytes: int | None) -> str:
    if size_bytes is None:
        return DASH
    amount = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return DASH


def plural(count: int, one: str, many: str | None = None) -> str:
    return f"{number(count)} {one if count == 1 else many or one + 's'}"
