"""Charging profiles of OCPP 1.6, in what rules want to know: where they lie, how low, how high, whether they end.

Nothing here trusts a payload: what is no number is no current at all, the lowest there is.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TypeGuard

from holdfast.contracts.decision import ProfileInstalled
from holdfast.contracts.transaction import TransactionId

WATTS_PER_AMPERE = 3 * 230
"""A limit in watts is taken for three phases of 230 V: of all ways to read it, the one that leaves least per phase."""
PROFILES_MAX = 32
"""Remembered per charge point."""
_NUMBER_MAX = 2**53


def profile_of(payload: dict[str, Any]) -> ProfileInstalled | None:
    """Out of a SetChargingProfile; None where it holds none."""
    profile = payload.get("csChargingProfiles")
    if not isinstance(profile, dict):
        return None
    schedule = profile.get("chargingSchedule")
    schedule = schedule if isinstance(schedule, dict) else {}
    periods = schedule.get("chargingSchedulePeriod")
    limits = [
        _amperes(one, schedule.get("chargingRateUnit"))
        for one in (periods if isinstance(periods, list) else [])
    ]
    duration = schedule.get("duration")
    return ProfileInstalled(
        connector=_whole(payload.get("connectorId")),
        profile_id=_whole(profile.get("chargingProfileId")),
        purpose=str(profile.get("chargingProfilePurpose")),
        stack_level=_whole(profile.get("stackLevel")),
        transaction_id=transaction_of(payload),
        lowest_a=min(limits, default=0.0),
        highest_a=max(limits, default=0.0),
        ends=profile.get("validTo") is not None or duration is not None,
        ends_at_ms=_end(profile, schedule),
    )


def transaction_of(payload: dict[str, Any]) -> int | None:
    """That a command is about: its own `transactionId`, or its profile's."""
    profile = payload.get("csChargingProfiles")
    inside = profile.get("transactionId") if isinstance(profile, dict) else None
    named = payload.get("transactionId", inside)
    return named if _is_number(named) else None


def installed_with(
    installed: Iterable[ProfileInstalled], new: ProfileInstalled
) -> tuple[ProfileInstalled, ...]:
    """OCPP 1.6 5.16.3: it takes the place of one with its id, or at its connector, purpose and stack level."""
    kept = [one for one in installed if not replaces(new, one)]
    return (*kept, new)[-PROFILES_MAX:]


def replaces(new: ProfileInstalled, old: ProfileInstalled) -> bool:
    return new.profile_id == old.profile_id or _place(new) == _place(old)


def is_cleared(payload: dict[str, Any], one: ProfileInstalled) -> bool:
    """By this ClearChargingProfile: an id alone decides; else everything that it names must agree."""
    if payload.get("id") is not None:
        return bool(payload["id"] == one.profile_id)
    named = (
        (payload.get("connectorId"), one.connector),
        (payload.get("chargingProfilePurpose"), one.purpose),
        (payload.get("stackLevel"), one.stack_level),
    )
    return all(wanted is None or wanted == has for wanted, has in named)


def moment_ms(text: Any) -> int | None:
    """An OCPP timestamp; None where it is none. Without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return round(moment.timestamp() * 1000)
    except (TypeError, ValueError, OverflowError):
        return None


def _place(one: ProfileInstalled) -> tuple[int, str, int, TransactionId | None]:
    return one.connector, one.purpose, one.stack_level, one.transaction_id


def _end(profile: dict[str, Any], schedule: dict[str, Any]) -> int | None:
    """Of an absolute schedule that has begun at its own time; of a relative one the charge point alone knows."""
    ends = [moment_ms(profile.get("validTo"))]
    begins_ms, duration = moment_ms(schedule.get("startSchedule")), schedule.get("duration")
    is_absolute = profile.get("chargingProfileKind") == "Absolute"
    if is_absolute and begins_ms is not None and _is_number(duration):
        ends.append(begins_ms + duration * 1000)
    told = [end for end in ends if end is not None]
    return min(told, default=None)


def _amperes(period: Any, unit: Any) -> float:
    limit = period.get("limit") if isinstance(period, dict) else None
    if isinstance(limit, bool) or not isinstance(limit, int | float):
        return 0.0
    if not -_NUMBER_MAX < limit < _NUMBER_MAX:  # NaN, too
        return 0.0
    return float(limit) if unit == "A" else float(limit) / WATTS_PER_AMPERE


def _whole(value: Any) -> int:
    return value if _is_number(value) else -1


def _is_number(value: Any) -> TypeGuard[int]:
    return (
        isinstance(value, int)
        and not isinstance(value, bool)
        and -_NUMBER_MAX < value < _NUMBER_MAX
    )
