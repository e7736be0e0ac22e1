"""Words that several answers use: counts, spans of time, what was announced."""

from __future__ import annotations

from datetime import UTC, datetime

from holdfast.contracts.mode import Override, OverrideKind
from monitor.domain.status import SiteStatus


def planned(status: SiteStatus) -> str:
    """To be added to a sentence; empty where nothing is planned."""
    override = status.override(OverrideKind.PLANNED_DISRUPTION)
    return f" A disruption is planned {announced(override)}." if override else ""


def announced(override: Override) -> str:
    return f"until {_moment(override.until_ms)}, by {override.by}: {override.why}"


def _moment(at_ms: int) -> str:
    """Told by a site: one that is in no calendar must not end the answers about all the others."""
    try:
        return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"


def number(value: int) -> str:
    return f"{value:,}".replace(",", "\u202f")


def count(value: int, what: str) -> str:
    return f"{number(value)} {what}{'' if value == 1 else 's'}"


def minutes(duration_ms: int) -> str:
    whole = duration_ms // 60_000
    if whole < 120:
        return f"{whole} min"
    return f"{whole // 60} h {whole % 60} min" if whole < 2880 else f"{whole // 1440} days"
