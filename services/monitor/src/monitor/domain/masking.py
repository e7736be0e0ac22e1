"""Driver tokens as people may see them: enough to tell two apart, too little to charge with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SECRET_KEYS = frozenset({"idtag", "parentidtag", "driver_token", "authorizationkey", "password"})
SHOWN = 2
SHOWN_FROM = 6
"""A shorter token would be half given away by its last characters."""


def mask(text: str) -> str:
    return "••••" + text[-SHOWN:] if len(text) >= SHOWN_FROM else "••••"


def masked(value: Any) -> Any:
    """The same document with every secret field masked, at whatever depth."""
    match value:
        case Mapping():
            return {key: _field(str(key), inner) for key, inner in value.items()}
        case list() | tuple():
            return [masked(inner) for inner in value]
        case _:
            return value


def _field(key: str, value: Any) -> Any:
    return mask(value) if key.lower() in SECRET_KEYS and isinstance(value, str) else masked(value)
