"""Timestamps as charge points and CSMSs write them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


def moment_ms(text: object) -> int | None:
    """Milliseconds UTC; None where it is no OCPP timestamp. Without a zone it is taken for UTC."""
    return _moment_ms(text) if isinstance(text, str) else None


@lru_cache(maxsize=256)
def _moment_ms(text: str) -> int | None:
    """The same few are asked about again and again while a message is handled."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
