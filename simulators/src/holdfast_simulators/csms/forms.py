"""How a quirk is written, in the configuration and in a command, and what it changes.

apply(quirks, name, {"action": "StartTransaction", "count": 2}) -> quirks, or QuirkError
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from holdfast_simulators.csms.frames import VERSIONS
from holdfast_simulators.csms.quirks import EVERY, BootStatus, Deed, OwnCall, Quirks, Rule
from holdfast_simulators.document import (
    Check,
    given,
    is_bool,
    is_number,
    is_one_of,
    is_text,
    is_whole,
)

TOKEN_STATUSES = ("Accepted", "Blocked", "Expired", "Invalid", "ConcurrentTx")
"""Of 1.6; 2.x has them too."""
BOOT_STATUSES = ("Accepted", "Pending", "Rejected")
OWN_CALLS_MAX = 20
COUNT_MAX = 1_000_000
REQUIRED = object()


class QuirkError(Exception):
    """A quirk that cannot be set: which field, what is wrong with it, what to write."""

    def __init__(self, field: str, value: Any, remedy: str) -> None:
        super().__init__(f"{field}: {given(field, value)}; {remedy}")
        self.field = field
        self.value = value
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Field:
    check: Check
    default: Any = REQUIRED


Fields = Mapping[str, Field]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    fields: Fields
    put: Callable[[Quirks, dict[str, Any]], Quirks]
    is_repeatable: bool = False
    """One for each charge point, action or token: a list in the configuration."""


def apply(quirks: Quirks, name: str, values: Mapping[str, Any]) -> Quirks:
    form = FORMS.get(name)
    if form is None:
        raise QuirkError("name", name, f"write one of {', '.join(FORMS)}")
    for field, value in values.items():
        if field not in form.fields:
            raise QuirkError(field, value, f"known here: {', '.join(form.fields)}")
        remedy = form.fields[field].check(value)
        if remedy is not None:
            raise QuirkError(field, value, remedy)
    complete = {field: values.get(field, one.default) for field, one in form.fields.items()}
    for field, value in complete.items():
        if value is REQUIRED:
            raise QuirkError(field, None, f"quirk {name!r} needs it")
    return form.put(quirks, complete)


def applications(name: str, value: Any) -> list[Mapping[str, Any]]:
    """The fields of each setting that stands in the configuration under this name."""
    form = FORMS.get(name)
    is_list = isinstance(value, list) and form is not None and form.is_repeatable
    return [
        one if isinstance(one, dict) else {"value": one} for one in (value if is_list else [value])
    ]


# --- fields


def _or(check: Check, other: Any, said: str) -> Check:
    def checked(value: Any) -> str | None:
        remedy = None if value == other else check(value)
        return None if remedy is None else f"{remedy}, or {said}"

    return checked


def _are_own_calls(value: Any) -> str | None:
    right = isinstance(value, list) and len(value) <= OWN_CALLS_MAX
    right = right and all(
        isinstance(one, dict)
        and set(one) <= {"action", "payload", "versions"}
        and isinstance(one.get("action"), str)
        and isinstance(one.get("payload", {}), dict)
        and are_versions(one.get("versions", list(VERSIONS))) is None
        for one in value
    )
    remedy = f'write a list of up to {OWN_CALLS_MAX} {{"action", "payload", "versions"}}'
    return None if right else remedy


def are_versions(value: Any) -> str | None:
    """The remedy; None: it is a list of versions."""
    right = isinstance(value, list) and value and all(one in VERSIONS for one in value)
    return None if right else f"write a list of {', '.join(VERSIONS)}"


IS_NAME = is_text(255)
EVERY_NAME = Field(IS_NAME, EVERY)
IS_COUNT = _or(is_whole(0, COUNT_MAX), "always", '"always"')


# --- what each changes


def _scalar(name: str, check: Check, default: Any = REQUIRED) -> Form:
    def put(quirks: Quirks, values: dict[str, Any]) -> Quirks:
        return replace(quirks, **{name: values["value"]})

    return Form(fields={"value": Field(check, default)}, put=put)


def _deed(deed: Deed) -> Form:
    def put(quirks: Quirks, values: dict[str, Any]) -> Quirks:
        count = None if values["count"] == "always" else values["count"]
        return quirks.with_rule(Rule(deed=deed, **{**values, "count": count}))

    fields = {
        "action": EVERY_NAME,
        "charge_point": EVERY_NAME,
        "containing": Field(is_text(1_000, empty=True), ""),
        "count": Field(IS_COUNT, 1),
    }
    if deed is Deed.CALLERROR:
        fields["code"] = Field(is_text(60), "InternalError")
    return Form(fields=fields, put=put, is_repeatable=True)


def _set(table: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """None and 0 take the entry out; for all, everything that was said for one goes too."""
    others = {} if key == EVERY else {one: table[one] for one in table if one != key}
    return {**others, key: value} if value else others


def _put_delay(quirks: Quirks, values: dict[str, Any]) -> Quirks:
    delays = _set(quirks.answer_delay_s, values["action"], values["value"])
    return replace(quirks, answer_delay_s=delays)


def _put_boot_status(quirks: Quirks, values: dict[str, Any]) -> Quirks:
    said = BootStatus(status=values["status"], interval_s=values["interval_s"])
    statuses = _set(quirks.boot_status, values["charge_point"], said)
    return replace(quirks, boot_status=statuses)


def _put_refuse_handshake(quirks: Quirks, values: dict[str, Any]) -> Quirks:
    codes = _set(quirks.refuse_handshake, values["charge_point"], values["code"])
    return replace(quirks, refuse_handshake=codes)


def _put_refuse_token(quirks: Quirks, values: dict[str, Any]) -> Quirks:
    tokens = {**quirks.refuse_token, values["id_tag"]: values["status"]}
    return replace(quirks, refuse_token=tokens)


def _put_own_calls(quirks: Quirks, values: dict[str, Any]) -> Quirks:
    calls = (
        OwnCall(
            action=one["action"],
            payload=one.get("payload", {}),
            versions=tuple(one.get("versions", VERSIONS)),
        )
        for one in values["value"]
    )
    return replace(quirks, calls_after_boot=tuple(calls))


def _is_refusal(value: Any) -> str | None:
    return None if value in (401, 404, None) else "write 401, 404, or null to end it"


FORMS: dict[str, Form] = {
    **{deed.value: _deed(deed) for deed in Deed},
    "answer_delay_s": Form(
        fields={"value": Field(is_number(0, 3_600)), "action": EVERY_NAME},
        put=_put_delay,
        is_repeatable=True,
    ),
    "boot_status": Form(
        fields={
            "status": Field(is_one_of(*BOOT_STATUSES)),
            "interval_s": Field(_or(is_whole(0, 1_000_000), None, "null"), None),
            "charge_point": EVERY_NAME,
        },
        put=_put_boot_status,
        is_repeatable=True,
    ),
    "refuse_handshake": Form(
        fields={"code": Field(_is_refusal), "charge_point": EVERY_NAME},
        put=_put_refuse_handshake,
        is_repeatable=True,
    ),
    "refuse_token": Form(
        fields={"id_tag": Field(IS_NAME), "status": Field(is_one_of(*TOKEN_STATUSES), "Blocked")},
        put=_put_refuse_token,
        is_repeatable=True,
    ),
    "calls_after_boot": Form(fields={"value": Field(_are_own_calls)}, put=_put_own_calls),
    "black_hole": _scalar("black_hole", is_bool, True),
    "any_subprotocol": _scalar("any_subprotocol", is_bool, True),
    "older_connection": _scalar("older_connection", is_one_of("close", "keep")),
    "one_call_at_a_time": _scalar("one_call_at_a_time", is_bool, True),
    "repeated_message_id_error": _scalar("repeated_message_id_error", is_bool, True),
    "dedupe": _scalar("dedupe", is_one_of("none", "message-id", "business-key")),
    "drop_unknown_meter_values": _scalar("drop_unknown_meter_values", is_bool, True),
    "future_stop_s": _scalar("future_stop_s", is_number(0, 1e9, or_null=True)),
    "concurrent_tx_check": _scalar("concurrent_tx_check", is_bool, True),
    "unknown_action_code": _scalar("unknown_action_code", is_text(60)),
    "bad_payload_code": _scalar("bad_payload_code", is_text(60)),
}
