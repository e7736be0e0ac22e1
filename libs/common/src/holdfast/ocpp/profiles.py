"""Charging profiles of OCPP 1.6 and 2.x, in what rules want to know: where they lie, how low and high, how long.

Nothing here trusts a payload: what is no number is no current at all, the lowest there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from holdfast.contracts.decision import ProfileInstalled
from holdfast.contracts.transaction import TransactionId
from holdfast.ocpp.moments import moment_ms
from holdfast.ocpp.payloads import (
    NUMBER_MAX,
    connector_of,
    is_number,
    profile_in,
    purpose_of,
    transaction_of,
)

WATTS_PER_AMPERE = 3 * 230
"""A limit in watts is taken for three phases of 230 V: of all ways to read it, the one that leaves least per phase."""
UNLIMITED_A = 1_000_000.0
"""Of a period that sets none: higher than any."""
PROFILES_MAX = 32
"""Remembered per charge point."""


def profile_of(payload: dict[str, Any]) -> ProfileInstalled | None:
    """Out of a SetChargingProfile of any version; None where it holds none."""
    profile = profile_in(payload)
    if profile is None:
        return None
    schedules = _schedules(profile)
    limits = [limit for one in schedules for limit in _limits(one)]
    is_bounded = any(one.get("duration") is not None for one in schedules)
    return ProfileInstalled(
        connector=_whole(connector_of("SetChargingProfile", payload)),
        profile_id=_whole(profile.get("chargingProfileId", profile.get("id"))),
        purpose=purpose_of(payload),
        stack_level=_whole(profile.get("stackLevel")),
        transaction_id=transaction_of(payload),
        lowest_a=min((low for low, _ in limits), default=0.0),
        highest_a=max((high for _, high in limits), default=0.0),
        ends=profile.get("validTo") is not None or is_bounded,
        ends_at_ms=_end(profile, schedules),
    )


def _schedules(profile: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """One in 1.6, up to three in 2.x, of which a vehicle chooses."""
    found = profile.get("chargingSchedule")
    listed = found if isinstance(found, list) else [found]
    return [one for one in listed if isinstance(one, Mapping)] or [{}]


def _limits(schedule: Mapping[str, Any]) -> list[tuple[float, float]]:
    periods = schedule.get("chargingSchedulePeriod")
    unit = schedule.get("chargingRateUnit")
    return [_amperes(one, unit) for one in (periods if isinstance(periods, list) else [])]


def installed_with(
    installed: Iterable[ProfileInstalled], new: ProfileInstalled
) -> tuple[ProfileInstalled, ...]:
    """OCPP 1.6 5.16.3: it takes the place of one with its id, or at its connector, purpose and stack level."""
    kept = [one for one in installed if not replaces(new, one)]
    return (*kept, new)[-PROFILES_MAX:]


def replaces(new: ProfileInstalled, old: ProfileInstalled) -> bool:
    return new.profile_id == old.profile_id or _place(new) == _place(old)


def is_cleared(payload: Mapping[str, Any], one: ProfileInstalled) -> bool:
    """By this ClearChargingProfile: an id alone decides; else everything that it names must agree."""
    id = payload.get("id", payload.get("chargingProfileId"))
    if id is not None:
        return bool(id == one.profile_id)
    return all(
        wanted is None or wanted == has
        for wanted, has in zip(
            place_cleared(payload), (one.connector, one.purpose, one.stack_level), strict=True
        )
    )


def place_cleared(payload: Mapping[str, Any]) -> tuple[int | None, Any, Any]:
    """Connector, purpose and stack level that a ClearChargingProfile names, each or none."""
    criteria = payload.get("chargingProfileCriteria", payload)
    named = criteria if isinstance(criteria, Mapping) else {}
    connector = connector_of("ClearChargingProfile", payload)
    return connector, named.get("chargingProfilePurpose"), named.get("stackLevel")


def _place(one: ProfileInstalled) -> tuple[int, str, int, TransactionId | None]:
    return one.connector, one.purpose, one.stack_level, one.transaction_id


def _end(profile: Mapping[str, Any], schedules: list[Mapping[str, Any]]) -> int | None:
    """Of an absolute schedule that has begun at its own time; of a relative one the charge point alone knows."""
    ends = [moment_ms(profile.get("validTo"))]
    for schedule in schedules if profile.get("chargingProfileKind") == "Absolute" else ():
        begins_ms, duration = moment_ms(schedule.get("startSchedule")), schedule.get("duration")
        if begins_ms is not None and is_number(duration):
            ends.append(begins_ms + duration * 1000)
    told = [end for end in ends if end is not None]
    return min(told, default=None)


def _amperes(period: Any, unit: Any) -> tuple[float, float]:
    """Lowest and highest that it may come to. A period of 2.1 may have no limit, or one that is set from outside."""
    if not isinstance(period, Mapping):
        return 0.0, 0.0
    if "limit" not in period and unit is not None and "startPeriod" in period:
        return 0.0, UNLIMITED_A
    limit = _number(period.get("limit"))
    amperes = limit if unit == "A" else limit / WATTS_PER_AMPERE
    return amperes, amperes


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if -NUMBER_MAX < value < NUMBER_MAX else 0.0  # NaN, too


def _whole(value: Any) -> int:
    return value if is_number(value) else -1
