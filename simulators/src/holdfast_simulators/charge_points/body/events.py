"""What can happen to a charge point of any version (events), and what it then does to the world (effects).

`connector` is in 2.x the EVSE. What only one version has, its own `events.py` adds to `Happened`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from holdfast_simulators.charge_points.body.clock import Instant
from holdfast_simulators.charge_points.body.device import Session
from holdfast_simulators.charge_points.body.memory import Memory
from holdfast_simulators.charge_points.body.outbox import Message
from holdfast_simulators.charge_points.body.records import Reservation


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class PluggedIn(Event):
    """A cable is in and a driver token shown; by remote start without asking again."""

    connector: int
    driver_token: str
    is_authorised: bool = False
    has_room: bool = True
    remote_start_id: int | None = None
    """2.x: of the remote start."""
    profile: dict[str, Any] | None = None
    """Of a remote start: the TxProfile of the session to come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorised(Event):
    connector: int
    driver_token: str
    is_accepted: bool
    is_online: bool
    has_room: bool
    group: str | None = None
    """The parentIdTag of 1.6, the groupIdToken of 2.x."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped(Event):
    connector: int
    reason: str
    """As the message of the end says it."""
    is_unplugged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingDue(Event):
    """A reading is due on every connector whose time has come, or asked for now."""

    asked_for: int | None = None
    """Connector of a TriggerMessage; 0 for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerLost(Event):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerReturned(Event):
    """The charge point has booted; sessions that were running go on or end, by behaviour."""

    reason: str = "PowerLoss"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered(Event):
    """Told to keep something: a setting, a list, profiles, a firmware."""

    memory: Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved(Event):
    """None: the reservation is cancelled."""

    connector: int
    reservation: Reservation | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Elapsed(Event):
    """A moment of `Device.changes_ms` has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailabilitySet(Event):
    connector: int
    """0: all."""
    is_operative: bool


Told = PowerLost | Remembered | Reserved | Elapsed | AvailabilitySet
"""What `keeping.py` makes of it is the same in every version."""
Happened = PluggedIn | Authorised | Stopped | ReadingDue | PowerReturned | Told


def authorised_already(plugged: PluggedIn) -> Authorised:
    """By a remote start: as if the central system had been asked and had accepted."""
    return Authorised(
        at=plugged.at,
        connector=plugged.connector,
        driver_token=plugged.driver_token,
        is_accepted=True,
        is_online=True,
        has_room=plugged.has_room,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AskAuthorisation:
    connector: int
    driver_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Enqueue:
    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginSession:
    connector: int
    session: Session
    is_online: bool
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class EndSession:
    connector: int
    session: Session
    meter_stop_wh: int
    reason: str
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """A driver is turned away; said, since nothing else would show it."""

    connector: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChanged:
    connector: int


Effect = AskAuthorisation | Enqueue | BeginSession | EndSession | Refuse | StatusChanged
