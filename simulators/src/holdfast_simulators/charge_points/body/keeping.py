"""What a charge point keeps because it was told to, and what ends by itself. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol, assert_never

from holdfast_simulators.charge_points.body.clock import Instant
from holdfast_simulators.charge_points.body.config import Behaviour
from holdfast_simulators.charge_points.body.device import D, next_reading, with_connector
from holdfast_simulators.charge_points.body.events import (
    AvailabilitySet,
    Effect,
    Elapsed,
    PluggedIn,
    PowerLost,
    PowerReturned,
    Remembered,
    Reserved,
    StatusChanged,
    Told,
)
from holdfast_simulators.charge_points.body.profile_rules import OF_SESSION, with_profile
from holdfast_simulators.charge_points.body.records import Installed


def told_to_be(device: D, event: Told) -> D:
    match event:
        case AvailabilitySet(connector=number, is_operative=is_operative):
            for one in device.chosen(number):
                device = with_connector(device, replace(one, is_operative=is_operative))
            return device
        case Remembered(memory=memory):
            return replace(device, memory=memory)
        case Reserved():
            return _reserved(device, event)
        case PowerLost():
            # Whoever was being authorised has to show the driver token again.
            dark = tuple(replace(one, awaiting=None) for one in device.connectors)
            return replace(device, is_powered=False, connectors=dark)
        case Elapsed():
            return device
        case _:
            assert_never(event)


def _reserved(device: D, event: Reserved) -> D:
    """One reservation id is on one connector."""
    wanted = event.reservation
    for connector in device.connectors:
        old = connector.reservation
        if connector.number == event.connector:
            device = with_connector(device, replace(connector, reservation=wanted))
        elif wanted is not None and old is not None and old.id == wanted.id:
            device = with_connector(device, replace(connector, reservation=None))
    return device


def with_profile_of(device: D, event: PluggedIn) -> D:
    """With the TxProfile that came with a remote start, if there is room for one more."""
    if event.profile is None:
        return device
    memory = device.memory
    installed = with_profile(memory.profiles, event.connector, event.profile, event.at.device_ms)
    return device if installed is None else _with_profiles(device, installed)


def listed_group(device: D, driver_token: str) -> str | None:
    listed = device.memory.local_list.tokens.get(driver_token)
    return None if listed is None else listed.parent_id_tag


def ended(device: D, at: Instant) -> D:
    """Without what has come to its end: reservations by time, profiles with their session."""
    for connector in device.connectors:
        reservation = connector.reservation
        if reservation is not None and reservation.until_ms <= at.device_ms:
            device = with_connector(device, replace(connector, reservation=None))
    busy = {
        one.number
        for one in device.connectors
        if one.session is not None or one.awaiting is not None
    }
    left = tuple(
        one for one in device.memory.profiles if one.purpose != OF_SESSION or one.connector in busy
    )
    return device if len(left) == len(device.memory.profiles) else _with_profiles(device, left)


def _with_profiles(device: D, installed: tuple[Installed, ...]) -> D:
    return replace(device, memory=replace(device.memory, profiles=installed))


class Stopping(Protocol[D]):
    """How a version ends a session."""

    def __call__(
        self,
        behaviour: Behaviour,
        device: D,
        number: int,
        reason: str,
        at: Instant,
        *,
        is_unplugged: bool,
    ) -> tuple[D, list[Effect]]: ...


def powered_on(
    behaviour: Behaviour, device: D, event: PowerReturned, stopped: Stopping[D]
) -> tuple[D, list[Effect]]:
    """Sessions that were running go on or end, by behaviour."""
    effects: list[Effect] = []
    for connector in device.in_session:
        if behaviour.session_after_reboot == "resume":
            device = next_reading(behaviour, device, connector.number, event.at)
        else:
            device, more = stopped(
                behaviour, device, connector.number, event.reason, event.at, is_unplugged=False
            )
            effects += more
    return replace(device, is_powered=True), effects


def changed_statuses(before: D, after: D) -> list[Effect]:
    return [
        StatusChanged(connector=new.number)
        for old, new in zip(before.connectors, after.connectors, strict=True)
        if old.status is not new.status
    ]
