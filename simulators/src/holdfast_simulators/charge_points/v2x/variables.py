"""The device model, small: which variables there are, what they are now, and what changing one does.

GetVariables, SetVariables, GetBaseReport, GetReport (2.0.1 B05 to B08)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from holdfast_simulators.charge_points.body.config import Behaviour
from holdfast_simulators.charge_points.v2x.events import Remembered
from holdfast_simulators.charge_points.v2x.reply import Reply, Situation, answer

AT_ONCE_MAX = 50
VALUE_CHARACTERS_MAX = 1_000
REPORTED_AT_ONCE = 8
"""Variables in one NotifyReport."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    value: Callable[[Behaviour], str]
    type: str = "string"
    is_valid: Callable[[str], bool] | None = None
    """None: read only."""
    applied: Callable[[Behaviour, str], Behaviour] | None = None
    needs_boot: bool = False


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 6


def _is_positive(text: str) -> bool:
    return _is_whole(text) and int(text) > 0


def _is_bool(text: str) -> bool:
    return text.lower() in ("true", "false")


def _shown(value: bool) -> str:
    return "true" if value else "false"


def _fixed(value: str, type: str = "string") -> Variable:
    return Variable(value=lambda _: value, type=type)


def _switch(default: bool) -> Variable:
    return Variable(value=lambda _: _shown(default), type="boolean", is_valid=_is_bool)


VARIABLES: dict[str, Variable] = {
    "AlignedDataCtrlr.Interval": _fixed("0", "integer"),
    "AuthCacheCtrlr.Enabled": _switch(True),
    "AuthCtrlr.LocalPreAuthorize": _switch(False),
    "AuthCtrlr.OfflineTxForUnknownIdEnabled": Variable(
        value=lambda it: _shown(it.offline_start),
        type="boolean",
        is_valid=_is_bool,
        applied=lambda it, text: replace(it, offline_start=is_true(text)),
    ),
    "AuthCtrlr.AuthorizeRemoteStart": Variable(
        value=lambda it: _shown(it.authorize_remote),
        type="boolean",
        is_valid=_is_bool,
        applied=lambda it, text: replace(it, authorize_remote=is_true(text)),
    ),
    "LocalAuthListCtrlr.Enabled": _switch(True),
    "LocalAuthListCtrlr.ItemsPerMessage": _fixed("100", "integer"),
    "OCPPCommCtrlr.HeartbeatInterval": Variable(
        value=lambda it: str(round(it.heartbeat_s or 0)),
        type="integer",
        is_valid=_is_positive,
        applied=lambda it, text: replace(it, heartbeat_s=float(text)),
    ),
    "OCPPCommCtrlr.MessageAttempts": Variable(
        value=lambda it: str(it.attempts),
        type="integer",
        is_valid=_is_positive,
        applied=lambda it, text: replace(it, attempts=int(text)),
    ),
    "OCPPCommCtrlr.MessageAttemptInterval": Variable(
        value=lambda it: str(round(it.retry_interval_s)),
        type="integer",
        is_valid=_is_whole,
        applied=lambda it, text: replace(it, retry_interval_s=float(text)),
    ),
    "OCPPCommCtrlr.WebSocketPingInterval": Variable(
        value=lambda it: str(round(it.ping_s or 0)),
        type="integer",
        is_valid=_is_whole,
        applied=lambda it, text: replace(it, ping_s=float(text) or None),
        needs_boot=True,
    ),
    "SampledDataCtrlr.TxUpdatedInterval": Variable(
        value=lambda it: str(round(it.meter_interval_s)),
        type="integer",
        is_valid=_is_positive,
        applied=lambda it, text: replace(it, meter_interval_s=float(text)),
    ),
    "SampledDataCtrlr.SignReadings": Variable(
        value=lambda it: _shown(it.signed_values),
        type="boolean",
        is_valid=_is_bool,
        applied=lambda it, text: replace(it, signed_values=is_true(text)),
    ),
    "SecurityCtrlr.SecurityProfile": _fixed("1", "integer"),
    "TxCtrlr.StopTxOnInvalidId": Variable(
        value=lambda it: _shown(it.stop_on_invalid_id),
        type="boolean",
        is_valid=_is_bool,
        applied=lambda it, text: replace(it, stop_on_invalid_id=is_true(text)),
    ),
    "TxCtrlr.TxStartPoint": Variable(
        value=lambda it: "EVConnected" if it.transaction_begins == "cable" else "Authorized",
    ),
}


