"""Payloads of every OCPP message, good ones and bad ones, made from the schemas of the `ocpp` package.

good(version, action) -> the smallest and the fullest payload
negatives(version, action) -> one fault each: its kind, where it is, the payload
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from holdfast.ocpp.versions import OcppVersion

FOLDERS = {OcppVersion.V16: "v16", OcppVersion.V201: "v201", OcppVersion.V21: "v21"}
DEPTH_MAX = 8
"""Objects within objects: the bounds of the costs in a charging schedule are the deepest there are."""
TIME = "2025-06-15T15:00:00Z"

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Negative:
    kind: str
    """missing, type, word, length, bound, items, extra"""
    where: str
    payload: Any

    def __str__(self) -> str:
        return f"{self.kind} {self.where}"


@cache
def schema_of(version: OcppVersion, action: str) -> Schema:
    names = [action] if version is OcppVersion.V16 else [f"{action}Request", action]
    folder = resources.files("ocpp") / FOLDERS[version] / "schemas"
    for name in names:
        file = folder / f"{name}.json"
        if file.is_file():
            found: Schema = json.loads(file.read_text("utf-8-sig"))
            return found
    raise LookupError(f"{version} {action}")


def good(version: OcppVersion, action: str) -> tuple[dict[str, Any], dict[str, Any]]:
    schema = schema_of(version, action)
    smallest: dict[str, Any] = _made(schema, schema, full=False, depth=0)
    fullest: dict[str, Any] = _made(schema, schema, full=True, depth=0)
    return smallest, fullest


def negatives(version: OcppVersion, action: str, limit: int = 80) -> list[Negative]:
    """At most so many, of every kind and evenly over the payload."""
    schema = schema_of(version, action)
    _, payload = good(version, action)
    found = list(_faults(schema, schema, payload, payload, ()))
    by_kind: dict[str, list[Negative]] = {}
    for one in found:
        by_kind.setdefault(one.kind, []).append(one)
    share = max(1, limit // max(1, len(by_kind)))
    kept = [one for kind in by_kind.values() for one in kind[:: max(1, -(-len(kind) // share))]]
    others: tuple[Any, ...] = ([], None, "x", 7)
    whole = [Negative(kind="object", where="payload", payload=other) for other in others]
    return [*whole, *kept]


def _rule(root: Schema, schema: Schema) -> Schema:
    while "$ref" in schema:
        schema = root["definitions"][schema["$ref"].rpartition("/")[2]]
    return schema


def _type(rule: Schema) -> str:
    kind = rule.get("type", "object" if "properties" in rule else "any")
    return str(kind[0] if isinstance(kind, list) else kind)


def _made(root: Schema, schema: Schema, *, full: bool, depth: int) -> Any:
    rule = _rule(root, schema)
    if "enum" in rule:
        return rule["enum"][0]
    match _type(rule):
        case "object":
            wanted = rule.get("required", ())
            return {
                name: _made(root, part, full=full, depth=depth + 1)
                for name, part in rule.get("properties", {}).items()
                if name in wanted or (full and depth < DEPTH_MAX)
            }
        case "array":
            number = max(1, rule.get("minItems", 1))
            return [_made(root, rule["items"], full=full, depth=depth + 1) for _ in range(number)]
        case "integer":
            return max(1, int(rule.get("minimum", 1)))
        case "number":
            return min(max(1, rule.get("minimum", 1)), rule.get("maximum", 1))
        case "boolean":
            return True
        case "string":
            text = TIME if rule.get("format") == "date-time" else "x"
            return text[: rule.get("maxLength", len(text))]
        case _:
            return "x"


_WRONG_TYPE = {
    "object": "x",
    "array": {"x": 1},
    "integer": "x",
    "number": "x",
    "boolean": "x",
    "string": 7,
}


def _faults(
    root: Schema, schema: Schema, value: Any, whole: Any, path: tuple[str | int, ...]
) -> Iterator[Negative]:
    rule = _rule(root, schema)
    where = ".".join(map(str, path)) or "payload"
    kind = _type(rule)
    if path and kind in _WRONG_TYPE:
        yield Negative(kind="type", where=where, payload=_with(whole, path, _WRONG_TYPE[kind]))
    match kind:
        case "object":
            yield from _of_object(root, rule, value, whole, path)
        case "array":
            yield from _of_array(root, rule, value, whole, path)
        case "string":
            yield from _of_text(rule, whole, path)
        case "integer" | "number":
            yield from _of_number(rule, whole, path)
        case _:
            pass


def _of_object(
    root: Schema, rule: Schema, value: Any, whole: Any, path: tuple[str | int, ...]
) -> Iterator[Negative]:
    where = ".".join(map(str, path)) or "payload"
    if rule.get("additionalProperties") is False:
        extra = _with(whole, path, {**value, "surelyUnknown": 1})
        yield Negative(kind="extra", where=where, payload=extra)
    for name in rule.get("required", ()):
        without = {key: one for key, one in value.items() if key != name}
        yield Negative(kind="missing", where=f"{where}.{name}", payload=_with(whole, path, without))
    for name, part in rule.get("properties", {}).items():
        if name in value:
            yield from _faults(root, part, value[name], whole, (*path, name))


def _of_array(
    root: Schema, rule: Schema, value: Any, whole: Any, path: tuple[str | int, ...]
) -> Iterator[Negative]:
    where = ".".join(map(str, path))
    if rule.get("minItems"):
        yield Negative(kind="items", where=where, payload=_with(whole, path, []))
    if "maxItems" in rule and rule["maxItems"] < 2_000:
        many = value[:1] * (rule["maxItems"] + 1)
        yield Negative(kind="items", where=where, payload=_with(whole, path, many))
    if value:
        yield from _faults(root, rule["items"], value[0], whole, (*path, 0))


def _of_text(rule: Schema, whole: Any, path: tuple[str | int, ...]) -> Iterator[Negative]:
    where = ".".join(map(str, path))
    if "enum" in rule:
        unknown = _with(whole, path, "surelyUnknown")
        yield Negative(kind="word", where=where, payload=unknown)
    elif "maxLength" in rule:
        long = _with(whole, path, "x" * (rule["maxLength"] + 1))
        yield Negative(kind="length", where=where, payload=long)


def _of_number(rule: Schema, whole: Any, path: tuple[str | int, ...]) -> Iterator[Negative]:
    where = ".".join(map(str, path))
    if "minimum" in rule:
        low = _with(whole, path, int(rule["minimum"]) - 1)
        yield Negative(kind="bound", where=where, payload=low)
    if "maximum" in rule:
        high = _with(whole, path, int(rule["maximum"]) + 1)
        yield Negative(kind="bound", where=where, payload=high)


def _with(whole: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """The payload with another value at this place."""
    if not path:
        return value
    changed = copy.deepcopy(whole)
    place = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return changed
