"""How a charge point decides.

    decide(behaviour, device, event) -> (device, effects)

Pure: the time stands in the event, on two clocks, and the answers of the central system are events too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from holdfast_simulators.charge_points.body.clock import Instant
from holdfast_simulators.charge_points.body.config import Behaviour
from holdfast_simulators.charge_points.v16 import messages, profiles
from holdfast_simulators.charge_points.v16.device import Connector, Device, Session, metered
from holdfast_simulators.charge_points.v16.events import (
    AskAuthorisation,
    Authorised,
    AvailabilitySet,
    BeginSession,
    DeviceEvent,
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
    StartAnswered,
    StatusChanged,
    Stopped,
)
from holdfast_simulators.charge_points.v16.outbox import Action, transactional

RESERVED = "reserved for another driver token"


def decide(behaviour: Behaviour, device: Device, event: DeviceEvent) -> tuple[Device, list[Effect]]:
    before = metered(behaviour, device, event.at)
    after, effects = _apply(behaviour, before, event)
    after = profiles.limited(behaviour, _ended(after, event.at), event.at)
    for old, new in zip(before.connectors, after.connectors, strict=True):
        if old.status is not new.status:
            effects.append(StatusChanged(connector=new.number, status=new.status))
    return after, effects


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
        case PowerLost():
            return _power_lost(device), []
        case PowerReturned(reason=reason):
            return _power_returned(behaviour, device, reason, event.at)
        case AvailabilitySet() | Remembered() | Reserved() | Elapsed():
            return _told(device, event), []
        case _:
            assert_never(event)


def _told(device: Device, event: AvailabilitySet | Remembered | Reserved | Elapsed) -> Device:
    match event:
        case AvailabilitySet():
            return _availability_set(device, event)
        case Remembered(memory=memory):
            return replace(device, memory=memory)
        case Reserved():
            return _reserved(device, event)
        case Elapsed():
            return device
        case _:
            assert_never(event)


def _with(device: Device, connector: Connector) -> Device:
    return replace(
        device,
        connectors=tuple(
            connector if one.number == connector.number else one for one in device.connectors
        ),
    )


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
    # Where the parent decides, the central system is asked first (5.13).
    if (
        reservation is not None
        and reservation.parent_id_tag is None
        and reservation.id_tag != event.driver_token
    ):
        return device, [Refuse(connector=event.connector, reason=RESERVED)]
    plugged = replace(connector, is_plugged=True, is_used=False, awaiting=event.driver_token)
    device = _with(device, plugged)
    if event.profile is not None:
        device = _with_profile(device, event)
    if not event.is_authorised:
        ask = AskAuthorisation(connector=connector.number, driver_token=event.driver_token)
        return device, [ask]
    return _authorised(
        behaviour,
        device,
        Authorised(
            at=event.at,
            connector=event.connector,
            driver_token=event.driver_token,
            is_accepted=True,
            is_online=True,
            has_room=event.has_room,
        ),
    )


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
        return _with(device, connector), [refuse]
    if not event.has_room:
        refuse = Refuse(connector=connector.number, reason="queue full")
        return _with(device, connector), [refuse]
    reservation = connector.reservation
    parent = event.parent_id_tag or _listed_parent(device, event.driver_token)
    if reservation is not None and not reservation.is_for(event.driver_token, parent):
        return _with(device, connector), [Refuse(connector=connector.number, reason=RESERVED)]
    number = device.sessions_begun + 1
    session = Session(
        key=f"{connector.number}-{number}",
        driver_token=event.driver_token,
        meter_start_wh=connector.register_wh,
        started_ms=event.at.device_ms,
        next_reading_ms=event.at.monotonic_ms + _interval_ms(behaviour),
    )
    start = messages.start(
        connector.number,
        event.driver_token,
        session.meter_start_wh,
        event.at.device_ms,
        None if reservation is None else reservation.id,
    )
    device = replace(
        _with(device, replace(connector, session=session, reservation=None)),
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
    device = _with(device, free)
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
    for connector in device.in_session:
        session = connector.session
        assert session is not None
        is_due = session.next_reading_ms <= at.monotonic_ms
        if asked_for is not None and asked_for not in (0, connector.number):
            continue
        if asked_for is None and not is_due:
            continue
        power_w = device.power_w(behaviour, connector)
        context = "Sample.Periodic" if asked_for is None else "Trigger"
        reading = messages.meter(
            connector.number, connector.register_wh, power_w, at.device_ms, context
        )
        effects.append(Enqueue(message=transactional(Action.METER, session.key, reading)))
        if is_due:
            # Counted from now: readings missed while the process was held up are not made up for.
            later = replace(session, next_reading_ms=at.monotonic_ms + _interval_ms(behaviour))
            device = _with(device, replace(connector, session=later))
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
            return _with(device, replace(connector, session=known)), []
        if behaviour.stop_on_invalid_id:
            device = _with(device, replace(connector, session=known))
            return _stopped(
                behaviour, device, connector.number, "DeAuthorized", event.at, is_unplugged=False
            )
        return _with(device, replace(connector, session=replace(known, is_energised=False))), []
    # The session ended before its Start was answered; the queue knows the id all the same.
    return device, []


def _power_lost(device: Device) -> Device:
    dark = tuple(replace(one, awaiting=None) for one in device.connectors)
    return replace(device, is_powered=False, connectors=dark)


def _power_returned(
    behaviour: Behaviour, device: Device, reason: str, at: Instant
) -> tuple[Device, list[Effect]]:
    effects: list[Effect] = []
    for connector in device.in_session:
        session = connector.session
        assert session is not None
        if behaviour.session_after_reboot == "resume":
            later = replace(session, next_reading_ms=at.monotonic_ms + _interval_ms(behaviour))
            device = _with(device, replace(connector, session=later))
        else:
            device, more = _stopped(
                behaviour, device, connector.number, reason, at, is_unplugged=False
            )
            effects += more
    return replace(device, is_powered=True), effects


def _availability_set(device: Device, event: AvailabilitySet) -> Device:
    for connector in device.connectors:
        if event.connector in (0, connector.number):
            device = _with(device, replace(connector, is_operative=event.is_operative))
    return device


def _reserved(device: Device, event: Reserved) -> Device:
    """One reservation id is on one connector."""
    wanted = event.reservation
    for connector in device.connectors:
        old = connector.reservation
        if connector.number == event.connector:
            device = _with(device, replace(connector, reservation=wanted))
        elif wanted is not None and old is not None and old.id == wanted.id:
            device = _with(device, replace(connector, reservation=None))
    return device


def _with_profile(device: Device, event: PluggedIn) -> Device:
    assert event.profile is not None
    installed = profiles.with_profile(
        device.memory.profiles, event.connector, event.profile, event.at.device_ms
    )
    if installed is None:
        return device
    return replace(device, memory=replace(device.memory, profiles=installed))


def _listed_parent(device: Device, driver_token: str) -> str | None:
    listed = device.memory.local_list.tokens.get(driver_token)
    return None if listed is None else listed.parent_id_tag


def _ended(device: Device, at: Instant) -> Device:
    """Without what has come to its end: reservations by time, profiles with their session."""
    for connector in device.connectors:
        reservation = connector.reservation
        if reservation is not None and reservation.until_ms <= at.device_ms:
            device = _with(device, replace(connector, reservation=None))
    busy = {
        one.number
        for one in device.connectors
        if one.session is not None or one.awaiting is not None
    }
    left = tuple(
        one
        for one in device.memory.profiles
        if one.purpose != profiles.OF_SESSION or one.connector in busy
    )
    if len(left) == len(device.memory.profiles):
        return device
    return replace(device, memory=replace(device.memory, profiles=left))


def _interval_ms(behaviour: Behaviour) -> int:
    return max(1, round(behaviour.meter_interval_s * 1_000))
