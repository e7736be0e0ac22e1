"""OCPP 1.6 JSON schemas (of the `ocpp` package), compiled once, and what their errors mean in OCPP-J.

Draft 4 is said explicitly and formats are not looked at: then this accepts and refuses exactly what the
`ocpp` package does, at a hundredth of its cost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, get_args

from jsonschema_rs import Draft4Validator, ValidationErrorKind

from holdfast.contracts.command import Action
from holdfast.ocpp import frames
from holdfast.ocpp.frames import Code, Reason, Wrong
from ocpp_edge.domain import calls

COMMANDS = get_args(Action)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    code: Code
    sentence: str
    """Names the field, never its content: it may be a driver token."""


class Schemas:
    def __init__(self) -> None:
        names = sorted({*calls.ACTIONS, *COMMANDS})
        folder = resources.files("ocpp") / "v16" / "schemas"
        self._validators = {
            name: Draft4Validator(
                json.loads((folder / f"{name}.json").read_text("utf-8-sig")),
                validate_formats=False,
            )
            for name in names
        }

    def problem(self, action: str, payload: Mapping[str, Any]) -> Problem | None:
        """The first thing that is wrong with the payload of this (known) action."""
        validator = self._validators[action]
        if validator.is_valid(payload):
            return None
        error = next(validator.iter_errors(payload))
        field = ".".join(map(str, error.instance_path)) or "payload"
        code = _CODES.get(type(error.kind), Code.PROPERTY)
        violates = f"{field}: violates {error.schema_path[-1]!r}{_wanted(error.kind)}"
        return Problem(code=code, sentence=violates)


def read_call(schemas: Schemas, connection: str, call: frames.Call) -> calls.Call | Wrong:
    """A CALL that can be served, or why not."""
    if call.action not in calls.ACTIONS:
        return _wrong(call, Reason.UNKNOWN_ACTION, Code.NOT_IMPLEMENTED, "unknown action")
    payload = frames.payload_of(call.raw)
    if isinstance(payload, Wrong):
        return _wrong(call, payload.reason, payload.code, payload.sentence)
    problem = schemas.problem(call.action, payload)
    if problem:
        return _wrong(call, Reason.SCHEMA, problem.code, problem.sentence)
    try:
        request = calls.request_of(call.action, payload)
    except calls.NumberTooLarge as error:
        return _wrong(call, Reason.SCHEMA, Code.PROPERTY, str(error))
    assert request is not None
    return calls.Call(
        connection=connection,
        message_id=call.message_id,
        action=call.action,
        raw=call.raw,
        request=request,
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


def _wrong(call: frames.Call, reason: Reason, code: Code, sentence: str) -> Wrong:
    return Wrong(reason=reason, code=code, sentence=sentence, message_id=call.message_id)
