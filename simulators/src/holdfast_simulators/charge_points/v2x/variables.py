"""The device model, small: which variables there are, what they are now, and what changing one does.

GetVariables, SetVariables, GetBaseReport, GetReport (2.0.1 B05 to B08)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from holdfast_simulators.charge_points.body import settings
from holdfast_simulators.charge_points.body.reply import Reply, answer
from holdfast_simulators.charge_points.body.settings import (
    Setting,
    fixed,
    flag,
    is_positive,
    is_whole,
    switch,
    whole,
)
from holdfast_simulators.charge_points.v2x.device import Situation

AT_ONCE_MAX = 50
VALUE_CHARACTERS_MAX = 1_000
REPORTED_AT_ONCE = 8
"""Variables in one NotifyReport."""


VARIABLES: dict[str, Setting] = {
    "AlignedDataCtrlr.Interval": fixed("0", "integer"),
    "AuthCacheCtrlr.Enabled": switch(True),
    "AuthCtrlr.LocalPreAuthorize": switch(False),
    "AuthCtrlr.OfflineTxForUnknownIdEnabled": flag(
        lambda it: it.offline_start, lambda it, value: replace(it, offline_start=value)
    ),
    "AuthCtrlr.AuthorizeRemoteStart": flag(
        lambda it: it.authorize_remote, lambda it, value: replace(it, authorize_remote=value)
    ),
    "LocalAuthListCtrlr.Enabled": switch(True),
    "LocalAuthListCtrlr.ItemsPerMessage": fixed("100", "integer"),
    "OCPPCommCtrlr.HeartbeatInterval": whole(
        lambda it: it.heartbeat_s or 0,
        lambda it, value: replace(it, heartbeat_s=float(value)),
        is_positive,
    ),
    "OCPPCommCtrlr.MessageAttempts": whole(
        lambda it: it.attempts, lambda it, value: replace(it, attempts=value), is_positive
    ),
    "OCPPCommCtrlr.MessageAttemptInterval": whole(
        lambda it: it.retry_interval_s,
        lambda it, value: replace(it, retry_interval_s=float(value)),
        is_whole,
    ),
    "OCPPCommCtrlr.WebSocketPingInterval": whole(
        lambda it: it.ping_s or 0,
        lambda it, value: replace(it, ping_s=float(value) or None),
        is_whole,
        needs_boot=True,
    ),
    "SampledDataCtrlr.TxUpdatedInterval": whole(
        lambda it: it.meter_interval_s,
        lambda it, value: replace(it, meter_interval_s=float(value)),
        is_positive,
    ),
    "SampledDataCtrlr.SignReadings": flag(
        lambda it: it.signed_values, lambda it, value: replace(it, signed_values=value)
    ),
    "SecurityCtrlr.SecurityProfile": fixed("1", "integer"),
    "TxCtrlr.StopTxOnInvalidId": flag(
        lambda it: it.stop_on_invalid_id, lambda it, value: replace(it, stop_on_invalid_id=value)
    ),
    "TxCtrlr.TxStartPoint": Setting(
        value=lambda it: "EVConnected" if it.transaction_begins == "cable" else "Authorized",
    ),
}


def is_on(situation: Situation, name: str) -> bool:
    return settings.is_on(VARIABLES, situation.device.memory.variables, name)


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
    kept = situation.kept(variables=changed)
    return Reply(payload={"setVariableResult": results}, executed=True, events=(kept,))


def _verdict(variable: Setting, value: str) -> str:
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
