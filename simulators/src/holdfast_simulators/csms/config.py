"""Who may connect, which tokens are good, and which habits it has, from one JSON file; all of it optional.

file -> Config(passwords, tls, tokens, quirks = preset of `kind` + `quirks`)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from holdfast_simulators import document
from holdfast_simulators.csms import forms
from holdfast_simulators.csms.frames import VERSIONS
from holdfast_simulators.csms.quirks import GOOD, KINDS, Quirks
from holdfast_simulators.document import Check, is_one_of, is_text, is_whole

ENTRIES_MAX = 100_000
is_token_status = is_one_of(*forms.TOKEN_STATUSES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None
    """When given, a client must show a certificate of this authority."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    passwords: Mapping[str, str] | None = None
    """By charge point; None: nobody is asked."""
    tls: Tls | None = None
    tokens: Mapping[str, str] = field(default_factory=dict)
    unknown_token: str = "Invalid"  # noqa: S105 - a status
    parent_tokens: Mapping[str, str] = field(default_factory=dict)
    heartbeat_s: int = 300
    first_transaction_id: int = 1_000_001
    """High, so that it is never taken for an id that somebody else gave."""
    versions: tuple[str, ...] = VERSIONS
    """What it speaks."""
    quirks: Quirks = GOOD


CHECKS: dict[str, Check] = {
    "unknown_token": is_token_status,
    "heartbeat_s": is_whole(0, 1_000_000),
    "first_transaction_id": is_whole(1, 2**31 - 1),
}
OTHERS = ("tls", "kind", "quirks", "versions")
TABLES: dict[str, Check] = {
    "passwords": is_text(255),
    "tokens": is_token_status,
    "parent_tokens": is_text(255),
}


def load(file: Path) -> Config:
    """Raise ConfigError naming the first thing that is wrong."""
    reader = _Reader(file)
    return reader.config(reader.document())


class _Reader(document.Reader):
    def config(self, given: Any) -> Config:
        table = self.table("document", given, {*CHECKS, *TABLES, *OTHERS})
        values = {name: table[name] for name in CHECKS if name in table}
        self.check("", values, CHECKS)
        values |= {name: self._names(name, table[name]) for name in TABLES if name in table}
        versions = table.get("versions", list(VERSIONS))
        self.check("", {"versions": versions}, {"versions": forms.are_versions})
        kind = table.get("kind", "plain")
        self.check("", {"kind": kind}, {"kind": is_one_of(*KINDS)})
        quirks = self._quirks(KINDS[kind], table.get("quirks", {}))
        tls = self._tls(table.get("tls"))
        return Config(**values, tls=tls, versions=tuple(versions), quirks=quirks)

    def _names(self, where: str, value: Any) -> dict[str, str] | None:
        if where == "passwords" and value is None:
            return None
        table = self.table(where, value)
        if len(table) > ENTRIES_MAX:
            self.fail(where, f"{len(table)} entries", f"write at most {ENTRIES_MAX}")
        self.check(where, table, dict.fromkeys(table, TABLES[where]))
        return table

    def _tls(self, value: Any) -> Tls | None:
        if value is None:
            return None
        table = self.table("tls", value, {"cert_file", "key_file", "client_ca_file"})
        for name in ("cert_file", "key_file"):
            if name not in table:
                self.fail(f"tls.{name}", None, "name a PEM file")
        self.check("tls", table, dict.fromkeys(table, is_text(4_096)))
        return Tls(**{name: Path(path) for name, path in table.items()})

    def _quirks(self, quirks: Quirks, value: Any) -> Quirks:
        for name, said in self.table("quirks", value, set(forms.FORMS)).items():
            for fields in forms.applications(name, said):
                try:
                    quirks = forms.apply(quirks, name, fields)
                except forms.QuirkError as error:
                    self.fail(f"quirks.{name}.{error.field}", error.value, error.remedy)
        return quirks
