"""What the installed charging profiles allow a charge point now, and will allow (OCPP 1.6 3.13, 5.7; 2.0.1 K01, K08).

    limits(profiles, connector, moment) = min(of the whole, Tx over TxDefault), each by its highest stack level

A TxProfile ends with its session; the others outlive everything but their clearing. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from holdfast_simulators.charge_points.body.clock import Instant
from holdfast_simulators.charge_points.body.config import Behaviour
from holdfast_simulators.charge_points.body.device import Connector, D
from holdfast_simulators.charge_points.body.profile_rules import (
    DEFAULT,
    OF_SESSION,
    VOLTAGE_V,
    composite,
    edges_ms,
    of_purpose,
)
from holdfast_simulators.charge_points.body.records import Installed
from holdfast_simulators.charge_points.body.reply import Situation

DURATION_S_MAX = 86_400


def limited(behaviour: Behaviour, device: D, at: Instant, of_all: Sequence[str]) -> D:
    """The device with the limits that hold now, and the moment at which others may. `of_all`: purposes of the whole."""
    profiles, phases = device.memory.profiles, behaviour.phases
    whole = [of_purpose(profiles, one, (0,), at.device_ms, None, phases) for one in of_all]
    edges = [edge for one in profiles for edge in _edges(one, device, at.device_ms)]
    return replace(
        device,
        connectors=tuple(
            replace(one, limit_w=_of_connector(behaviour, profiles, one, at.device_ms))
            for one in device.connectors
        ),
        limit_w=min((one for one in whole if one is not None), default=None),
        limits_end_ms=min((edge for edge in edges if edge > at.device_ms), default=None),
    )


def _of_connector(
    behaviour: Behaviour, profiles: tuple[Installed, ...], connector: Connector[Any], at_ms: int
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


def _edges(one: Installed, device: D, at_ms: int) -> list[int]:
    """The moments at which this profile may say something else."""
    begun = [
        connector.session.started_ms
        for connector in device.in_session
        if one.connector in (0, connector.number)
    ]
    begins: list[int | None] = [*begun] or [None]
    return [edge for began in begins for edge in edges_ms(one, at_ms, began)]


def is_meant(one: Installed, criteria: dict[str, Any], number: Any) -> bool:
    """By everything that is named; `number`: of the connector, or None."""
    own = {"chargingProfilePurpose": one.purpose, "stackLevel": one.stack_level}
    is_there = number in (None, one.connector)
    return is_there and all(criteria.get(field) in (None, value) for field, value in own.items())


def asked_for(
    situation: Situation[Any], number: int, payload: dict[str, Any]
) -> tuple[int, str] | None:
    """Duration and unit of a GetCompositeSchedule; None: there is no such connector, or it asks too far ahead."""
    duration_s, unit = int(payload["duration"]), payload.get("chargingRateUnit", "A")
    if unit not in ("A", "W"):
        raise ValueError(unit)
    is_known = number == 0 or situation.device.connector(number) is not None
    return (duration_s, unit) if is_known and 0 < duration_s <= DURATION_S_MAX else None


def periods(
    behaviour: Behaviour,
    device: D,
    number: int,
    at: Instant,
    duration_s: int,
    unit: str,
    of_all: Sequence[str],
) -> list[dict[str, Any]]:
    """From now on for so long: the limit at every moment at which it changes. Connector 0 is the whole charge point."""

    def limit_at(at_ms: int) -> tuple[float, int | None]:
        then = limited(behaviour, device, replace(at, device_ms=at_ms), of_all)
        return _shown(behaviour, then, number, unit), then.limits_end_ms

    return composite(limit_at, at.device_ms, duration_s)


def _shown(behaviour: Behaviour, device: D, number: int, unit: str) -> float:
    """Without any limit it is what the hardware gives."""
    own = device.connector(number)
    limits_w = [behaviour.power_w * (len(device.connectors) if own is None else 1)]
    limits_w += [one for one in (device.limit_w, own.limit_w if own else None) if one is not None]
    limit_w = min(limits_w)
    return float(limit_w) if unit == "W" else round(limit_w / VOLTAGE_V / behaviour.phases, 1)
