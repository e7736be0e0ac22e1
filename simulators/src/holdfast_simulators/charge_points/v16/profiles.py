"""Charging profiles: which are installed, and what they allow at a moment (OCPP 1.6 3.13, 5.16, 5.5, 5.7).

    limits(profiles, connector, moment) = min(ChargePointMax, Tx over TxDefault), each by its highest stack level

Of one purpose and stack level there is one per connector; one of a connector overrules one of connector 0. A
TxProfile ends with its transaction; the others outlive everything but their clearing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from holdfast_simulators.charge_points.body import profile_rules
from holdfast_simulators.charge_points.body.clock import Instant
from holdfast_simulators.charge_points.body.config import Behaviour
from holdfast_simulators.charge_points.body.profile_rules import (
    VOLTAGE_V,
    edges_ms,
    of_purpose,
    with_profile,
)
from holdfast_simulators.charge_points.body.records import Installed
from holdfast_simulators.charge_points.v16.device import Connector, Device

__all__ = ["checked", "composite", "limited", "with_profile", "without"]

COMMON = "ChargePointMaxProfile"
DEFAULT = "TxDefaultProfile"
OF_SESSION = "TxProfile"
PURPOSES = (COMMON, DEFAULT, OF_SESSION)


def checked(profile: dict[str, Any]) -> dict[str, Any]:
    """Raise what a malformed message raises: KeyError, TypeError, ValueError."""
    return profile_rules.checked(profile, PURPOSES)


def without(profiles: tuple[Installed, ...], criteria: dict[str, Any]) -> tuple[Installed, ...]:
    """5.5: by id alone, or by everything else that is named."""
    wanted = criteria.get("id")
    if wanted is not None:
        return tuple(one for one in profiles if one.id != int(wanted))
    return tuple(one for one in profiles if not _is_meant(one, criteria))


def _is_meant(one: Installed, criteria: dict[str, Any]) -> bool:
    own = {
        "connectorId": one.connector,
        "chargingProfilePurpose": one.purpose,
        "stackLevel": one.stack_level,
    }
    return all(criteria.get(field) in (None, value) for field, value in own.items())


# --- what they allow


def limited(behaviour: Behaviour, device: Device, at: Instant) -> Device:
    """The device with the limits that hold now, and the moment at which others may."""
    profiles = device.memory.profiles
    ends = [_edge_ms(one, device, at.device_ms) for one in profiles]
    return replace(
        device,
        connectors=tuple(
            replace(one, limit_w=_of_connector(behaviour, profiles, one, at.device_ms))
            for one in device.connectors
        ),
        limit_w=of_purpose(profiles, COMMON, (0,), at.device_ms, None, behaviour.phases),
        limits_end_ms=min((end for end in ends if end is not None), default=None),
    )


def _of_connector(
    behaviour: Behaviour, profiles: tuple[Installed, ...], connector: Connector, at_ms: int
) -> int | None:
    phases = behaviour.phases
    began_ms = None if connector.session is None else connector.session.started_ms
    if connector.session is not None:
        own = (connector.number,)
        limit_w = of_purpose(profiles, OF_SESSION, own, at_ms, began_ms, phases)
        if limit_w is not None:
            return limit_w
    places = (connector.number, 0)
    return of_purpose(profiles, DEFAULT, places, at_ms, began_ms, phases)


def _edge_ms(one: Installed, device: Device, at_ms: int) -> int | None:
    """The next moment at which this profile may say something else."""
    sessions = [
        connector.session.started_ms
        for connector in device.in_session
        if connector.session is not None and one.connector in (0, connector.number)
    ]
    begins: list[int | None] = [*sessions] or [None]
    edges = [edge for began in begins for edge in edges_ms(one, at_ms, began)]
    return min((edge for edge in edges if edge > at_ms), default=None)


# --- what they will allow


def composite(
    behaviour: Behaviour, device: Device, connector: int, at: Instant, duration_s: int, unit: str
) -> dict[str, Any]:
    """From now on for so long: the limit at every moment at which it changes (5.7)."""

    def limit_at(at_ms: int) -> tuple[float, int | None]:
        then = limited(behaviour, device, replace(at, device_ms=at_ms))
        return _shown(behaviour, then, connector, unit), then.limits_end_ms

    return {
        "duration": duration_s,
        "chargingRateUnit": unit,
        "chargingSchedulePeriod": profile_rules.composite(limit_at, at.device_ms, duration_s),
    }


def _shown(behaviour: Behaviour, device: Device, number: int, unit: str) -> float:
    """Connector 0 is the whole charge point; without any limit it is what the hardware gives."""
    own = device.connector(number)
    limits_w = [behaviour.power_w * (len(device.connectors) if own is None else 1)]
    limits_w += [one for one in (device.limit_w, own.limit_w if own else None) if one is not None]
    limit_w = min(limits_w)
    return float(limit_w) if unit == "W" else round(limit_w / VOLTAGE_V / behaviour.phases, 1)
