"""Times as OCPP writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def timestamp(at_ms: int) -> str:
    """`2026-01-31T12:00:00.123Z`: every message of a session has its own millisecond."""
    whole, rest_ms = divmod(at_ms, 1_000)
    moment = datetime.fromtimestamp(whole, tz=UTC).replace(microsecond=rest_ms * 1_000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment_ms(text: Any) -> int:
    """Of an ISO 8601 time with a zone; without one it is UTC, as OCPP 1.6 3.16 has it. Raise ValueError."""
    if not isinstance(text, str) or len(text) > 40:
        raise ValueError(text)
    moment = datetime.fromisoformat(text)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)
