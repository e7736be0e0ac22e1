"""How a charge point of 1.6 decides.

    decide(behaviour, device, event) -> (device, effects)

Pure: the time stands in the event, on two clocks, and the answers of the central system are events too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from holdfast_simulators.charge_points.body.clock import Instant
from holdfast_simulators.charge_points.body.config import Behaviour
from holdfast_simulators.charge_points.body.device import (
    interval_ms,
    is_due,
    metered,
    next_reading,
    with_connector,
)
from holdfast_simulators.charge_points.body.events import (
    AskAuthorisation,
    Authorised,
    AvailabilitySet,
    BeginSession,
    Effect,
    Elapsed,
    EndSession,
    Enqueue,
    PluggedIn,
    PowerLost,
    PowerReturned,
    ReadingDue,
    Refuse,
    Remembered,
    Reserved,
    Stopped,
    authorised_already,
)
from holdfast_simulators.charge_points.body.keeping import (
    changed_statuses,
    ended,
    listed_group,
    powered_on,
    told_to_be,
    with_profile_of,
)
from holdfast_simulators.charge_points.v16 import messages, profiles
from holdfast_simulators.charge_points.v16.device import Device, Session
from holdfast_simulators.charge_points.v16.events import DeviceEvent, StartAnswered
from holdfast_simulators.charge_points.v16.outbox import Action, transactional

RESERVED = "reserved for another driver token"


def decide(behaviour: Behaviour, device: Device, event: DeviceEvent) -> tuple[Device, list[Effect]]:
    before = metered(behaviour, device, event.at)
    after, effects = _apply(behaviour, before, event)
    after = profiles.limited(behaviour, ended(after, event.at), event.at)
    return after, effects + changed_statuses(before, after)


def _apply(behaviour: Behaviour, device: Device, event: DeviceEvent) -> tuple[Device, list[Effect]]:
    match event:
        case PluggedIn():
            return _plugged_in(behaviour, device, event)
        case Authorised():
            return _authorised(behaviour, device, event)
        case Stopped(connector=number, reason=reason, is_unplugged=is_unplugged):
            return _stopped(behaviour, device, number, reason, event.at, is_unplugged=is_unplugged)
        case ReadingDue(asked_for=asked_for):
            return _readings(behaviour, device, asked_for, event.at)
        case StartAnswered():
            return _start_answered(behaviour, device, event)
        case PowerReturned():
            return powered_on(behaviour, device, event, _stopped)
        case PowerLost() | AvailabilitySet() | Remembered() | Reserved() | Elapsed():
            return told_to_be(device, event), []
        case _:
            assert_never(event)


def _plugged_in(
    behaviour: Behaviour, device: Device, event: PluggedIn
) -> tuple[Device, list[Effect]]:
    connector = device.connector(event.connector)
    if connector is None:
        return device, [Refuse(connector=event.connector, reason="no such connector")]
    if connector.session is not None or connector.awaiting is not None:
        return device, [Refuse(connector=event.connector, reason="connector in use")]
    if not connector.is_operative:
        return device, [Refuse(connector=event.connector, reason="connector unavailable")]
    reservation = connector.reservation
    if reservation is not None and reservation.keeps_out(event.driver_token):
        return device, [Refuse(connector=event.connector, reason=RESERVED)]
    plugged = replace(connector, is_plugged=True, is_used=False, awaiting=event.driver_token)
    device = with_profile_of(with_connector(device, plugged), event)
    if not event.is_authorised:
        ask = AskAuthorisation(connector=connector.number, driver_token=event.driver_token)
        return device, [ask]
    return _authorised(behaviour, device, authorised_already(event))


def _authorised(
    behaviour: Behaviour, device: Device, event: Authorised
) -> tuple[Device, list[Effect]]:
    connector = device.connector(event.connector)
    # Unplugged, rebooted or shown another token while the answer was on its way.
    if connector is None or connector.awaiting != event.driver_token:
        return device, []
    connector = replace(connector, awaiting=None)
    if not event.is_accepted:
        refuse = Refuse(connector=connector.number, reason="driver token not accepted")
        return with_connector(device, connector), [refuse]
    if not event.has_room:
        refuse = Refuse(connector=connector.number, reason="queue full")
        return with_connector(device, connector), [refuse]
    reservation = connector.reservation
    parent = event.group or listed_group(device, event.driver_token)
    if reservation is not None and not reservation.is_for(event.driver_token, parent):
        return with_connector(device, connector), [
            Refuse(connector=connector.number, reason=RESERVED)
        ]
    number = device.sessions_begun + 1
    session = Session(
        key=f"{connector.number}-{number}",
        driver_token=event.driver_token,
        meter_start_wh=connector.register_wh,
        started_ms=event.at.device_ms,
        next_reading_ms=event.at.monotonic_ms + interval_ms(behaviour),
    )
    start = messages.start(
        connector.number,
        event.driver_token,
        session.meter_start_wh,
        event.at.device_ms,
        None if reservation is None else reservation.id,
    )
    device = replace(
        with_connector(device, replace(connector, session=session, reservation=None)),
        sessions_begun=number,
    )
    return device, [
        BeginSession(
            connector=connector.number, session=session, is_online=event.is_online, at=event.at
        ),
        Enqueue(message=transactional(Action.START, session.key, start)),
    ]


def _stopped(
    behaviour: Behaviour,
    device: Device,
    number: int,
    reason: str,
    at: Instant,
    *,
    is_unplugged: bool,
) -> tuple[Device, list[Effect]]:
    connector = device.connector(number)
    if connector is None:
        return device, [Refuse(connector=number, reason="no such connector")]
    session = connector.session
    free = replace(
        connector,
        session=None,
        awaiting=None,
        is_plugged=connector.is_plugged and not is_unplugged,
        is_used=(session is not None or connector.is_used) and not is_unplugged,
    )
    device = with_connector(device, free)
    if session is None:
        return device, []
    meter_stop_wh = connector.register_wh
    stop = messages.stop(session.driver_token, meter_stop_wh, at.device_ms, reason)
    effects: list[Effect] = [
        EndSession(
            connector=number, session=session, meter_stop_wh=meter_stop_wh, reason=reason, at=at
        ),
        Enqueue(message=transactional(Action.STOP, session.key, stop)),
    ]
    if behaviour.late_meter_after_stop:
        late = messages.meter(number, meter_stop_wh, 0, at.device_ms + 1_000, "Sample.Periodic")
        effects.append(Enqueue(message=transactional(Action.METER, session.key, late)))
    return device, effects


def _readings(
    behaviour: Behaviour, device: Device, asked_for: int | None, at: Instant
) -> tuple[Device, list[Effect]]:
    effects: list[Effect] = []
    context = "Sample.Periodic" if asked_for is None else "Trigger"
    for connector in device.due(asked_for, at):
        assert connector.session is not None
        power_w = device.power_w(behaviour, connector)
        reading = messages.meter(
            connector.number, connector.register_wh, power_w, at.device_ms, context
        )
        key = connector.session.key
        effects.append(Enqueue(message=transactional(Action.METER, key, reading)))
        if is_due(connector, at):
            device = next_reading(behaviour, device, connector.number, at)
    return device, effects


def _start_answered(
    behaviour: Behaviour, device: Device, event: StartAnswered
) -> tuple[Device, list[Effect]]:
    for connector in device.in_session:
        session = connector.session
        if session is None or session.key != event.session:
            continue
        known = replace(session, transaction_id=event.transaction_id)
        if event.is_accepted:
            return with_connector(device, replace(connector, session=known)), []
        if behaviour.stop_on_invalid_id:
            device = with_connector(device, replace(connector, session=known))
            return _stopped(
                behaviour, device, connector.number, "DeAuthorized", event.at, is_unplugged=False
            )
        return with_connector(
            device, replace(connector, session=replace(known, is_energised=False))
        ), []
    # The session ended before its Start was answered; the queue knows the id all the same.
    return device, []
