"""Passwords of charge points: what is stored of them, and whether one that is shown is right.

    scrypt$4096$8$1$<salt, hex>$<hash, hex>

OCPP 1.6 hands a charge point its AuthorizationKey as hex text, and some send the bytes that it stands for, others the
text itself. Both are the same password here: 16 to 20 bytes written in hex count as those bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Annotated

from pydantic import AfterValidator

SCRYPT_N, SCRYPT_R, SCRYPT_P = 4096, 8, 1
"""About 10 ms. The passwords are random and long; a whole site must get in again within seconds."""
MEMORY_BYTES_MAX = 64 * 1024 * 1024
PASSES_MAX = 16
"""Of the work that one check may be made to do by what stands in a file."""
SHORTEST, LONGEST = 16, 64
"""Of a password that OCPP allows: AuthorizationKey has 16 to 20 bytes (40 digits in hex), BasicAuthPassword in 2.0.1
16 to 40 characters, in 2.1 up to 64.
"""
_HASH = re.compile(
    r"scrypt\$([0-9]{1,7})\$([0-9]{1,2})\$([0-9]{1,2})\$((?:[0-9a-f]{2}){8,64})\$([0-9a-f]{128})"
)
_HEX_KEY = re.compile(rb"(?:[0-9A-Fa-f]{2}){16,20}")


def _sound(text: str) -> str:
    # The messages must not repeat what was given: in the wrong field it may be a password.
    match = _HASH.fullmatch(text)
    if match is None:
        raise ValueError(
            "is no scrypt$N$r$p$salt$hash: `holdfast charge-points password` makes one"
        )
    n, r, p = (int(part) for part in match.groups()[:3])
    if n < 2 or n & (n - 1) or not r or 128 * n * r > MEMORY_BYTES_MAX or not 0 < p <= PASSES_MAX:
        raise ValueError("its scrypt parameters are not sound, or take too much memory or time")
    return text


PasswordHash = Annotated[str, AfterValidator(_sound)]


def hash_password(password: str | bytes, salt: bytes | None = None, like: str | None = None) -> str:
    """What is stored for this password; with the parameters of `like`, another hash."""
    n, r, p = map(int, like.split("$")[1:4]) if like else (SCRYPT_N, SCRYPT_R, SCRYPT_P)
    salt = secrets.token_bytes(16) if salt is None else salt
    return f"scrypt${n}${r}${p}${salt.hex()}${_scrypt(as_bytes(password), salt, n, r, p).hex()}"


def matches(stored: str, password: str | bytes) -> bool:
    _, n, r, p, salt, key = stored.split("$")
    found = _scrypt(as_bytes(password), bytes.fromhex(salt), int(n), int(r), int(p))
    return hmac.compare_digest(found, bytes.fromhex(key))


def as_bytes(password: str | bytes) -> bytes:
    """One form for all ways in which the same password is written."""
    data = password.encode() if isinstance(password, str) else password
    return bytes.fromhex(data.decode("ascii")) if _HEX_KEY.fullmatch(data) else data


def is_plausible(password: bytes) -> bool:
    """One that OCPP allows."""
    return SHORTEST <= len(password) <= LONGEST


def random_password() -> str:
    """20 characters, which every version of OCPP takes; it does not begin like a command line's option."""
    return secrets.choice("abcdefghjkmnpqrstuvwxyz") + secrets.token_urlsafe(15)[:19]


def _scrypt(password: bytes, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=2 * MEMORY_BYTES_MAX)
