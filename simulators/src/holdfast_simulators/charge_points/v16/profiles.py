"""Charging profiles: the purposes of 1.6, and what the installed ones allow (OCPP 1.6 3.13, 5.16, 5.5, 5.7)."""

from __future__ import annotations

from typing import Any

from holdfast_simulators.charge_points.body import limits, profile_rules
from holdfast_simulators.charge_points.body.clock import Instant
from holdfast_simulators.charge_points.body.config import Behaviour
from holdfast_simulators.charge_points.body.profile_rules import DEFAULT, OF_SESSION, with_profile
from holdfast_simulators.charge_points.body.records import Installed
from holdfast_simulators.charge_points.v16.device import Device

__all__ = ["checked", "composite", "limited", "with_profile", "without"]

COMMON = "ChargePointMaxProfile"
PURPOSES = (COMMON, DEFAULT, OF_SESSION)


def checked(profile: dict[str, Any]) -> dict[str, Any]:
    """Raise what a malformed message raises: KeyError, TypeError, ValueError."""
    return profile_rules.checked(profile, PURPOSES)


def without(profiles: tuple[Installed, ...], criteria: dict[str, Any]) -> tuple[Installed, ...]:
    """5.5: by id alone, or by everything else that is named."""
    wanted, number = criteria.get("id"), criteria.get("connectorId")
    if wanted is not None:
        return tuple(one for one in profiles if one.id != int(wanted))
    return tuple(one for one in profiles if not limits.is_meant(one, criteria, number))


def limited(behaviour: Behaviour, device: Device, at: Instant) -> Device:
    return limits.limited(behaviour, device, at, (COMMON,))


def composite(
    behaviour: Behaviour, device: Device, connector: int, at: Instant, duration_s: int, unit: str
) -> dict[str, Any]:
    return {
        "duration": duration_s,
        "chargingRateUnit": unit,
        "chargingSchedulePeriod": limits.periods(
            behaviour, device, connector, at, duration_s, unit, (COMMON,)
        ),
    }