def is_true(text: str) -> bool:
    return text.lower() == "true"


def configured(
    behaviour: Behaviour, changed: dict[str, str], *, at_boot: dict[str, str]
) -> Behaviour:
    """The behaviour that the changed variables make of the given one; `at_boot`: as they were when it booted."""
    for name, variable in VARIABLES.items():
        value = (at_boot if variable.needs_boot else changed).get(name)
        if variable.applied is not None and value is not None:
            behaviour = variable.applied(behaviour, value)
    return behaviour


def is_on(changed: dict[str, str], name: str) -> bool:
    return is_true(changed.get(name, VARIABLES[name].value(Behaviour())))


def _named(asked: dict[str, Any]) -> tuple[str, str]:
    """Of a variable, and what is wrong with it if it is unknown."""
    component, variable = str(asked["component"]["name"]), str(asked["variable"]["name"])
    name = f"{component}.{variable}"
    if name in VARIABLES:
        return name, ""
    is_known = any(one.startswith(f"{component}.") for one in VARIABLES)
    return name, "UnknownVariable" if is_known else "UnknownComponent"


def get_variables(situation: Situation, payload: dict[str, Any]) -> Reply:
    asked = payload["getVariableData"]
    if not isinstance(asked, list) or not 1 <= len(asked) <= AT_ONCE_MAX:
        raise ValueError(len(asked))
    results = []
    for one in asked:
        name, problem = _named(one)
        if not problem and one.get("attributeType", "Actual") != "Actual":
            problem = "NotSupportedAttributeType"
        result = {
            "attributeStatus": problem or "Accepted",
            "component": one["component"],
            "variable": one["variable"],
        }
        if not problem:
            result["attributeValue"] = value_of(situation, name)
        results.append(result)
    return answer({"getVariableResult": results})


def set_variables(situation: Situation, payload: dict[str, Any]) -> Reply:
    asked = payload["setVariableData"]
    if not isinstance(asked, list) or not 1 <= len(asked) <= AT_ONCE_MAX:
        raise ValueError(len(asked))
    changed = dict(situation.device.memory.variables)
    results = []
    for one in asked:
        name, problem = _named(one)
        value = str(one["attributeValue"])
        status = problem or _verdict(VARIABLES[name], value)
        if status in ("Accepted", "RebootRequired"):
            changed[name] = value
        results.append(
            {
                "attributeStatus": status,
                "component": one["component"],
                "variable": one["variable"],
            }
        )
    if changed == situation.device.memory.variables:
        return Reply(payload={"setVariableResult": results}, executed=False)
    memory = replace(situation.device.memory, variables=changed)
    return Reply(
        payload={"setVariableResult": results},
        executed=True,
        events=(Remembered(at=situation.at, memory=memory),),
    )


def _verdict(variable: Variable, value: str) -> str:
    if variable.is_valid is None or len(value) > VALUE_CHARACTERS_MAX:
        return "Rejected"
    if not variable.is_valid(value):
        return "Rejected"
    return "RebootRequired" if variable.needs_boot else "Accepted"


def value_of(situation: Situation, name: str) -> str:
    changed = situation.device.memory.variables
    return changed.get(name, VARIABLES[name].value(situation.behaviour))


def reports(
    situation: Situation, request_id: int, names: list[str], generated_at: str
) -> list[tuple[str, dict[str, Any]]]:
    """NotifyReports of these variables, in parts."""
    parts = [names[n : n + REPORTED_AT_ONCE] for n in range(0, len(names), REPORTED_AT_ONCE)]
    return [
        (
            "NotifyReport",
            {
                "requestId": request_id,
                "generatedAt": generated_at,
                "tbc": number < len(parts) - 1,
                "seqNo": number,
                "reportData": [_reported(situation, name) for name in part],
            },
        )
        for number, part in enumerate(parts)
    ]


def _reported(situation: Situation, name: str) -> dict[str, Any]:
    component, variable = name.split(".")
    known = VARIABLES[name]
    mutability = "ReadOnly" if known.is_valid is None else "ReadWrite"
    attribute = {"value": value_of(situation, name), "mutability": mutability, "persistent": True}
    return {
        "component": {"name": component},
        "variable": {"name": variable},
        "variableAttribute": [attribute],
        "variableCharacteristics": {"dataType": known.type, "supportsMonitoring": False},
    }
