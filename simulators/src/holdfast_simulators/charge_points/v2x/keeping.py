"""What a station keeps because it was told to, and what ends by itself. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from holdfast_simulators.charge_points.body.clock import Instant
from holdfast_simulators.charge_points.v2x import profiles
from holdfast_simulators.charge_points.v2x.device import Device
from holdfast_simulators.charge_points.v2x.events import (
    AvailabilitySet,
    Elapsed,
    Remembered,
    Reserved,
)
from holdfast_simulators.charge_points.v2x.telling import with_evse


def told_to_be(device: Device, event: AvailabilitySet | Remembered | Reserved | Elapsed) -> Device:
    match event:
        case AvailabilitySet(evse=number, is_operative=is_operative):
            for one in device.evses:
                if number in (0, one.number):
                    device = with_evse(device, replace(one, is_operative=is_operative))
            return device
        case Remembered(memory=memory):
            return replace(device, memory=memory)
        case Reserved():
            return _reserved(device, event)
        case Elapsed():
            return device
        case _:
            assert_never(event)


def _reserved(device: Device, event: Reserved) -> Device:
    """One reservation id is on one EVSE."""
    wanted = event.reservation
    for evse in device.evses:
        old = evse.reservation
        if evse.number == event.evse:
            device = with_evse(device, replace(evse, reservation=wanted))
        elif wanted is not None and old is not None and old.id == wanted.id:
            device = with_evse(device, replace(evse, reservation=None))
    return device


def listed_group(device: Device, driver_token: str) -> str | None:
    listed = device.memory.local_list.tokens.get(driver_token)
    return None if listed is None else listed.parent_id_tag


def ended(device: Device, at: Instant) -> Device:
    """Without what has come to its end: reservations by time, profiles with their transaction."""
    for evse in device.evses:
        reservation = evse.reservation
        if reservation is not None and reservation.until_ms <= at.device_ms:
            device = with_evse(device, replace(evse, reservation=None))
    busy = {one.number for one in device.evses if one.transaction is not None or one.awaiting}
    left = tuple(
        one
        for one in device.memory.profiles
        if one.purpose != profiles.OF_TRANSACTION or one.connector in busy
    )
    if len(left) == len(device.memory.profiles):
        return device
    return replace(device, memory=replace(device.memory, profiles=left))
