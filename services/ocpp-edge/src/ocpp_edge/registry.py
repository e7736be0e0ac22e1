"""Which charge points may connect, and with which password.

    {"CP-01": {"password_scrypt": "scrypt$4096$8$1$<salt, hex>$<hash, hex>"}, ...}

scrypt is slow on purpose, so it runs in a thread, a few at a time, and a password found right is
remembered by digest: a storm of reconnects costs one fast comparison each.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from holdfast.settings import ConfigError

log = logging.getLogger(__name__)

SCRYPT_N, SCRYPT_R, SCRYPT_P = 4096, 8, 1
"""About 10 ms. The passwords are random and long; a whole site must get in again within seconds."""
VERIFYING_MAX = 2
WAITING_MAX = 512
"""Handshakes waiting for a thread; further ones are told to come again."""


def hash_password(password: str, salt: bytes | None = None) -> str:
    """What stands in the registry for this password."""
    salt = secrets.token_bytes(16) if salt is None else salt
    key = _scrypt(password, salt, SCRYPT_N, SCRYPT_R, SCRYPT_P)
    return f"scrypt${SCRYPT_N}${SCRYPT_R}${SCRYPT_P}${salt.hex()}${key.hex()}"


class Registered(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    password_scrypt: str = Field(
        pattern=r"^scrypt\$[0-9]{1,7}\$[0-9]{1,2}\$[0-9]{1,2}\$[0-9a-f]{2,128}\$[0-9a-f]{128}$"
    )


class TooManyWaiting(Exception):
    """A storm: come again."""


class Registry:
    def __init__(self, path: Path) -> None:
        """Raise ConfigError."""
        self._path = path
        self._changed_ns = -1
        self._registered: Mapping[str, Registered] = {}
        self._right: dict[str, bytes] = {}
        self._secret = secrets.token_bytes(32)
        self._threads = asyncio.Semaphore(VERIFYING_MAX)
        self._waiting = 0
        self._read()

    def __contains__(self, identity: str) -> bool:
        return identity in self._registered

    def has(self, identity: str) -> bool:
        """After another look, if need be: it may have been registered just now."""
        if identity not in self._registered:
            self.refresh()
        return identity in self._registered

    def identities(self) -> list[str]:
        return sorted(self._registered)

    def refresh(self) -> None:
        """Take over a changed file; a broken one changes nothing but the log."""
        try:
            if self._path.stat().st_mtime_ns != self._changed_ns:
                self._read()
        except (OSError, ConfigError) as error:
            log.warning("charge point registry not taken over", extra={"why": str(error)})

    async def is_right(self, identity: str, password: str) -> bool:
        """Raise TooManyWaiting. An unknown identity takes as long as a wrong password."""
        self.refresh()
        registered = self._registered.get(identity)
        stands = registered.password_scrypt if registered else _NOBODY
        digest = hmac.digest(self._secret, f"{stands}\n{password}".encode(), "sha256")
        if hmac.compare_digest(self._right.get(identity, b""), digest):
            return True
        if self._waiting >= WAITING_MAX:
            raise TooManyWaiting(f"{WAITING_MAX} handshakes wait for their password already")
        self._waiting += 1
        try:
            async with self._threads:
                right = await asyncio.to_thread(_matches, stands, password)
        finally:
            self._waiting -= 1
        if registered is None or not right:
            return False
        self._right[identity] = digest
        return True

    def _read(self) -> None:
        try:
            self._changed_ns = self._path.stat().st_mtime_ns
            document: Any = json.loads(self._path.read_text("utf-8"))
            registered = _REGISTRY.validate_python(document)
        except OSError as error:
            raise ConfigError(
                f"{self._path}: can't be read ({error.strerror}): set charge_points_file"
            ) from error
        except ValidationError as error:
            # Without what was given: it may be a password's hash.
            problem = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(map(str, problem["loc"])) or "document"
            raise ConfigError(f"{self._path}: {field}: {problem['msg']}") from None
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{self._path}: is not JSON: {error}") from error
        self._registered = registered
        self._right = {one: digest for one, digest in self._right.items() if one in registered}


_REGISTRY = TypeAdapter(dict[str, Registered])


def _matches(stands: str, password: str) -> bool:
    _, n, r, p, salt, key = stands.split("$")
    found = _scrypt(password, bytes.fromhex(salt), int(n), int(r), int(p))
    return hmac.compare_digest(found, bytes.fromhex(key))


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=128 * 1024 * 1024)


_NOBODY = hash_password(secrets.token_hex(16))
