"""What a command's payload says, in whichever version's words: OCPP 1.6 and 2.x name the same things differently.

    connectorId (1.6) | evseId | evse.id (2.x) -> connector      idTag | idToken.idToken -> driver token
    reservationId | id of ReserveNow -> reservation              listVersion | versionNumber -> list version

Nothing here trusts a payload: what is of another kind than it has to be counts as not said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

Payload = Mapping[str, Any]

WHOLE = 0
"""As a connector's number: the charge point as a whole."""
NUMBER_MAX = 2**53
TX_PROFILE = "TxProfile"
OF_THE_WHOLE = frozenset(
    {"ChargePointMaxProfile", "ChargingStationMaxProfile", "ChargingStationExternalConstraints"}
)
"""Purposes of profiles that all which runs on a charge point shares."""


def connector_of(action: str, payload: Payload) -> int | None:
    """The place it is about: connectorId in 1.6, the EVSE in 2.x. None: it names none."""
    if "evseId" in payload:
        return _number(payload["evseId"])
    evse = payload.get("evse")
    if isinstance(evse, Mapping):
        return _number(evse.get("id"))
    criteria = payload.get("chargingProfileCriteria")
    if isinstance(criteria, Mapping):
        return _number(criteria.get("evseId"))
    if action == "ChangeAvailability" and "connectorId" not in payload:
        return WHOLE  # 2.x: without an EVSE it means all of it
    return _number(payload.get("connectorId"))


def plug_of(payload: Payload) -> int | None:
    """The one connector of its EVSE that it is about, in 2.x. None: all of it."""
    evse = payload.get("evse")
    return _number(evse.get("connectorId")) if isinstance(evse, Mapping) else None


def transaction_of(payload: Payload) -> int | str | None:
    """That it is about: its own `transactionId`, or its profile's, or its message's."""
    inner = (profile_in(payload), payload.get("message"))
    inside = next((one["transactionId"] for one in inner if _has(one, "transactionId")), None)
    named = payload.get("transactionId", inside)
    return named if is_number(named) or isinstance(named, str) else None


def driver_token_of(payload: Payload) -> str | None:
    token = payload.get("idTag")
    if token is None:
        inner = payload.get("idToken")
        token = inner.get("idToken") if isinstance(inner, Mapping) else None
    return token if isinstance(token, str) else None


def reservation_of(action: str, payload: Payload) -> int | None:
    if action == "ReserveNow" and "id" in payload:
        return _number(payload["id"])
    return _number(payload.get("reservationId"))


def list_version_of(payload: Payload) -> int | None:
    return _number(payload.get("listVersion", payload.get("versionNumber")))


def takes_out_of_service(payload: Payload) -> bool:
    """Of a ChangeAvailability. What can't be read does."""
    return bool(payload.get("type", payload.get("operationalStatus")) != "Operative")


def profile_in(payload: Payload) -> Mapping[str, Any] | None:
    """The charging profile of a SetChargingProfile, or of a start."""
    found = payload.get("csChargingProfiles", payload.get("chargingProfile"))
    return found if isinstance(found, Mapping) else None


def purpose_of(payload: Payload) -> str:
    profile = profile_in(payload)
    return str(profile.get("chargingProfilePurpose")) if profile else ""


def keys_set(payload: Payload) -> tuple[str, ...]:
    """By a ChangeConfiguration; by a SetVariables, each as `Component.Variable`."""
    if "setVariableData" not in payload:
        return (str(payload.get("key")),)
    asked = payload["setVariableData"]
    return tuple(variable_name(one) for one in (asked if isinstance(asked, list) else []))


def variable_name(one: Any) -> str:
    """`Component.Variable` of 2.x, with instances, EVSE and connector where they are named: `Connector@1.2.Type`,
    `EVSE@2.Power`, `Ctrlr[left].Limit[Max]`. The one name of a variable; empty: it names none.
    """
    if not isinstance(one, Mapping):
        return ""
    component, variable = one.get("component"), one.get("variable")
    if not isinstance(component, Mapping) or not isinstance(variable, Mapping):
        return ""
    evse = component.get("evse")
    place = ""
    if isinstance(evse, Mapping):
        numbers = (evse.get("id"), evse.get("connectorId"))
        place = f"@{'.'.join(str(number) for number in numbers if number is not None)}"
    return f"{_named(component)}{place}.{_named(variable)}"


def is_number(value: Any) -> TypeGuard[int]:
    return (
        isinstance(value, int) and not isinstance(value, bool) and -NUMBER_MAX < value < NUMBER_MAX
    )


def _named(one: Mapping[str, Any]) -> str:
    name, instance = str(one.get("name")), one.get("instance")
    return f"{name}[{instance}]" if isinstance(instance, str) and instance else name


def _number(value: Any) -> int | None:
    return value if is_number(value) else None


def _has(value: Any, name: str) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping) and name in value
