"""The JSON schemas of all versions (of the `ocpp` package), compiled once, and what their errors mean in OCPP-J.

Draft 4 is said explicitly and formats are not looked at: then this accepts and refuses exactly what the
`ocpp` package does, at a hundredth of its cost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jsonschema_rs import Draft4Validator, ValidationError, ValidationErrorKind

from holdfast.ocpp import frames
from holdfast.ocpp.actions import Sender, row
from holdfast.ocpp.frames import Code, Reason, Wrong
from holdfast.ocpp.versions import OcppVersion
from ocpp_edge.domain import calls, opaque


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    code: Code
    sentence: str
    """Names the field, never its content: it may be a driver token."""


class Schemas:
    """Compiled when the first message of their kind comes, and kept: there are no more than the package has."""

    def __init__(self) -> None:
        self._validators: dict[tuple[OcppVersion, str, bool], Draft4Validator | None] = {}

    def problem(
        self,
        action: str,
        payload: Mapping[str, Any],
        version: OcppVersion = OcppVersion.V16,
        *,
        is_answer: bool = False,
    ) -> Problem | None:
        """The first thing that is wrong with the payload of this action, or of its answer."""
        validator = self._validator(version, action, is_answer)
        if validator is None:
            sentence = f"payload: OCPP {version} has no such action"
            return Problem(code=Code.NOT_IMPLEMENTED, sentence=sentence)
        if validator.is_valid(payload):
            return None
        error = _first_error(validator, payload)
        field = ".".join(map(str, error.instance_path)) or "payload"
        code = _CODES.get(type(error.kind), Code.PROPERTY)
        violates = f"{field}: violates {error.schema_path[-1]!r}{_wanted(error.kind)}"
        return Problem(code=code, sentence=violates)

    def _validator(
        self, version: OcppVersion, action: str, is_answer: bool
    ) -> Draft4Validator | None:
        key = version, action, is_answer
        if key not in self._validators:
            if not is_known(version, action):
                return None  # not kept: who sends names of its own must not fill our memory
            self._validators[key] = _compiled(version, action, is_answer)
        return self._validators[key]


def _first_error(validator: Draft4Validator, payload: Mapping[str, Any]) -> ValidationError:
    """The first alone: all of them, of an array that fills a frame, are a quarter of a second."""
    try:
        validator.validate(payload)
    except ValidationError as error:
        return error
    raise AssertionError("invalid, and yet without an error")


def is_known(version: OcppVersion, action: str) -> bool:
    return any(row(version, sender, action) for sender in Sender)


def _compiled(version: OcppVersion, action: str, is_answer: bool) -> Draft4Validator | None:
    request = "" if version is OcppVersion.V16 else "Request"
    folder = resources.files("ocpp") / _FOLDERS[version] / "schemas"
    names = [f"{action}Response"] if is_answer else [f"{action}{request}", action]  # a SEND's
    for name in names:
        file = folder / f"{name}.json"
        if file.is_file():
            schema = json.loads(file.read_text("utf-8-sig"))
            return Draft4Validator(schema, validate_formats=False)
    return None


_FOLDERS = {OcppVersion.V16: "v16", OcppVersion.V201: "v201", OcppVersion.V21: "v21"}


def read_call(
    schemas: Schemas,
    connection: str,
    call: frames.Call | frames.Send,
    version: OcppVersion = OcppVersion.V16,
) -> calls.Call | Wrong:
    """A CALL (or SEND) that can be served, or why not."""
    found = row(version, Sender.CHARGE_POINT, call.action)
    if found is None:
        if row(version, Sender.CSMS, call.action):
            sentence = "a charge point does not send this"
            return _wrong(call, Reason.UNKNOWN_ACTION, Code.NOT_SUPPORTED, sentence)
        return _wrong(call, Reason.UNKNOWN_ACTION, Code.NOT_IMPLEMENTED, "unknown action")
    if found.send is not isinstance(call, frames.Send):
        sentence = "this action is a SEND" if found.send else "this action is a CALL"
        return _wrong(call, Reason.MESSAGE_TYPE, Code.MESSAGE_TYPE, sentence)
    payload = frames.payload_of(call.raw)
    if isinstance(payload, Wrong):
        return _wrong(call, payload.reason, payload.code, payload.sentence)
    problem = schemas.problem(call.action, payload, version)
    if problem:
        return _wrong(call, Reason.SCHEMA, problem.code, problem.sentence)
    try:
        request = opaque.request_of(found, version, payload, call.raw)
    except calls.Unsound as error:
        return _wrong(call, Reason.SCHEMA, Code.PROPERTY, str(error))
    return calls.Call(
        connection=connection,
        message_id=call.message_id,
        action=call.action,
        raw=call.raw,
        request=request,
        version=version,
        is_answered=isinstance(call, frames.Call),
    )


_CODES = {
    ValidationErrorKind.Required: Code.OCCURRENCE,
    ValidationErrorKind.MinItems: Code.OCCURRENCE,
    ValidationErrorKind.MaxItems: Code.OCCURRENCE,
    ValidationErrorKind.Type: Code.TYPE,
    ValidationErrorKind.AdditionalProperties: Code.FORMATION,
}


_OF_THE_SCHEMA = {
    "types": "has to be of type",
    "options": "has to be one of",
    "property": "lacks",
    "limit": "the limit is",
}
"""What an error knows of its schema; anything else that it knows is content."""
WANTED_CHARACTERS_MAX = 200


def _wanted(kind: ValidationErrorKind) -> str:
    """So that whoever wrote it knows what to write instead."""
    for name, value in kind.as_dict().items():
        says = _OF_THE_SCHEMA.get(name)
        if says:
            values = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            return f" ({says} {values[:WANTED_CHARACTERS_MAX]})"
    return ""


def _wrong(call: frames.Call | frames.Send, reason: Reason, code: Code, sentence: str) -> Wrong:
    answered = call.message_id if isinstance(call, frames.Call) else None
    return Wrong(reason=reason, code=code, sentence=sentence, message_id=answered)
