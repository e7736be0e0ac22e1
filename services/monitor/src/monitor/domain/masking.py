"""Driver tokens as people may see them: enough to tell two apart, too little to charge with. And no secret at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.masking import without_secrets

TOKEN_KEYS = frozenset({"idtag", "parentidtag", "idtoken", "driver_token"})
SHOWN = 2
SHOWN_FROM = 6
"""A shorter token would be half given away by its last characters."""


def mask(text: str) -> str:
    return "••••" + text[-SHOWN:] if len(text) >= SHOWN_FROM else "••••"


def masked(value: Any) -> Any:
    """The same document with every driver token in it masked, at whatever depth, and without secrets."""
    return _tokens_masked(without_secrets(value))


def _tokens_masked(value: Any) -> Any:
    match value:
        case Mapping():
            return {key: _field(str(key), inner) for key, inner in value.items()}
        case list():
            return [_tokens_masked(inner) for inner in value]
        case _:
            return value


def _field(key: str, value: Any) -> Any:
    is_token = key.lower() in TOKEN_KEYS and isinstance(value, str)
    return mask(value) if is_token else _tokens_masked(value)
