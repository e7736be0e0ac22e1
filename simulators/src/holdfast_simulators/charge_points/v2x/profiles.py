"""Charging profiles of 2.x, brought into the shape of `body/profile_rules.py`, and what they allow a station now."""

from __future__ import annotations

from typing import Any

from holdfast_simulators.charge_points.body import limits, profile_rules
from holdfast_simulators.charge_points.body.clock import Instant
from holdfast_simulators.charge_points.body.config import Behaviour
from holdfast_simulators.charge_points.body.limits import is_meant
from holdfast_simulators.charge_points.body.profile_rules import DEFAULT, OF_SESSION
from holdfast_simulators.charge_points.body.records import Installed
from holdfast_simulators.charge_points.v2x.device import Device

COMMON = ("ChargingStationMaxProfile", "ChargingStationExternalConstraints")
PURPOSES = (*COMMON, DEFAULT, OF_SESSION)


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
    return tuple(one for one in profiles if not is_meant(one, criteria, criteria.get("evseId")))


def limited(behaviour: Behaviour, device: Device, at: Instant) -> Device:
    return limits.limited(behaviour, device, at, COMMON)


def composite(
    behaviour: Behaviour, device: Device, number: int, at: Instant, duration_s: int, unit: str
) -> list[dict[str, Any]]:
    return limits.periods(behaviour, device, number, at, duration_s, unit, COMMON)
