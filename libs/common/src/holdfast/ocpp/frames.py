"""An OCPP-J frame taken apart without touching its payload, and frames put together.

    parse("[2, id, action, payload]") -> Call(id, action, payload as it stood)
                                         | Result | Error | Send | ResultError | Wrong

The payload stays the text it was: signed meter values survive, and a repeat is recognised by its bytes.
"""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import Any

import msgspec

from holdfast.ocpp.versions import OcppVersion

MESSAGE_ID_CHARACTERS_MAX = 255
"""OCPP-J says 36; the field uses braces and prefixes. A longer one is not answered."""

UNREADABLE_ID = "-1"
"""OCPP 2.x Part 4, 4.2.3: what a CALL is answered to whose own id can't be read."""

DEPTH_MAX = 32
"""OCPP nests payloads five deep; readers behind us give up at other depths than we do."""


class Code(StrEnum):
    """What a CALLERROR means. Its name on the wire depends on the version: see `name_of`."""

    NOT_IMPLEMENTED = "NotImplemented"
    NOT_SUPPORTED = "NotSupported"
    INTERNAL = "InternalError"
    PROTOCOL = "ProtocolError"
    SECURITY = "SecurityError"
    OCCURRENCE = "OccurenceConstraintViolation"
    TYPE = "TypeConstraintViolation"
    PROPERTY = "PropertyConstraintViolation"
    FORMATION = "FormationViolation"
    GENERIC = "GenericError"
    RPC = "RpcFrameworkError"
    """The frame itself is no CALL that could be read (2.x)."""
    MESSAGE_TYPE = "MessageTypeNotSupported"
    """2.x."""


_SINCE_201 = {
    Code.OCCURRENCE: "OccurrenceConstraintViolation",
    Code.FORMATION: "FormatViolation",
}
_IN_16 = {Code.RPC: Code.FORMATION.value, Code.MESSAGE_TYPE: Code.PROTOCOL.value}


def name_of(code: Code, version: OcppVersion) -> str:
    """As the version spells it: 1.6 has `Occurence` and `Formation`, and none of the two codes of frames."""
    names = _IN_16 if version is OcppVersion.V16 else _SINCE_201
    return names.get(code, code.value)


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
    MESSAGE_TYPE = "message type"
    SCHEMA = "schema"
    ANSWER_REFUSED = "answer refused"
    """A CALLRESULTERROR: what we answered was not understood."""


class Call(msgspec.Struct, frozen=True):
    message_id: str
    action: str
    raw: str


class Result(msgspec.Struct, frozen=True, kw_only=True):
    message_id: str
    raw: str


class Error(msgspec.Struct, frozen=True, kw_only=True):
    message_id: str
    code: str
    description: str


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """OCPP-J 2.1: a message that is never answered, whatever is wrong with it."""

    message_id: str
    action: str
    raw: str


class ResultError(msgspec.Struct, frozen=True, kw_only=True):
    """OCPP-J 2.1: our CALLRESULT was not understood."""

    message_id: str
    code: str
    description: str


class Wrong(msgspec.Struct, frozen=True, kw_only=True):
    """A frame that can't be served. With a message id it is answered; without one in 2.x, where it was a CALL."""

    reason: Reason
    sentence: str
    code: Code = Code.FORMATION
    message_id: str | None = None
    is_call: bool = False
    """It began as a CALL does."""

    def answered_id(self, version: OcppVersion) -> str | None:
        """The id of its CALLERROR; None: it gets none."""
        if version is OcppVersion.V16:
            # There it shall ignore a type that it does not know.
            return None if self.reason is Reason.MESSAGE_TYPE else self.message_id
        if self.message_id is not None:
            return self.message_id
        return UNREADABLE_ID if self.is_call else None


def parse(frame: str | bytes) -> Call | Result | Error | Send | ResultError | Wrong:
    if isinstance(frame, bytes):
        return Wrong(reason=Reason.NOT_TEXT, sentence="OCPP-J frames are text")
    return _ordinary_call(frame) or _parsed(frame)


def _ordinary_call(frame: str) -> Call | None:
    """In one go. None: to be looked at piece by piece, for what it is or what is wrong with it."""
    if not frame.startswith(_ORDINARY):
        return None
    try:
        said = _CALLED.decode(frame)
        payload = str(said.payload, "utf-8")
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    if not 0 < len(said.message_id) <= MESSAGE_ID_CHARACTERS_MAX:
        return None
    return Call(said.message_id, said.action, payload)


