"""Charging profiles of 2.x, brought into the shape of `body/profile_rules.py`, and what they allow a station now."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from holdfast_simulators.charge_points.body import profile_rules
from holdfast_simulators.charge_points.body.clock import Instant
from holdfast_simulators.charge_points.body.config import Behaviour
from holdfast_simulators.charge_points.body.profile_rules import VOLTAGE_V, edges_ms, of_purpose
from holdfast_simulators.charge_points.body.records import Installed
from holdfast_simulators.charge_points.v2x.device import Device

COMMON = ("ChargingStationMaxProfile", "ChargingStationExternalConstraints")
DEFAULT = "TxDefaultProfile"
OF_TRANSACTION = "TxProfile"
PURPOSES = (*COMMON, DEFAULT, OF_TRANSACTION)


def checked(given: dict[str, Any]) -> dict[str, Any]:
    """Raise what a malformed message raises: KeyError, TypeError, ValueError. Of several schedules the first holds."""
    profile = dict(given)
    profile["chargingProfileId"] = profile.pop("id")
    profile["chargingSchedule"] = given["chargingSchedule"][0]
    profile["given"] = given
    return profile_rules.checked(profile, PURPOSES)


def without(
    profiles: tuple[Installed, ...], profile_id: int | None, criteria: dict[str, Any]
) -> tuple[Installed, ...]:
    """By id alone, or by everything else that is named."""
    if profile_id is not None:
        return tuple(one for one in profiles if one.id != profile_id)
    return tuple(one for one in profiles if not is_meant(one, criteria))


def is_meant(one: Installed, criteria: dict[str, Any]) -> bool:
    own = {
        "evseId": one.connector,
        "chargingProfilePurpose": one.purpose,
        "stackLevel": one.stack_level,
    }
    return all(criteria.get(field) in (None, value) for field, value in own.items())


def limited(behaviour: Behaviour, device: Device, at: Instant) -> Device:
    """The device with the limits that hold now, and the moment at which others may."""
    installed, phases = device.memory.profiles, behaviour.phases
    whole = [of_purpose(installed, one, (0,), at.device_ms, None, phases) for one in COMMON]
    evses = []
    for evse in device.evses:
        began_ms = None if evse.transaction is None else evse.transaction.started_ms
        limit_w = None
        if evse.transaction is not None:
            own = (evse.number,)
            limit_w = of_purpose(installed, OF_TRANSACTION, own, at.device_ms, began_ms, phases)
        if limit_w is None:
            places = (evse.number, 0)
            limit_w = of_purpose(installed, DEFAULT, places, at.device_ms, began_ms, phases)
        evses.append(replace(evse, limit_w=limit_w))
    ends = [edge for one in installed for edge in _edges(one, device, at.device_ms)]
    return replace(
        device,
        evses=tuple(evses),
        limit_w=min((one for one in whole if one is not None), default=None),
        limits_end_ms=min((edge for edge in ends if edge > at.device_ms), default=None),
    )


def _edges(one: Installed, device: Device, at_ms: int) -> list[int]:
    begun = [
        evse.transaction.started_ms
        for evse in device.in_transaction
        if evse.transaction is not None and one.connector in (0, evse.number)
    ]
    begins: list[int | None] = [*begun] or [None]
    return [edge for began in begins for edge in edges_ms(one, at_ms, began)]


def composite(
    behaviour: Behaviour, device: Device, number: int, at: Instant, duration_s: int, unit: str
) -> list[dict[str, Any]]:
    """From now on for so long: the limit at every moment at which it changes. EVSE 0 is the whole station."""

    def limit_at(at_ms: int) -> tuple[float, int | None]:
        then = limited(behaviour, device, replace(at, device_ms=at_ms))
        own = then.evse(number)
        limits_w = [behaviour.power_w * (len(then.evses) if own is None else 1)]
        limits_w += [it for it in (then.limit_w, own.limit_w if own else None) if it is not None]
        limit_w = min(limits_w)
        shown = limit_w if unit == "W" else round(limit_w / VOLTAGE_V / behaviour.phases, 1)
        return float(shown), then.limits_end_ms

    return profile_rules.composite(limit_at, at.device_ms, duration_s)
