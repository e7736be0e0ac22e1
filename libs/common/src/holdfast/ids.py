"""Identity, injected like time: random ids for what is new, derived ids for what may be written twice."""

from __future__ import annotations

import secrets
from base64 import b32encode
from hashlib import sha256
from typing import Protocol

_INCARNATION_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


class Ids(Protocol):
    def new(self) -> str:
        """26 characters, unique, not guessable."""
        ...

    def incarnation(self) -> str:
        """8 characters of a-z0-9."""
        ...


class RandomIds:
    def new(self) -> str:
        return _text(secrets.token_bytes(16))

    def incarnation(self) -> str:
        return "".join(secrets.choice(_INCARNATION_ALPHABET) for _ in range(8))


def derived(*parts: str | int) -> str:
    """The same parts give the same id, in every process and every life."""
    joined = "\x1f".join(str(part) for part in parts)
    return _text(sha256(joined.encode()).digest()[:16])


def _text(data: bytes) -> str:
    return b32encode(data).decode().rstrip("=").lower()
