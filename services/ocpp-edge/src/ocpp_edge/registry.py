"""Which charge points may connect, and what they must show.

    {"CP-01": {"password_scrypt": "scrypt$4096$8$1$<salt, hex>$<hash, hex>", "security_profile": 2}, ...}

scrypt is slow on purpose, so it runs in a thread, a few at a time, and a password found right is
remembered by digest: a storm of reconnects costs one fast comparison each.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from holdfast import subjects
from holdfast.passwords import PasswordHash, as_bytes, hash_password, matches
from holdfast.settings import ConfigError

__all__ = ["Registered", "Registry", "TooManyWaiting", "hash_password"]

log = logging.getLogger(__name__)

VERIFYING_MAX = 2
WAITING_MAX = 512
"""Handshakes waiting for a thread; further ones are told to come again."""
REGISTERED_MAX = 10_000
FILE_BYTES_MAX = 8 * 1024 * 1024

Profile = Annotated[int, Field(strict=True, ge=0, le=3)]
"""`true` is none, though it is 1 to Python."""


class Registered(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    password_scrypt: PasswordHash | None = None
    """For profiles 1 and 2."""
    password_random: StrictBool = False
    """Made by a machine, with over 100 bits of chance: no rate of guessing finds it."""
    security_profile: Profile = 1
    next_security_profile: Profile | None = None
    """It may come by this one, too; once it has, this is its only one (A05)."""
    certificate_cn: str | None = Field(None, min_length=1, max_length=64)
    """Common name of its certificate, for profile 3. None: its identity."""

    @model_validator(mode="after")
    def _has_what_it_shows(self) -> Self:
        profiles = {self.security_profile, self.next_security_profile}
        if profiles & {1, 2} and self.password_scrypt is None:
            raise ValueError("security profiles 1 and 2 need password_scrypt")
        return self


class RegistryProblem(Exception):
    """A change that is not made; says which and why."""


OnChange = Callable[[str, "Registered | None", "Registered | None", str], None]
"""Identity, before, after, and by whom."""


class TooManyWaiting(Exception):
    """A storm: come again."""


class Registry:
    def __init__(self, path: Path, last_good: Path | None = None) -> None:
        """`last_good`: where a copy is kept, of what was sound the last time; a start at which the file is broken goes
        on with that. Raise ConfigError, where there is none.
        """
        self._path, self._last_good = path, last_good
        self.problem = ""
        """Why what the file says now does not count; empty: it does."""
        self._read_as: tuple[int, ...] = ()
        self._document: dict[str, Any] = {}
        """As it stands in the file, with what this build does not know."""
        self._registered: Mapping[str, Registered] = {}
        self.on_change: OnChange | None = None
        self._right: dict[str, bytes] = {}
        self._secret = secrets.token_bytes(32)
        self._nobody = hash_password(secrets.token_hex(16))
        self._threads = asyncio.Semaphore(VERIFYING_MAX)
        self._waiting = 0
        try:
            self._read()
        except ConfigError as error:
            if not self._goes_on():
                raise
            self._is_broken(error)

    def __contains__(self, identity: str) -> bool:
        return identity in self._registered

    def has(self, identity: str) -> bool:
        """After another look, if need be: it may have been registered just now."""
        if identity not in self._registered:
            self.refresh()
        return identity in self._registered

    def now(self, identity: str) -> Registered | None:
        """As the file says now."""
        self.refresh()
        return self._registered.get(identity)

    def entry(self, identity: str) -> Registered | None:
        return self._registered.get(identity)

    def identities(self) -> list[str]:
        return sorted(self._registered)

    def entries(self) -> Mapping[str, Registered]:
        return self._registered

    def refresh(self) -> None:
        """Take over a changed file; a broken one changes nothing, and is a `problem` until it is mended."""
        try:
            if self._stands_as() != self._read_as:
                self._read()
        except OSError as error:
            self._read_as = ()  # if it comes back as it was, that is news
            self._is_broken(ConfigError(f"{self._path}: can't be read ({error.strerror})"))
        except ConfigError as error:
            self._is_broken(error)

    def _is_broken(self, error: ConfigError) -> None:
        if self.problem != str(error):
            self.problem = str(error)
            log.error("charge point registry not taken over", extra={"why": self.problem})

    def remembers(self, identity: str, password: str | bytes) -> bool:
        """It was found right before, and is still: told in no time. False says nothing."""
        registered = self._registered.get(identity)
        if registered is None or registered.password_scrypt is None:
            return False
        digest = self._digest(registered.password_scrypt, as_bytes(password))
        return hmac.compare_digest(self._right.get(identity, b""), digest)

    def put(self, identity: str, entry: Registered | None, by: str) -> None:
        """Register it, change it, or with None take it away: in the file, and then here. Raise RegistryProblem."""
        try:
            self._read()  # whatever was thought of it before: what is broken is never written over
            document = dict(self._document)
            if entry is None:
                document.pop(identity, None)
            else:
                news = entry.model_dump(exclude_defaults=True)
                kept = {k: v for k, v in document.get(identity, {}).items() if k not in _FIELDS}
                document[identity] = {**kept, **news}
            if len(document) > REGISTERED_MAX:
                raise RegistryProblem(f"{REGISTERED_MAX} charge points are registered already")
            write_whole(self._path, (json.dumps(document, indent=2) + "\n").encode())
            self._read(by)
        except ConfigError as error:
            self._is_broken(error)
            raise RegistryProblem(f"{error}: correct the file first") from None
        except OSError as error:
            raise RegistryProblem(f"{self._path}: can't be written ({error.strerror})") from None

    async def is_right(
        self, identity: str, password: str | bytes, may: Callable[[], bool] = lambda: True
    ) -> bool | None:
        """Raise TooManyWaiting. An unknown identity takes as long as a wrong password. None: when its turn came it
        was not to be looked at any more.
        """
        registered = self._registered.get(identity)
        stands = (registered and registered.password_scrypt) or self._nobody
        data = as_bytes(password)
        if self._waiting >= WAITING_MAX:
            raise TooManyWaiting(f"{WAITING_MAX} handshakes wait for their password already")
        self._waiting += 1
        try:
            async with self._threads:
                if not may():
                    return None
                right = await asyncio.to_thread(matches, stands, data)
        finally:
            self._waiting -= 1
        stood = self._registered.get(identity)
        if not right or stood is None or stood.password_scrypt != stands:
            return False  # it may have changed meanwhile
        self._right[identity] = self._digest(stands, data)
        return True

    def _digest(self, stands: str, password: bytes) -> bytes:
        return hmac.digest(self._secret, stands.encode() + b"\n" + password, "sha256")

    def _stands_as(self) -> tuple[int, ...]:
        status = self._path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self, by: str = "the registry's file") -> None:
        try:
            # Before the content: what changes in between is read again.
            self._read_as = self._stands_as()
            if self._read_as[1] > FILE_BYTES_MAX:
                raise ConfigError(
                    f"{self._path}: has over {FILE_BYTES_MAX} bytes: is it the right file?"
                )
            document, registered = _parsed(self._path.read_text("utf-8"))
        except OSError as error:
            raise ConfigError(
                f"{self._path}: can't be read ({error.strerror}): set charge_points_file"
            ) from error
        except ValidationError as error:
            # Without what was given: it may be a password's hash.
            problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
            field = ".".join(str(part)[:80] for part in problem["loc"]) or "document"
            raise ConfigError(f"{self._path}: {field}: {problem['msg']}") from None
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{self._path}: is not JSON: {error}") from None
        self.problem = ""
        self._take(document, registered, by)
        self._keep(document)

    def _take(
        self, document: dict[str, Any], registered: Mapping[str, Registered], by: str
    ) -> None:
        before, self._document, self._registered = self._registered, document, registered
        self._right = {one: digest for one, digest in self._right.items() if one in registered}
        like = next((it.password_scrypt for it in registered.values() if it.password_scrypt), None)
        self._nobody = hash_password(secrets.token_hex(16), like=like)
        if self.on_change:
            for identity in sorted({*before, *registered}):
                was, now = before.get(identity), registered.get(identity)
                if was != now:
                    self.on_change(identity, was, now, by)

    def _keep(self, document: dict[str, Any]) -> None:
        if self._last_good is None:
            return
        data = json.dumps({"of": str(self._path.absolute()), "charge_points": document}).encode()
        try:
            if self._last_good.exists() and self._last_good.read_bytes() == data:
                return
            self._last_good.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._last_good, data)
        except OSError as error:
            log.warning("no copy of the charge point registry kept", extra={"why": str(error)})

    def _goes_on(self) -> bool:
        """With the copy, if there is a sound one of this file."""
        try:
            kept = json.loads(self._last_good.read_text("utf-8")) if self._last_good else {}
            if kept.get("of") != str(self._path.absolute()):
                return False
            document, registered = _parsed(json.dumps(kept["charge_points"]))
        except (OSError, ValueError, KeyError, AttributeError, RecursionError):
            return False
        self._take(document, registered, "the registry's file")
        return True


def write_whole(path: Path, data: bytes) -> None:
    """All of it or nothing, whenever the machine stops; readable by whom it was before. Raise OSError."""
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o600
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _parsed(text: str) -> tuple[dict[str, Any], dict[str, Registered]]:
    """Raise ValueError."""
    document: Any = json.loads(text, object_pairs_hook=_without_repeats)
    registered = _REGISTRY.validate_python(document)
    if len(registered) > REGISTERED_MAX:
        raise ValueError(f"more than {REGISTERED_MAX} charge points")
    for identity in registered:
        try:
            subjects.token(identity)
        except subjects.SubjectError as error:
            raise ValueError(str(error)) from None
    return document, registered


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands in it twice")
    return found


_REGISTRY = TypeAdapter(dict[str, Registered], config=ConfigDict(hide_input_in_errors=True))
_FIELDS = frozenset(Registered.model_fields)
