"""What can happen to a charge point (events), and what it then does to the world (effects)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from holdfast_simulators.charge_points.body.clock import Instant
from holdfast_simulators.charge_points.body.outbox import Message
from holdfast_simulators.charge_points.body.records import Reservation
from holdfast_simulators.charge_points.v16.device import Session, Status
from holdfast_simulators.charge_points.v16.memory import Memory


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
    profile: dict[str, Any] | None = None
    """Of a remote start: the TxProfile of the session to come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorised(Event):
    connector: int
    driver_token: str
    is_accepted: bool
    is_online: bool
    has_room: bool
    parent_id_tag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped(Event):
    connector: int
    reason: str
    is_unplugged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingDue(Event):
    """Meter values are due on every connector whose time has come, or asked for now."""

    asked_for: int | None = None
    """Connector of a TriggerMessage; 0 for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartAnswered(Event):
    session: str
    transaction_id: int
    is_accepted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerLost(Event):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerReturned(Event):
    """The charge point has booted; sessions that were running go on or end, by behaviour."""

    reason: str = "PowerLoss"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered(Event):
    """Told to keep something: a configuration key, a list, profiles, a firmware."""

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
    is_operative: bool


DeviceEvent = (
    PluggedIn
    | Authorised
    | Stopped
    | ReadingDue
    | StartAnswered
    | PowerLost
    | PowerReturned
    | Remembered
    | Reserved
    | Elapsed
    | AvailabilitySet
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
    status: Status


Effect = AskAuthorisation | Enqueue | BeginSession | EndSession | Refuse | StatusChanged
