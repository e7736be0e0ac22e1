"""Goal: the pure rules hold for all inputs: the meter loses nothing, the queue keeps starts and stops."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from holdfast_simulators.charge_points.body import queue_rules
from holdfast_simulators.charge_points.body.clock import Instant
from holdfast_simulators.charge_points.body.config import Behaviour
from holdfast_simulators.charge_points.body.device import metered
from holdfast_simulators.charge_points.body.events import (
    Authorised,
    EndSession,
    Enqueue,
    PluggedIn,
    PowerLost,
    PowerReturned,
    ReadingDue,
    Remembered,
    Stopped,
)
from holdfast_simulators.charge_points.body.queue_rules import Entry
from holdfast_simulators.charge_points.v16 import outbox, profiles
from holdfast_simulators.charge_points.v16.decision import decide
from holdfast_simulators.charge_points.v16.device import Connector, Device
from holdfast_simulators.charge_points.v16.memory import Memory
from holdfast_simulators.charge_points.v16.outbox import Action, transactional

BEHAVIOUR = Behaviour(power_w=7_400, meter_interval_s=1)


def at(ms: int) -> Instant:
    return Instant(monotonic_ms=ms, true_ms=ms, device_ms=ms)


def profile(purpose: str, *limits_w: int, id: int = 1, level: int = 0, **more) -> dict:
    """Absolute, each limit a minute long."""
    periods = [{"startPeriod": 60 * n, "limit": limit} for n, limit in enumerate(limits_w)]
    schedule = {"chargingRateUnit": "W", "chargingSchedulePeriod": periods}
    return profiles.checked(
        {
            "chargingProfileId": id,
            "stackLevel": level,
            "chargingProfilePurpose": purpose,
            "chargingProfileKind": "Absolute",
            "chargingSchedule": schedule | more.pop("schedule", {}),
        }
        | more
    )


def charging(behaviour: Behaviour = BEHAVIOUR, connectors: int = 1) -> Device:
    device = Device(
        connectors=tuple(Connector(number=n + 1) for n in range(connectors)),
        metered_to_ms=0,
        is_powered=True,
    )
    for n in range(connectors):
        plug = PluggedIn(at=at(0), connector=n + 1, driver_token="T", is_authorised=True)
        device, _ = decide(behaviour, device, plug)
    return device


@given(st.lists(st.integers(0, 10_000), max_size=50))
def test_energy_is_the_same_however_often_it_is_read(pauses_ms):
    read_often, end_ms = charging(), 0
    for pause_ms in pauses_ms:
        end_ms += pause_ms
        read_often, _ = decide(BEHAVIOUR, read_often, ReadingDue(at=at(end_ms)))
    read_once = metered(BEHAVIOUR, charging(), at(end_ms))
    assert metered(BEHAVIOUR, read_often, at(end_ms)).connectors[0].register_mj == (
        read_once.connectors[0].register_mj
    )
    assert read_once.connectors[0].register_mj == 7_400 * end_ms


def test_no_energy_flows_without_power_or_session():
    device, _ = decide(BEHAVIOUR, charging(), PowerLost(at=at(1_000)))
    later = metered(BEHAVIOUR, device, at(9_000))
    assert later.connectors[0].register_mj == 7_400 * 1_000
    device, effects = decide(BEHAVIOUR, later, PowerReturned(at=at(9_000)))
    [ended] = [one for one in effects if isinstance(one, EndSession)]
    assert ended.reason == "PowerLoss"
    assert metered(BEHAVIOUR, device, at(20_000)).connectors[0].register_mj == 7_400 * 1_000


@given(st.integers(0, 20_000), st.integers(0, 20_000), st.integers(1, 4))
def test_power_never_exceeds_any_limit(common_w, own_w, connectors):
    device = charging(connectors=connectors)
    installed = profiles.with_profile((), 0, profile("ChargePointMaxProfile", common_w), 0)
    installed = profiles.with_profile(installed, 1, profile("TxDefaultProfile", own_w, id=2), 0)
    device, _ = decide(BEHAVIOUR, device, Remembered(at=at(0), memory=Memory(profiles=installed)))
    powers_w = [device.power_w(BEHAVIOUR, one) for one in device.connectors]
    assert sum(powers_w) <= common_w
    assert powers_w[0] <= own_w
    assert max(powers_w) <= BEHAVIOUR.power_w


def test_an_answer_to_a_driver_who_has_left_begins_nothing():
    device = Device(connectors=(Connector(number=1),), metered_to_ms=0, is_powered=True)
    device, _ = decide(BEHAVIOUR, device, PluggedIn(at=at(0), connector=1, driver_token="T"))
    gone = Stopped(at=at(1), connector=1, reason="EVDisconnected", is_unplugged=True)
    device, _ = decide(BEHAVIOUR, device, gone)
    answer = Authorised(
        at=at(2), connector=1, driver_token="T", is_accepted=True, is_online=True, has_room=True
    )
    after, effects = decide(BEHAVIOUR, device, answer)
    assert after == replace(device, metered_to_ms=2)
    assert effects == []


def test_a_late_reading_follows_the_stop_by_behaviour():
    behaviour = replace(BEHAVIOUR, late_meter_after_stop=True)
    stop = Stopped(at=at(5_000), connector=1, reason="Local", is_unplugged=True)
    _, effects = decide(behaviour, charging(behaviour), stop)
    queued = [one.message.action for one in effects if isinstance(one, Enqueue)]
    assert queued == [Action.STOP, Action.METER]


@given(st.lists(st.sampled_from(["begin", "meter", "stop"]), max_size=200), st.integers(2, 12))
def test_the_queue_never_exceeds_its_capacity_and_never_drops_starts_and_stops(steps, capacity):
    queue: list[Action] = []
    running, fixed = 0, 0
    for step in steps:
        is_fixed_queued = len([one for one in queue if one is not Action.METER])
        if step == "begin":
            if not queue_rules.may_begin_session(
                starts_and_stops=is_fixed_queued, running=running, capacity=capacity
            ):
                continue
            action, running = Action.START, running + 1
        elif running == 0:
            continue
        else:
            action = Action.STOP if step == "stop" else Action.METER
            running -= step == "stop"
        fixed += action is not Action.METER
        verdict = queue_rules.entry(
            is_reading=action is Action.METER,
            queued=len(queue),
            readings=queue.count(Action.METER),
            reserved=running,
            capacity=capacity,
        )
        if verdict is Entry.AFTER_DROPPING:
            queue.remove(Action.METER)
        if verdict is not Entry.DROPPED:
            queue.append(action)
        assert len(queue) <= capacity
    assert len([one for one in queue if one is not Action.METER]) == fixed


def test_the_id_is_the_real_one_when_known_and_else_minus_one():
    stop = transactional(Action.STOP, "1-1", {"meterStop": 5})
    assert outbox.payload(stop, 7) == {"transactionId": 7, "meterStop": 5}
    assert outbox.payload(stop, None) == {"transactionId": -1, "meterStop": 5}
    start = transactional(Action.START, "1-1", {"meterStart": 5})
    assert outbox.payload(start, None) == {"meterStart": 5}
