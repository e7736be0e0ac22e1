"""Reading payloads of any shape, and changing one value in one, and not one other byte.

    with_transaction('{ "transactionId": 7, "meterStop":9}', 1000042) -> '{ "transactionId": 1000042, "meterStop":9}'

Parsing and writing anew would lose spaces, the order of keys and the spelling of numbers, and with them
what signed meter values are signed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from holdfast.ocpp import frames

TRANSACTION_ID = "transactionId"
MOMENT_CHARACTERS_MAX = 40

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_SPACE = re.compile(r"[ \t\r\n]*")
_SCALAR = re.compile(r"[^,\]}\s]+")


class Malformed(ValueError):
    """No JSON object: the journal holds only what was valid, so this is damage."""


class Value(NamedTuple):
    """Where a value stands in the text."""

    key: str
    begin: int
    end: int


def with_transaction(raw: str, transaction_id: int) -> str:
    """Raise Malformed."""
    return with_value(raw, TRANSACTION_ID, str(transaction_id))


def with_value(raw: str, key: str, text: str) -> str:
    """The last one counts where a key stands twice, as parsers have it; what lacks it stays as it is."""
    found = [value for value in _values(raw) if value.key == key]
    if not found:
        return raw
    return raw[: found[-1].begin] + text + raw[found[-1].end :]


def object_of(raw: str) -> dict[str, Any]:
    """Raise Malformed."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Malformed(str(error)) from error
    if not isinstance(document, dict):
        raise Malformed("not an object")
    return document


def document_of(answer: frames.Result | frames.Error) -> dict[str, Any]:
    """What can't be read says nothing."""
    if isinstance(answer, frames.Error):
        return {}
    try:
        return object_of(answer.raw)
    except Malformed:
        return {}


def moment_ms(text: object) -> int | None:
    """None for what is no time, and for one without a zone."""
    if not isinstance(text, str) or len(text) > MOMENT_CHARACTERS_MAX:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return round(moment.timestamp() * 1000) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def whole(value: object) -> int | None:
    """A JSON integer of 64 bits, also written as 7.0; true is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not -(2**63) <= value < 2**63 or value != int(value):
        return None
    return int(value)


def _values(raw: str) -> Iterator[Value]:
    """Of the outermost object."""
    at = _skip(raw, 0)
    if raw[at : at + 1] != "{":
        raise Malformed("not an object")
    at = _skip(raw, at + 1)
    while raw[at : at + 1] != "}":
        name = _STRING.match(raw, at)
        if name is None:
            raise Malformed(f"no key at {at}")
        at = _skip(raw, name.end())
        if raw[at : at + 1] != ":":
            raise Malformed(f"no colon at {at}")
        begin = _skip(raw, at + 1)
        end = _end_of_value(raw, begin)
        yield Value(_text(name[0]), begin, end)
        at = _skip(raw, end)
        if raw[at : at + 1] == ",":
            at = _skip(raw, at + 1)
        elif raw[at : at + 1] != "}":
            raise Malformed(f"neither comma nor end at {at}")


def _text(quoted: str) -> str:
    try:
        return str(json.loads(quoted))
    except ValueError as error:
        raise Malformed(f"a key is no string: {error}") from error


def _end_of_value(raw: str, begin: int) -> int:
    if raw[begin : begin + 1] not in ("{", "["):
        found = _STRING.match(raw, begin) or _SCALAR.match(raw, begin)
        if found is None:
            raise Malformed(f"no value at {begin}")
        return found.end()
    depth, at = 0, begin
    while at < len(raw):
        match raw[at]:
            case '"':
                string = _STRING.match(raw, at)
                if string is None:
                    break
                at = string.end()
                continue
            case "{" | "[":
                depth += 1
            case "}" | "]":
                depth -= 1
                if depth == 0:
                    return at + 1
        at += 1
    raise Malformed(f"the value at {begin} does not end")


def _skip(raw: str, at: int) -> int:
    space = _SPACE.match(raw, at)
    assert space is not None
    return space.end()
