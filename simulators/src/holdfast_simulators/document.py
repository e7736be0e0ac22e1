"""JSON files written by people: read, checked field by field, refused with a remedy.

    file -> table(where, value, known names) -> checked fields, or ConfigError(file, where, problem, remedy)

An unknown name is an error: a misspelt one would silently be the default.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

WHERE_CHARACTERS_MAX = 200
SECRETS = ("password", "passwords")
"""Fields whose values are never shown, however wrong they are."""


class ConfigError(Exception):
    """The configuration is wrong: which file, which field, what is wrong with it, what to write."""

    def __init__(self, file: Path, where: str, problem: str, remedy: str) -> None:
        super().__init__(f"{file}: {where}: {problem}; {remedy}")


Check = Callable[[Any], str | None]
"""Says what the value should have been, or None when it is right."""


def is_text(maximum: int, *, empty: bool = False) -> Check:
    def check(value: Any) -> str | None:
        right = isinstance(value, str) and (empty or value != "") and len(value) <= maximum
        return None if right else f"write a string of {0 if empty else 1} to {maximum} characters"

    return check


def is_whole(low: int, high: int) -> Check:
    def check(value: Any) -> str | None:
        right = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if right else f"write a whole number from {low} to {high}"

    return check


def is_number(low: float, high: float, *, or_null: bool = False) -> Check:
    def check(value: Any) -> str | None:
        if value is None and or_null:
            return None
        right = isinstance(value, int | float) and not isinstance(value, bool)
        if right and low <= value <= high:
            return None
        return f"write a number from {low} to {high}" + (", or null" if or_null else "")

    return check


def is_one_of(*choices: str) -> Check:
    return lambda value: None if value in choices else f"write one of {', '.join(choices)}"


def is_bool(value: Any) -> str | None:
    return None if isinstance(value, bool) else "write true or false"


def given(where: str, value: Any) -> str:
    """What was wrong, as it stands in the sentence."""
    if value is None:
        return "missing"
    is_secret = any(part in SECRETS for part in where.split("."))
    return "not usable" if is_secret else f"given {str(value)[:80]!r}"


class Reader:
    """One file, whose name stands in every complaint."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def document(self) -> Any:
        try:
            return json.loads(self._file.read_text(encoding="utf-8"))
        except OSError as error:
            problem = error.strerror or str(error)
            raise ConfigError(self._file, "file", problem, "name a readable file") from error
        except (ValueError, RecursionError) as error:
            problem = f"not JSON: {error}"
            raise ConfigError(self._file, "document", problem, "write one JSON object") from error

    def check(self, where: str, table: Mapping[str, Any], checks: Mapping[str, Check]) -> None:
        for name, value in table.items():
            remedy = checks[name](value)
            if remedy is not None:
                self.fail(f"{where}.{name}" if where else name, value, remedy)

    def table(self, where: str, value: Any, known: set[str] | None = None) -> dict[str, Any]:
        """An object; of any names when `known` is None."""
        if not isinstance(value, dict):
            self.fail(where, value, "write a JSON object")
        for name in value:
            if known is not None and name not in known:
                remedy = f"known here: {', '.join(sorted(known))}"
                place = f"{where}.{name}"[:WHERE_CHARACTERS_MAX]
                raise ConfigError(self._file, place, "unknown field", remedy)
        return dict(value)

    def fail(self, where: str, value: Any, remedy: str) -> NoReturn:
        place = where[:WHERE_CHARACTERS_MAX]
        raise ConfigError(self._file, place, given(where, value), remedy)
