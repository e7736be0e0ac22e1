"""Configuration keys of 1.6 and variables of 2.x, as `configuration/<name>`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.contracts.command import Command
from holdfast.local_state.payload import objects
from holdfast.local_state.state import LocalState, Told
from holdfast.ocpp.payloads import variable_name

CONNECTOR_DIGITS_MAX = 4
_TAKEN = ("Accepted", "RebootRequired")


def told(command: Command, answer: Mapping[str, Any]) -> Told:
    """By the charge point's answer to a command that sets or asks."""
    payload = command.payload
    match command.action:
        case "ChangeConfiguration":
            return _key_set(payload, answer.get("status"))
        case "GetConfiguration":
            return _keys(answer)
        case "SetVariables":
            return _variables_set(payload, answer, _TAKEN)
        case _:
            return variables(answer.get("getVariableResult"))


def at_boot(command: Command, answer: Mapping[str, Any]) -> frozenset[str]:
    """Of what it sets, that which holds only from the next boot on."""
    if command.action == "ChangeConfiguration":
        is_late = answer.get("status") == "RebootRequired"
        return (
            frozenset(_key_set(command.payload, answer.get("status"))) if is_late else frozenset()
        )
    return frozenset(_variables_set(command.payload, answer, ("RebootRequired",)))


def _key_set(payload: Mapping[str, Any], status: object) -> Told:
    if status not in _TAKEN:
        return {}
    return {f"configuration/{payload.get('key')}": str(payload.get("value"))}


def _keys(answer: Mapping[str, Any]) -> Told:
    return {
        f"configuration/{one['key']}": str(one["value"])
        for one in objects(answer.get("configurationKey"))
        if isinstance(one.get("key"), str) and one.get("value") is not None
    }


def _variables_set(
    payload: Mapping[str, Any], answer: Mapping[str, Any], statuses: tuple[str, ...]
) -> Told:
    """Answers come in any order: component and variable tell which is whose."""
    taken = {
        variable(one).casefold()
        for one in objects(answer.get("setVariableResult"))
        if one.get("attributeStatus") in statuses
    }
    return {
        f"configuration/{name}": str(one.get("attributeValue"))
        for one in objects(payload.get("setVariableData"))
        for name in [variable(one)]
        if name and name.casefold() in taken
    }


def variables(results: object) -> Told:
    return {
        f"configuration/{name}": str(one["attributeValue"])
        for one in objects(results)
        for name in [variable(one)]
        if name
        and one.get("attributeStatus") == "Accepted"
        and one.get("attributeValue") is not None
    }


def reported(payload: Mapping[str, Any]) -> Told:
    """A NotifyReport: each variable with its attributes."""
    return {
        f"configuration/{name}": str(attribute["value"])
        for one in objects(payload.get("reportData"))
        for attribute in objects(one.get("variableAttribute"))
        for name in [variable({**one, "attributeType": attribute.get("type", "Actual")})]
        if name and attribute.get("value") is not None
    }


def variable(one: Mapping[str, Any]) -> str:
    """With its attribute, where that is not the actual value: `OCPPCommCtrlr.HeartbeatInterval.Target`."""
    kind = one.get("attributeType", "Actual")
    name = variable_name(one)
    return f"{name}.{kind}" if name and kind != "Actual" else name


def connectors_of(state: LocalState) -> int | None:
    """How many a charge point of 1.6 said it has when it was asked: nothing else tells."""
    found = state.standing("NumberOfConnectors")
    said = found[1].value if found else ""
    is_number = said.isascii() and said.isdigit() and len(said) <= CONNECTOR_DIGITS_MAX
    return int(said) if is_number and int(said) else None
