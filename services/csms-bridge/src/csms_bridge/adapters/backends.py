"""The backends file: which CSMSs there are, and who goes to which. Read again when it changes.

backends:
  - name: main
    url: wss://csms.example/ocpp          # the charge point's identity is appended
    auth: {kind: basic, passwords_file: secrets/main.json}
  - name: next
    url: ws://next.example/ocpp
groups:
  depots: [berlin01, munich01]
routes:                                   # the first that matches counts
  - {site: berlin01, charge_points: [CP-07], primary: next, followers: [main]}
  - {group: depots, primary: main, followers: [next]}
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from holdfast.contracts.envelope import first_problem
from holdfast.ocpp.versions import OcppVersion
from holdfast.settings import ConfigError

log = logging.getLogger(__name__)

FILE_BYTES_MAX = 1 << 20
ANY = "*"


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NoAuth(Part):
    kind: Literal["none"] = "none"


class Basic(Part):
    """User is the charge point's identity."""

    kind: Literal["basic"]
    password_file: Path | None = None
    """One password for all of them."""
    passwords_file: Path | None = None
    """JSON object: charge point to password."""

    @model_validator(mode="after")
    def _one(self) -> Basic:
        if (self.password_file is None) == (self.passwords_file is None):
            raise ValueError("give password_file or passwords_file, not both")
        return self


class Certificate(Part):
    """Mutual TLS."""

    kind: Literal["certificate"]
    certificate_file: Path
    key_file: Path


class Backend(Part):
    name: str = Field(min_length=1, max_length=32, pattern=r"^[a-z0-9-]+$")
    url: str = Field(pattern=r"^wss?://[^\s?#@]+$")
    """Without query and credentials; the identity is appended, percent-encoded."""
    versions: tuple[OcppVersion, ...] = Field(tuple(OcppVersion), min_length=1)
    """What it speaks. A charge point of another version is not connected, and is an open point."""
    auth: Annotated[NoAuth | Basic | Certificate, Field(discriminator="kind")] = NoAuth()
    ca_file: Path | None = None
    """Whom to trust on wss://; none: the system's."""
    deduplicates_starts: bool = False
    """It recognises a StartTransaction that it gets twice: then none is reported as possibly doubled."""

    @model_validator(mode="after")
    def _safe(self) -> Backend:
        if self.url.startswith("ws://") and isinstance(self.auth, Certificate):
            raise ValueError("a certificate needs a wss:// url")
        return self


class Route(Part):
    site: str | None = None
    group: str | None = None
    charge_points: tuple[str, ...] = (ANY,)
    primary: str
    followers: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _where(self) -> Route:
        if (self.site is None) == (self.group is None):
            raise ValueError("give site or group, not both")
        if self.primary in self.followers or len(set(self.followers)) != len(self.followers):
            raise ValueError("each backend stands once in a route")
        return self


class Document(Part):
    backends: tuple[Backend, ...] = Field(min_length=1, max_length=32)
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    routes: tuple[Route, ...] = Field(max_length=10_000)

    @model_validator(mode="after")
    def _known(self) -> Document:
        names = [one.name for one in self.backends]
        if len(set(names)) != len(names):
            raise ValueError("two backends have one name")
        for route in self.routes:
            for name in (route.primary, *route.followers):
                if name not in names:
                    raise ValueError(f"a route names the backend {name!r}, which is not there")
            if route.group is not None and route.group not in self.groups:
                raise ValueError(f"a route names the group {route.group!r}, which is not there")
        return self


@dataclass(frozen=True, slots=True)
class Role:
    backend: Backend
    primary: bool


class Backends:
    """What the file says now; one that can't be read leaves what was read before."""

    def __init__(self, path: Path) -> None:
        """Raise ConfigError."""
        self._path = path
        self._read_of = self._stamp()
        self._document = read(path)
        self.problem = ""
        """Why what stands there now is not used; empty: it is."""

    def changed(self) -> bool:
        """Read it again if it is another file; raise ConfigError when that one can't be used."""
        stamp = self._stamp()
        if stamp == self._read_of:
            return False
        self._read_of = stamp
        try:
            self._document = read(self._path)
        except ConfigError as error:
            self.problem = str(error)
            raise
        self.problem = ""
        return True

    def sites(self) -> frozenset[str]:
        """Those with a CSMS behind them."""
        named: set[str] = set()
        for route in self._document.routes:
            named |= {route.site} if route.site else set(self._document.groups[route.group or ""])
        return frozenset(named)

    def roles(self, site: str, charge_point: str) -> tuple[Role, ...]:
        """The primary first; empty: no CSMS for it."""
        by_name = {one.name: one for one in self._document.backends}
        for route in self._document.routes:
            if self._matches(route, site, charge_point):
                primary = Role(by_name[route.primary], primary=True)
                return (primary, *(Role(by_name[name], primary=False) for name in route.followers))
        return ()

    def _matches(self, route: Route, site: str, charge_point: str) -> bool:
        sites = (route.site,) if route.site else self._document.groups[route.group or ""]
        listed = ANY in route.charge_points or charge_point in route.charge_points
        return site in sites and listed

    def _stamp(self) -> tuple[int, int]:
        try:
            found = self._path.stat()
        except OSError:
            return (0, 0)
        return (found.st_mtime_ns, found.st_size)


def read(path: Path) -> Document:
    """Raise ConfigError naming file, field and remedy. Paths in it are relative to the file."""
    try:
        text = path.read_text()
        if len(text) > FILE_BYTES_MAX:
            raise ConfigError(f"{path}: over {FILE_BYTES_MAX} bytes is not read")
        document = Document.model_validate(yaml.safe_load(text))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: can't be read ({error}): correct backends_file") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: {first_problem(error)}: correct this field") from error
    return document


def password_of(backend: Backend, base: Path, charge_point: str) -> str | None:
    """None: the backend asks for none. Raise ConfigError."""
    auth = backend.auth
    if not isinstance(auth, Basic):
        return None
    file = base / (auth.password_file or auth.passwords_file or "")
    try:
        text = file.read_text()
        if auth.password_file is not None:
            return text.strip()
        password = json.loads(text)[charge_point]
        if not isinstance(password, str):
            raise TypeError("a password is a string")
        return password
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{file}: the passwords can't be read ({error})") from error
    except KeyError as error:
        raise ConfigError(
            f"{file}: no password for charge point {charge_point!r}: add it"
        ) from error
