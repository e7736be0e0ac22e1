"""What happens to a charge point of 1.6 besides what happens to all (`body/events.py`)."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast_simulators.charge_points.body.events import Event, Happened


@dataclass(frozen=True, slots=True, kw_only=True)
class StartAnswered(Event):
    session: str
    transaction_id: int
    is_accepted: bool


DeviceEvent = Happened | StartAnswered
