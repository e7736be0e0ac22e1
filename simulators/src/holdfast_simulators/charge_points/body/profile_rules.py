"""What a charging profile says at a moment: validity, periods, recurrence, limits (OCPP 1.6 3.13, 2.0.1 K01).

A profile has the shape of 1.6 (one `chargingSchedule`, `chargingProfileId`); 2.x is brought into it where it arrives.
Of one purpose and stack level there is one per connector; one of a connector overrules one of connector 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from holdfast_simulators.charge_points.body.moments import moment_ms
from holdfast_simulators.charge_points.body.records import Installed

DEFAULT = "TxDefaultProfile"
OF_SESSION = "TxProfile"
"""These two purposes are called so in every version; those of the whole charge point are not."""
STACK_LEVEL_MAX = 9
PERIODS_MAX = 24
PROFILES_MAX = 20
VOLTAGE_V = 230
LIMIT_MAX = 1e7
DAY_S = 86_400
RECURRENCES_S = {"Daily": DAY_S, "Weekly": 7 * DAY_S}


def checked(profile: dict[str, Any], purposes: Iterable[str]) -> dict[str, Any]:
    """Raise what a malformed message raises: KeyError, TypeError, ValueError."""
    schedule = profile["chargingSchedule"]
    int(profile["chargingProfileId"])
    if not 0 <= int(profile["stackLevel"]) <= STACK_LEVEL_MAX:
        raise ValueError(profile["stackLevel"])
    if profile["chargingProfilePurpose"] not in purposes:
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
    if not 1 <= len(periods) <= PERIODS_MAX or int(periods[0]["startPeriod"]) != 0:
        raise ValueError(periods)
    for period in periods:
        int(period["startPeriod"])
        limit_w_of(period, schedule["chargingRateUnit"], phases=3)
    return profile


def with_profile(
    profiles: tuple[Installed, ...], connector: int, profile: dict[str, Any], at_ms: int
) -> tuple[Installed, ...] | None:
    """None: there is no room for one more."""
    new = Installed(connector=connector, profile=profile, at_ms=at_ms)
    kept = tuple(one for one in profiles if not _is_replaced(one, new))
    return None if len(kept) >= PROFILES_MAX else (*kept, new)


def _is_replaced(old: Installed, new: Installed) -> bool:
    """5.16.3: the same id anywhere, or the same place."""
    place = (old.connector, old.purpose, old.stack_level)
    return old.id == new.id or place == (new.connector, new.purpose, new.stack_level)


# --- what they allow


def of_purpose(
    profiles: tuple[Installed, ...],
    purpose: str,
    places: Iterable[int],
    at_ms: int,
    began_ms: int | None,
    phases: int,
) -> int | None:
    """Of the first place that has one in force: the highest stack level's."""
    for place in places:
        there = [one for one in profiles if one.purpose == purpose and one.connector == place]
        for one in sorted(there, key=lambda one: one.stack_level, reverse=True):
            period = period_at(one, at_ms, began_ms)
            if period is not None:
                unit = one.profile["chargingSchedule"]["chargingRateUnit"]
                return limit_w_of(period, unit, phases)
    return None


def period_at(one: Installed, at_ms: int, began_ms: int | None) -> dict[str, Any] | None:
    """The period in force; None: the profile says nothing at this moment."""
    if not _is_valid(one, at_ms):
        return None
    schedule = one.profile["chargingSchedule"]
    begin_ms = begin_ms_of(one, at_ms, began_ms)
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


def begin_ms_of(one: Installed, at_ms: int, began_ms: int | None) -> int:
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


def limit_w_of(period: dict[str, Any], unit: str, phases: int) -> int:
    limit = float(period["limit"])
    if not 0 <= limit < LIMIT_MAX:
        raise ValueError(limit)
    if unit == "W":
        return int(limit)
    return int(limit * VOLTAGE_V * int(period.get("numberPhases", phases)))


def edges_ms(one: Installed, at_ms: int, began_ms: int | None) -> Iterator[int]:
    schedule = one.profile["chargingSchedule"]
    begin_ms = begin_ms_of(one, at_ms, began_ms)
    for moment in (one.profile.get("validFrom"), one.profile.get("validTo")):
        if moment is not None:
            yield moment_ms(moment)
    for period in schedule["chargingSchedulePeriod"]:
        yield begin_ms + int(period["startPeriod"]) * 1_000
    if schedule.get("duration") is not None:
        yield begin_ms + int(schedule["duration"]) * 1_000
    if one.profile["chargingProfileKind"] == "Recurring":
        yield begin_ms + RECURRENCES_S[one.profile["recurrencyKind"]] * 1_000


def composite(
    limit_at: Callable[[int], tuple[float, int | None]], at_ms: int, duration_s: int
) -> list[dict[str, Any]]:
    """From now on for so long: the limit at every moment at which it changes. `limit_at`: that, and the next one."""
    end_ms = at_ms + duration_s * 1_000
    periods: list[dict[str, Any]] = []
    moment_at_ms: int | None = at_ms
    while moment_at_ms is not None and moment_at_ms < end_ms and len(periods) < PERIODS_MAX:
        limit, next_ms = limit_at(moment_at_ms)
        if not periods or periods[-1]["limit"] != limit:
            periods.append({"startPeriod": (moment_at_ms - at_ms) // 1_000, "limit": limit})
        moment_at_ms = next_ms
    return periods
