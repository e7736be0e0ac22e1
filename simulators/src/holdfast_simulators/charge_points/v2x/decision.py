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
from holdfast_simulators.charge_points.body.outbox import Message
from holdfast_simulators.charge_points.v2x import messages, profiles
from holdfast_simulators.charge_points.v2x.device import Device, metered
from holdfast_simulators.charge_points.v2x.events import (
    Answered,
    Authorised,
    AvailabilitySet,
    DeviceEvent,
    Effect,
    Elapsed,
    Enqueue,
    PluggedIn,
    PowerLost,
    PowerReturned,
    ReadingDue,
    Remembered,
    Reserved,
    SecurityNoted,
    StatusChanged,
    Stopped,
)
from holdfast_simulators.charge_points.v2x.keeping import ended, told_to_be
from holdfast_simulators.charge_points.v2x.sessions import (
    authorised,
    interval_ms,
    plugged_in,
    stopped,
)
from holdfast_simulators.charge_points.v2x.telling import told, with_evse


def decide(behaviour: Behaviour, device: Device, event: DeviceEvent) -> tuple[Device, list[Effect]]:
    before = metered(behaviour, device, event.at)
    after, effects = _apply(behaviour, before, event)
    after = profiles.limited(behaviour, ended(after, event.at), event.at)
    for evse in after.in_transaction:
        state = evse.charging_state
        if after.is_powered and evse.transaction is not None and evse.transaction.said is not state:
            after, update = told(
                behaviour,
                after,
                evse.number,
                "Updated",
                "ChargingStateChanged",
                event.at,
            )
            effects.append(update)
    for old, new in zip(before.evses, after.evses, strict=True):
        if old.status is not new.status:
            effects.append(StatusChanged(evse=new.number))
    return after, effects


def _apply(behaviour: Behaviour, device: Device, event: DeviceEvent) -> tuple[Device, list[Effect]]:
    match event:
        case PluggedIn():
            return plugged_in(behaviour, device, event)
        case Authorised():
            return authorised(behaviour, device, event)
        case Stopped(evse=number, reason=reason, is_unplugged=is_unplugged):
            return stopped(behaviour, device, number, reason, event.at, is_unplugged=is_unplugged)
        case ReadingDue(asked_for=asked_for):
            return _readings(behaviour, device, asked_for, event.at)
        case Answered():
            return _answered(behaviour, device, event)
        case PowerLost():
            dark = tuple(replace(one, awaiting=None) for one in device.evses)
            return replace(device, is_powered=False, evses=dark), []
        case PowerReturned(reason=reason):
            return _power_returned(behaviour, device, reason, event.at)
        case SecurityNoted(type=type):
            fields = messages.security_event(type, event.at.device_ms)
            message = Message(action=messages.SECURITY_EVENT, fields=fields)
            return device, [Enqueue(message=message)]
        case AvailabilitySet() | Remembered() | Reserved() | Elapsed():
            return told_to_be(device, event), []
        case _:
            assert_never(event)


def _answered(behaviour: Behaviour, device: Device, event: Answered) -> tuple[Device, list[Effect]]:
    for evse in device.in_transaction:
        transaction = evse.transaction
        if transaction is None or transaction.key != event.transaction or event.is_accepted:
            continue
        if behaviour.stop_on_invalid_id:
            return stopped(
                behaviour, device, evse.number, "DeAuthorized", event.at, is_unplugged=False
            )
        refused = replace(transaction, is_refused=True)
        return with_evse(device, replace(evse, transaction=refused)), []
    # It ended before the answer came.
    return device, []


def _readings(
    behaviour: Behaviour, device: Device, asked_for: int | None, at: Instant
) -> tuple[Device, list[Effect]]:
    effects: list[Effect] = []
    for evse in device.in_transaction:
        transaction = evse.transaction
        assert transaction is not None
        is_due = transaction.next_reading_ms <= at.monotonic_ms
        if asked_for is not None and asked_for not in (0, evse.number):
            continue
        if asked_for is None and not is_due:
            continue
        is_periodic = asked_for is None
        if is_due:
            # Counted from now: readings missed while the process was held up are not made up for.
            later = replace(transaction, next_reading_ms=at.monotonic_ms + interval_ms(behaviour))
            device = with_evse(device, replace(evse, transaction=later))
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


def _power_returned(
    behaviour: Behaviour, device: Device, reason: str, at: Instant
) -> tuple[Device, list[Effect]]:
    effects: list[Effect] = []
    for evse in device.in_transaction:
        transaction = evse.transaction
        assert transaction is not None
        if behaviour.session_after_reboot == "resume":
            later = replace(transaction, next_reading_ms=at.monotonic_ms + interval_ms(behaviour))
            device = with_evse(device, replace(evse, transaction=later))
        else:
            device, more = stopped(behaviour, device, evse.number, reason, at, is_unplugged=False)
            effects += more
    return replace(device, is_powered=True), effects
