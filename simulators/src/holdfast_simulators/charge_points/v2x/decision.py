"""How a station decides.

    decide(behaviour, device, event) -> (device, effects)

Pure: the time stands in the event, on two clocks, and the answers of the central system are events too. Whatever
changes the charging state of a transaction is followed by an Updated that says so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from holdfast_simulators.charge_points.body.clock import Instant
from holdfast_simulators.charge_points.body.config import Behaviour
from holdfast_simulators.charge_points.body.device import (
    is_due,
    metered,
    next_reading,
    with_connector,
)
from holdfast_simulators.charge_points.body.events import (
    Authorised,
    AvailabilitySet,
    Effect,
    Elapsed,
    Enqueue,
    PluggedIn,
    PowerLost,
    PowerReturned,
    ReadingDue,
    Remembered,
    Reserved,
    Stopped,
)
from holdfast_simulators.charge_points.body.keeping import (
    changed_statuses,
    ended,
    powered_on,
    told_to_be,
)
from holdfast_simulators.charge_points.body.outbox import Message
from holdfast_simulators.charge_points.v2x import messages, profiles
from holdfast_simulators.charge_points.v2x.device import Device
from holdfast_simulators.charge_points.v2x.events import Answered, DeviceEvent, SecurityNoted
from holdfast_simulators.charge_points.v2x.sessions import authorised, plugged_in, stopped
from holdfast_simulators.charge_points.v2x.telling import told


def decide(behaviour: Behaviour, device: Device, event: DeviceEvent) -> tuple[Device, list[Effect]]:
    before = metered(behaviour, device, event.at)
    after, effects = _apply(behaviour, before, event)
    after = profiles.limited(behaviour, ended(after, event.at), event.at)
    for evse in after.in_session:
        state = evse.charging_state
        if after.is_powered and evse.session is not None and evse.session.said is not state:
            after, update = told(
                behaviour,
                after,
                evse.number,
                "Updated",
                "ChargingStateChanged",
                event.at,
            )
            effects.append(update)
    return after, effects + changed_statuses(before, after)


def _apply(behaviour: Behaviour, device: Device, event: DeviceEvent) -> tuple[Device, list[Effect]]:
    match event:
        case PluggedIn():
            return plugged_in(behaviour, device, event)
        case Authorised():
            return authorised(behaviour, device, event)
        case Stopped(connector=number, reason=reason, is_unplugged=is_unplugged):
            return stopped(behaviour, device, number, reason, event.at, is_unplugged=is_unplugged)
        case ReadingDue(asked_for=asked_for):
            return _readings(behaviour, device, asked_for, event.at)
        case Answered():
            return _answered(behaviour, device, event)
        case PowerReturned():
            return powered_on(behaviour, device, event, stopped)
        case SecurityNoted(type=type):
            fields = messages.security_event(type, event.at.device_ms)
            message = Message(action=messages.SECURITY_EVENT, fields=fields)
            return device, [Enqueue(message=message)]
        case PowerLost() | AvailabilitySet() | Remembered() | Reserved() | Elapsed():
            return told_to_be(device, event), []
        case _:
            assert_never(event)


def _answered(behaviour: Behaviour, device: Device, event: Answered) -> tuple[Device, list[Effect]]:
    for evse in device.in_session:
        transaction = evse.session
        if transaction is None or transaction.key != event.transaction or event.is_accepted:
            continue
        if behaviour.stop_on_invalid_id:
            return stopped(
                behaviour, device, evse.number, "DeAuthorized", event.at, is_unplugged=False
            )
        refused = replace(transaction, is_refused=True)
        return with_connector(device, replace(evse, session=refused)), []
    # It ended before the answer came.
    return device, []


def _readings(
    behaviour: Behaviour, device: Device, asked_for: int | None, at: Instant
) -> tuple[Device, list[Effect]]:
    effects: list[Effect] = []
    is_periodic = asked_for is None
    for evse in device.due(asked_for, at):
        if is_due(evse, at):
            device = next_reading(behaviour, device, evse.number, at)
        device, update = told(
            behaviour,
            device,
            evse.number,
            "Updated",
            "MeterValuePeriodic" if is_periodic else "Trigger",
            at,
            context="Sample.Periodic" if is_periodic else "Trigger",
        )
        effects.append(update)
    return device, effects