def _parsed(frame: str) -> Call | Result | Error | Send | ResultError | Wrong:
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
                code=Code.RPC,
                message_id=_message_id(message_id),
                is_call=True,
            )
        case [b"2"]:
            return _NO_ID_OF_CALL
        case other:
            return _of_other_type(other)


def not_served(parsed: Send | ResultError, version: OcppVersion) -> Wrong | None:
    """None: a SEND that its version has."""
    if version is not OcppVersion.V21:
        return Wrong(
            reason=Reason.MESSAGE_TYPE,
            sentence=f"OCPP {version} has no messages of this type",
            code=Code.MESSAGE_TYPE,
            message_id=parsed.message_id if isinstance(parsed, Send) else None,
        )
    if isinstance(parsed, ResultError):
        sentence = f"our answer was not understood: {parsed.code[:40]}"
        return Wrong(reason=Reason.ANSWER_REFUSED, sentence=sentence)
    return None


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


def send(message_id: str, action: str, payload: str) -> str:
    return f"[6,{text(message_id)},{text(action)},{payload}]"


def error(
    message_id: str, code: Code, description: str, version: OcppVersion = OcppVersion.V16
) -> str:
    return error_named(message_id, name_of(code, version), description)


def error_named(message_id: str, name: str, description: str) -> str:
    return f"[4,{text(message_id)},{text(name)},{text(description[:255])},{{}}]"


class _Called(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    kind: int
    message_id: str
    action: str
    payload: msgspec.Raw


_ORDINARY = '[2,"'
_CALLED = msgspec.json.Decoder(_Called)
_FRAME = msgspec.json.Decoder(list[msgspec.Raw])
_NO_ID = Wrong(reason=Reason.NO_MESSAGE_ID, sentence="no message id that can be answered")
_NO_ID_OF_CALL = msgspec.structs.replace(_NO_ID, code=Code.RPC, is_call=True)
_NUMBER = re.compile(rb"[0-9]{1,9}")
_ANSWERS = (b"3", b"4", b"5", b"6")
"""Of a wrong shape they are not answered: no answer has an answer, and a SEND has none."""
_IS_CALL = re.compile(r"^\s*\[\s*2\s*,")
_BEGIN_OF_CALL = re.compile(r'^\s*\[\s*2\s*,\s*("(?:[^"\\]|\\.){1,255}")')


def _of_other_type(parts: list[bytes]) -> Send | ResultError | Wrong:
    match parts:
        case [b"5", message_id, code, *rest]:
            known = _message_id(message_id)
            description = _text(rest[0]) if rest else ""
            refused = ResultError(
                message_id=known or "", code=_text(code) or "", description=description or ""
            )
            return refused if known else _NO_ID
        case [b"6", message_id, action, payload]:
            said = _call(message_id, action, payload)
            if isinstance(said, Call):
                return Send(message_id=said.message_id, action=said.action, raw=said.raw)
            return Wrong(reason=said.reason, sentence=said.sentence, code=said.code)
        case [kind, message_id, *_] if _NUMBER.fullmatch(kind) and kind not in _ANSWERS:
            return Wrong(
                reason=Reason.MESSAGE_TYPE,
                sentence="a message of this type is not served",
                code=Code.MESSAGE_TYPE,
                message_id=_message_id(message_id),
            )
        case _:
            return Wrong(reason=Reason.NOT_A_MESSAGE, sentence="neither CALL nor answer")


def _call(message_id: bytes, action: bytes, payload: bytes) -> Call | Wrong:
    known, name = _message_id(message_id), _text(action)
    if known is None:
        return _NO_ID_OF_CALL
    if name is None:
        return Wrong(
            reason=Reason.NOT_A_MESSAGE,
            sentence="the action is not a string",
            code=Code.RPC,
            message_id=known,
        )
    return Call(message_id=known, action=name, raw=payload.decode())


def _wrong_text(frame: str, reason: Reason, sentence: str) -> Wrong:
    """The id is often still there, at the beginning of what was cut off: then it is answered."""
    begin = _BEGIN_OF_CALL.match(frame)
    message_id = _message_id(begin[1].encode("utf-8", "replace")) if begin else None
    return Wrong(
        reason=reason,
        sentence=sentence,
        code=Code.RPC,
        message_id=message_id,
        is_call=_IS_CALL.match(frame) is not None,
    )


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
