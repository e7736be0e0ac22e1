"""Goal: what charging profiles allow at each moment is what OCPP 1.6 3.13 says, and time alone changes it.

Method: the pure rules, on a clock of milliseconds.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_simulators.charge_points.body.clock import Instant
from holdfast_simulators.charge_points.body.config import Behaviour
from holdfast_simulators.charge_points.body.events import Elapsed, PluggedIn, Remembered, Stopped
from holdfast_simulators.charge_points.v16 import profiles
from holdfast_simulators.charge_points.v16.decision import decide
from holdfast_simulators.charge_points.v16.device import Connector, Device

BEHAVIOUR = Behaviour(power_w=22_000)


def at(ms: int) -> Instant:
    return Instant(monotonic_ms=ms, true_ms=ms, device_ms=ms)


def profile(purpose: str, *limits_w: int, id: int = 1, level: int = 0, **more) -> dict:
    """Each limit a minute long; `schedule` and the rest are laid over it."""
    periods = [{"startPeriod": 60 * n, "limit": limit} for n, limit in enumerate(limits_w)]
    schedule = {"chargingRateUnit": "W", "chargingSchedulePeriod": periods}
    given = {
        "chargingProfileId": id,
        "stackLevel": level,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Absolute",
        "chargingSchedule": schedule | more.pop("schedule", {}),
    }
    return profiles.checked(given | more)


def with_profiles(device: Device, *placed: tuple[int, dict], now: int = 0) -> Device:
    installed = device.memory.profiles
    for connector, one in placed:
        installed = profiles.with_profile(installed, connector, one, now)
        assert installed is not None
    memory = replace(device.memory, profiles=installed)
    return decide(BEHAVIOUR, device, Remembered(at=at(now), memory=memory))[0]


def charging(now: int = 0) -> Device:
    device = Device(
        connectors=(Connector(number=1), Connector(number=2)), metered_to_ms=now, is_powered=True
    )
    plug = PluggedIn(at=at(now), connector=1, driver_token="T", is_authorised=True)
    return decide(BEHAVIOUR, device, plug)[0]


def power_w(device: Device, now: int) -> int:
    device, _ = decide(BEHAVIOUR, device, Elapsed(at=at(now)))
    return device.power_w(BEHAVIOUR, device.connectors[0])


def test_each_period_holds_from_its_start_on():
    device = with_profiles(charging(), (1, profile("TxDefaultProfile", 5_000, 9_000)))
    assert power_w(device, 59_999) == 5_000
    assert device.changes_ms == 60_000
    assert power_w(device, 60_000) == 9_000


def test_after_its_duration_a_profile_says_nothing():
    short = profile("TxDefaultProfile", 5_000, schedule={"duration": 30})
    device = with_profiles(charging(), (1, short))
    assert (power_w(device, 29_999), power_w(device, 30_000)) == (5_000, 22_000)


def test_the_profile_of_a_session_overrules_the_default_and_ends_with_it():
    default = profile("TxDefaultProfile", 5_000)
    device = with_profiles(charging(), (0, default), (1, profile("TxProfile", 9_000, id=2)))
    assert power_w(device, 1) == 9_000
    stopped = Stopped(at=at(2), connector=1, reason="Local", is_unplugged=True)
    device, _ = decide(BEHAVIOUR, device, stopped)
    assert [one.id for one in device.memory.profiles] == [1]


def test_the_highest_stack_level_in_force_counts():
    low, high = (
        profile("TxDefaultProfile", 5_000, id=1, level=0),
        profile("TxDefaultProfile", 9_000, id=2, level=3, validTo="1970-01-01T00:01:00Z"),
    )
    device = with_profiles(charging(), (0, low), (0, high))
    assert (power_w(device, 59_000), power_w(device, 60_000)) == (9_000, 5_000)


def test_one_of_a_connector_overrules_one_of_all():
    everywhere, here = profile("TxDefaultProfile", 5_000), profile("TxDefaultProfile", 9_000, id=2)
    assert power_w(with_profiles(charging(), (0, everywhere), (1, here)), 1) == 9_000


def test_the_same_id_and_the_same_place_are_replaced():
    device = with_profiles(charging(), (1, profile("TxDefaultProfile", 5_000)))
    device = with_profiles(device, (2, profile("TxDefaultProfile", 6_000)))
    assert [(one.connector, one.id) for one in device.memory.profiles] == [(2, 1)]
    device = with_profiles(device, (2, profile("TxDefaultProfile", 7_000, id=9)))
    assert [(one.connector, one.id) for one in device.memory.profiles] == [(2, 9)]


def test_a_relative_profile_begins_with_the_session():
    relative = profile("TxDefaultProfile", 5_000, 9_000, chargingProfileKind="Relative")
    device = with_profiles(charging(now=100_000), (1, relative), now=100_000)
    assert (power_w(device, 159_999), power_w(device, 160_000)) == (5_000, 9_000)


def test_a_recurring_profile_begins_anew_every_day():
    daily = profile(
        "TxDefaultProfile",
        5_000,
        chargingProfileKind="Recurring",
        recurrencyKind="Daily",
        schedule={"startSchedule": "1970-01-01T00:00:00Z", "duration": 3_600},
    )
    day_ms = 86_400_000
    device = with_profiles(charging(), (1, daily))
    assert (power_w(device, 3_599_999), power_w(device, 3_600_000)) == (5_000, 22_000)
    assert power_w(device, 3 * day_ms + 1) == 5_000


@pytest.mark.parametrize(
    ("criteria", "left"),
    [
        ({}, []),
        ({"id": 2}, [1, 3]),
        ({"id": 2, "connectorId": 9}, [1, 3]),
        ({"connectorId": 1}, [1]),
        ({"chargingProfilePurpose": "TxDefaultProfile"}, [1]),
        ({"connectorId": 1, "stackLevel": 1}, [1, 2]),
        ({"stackLevel": 7}, [1, 2, 3]),
    ],
)
def test_clearing_takes_what_is_named_and_nothing_else(criteria, left):
    installed = with_profiles(
        charging(),
        (0, profile("ChargePointMaxProfile", 40_000, id=1)),
        (1, profile("TxDefaultProfile", 5_000, id=2)),
        (1, profile("TxDefaultProfile", 5_000, id=3, level=1)),
    ).memory.profiles
    assert [one.id for one in profiles.without(installed, criteria)] == left


def test_the_composite_schedule_is_the_lowest_of_all_at_every_moment():
    device = with_profiles(
        charging(),
        (0, profile("ChargePointMaxProfile", 8_000, 30_000)),
        (1, profile("TxDefaultProfile", 9_000, 5_000, id=2)),
    )
    schedule = profiles.composite(BEHAVIOUR, device, 1, at(30_000), 60, "W")
    assert schedule["chargingSchedulePeriod"] == [
        {"startPeriod": 0, "limit": 8_000},
        {"startPeriod": 30, "limit": 5_000},
    ]
    amperes = profiles.composite(BEHAVIOUR, device, 1, at(0), 10, "A")
    assert amperes["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 11.6}]


@given(st.lists(st.integers(0, 30_000), min_size=1, max_size=5), st.integers(0, 400))
def test_power_never_exceeds_the_composite_schedule(limits_w, after_s):
    device = with_profiles(charging(), (1, profile("TxDefaultProfile", *limits_w)))
    [period] = profiles.composite(BEHAVIOUR, device, 1, at(after_s * 1_000), 1, "W")[
        "chargingSchedulePeriod"
    ][:1]
    assert power_w(device, after_s * 1_000) == min(period["limit"], 22_000)
