"""Charging profiles: which are installed, and what they allow at a moment (OCPP 1.6 3.13, 5.16, 5.5, 5.7).

    limits(profiles, connector, moment) = min(ChargePointMax, Tx over TxDefault), each by its highest stack level

Of one purpose and stack level there is one per connector; one of a connector overrules one of connector 0. A
TxProfile ends with its transaction; the others outlive everything but their clearing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from holdfast_simulators.charge_point import keys
from holdfast_simulators.charge_point.device import Connector, Device
from holdfast_simulators.charge_point.memory import Installed
from holdfast_simulators.common.clock import Instant
from holdfast_simulators.common.config import Behaviour
from holdfast_simulators.common.moments import moment_ms

VOLTAGE_V = 230
LIMIT_MAX = 1e7
COMMON = "ChargePointMaxProfile"
DEFAULT = "TxDefaultProfile"
OF_SESSION = "TxProfile"
PURPOSES = (COMMON, DEFAULT, OF_SESSION)
DAY_S = 86_400
RECURRENCES_S = {"Daily": DAY_S, "Weekly": 7 * DAY_S}


def checked(profile: dict[str, Any]) -> dict[str, Any]:
    """Raise what a malformed message raises: KeyError, TypeError, ValueError."""
    schedule = profile["chargingSchedule"]
    int(profile["chargingProfileId"])
    if not 0 <= int(profile["stackLevel"]) <= keys.STACK_LEVEL_MAX:
        raise ValueError(profile["stackLevel"])
    if profile["chargingProfilePurpose"] not in PURPOSES:
        raise ValueError(profile["chargingProfilePurpose"])
    if profile["chargingProfileKind"] not in ("Absolute", "Relative", "Recurring"):
        raise ValueError(profile["chargingProfileKind"])
    if profile["chargingProfileKind"] == "Recurring" and (
        profile.get("recurrencyKind") not in RECURRENCES_S or "startSchedule" not in schedule
    ):
        raise ValueError("recurring without its kind or its start")
    if schedule["chargingRateUnit"] not in ("A", "W"):
        raise ValueError(schedule["chargingRateUnit"])
    for moment in (profile.get("validFrom"), profile.get("validTo"), schedule.get("startSchedule")):
        if moment is not None:
            moment_ms(moment)
    int(schedule.get("duration", 0))
    periods = schedule["chargingSchedulePeriod"]
    if not 1 <= len(periods) <= keys.PERIODS_MAX or int(periods[0]["startPeriod"]) != 0:
        raise ValueError(periods)
    for period in periods:
        int(period["startPeriod"])
        _limit_w(period, schedule["chargingRateUnit"], phases=3)
    return profile


def with_profile(
    profiles: tuple[Installed, ...], connector: int, profile: dict[str, Any], at_ms: int
) -> tuple[Installed, ...] | None:
    """None: there is no room for one more."""
    new = Installed(connector=connector, profile=profile, at_ms=at_ms)
    kept = tuple(one for one in profiles if not _is_replaced(one, new))
    return None if len(kept) >= keys.PROFILES_MAX else (*kept, new)


def _is_replaced(old: Installed, new: Installed) -> bool:
    """5.16.3: the same id anywhere, or the same place."""
    place = (old.connector, old.purpose, old.stack_level)
    return old.id == new.id or place == (new.connector, new.purpose, new.stack_level)


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
        limit_w=_of_purpose(behaviour, profiles, COMMON, (0,), at.device_ms, None),
        limits_end_ms=min((end for end in ends if end is not None), default=None),
    )


def _of_connector(
    behaviour: Behaviour, profiles: tuple[Installed, ...], connector: Connector, at_ms: int
) -> int | None:
    began_ms = None if connector.session is None else connector.session.started_ms
    if connector.session is not None:
        own = (connector.number,)
        limit_w = _of_purpose(behaviour, profiles, OF_SESSION, own, at_ms, began_ms)
        if limit_w is not None:
            return limit_w
    places = (connector.number, 0)
    return _of_purpose(behaviour, profiles, DEFAULT, places, at_ms, began_ms)


def _of_purpose(
    behaviour: Behaviour,
    profiles: tuple[Installed, ...],
    purpose: str,
    places: Iterable[int],
    at_ms: int,
    began_ms: int | None,
) -> int | None:
    """Of the first place that has one in force: the highest stack level's."""
    for place in places:
        there = [one for one in profiles if one.purpose == purpose and one.connector == place]
        for one in sorted(there, key=lambda one: one.stack_level, reverse=True):
            period = period_at(one, at_ms, began_ms)
            if period is not None:
                unit = one.profile["chargingSchedule"]["chargingRateUnit"]
                return _limit_w(period, unit, behaviour.phases)
    return None


