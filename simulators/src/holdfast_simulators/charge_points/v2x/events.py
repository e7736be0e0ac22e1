"""What happens to a station besides what happens to all (`body/events.py`)."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast_simulators.charge_points.body.events import Event, Happened


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(Event):
    """A TransactionEvent with a driver token was answered."""

    transaction: str
    """Its key."""
    is_accepted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityNoted(Event):
    """Something that a SecurityEventNotification tells."""

    type: str


OfStation = Answered | SecurityNoted
DeviceEvent = Happened | OfStation
