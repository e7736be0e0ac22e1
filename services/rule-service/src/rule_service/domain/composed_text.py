"""The text of a composed bundle: every clause there is, and beside what a layer of the draft set, which one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import yaml

from holdfast.contracts.rules import Rules

Origins = dict[tuple[str, ...], str]
"""Path of a clause to the layer that set it, or that took it out."""

BUNDLE = "bundle"
"""As a layer: what a plain bundle states."""
PLAIN = re.compile(r"^[A-Za-z][A-Za-z0-9_.-]*\Z")


def composed_text(rules: Rules, origins: Origins, site: str, above: Iterable[str]) -> str:
    """Of a draft, for one site."""
    layers = ", ".join(above) or "nothing"
    return _whole_text(
        rules,
        origins,
        f"# Rules of site {site}, composed of the draft {_scalar(rules.name)}, version {rules.version}.",
        f"# Over the built-in rules lie: {layers}.",
        "# Beside a clause stands which of these set it; from the first section on, all others are built in.",
    )


def written_out(rules: Rules, stated: Origins) -> str:
    """Of a bundle that leaves clauses out: for whom it is, it says itself."""
    return _whole_text(
        rules,
        stated,
        f"# Rules {_scalar(rules.name)}, version {rules.version}, of a bundle that does not state every clause.",
        f"# Written out here: `{BUNDLE}` stands beside what it states; all others are built in.",
    )


def _whole_text(rules: Rules, origins: Origins, *head: str) -> str:
    document = rules.model_dump(mode="json")
    lines = [
        *head,
        "# What each of them means: default_rules.yaml; their schema: docs/spec/rules.schema.json.",
    ]
    for key, value in document.items():
        if isinstance(value, dict):
            lines.append("")
        lines += _clause(key, value, (key,), origins)
    return "\n".join(lines) + "\n"


def _clause(key: str, value: Any, path: tuple[str, ...], origins: Origins) -> Iterator[str]:
    indent = "  " * (len(path) - 1)
    if not isinstance(value, dict):
        yield f"{indent}{_scalar(key)}: {_flow(value)}{_comment(origins, path)}"
        return
    taken_out = _taken_out(value, path, origins)
    if not value:
        yield f"{indent}{_scalar(key)}: {{}}"
    else:
        yield f"{indent}{_scalar(key)}:"
    for below, part in value.items():
        yield from _clause(below, part, (*path, below), origins)
    for name, layer in taken_out.items():
        yield f"{indent}  # {_scalar(name)}: taken out by {layer}"


def _comment(origins: Origins, path: tuple[str, ...]) -> str:
    return f"  # {origins[path]}" if path in origins else ""


def _taken_out(value: Mapping[str, Any], path: tuple[str, ...], origins: Origins) -> dict[str, str]:
    below = {known: layer for known, layer in origins.items() if known[:-1] == path}
    return {known[-1]: layer for known, layer in below.items() if known[-1] not in value}


def _flow(value: Any) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{_scalar(k)}: {_flow(v)}" for k, v in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(_flow(part) for part in value) + "]"
        case _:
            return _scalar(value)


@lru_cache(maxsize=4096)
def _stands_plain(word: str) -> bool:
    return bool(PLAIN.match(word)) and yaml.safe_load(word) == word


def _scalar(value: Any) -> str:
    """On one line, whatever it holds; a word stands plain where YAML does not take it for something else."""
    if isinstance(value, str):
        if _stands_plain(value):
            return value
        quoted: str = yaml.safe_dump(value, default_style='"', width=float("inf"))
        return quoted.strip()
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int):
        return str(value)
    plain: str = yaml.safe_dump(value, width=float("inf"))
    return plain.removesuffix("...\n").strip()
