"""OCPP-J frames of 1.6, 2.0.1 and 2.1. A CALL keeps the characters of its id and payload: the ledger is judged by them.

text -> Call | Answer | None
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

STRING = r'"(?:[^"\\]|\\.)*"'
CALL_HEAD = re.compile(rf"\s*\[\s*([26])\s*,\s*({STRING})\s*,\s*({STRING})\s*,\s*(?=\{{)")
V16, V201, V21 = "1.6", "2.0.1", "2.1"
VERSIONS = (V16, V201, V21)


@dataclass(slots=True, kw_only=True)
class Call:
    """A CALL of a charge point."""

    charge_point: str
    message_id: str
    id_text: str
    """The message id as JSON, as it came."""
    action: str
    payload: dict[str, Any]
    payload_text: str
    at_ms: int
    """When it arrived, by this machine's clock."""
    version: str = V16
    is_send: bool = False
    """A SEND of OCPP-J 2.1: nothing is answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """CALLRESULT (`code` is None) or CALLERROR, to a CALL of the central system."""

    message_id: str
    result: dict[str, Any] | None = None
    code: str | None = None
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultError:
    """CALLRESULTERROR of 2.1: a charge point can't read our answer to its CALL."""

    message_id: str
    code: str


def parse(
    text: str | bytes, charge_point: str, at_ms: int, version: str = V16
) -> Call | Answer | ResultError | None:
    """None: no frame of OCPP-J."""
    if not isinstance(text, str):
        return None
    try:
        head = CALL_HEAD.match(text)
        if head is None or (head[1] == "6" and version != V21):
            return _answer(json.loads(text))
        # Everything between the action and the last bracket is the payload, or the frame is none.
        payload_text = text[head.end() : text.rindex("]")].rstrip()
        if "\\u" in text:
            _assert_storable(text)
        return Call(
            charge_point=charge_point,
            message_id=json.loads(head[2]),
            id_text=head[2],
            action=json.loads(head[3]),
            payload=json.loads(payload_text),
            payload_text=payload_text,
            at_ms=at_ms,
            version=version,
            is_send=head[1] == "6",
        )
    except (ValueError, RecursionError):
        return None


def _answer(frame: Any) -> Answer | ResultError | None:
    match frame:
        case [3, str(message_id), dict(result)]:
            return Answer(message_id=message_id, result=result)
        case [4, str(message_id), str(code), *rest]:
            description = str(rest[0]) if rest else ""
            return Answer(message_id=message_id, code=code, description=description)
        case [5, str(message_id), str(code), *_]:
            return ResultError(message_id=message_id, code=code)
        case _:
            return None


def _assert_storable(text: str) -> None:
    """Half a surrogate pair can be written in JSON, and is no text; raises UnicodeEncodeError."""
    json.dumps(json.loads(text), ensure_ascii=False).encode()


def call(message_id: str, action: str, payload: dict[str, Any]) -> str:
    return f"[2,{encode(message_id)},{encode(action)},{encode(payload)}]"


def result(id_text: str, payload_text: str) -> str:
    return f"[3,{id_text},{payload_text}]"


def error(id_text: str, code: str, description: str) -> str:
    return f"[4,{id_text},{encode(code)},{encode(description)},{{}}]"


def encode(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