def period_at(one: Installed, at_ms: int, began_ms: int | None) -> dict[str, Any] | None:
    """The period in force; None: the profile says nothing at this moment."""
    if not _is_valid(one, at_ms):
        return None
    schedule = one.profile["chargingSchedule"]
    begin_ms = _begin_ms(one, at_ms, began_ms)
    passed_s = (at_ms - begin_ms) / 1_000
    duration_s = schedule.get("duration")
    if passed_s < 0 or (duration_s is not None and passed_s >= int(duration_s)):
        return None
    found: dict[str, Any] | None = None
    for period in schedule["chargingSchedulePeriod"]:
        if int(period["startPeriod"]) <= passed_s:
            found = period
    return found


def _is_valid(one: Installed, at_ms: int) -> bool:
    begin, end = one.profile.get("validFrom"), one.profile.get("validTo")
    return (begin is None or at_ms >= moment_ms(begin)) and (end is None or at_ms < moment_ms(end))


def _begin_ms(one: Installed, at_ms: int, began_ms: int | None) -> int:
    """Relative ones begin with the session; an Absolute one without a start when it was installed."""
    given = one.profile["chargingSchedule"].get("startSchedule")
    if one.profile["chargingProfileKind"] == "Relative":
        return one.at_ms if began_ms is None else began_ms
    if given is None:
        return one.at_ms
    begin_ms = moment_ms(given)
    if one.profile["chargingProfileKind"] == "Recurring":
        every_ms = RECURRENCES_S[one.profile["recurrencyKind"]] * 1_000
        return begin_ms + max(0, at_ms - begin_ms) // every_ms * every_ms
    return begin_ms


def _limit_w(period: dict[str, Any], unit: str, phases: int) -> int:
    limit = float(period["limit"])
    if not 0 <= limit < LIMIT_MAX:
        raise ValueError(limit)
    if unit == "W":
        return int(limit)
    return int(limit * VOLTAGE_V * int(period.get("numberPhases", phases)))


def _edge_ms(one: Installed, device: Device, at_ms: int) -> int | None:
    """The next moment at which this profile may say something else."""
    sessions = [
        connector.session.started_ms
        for connector in device.in_session
        if connector.session is not None and one.connector in (0, connector.number)
    ]
    begins: list[int | None] = [*sessions] or [None]
    edges = [edge for began in begins for edge in _edges_ms(one, at_ms, began)]
    return min((edge for edge in edges if edge > at_ms), default=None)


def _edges_ms(one: Installed, at_ms: int, began_ms: int | None) -> Iterator[int]:
    schedule = one.profile["chargingSchedule"]
    begin_ms = _begin_ms(one, at_ms, began_ms)
    for moment in (one.profile.get("validFrom"), one.profile.get("validTo")):
        if moment is not None:
            yield moment_ms(moment)
    for period in schedule["chargingSchedulePeriod"]:
        yield begin_ms + int(period["startPeriod"]) * 1_000
    if schedule.get("duration") is not None:
        yield begin_ms + int(schedule["duration"]) * 1_000
    if one.profile["chargingProfileKind"] == "Recurring":
        yield begin_ms + RECURRENCES_S[one.profile["recurrencyKind"]] * 1_000


# --- what they will allow


def composite(
    behaviour: Behaviour, device: Device, connector: int, at: Instant, duration_s: int, unit: str
) -> dict[str, Any]:
    """From now on for so long: the limit at every moment at which it changes (5.7)."""
    end_ms = at.device_ms + duration_s * 1_000
    periods: list[dict[str, Any]] = []
    at_ms: int | None = at.device_ms
    while at_ms is not None and at_ms < end_ms and len(periods) < keys.PERIODS_MAX:
        moment = replace(at, device_ms=at_ms)
        then = limited(behaviour, device, moment)
        limit = _shown(behaviour, then, connector, unit)
        if not periods or periods[-1]["limit"] != limit:
            start_s = (at_ms - at.device_ms) // 1_000
            periods.append({"startPeriod": start_s, "limit": limit})
        at_ms = then.limits_end_ms
    return {
        "duration": duration_s,
        "chargingRateUnit": unit,
        "chargingSchedulePeriod": periods,
    }


def _shown(behaviour: Behaviour, device: Device, number: int, unit: str) -> float:
    """Connector 0 is the whole charge point; without any limit it is what the hardware gives."""
    own = device.connector(number)
    limits_w = [behaviour.power_w * (len(device.connectors) if own is None else 1)]
    limits_w += [one for one in (device.limit_w, own.limit_w if own else None) if one is not None]
    limit_w = min(limits_w)
    return float(limit_w) if unit == "W" else round(limit_w / VOLTAGE_V / behaviour.phases, 1)
