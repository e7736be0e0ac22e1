"""An OCPP-J frame taken apart without touching its payload, and frames put together.

    parse("[2, id, action, payload]") -> Call(id, action, payload as it stood) | Result | Error | Wrong

The payload stays the text it was: signed meter values survive, and a repeat is recognised by its bytes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

MESSAGE_ID_CHARACTERS_MAX = 255
"""OCPP-J says 36; the field uses braces and prefixes. A longer one is not answered."""

DEPTH_MAX = 32
"""OCPP 1.6 nests payloads five deep; readers behind us give up at other depths than we do."""


class Code(StrEnum):
    """CALLERROR codes of OCPP-J 1.6; the third is spelled as the standard spells it."""

    NOT_IMPLEMENTED = "NotImplemented"
    INTERNAL = "InternalError"
    OCCURRENCE = "OccurenceConstraintViolation"
    TYPE = "TypeConstraintViolation"
    PROPERTY = "PropertyConstraintViolation"
    FORMATION = "FormationViolation"


class Reason(StrEnum):
    """Why a frame was not served; a metric's label."""

    NOT_TEXT = "not text"
    NOT_JSON = "not json"
    NOT_A_MESSAGE = "not a message"
    NO_MESSAGE_ID = "no message id"
    WRONG_ARITY = "wrong arity"
    TOO_DEEP = "too deep"
    DUPLICATE_KEY = "duplicate key"
    UNKNOWN_ACTION = "unknown action"
    SCHEMA = "schema"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    message_id: str
    action: str
    raw: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    message_id: str
    raw: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    message_id: str
    code: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """A frame that can't be served. With a message id, and only then, it is answered."""

    reason: Reason
    sentence: str
    code: Code = Code.FORMATION
    message_id: str | None = None


def parse(frame: str | bytes) -> Call | Result | Error | Wrong:
    if isinstance(frame, bytes):
        return Wrong(reason=Reason.NOT_TEXT, sentence="OCPP-J frames are text")
    try:
        parts = _FRAME.decode(frame)
    except RecursionError:
        return _wrong_text(frame, Reason.TOO_DEEP, "nested too deeply")
    except (msgspec.MsgspecError, UnicodeError) as error:
        return _wrong_text(frame, Reason.NOT_JSON, f"not a JSON array: {error}")
    match [bytes(part) for part in parts]:
        case [b"2", message_id, action, payload]:
            return _call(message_id, action, payload)
        case [b"3", message_id, payload]:
            known = _message_id(message_id)
            return Result(message_id=known, raw=payload.decode()) if known else _NO_ID
        case [b"4", message_id, code, *rest]:
            # Error frames of four elements are met in the field.
            known = _message_id(message_id)
            description = _text(rest[0]) if rest else ""
            answered = Error(
                message_id=known or "", code=_text(code) or "", description=description or ""
            )
            return answered if known else _NO_ID
        case [b"2", message_id, *_]:
            return Wrong(
                reason=Reason.WRONG_ARITY,
                sentence="a CALL has four elements: [2, id, action, payload]",
                message_id=_message_id(message_id),
            )
        case _:
            return Wrong(reason=Reason.NOT_A_MESSAGE, sentence="neither CALL nor answer")


def payload_of(raw: str) -> dict[str, Any] | Wrong:
    """The payload as an object: of finite depth, with unique keys."""
    try:
        payload = msgspec.json.decode(raw)
    except RecursionError:
        return Wrong(reason=Reason.TOO_DEEP, sentence="payload nested too deeply")
    except (msgspec.MsgspecError, UnicodeError, ValueError) as error:
        return Wrong(reason=Reason.NOT_JSON, sentence=f"payload is not JSON: {error}")
    if not isinstance(payload, dict):
        return Wrong(reason=Reason.SCHEMA, sentence="payload is not an object")
    if raw.count("[") + raw.count("{") > DEPTH_MAX and not _is_within(payload, DEPTH_MAX):
        return Wrong(reason=Reason.TOO_DEEP, sentence=f"nested deeper than {DEPTH_MAX}")
    # Written back to the same bytes there can have been no key twice; only others need the slow look.
    if msgspec.json.encode(payload) != raw.encode():
        try:
            json.loads(raw, object_pairs_hook=_unique)
        except (ValueError, RecursionError) as error:
            return Wrong(reason=Reason.DUPLICATE_KEY, sentence=str(error))
    return payload


def call(message_id: str, action: str, payload: str) -> str:
    return f"[2,{text(message_id)},{text(action)},{payload}]"


def result(message_id: str, payload: str) -> str:
    return f"[3,{text(message_id)},{payload}]"


def error(message_id: str, code: Code, description: str) -> str:
    return f"[4,{text(message_id)},{text(code.value)},{text(description[:255])},{{}}]"


_FRAME = msgspec.json.Decoder(list[msgspec.Raw])
_NO_ID = Wrong(reason=Reason.NO_MESSAGE_ID, sentence="no message id that can be answered")
_BEGIN_OF_CALL = re.compile(r'^\s*\[\s*2\s*,\s*("(?:[^"\\]|\\.){1,255}")')


def _call(message_id: bytes, action: bytes, payload: bytes) -> Call | Wrong:
    known, name = _message_id(message_id), _text(action)
    if known is None:
        return _NO_ID
    if name is None:
        return Wrong(
            reason=Reason.NOT_A_MESSAGE, sentence="the action is not a string", message_id=known
        )
    return Call(message_id=known, action=name, raw=payload.decode())


def _wrong_text(frame: str, reason: Reason, sentence: str) -> Wrong:
    """The id is often still there, at the beginning of what was cut off: then it is answered."""
    begin = _BEGIN_OF_CALL.match(frame)
    message_id = _message_id(begin[1].encode("utf-8", "replace")) if begin else None
    return Wrong(reason=reason, sentence=sentence, message_id=message_id)


def _message_id(data: bytes) -> str | None:
    text = _text(data)
    return text if text and len(text) <= MESSAGE_ID_CHARACTERS_MAX else None


def _text(data: bytes) -> str | None:
    try:
        return msgspec.json.decode(data, type=str)
    except (msgspec.MsgspecError, UnicodeError):
        return None


def _is_within(value: dict[str, Any] | list[Any], depth: int) -> bool:
    parts = value.values() if isinstance(value, dict) else value
    return depth > 0 and all(
        _is_within(part, depth - 1) for part in parts if isinstance(part, dict | list)
    )


def text(value: str) -> str:
    return msgspec.json.encode(value).decode()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return made
