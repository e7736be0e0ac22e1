"""What a scenario can have the simulated CSMS do wrong: the table of `simulators/README.md`, checked before
anything starts.

    check({"name": "lose_answer", "count": 2}), or ValueError

The simulators share no code with us, so the table stands here again; what a scenario leaves out stays theirs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from holdfast.ocpp.versions import OcppVersion
from holdfast_cli.drill.problem import problem

COUNT_MAX = 1_000_000
EVERY = "*"
"""As the simulated CSMS writes `all of them`."""


def _is_count(value: Any) -> Any:
    """One sentence, where a union would say one for each of its members."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if value != "always" and not (is_whole and 0 <= value <= COUNT_MAX):
        raise ValueError(
            f"must be a whole number from 0 to {COUNT_MAX}, or always (given {str(value)[:80]!r}): "
            "correct this field"
        )
    return value


Name = Annotated[str, Field(min_length=1, max_length=255)]
Code = Annotated[str, Field(min_length=1, max_length=60)]
Count = Annotated[Any, AfterValidator(_is_count)]


class Form(BaseModel):
    """The fields that stand beside a quirk's name."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Deed(Form):
    action: Name = EVERY
    charge_point: Name = EVERY
    containing: str = Field("", max_length=1_000)
    count: Count = 1


class CallError(Deed):
    code: Code = "InternalError"


class AnswerDelay(Form):
    value: float = Field(ge=0, le=3_600)
    action: Name = EVERY


class BootStatus(Form):
    status: Literal["Accepted", "Pending", "Rejected"]
    interval_s: int | None = Field(None, ge=0, le=1_000_000)
    charge_point: Name = EVERY


class RefuseHandshake(Form):
    code: Literal[401, 404] | None
    charge_point: Name = EVERY


class RefuseToken(Form):
    id_tag: Name
    status: Literal["Accepted", "Blocked", "Expired", "Invalid", "ConcurrentTx"] = "Blocked"


class Switch(Form):
    value: bool = True


class OlderConnection(Form):
    value: Literal["close", "keep"]


class Dedupe(Form):
    value: Literal["business-key", "message-id", "none"]


class FutureStop(Form):
    value: float | None = Field(ge=0, le=1e9)


class ErrorCode(Form):
    value: Code


class OwnCall(Form):
    action: str
    payload: dict[str, Any] = Field(default_factory=dict)
    versions: list[OcppVersion] = Field(list(OcppVersion), min_length=1)
    """Of the charge points that get it."""


class CallsAfterBoot(Form):
    value: list[OwnCall] = Field(max_length=20)


FORMS: dict[str, type[Form]] = {
    "ignore": Deed,
    "callerror": CallError,
    "lose_answer": Deed,
    "crash_on": Deed,
    "answer_delay_s": AnswerDelay,
    "black_hole": Switch,
    "boot_status": BootStatus,
    "refuse_handshake": RefuseHandshake,
    "any_subprotocol": Switch,
    "older_connection": OlderConnection,
    "calls_after_boot": CallsAfterBoot,
    "one_call_at_a_time": Switch,
    "repeated_message_id_error": Switch,
    "dedupe": Dedupe,
    "drop_unknown_meter_values": Switch,
    "future_stop_s": FutureStop,
    "refuse_token": RefuseToken,
    "concurrent_tx_check": Switch,
    "unknown_action_code": ErrorCode,
    "bad_payload_code": ErrorCode,
}


def check(quirk: dict[str, Any]) -> None:
    """Raise ValueError: which field, what is wrong with it, what to write."""
    fields = dict(quirk)
    name = fields.pop("name", None)
    if not isinstance(name, str) or not name:
        raise ValueError("must have a name such as {name: lose_answer, count: 1}")
    if name not in FORMS:
        raise ValueError(f"name: there is no quirk {name[:80]!r}: use one of {', '.join(FORMS)}")
    try:
        FORMS[name].model_validate(fields)
    except ValidationError as error:
        raise ValueError(problem(error)) from error


def never_happened(
    asked: Iterable[dict[str, Any]], happened: Iterable[dict[str, Any]]
) -> Iterator[str]:
    """Deeds that were asked for so often, and that the CSMS never did: what they were to show was not shown.

    `asked` as the steps have them, `happened` as the CSMS told it (`did: happened`).
    """
    deeds = Counter(_selected(one) for one in asked if _is_deed(one))
    told = list(happened)
    for (name, action, charge_point), times in deeds.items():
        done = sum(
            one["name"] == name
            and action in (EVERY, one["action"])
            and charge_point in (EVERY, one["charge_point"])
            for one in told
        )
        if done < times:
            yield f"the CSMS was to {name} {action} of {charge_point} {times} times, and did {done} times"


def _is_deed(quirk: dict[str, Any]) -> bool:
    return issubclass(FORMS[quirk["name"]], Deed) and quirk.get("count", 1) != 0


def _selected(quirk: dict[str, Any]) -> tuple[str, str, str]:
    return quirk["name"], quirk.get("action", EVERY), quirk.get("charge_point", EVERY)
