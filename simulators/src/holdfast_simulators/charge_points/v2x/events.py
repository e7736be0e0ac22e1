"""What can happen to a station (events), and what it then does to the world (effects)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from holdfast_simulators.charge_points.body.clock import Instant
from holdfast_simulators.charge_points.body.outbox import Message
from holdfast_simulators.charge_points.body.records import Reservation
from holdfast_simulators.charge_points.v2x.device import Transaction
from holdfast_simulators.charge_points.v2x.memory import Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class PluggedIn(Event):
    """A cable is in and a driver token shown; by remote start without asking again."""

    evse: int
    driver_token: str
    has_room: bool
    is_authorised: bool = False
    remote_start_id: int | None = None
    profile: dict[str, Any] | None = None
    """Of a remote start: the TxProfile of the transaction to come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorised(Event):
    evse: int
    driver_token: str
    is_accepted: bool
    is_online: bool
    has_room: bool
    group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped(Event):
    evse: int
    reason: str
    """A `stoppedReason`."""
    is_unplugged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingDue(Event):
    """A reading is due on every EVSE whose time has come, or asked for now."""

    asked_for: int | None = None
    """EVSE of a TriggerMessage; 0 for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(Event):
    """A TransactionEvent with a driver token was answered."""

    transaction: str
    """Its key."""
    is_accepted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerLost(Event):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerReturned(Event):
    """The station has booted; transactions that were running go on or end, by behaviour."""

    reason: str = "PowerLoss"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered(Event):
    """Told to keep something: a variable, a list, profiles, a firmware."""

    memory: Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved(Event):
    """None: the reservation is cancelled."""

    evse: int
    reservation: Reservation | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Elapsed(Event):
    """A moment of `Device.changes_ms` has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailabilitySet(Event):
    evse: int
    """0: all."""
    is_operative: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityNoted(Event):
    """Something that a SecurityEventNotification tells."""

    type: str


DeviceEvent = (
    PluggedIn
    | Authorised
    | Stopped
    | ReadingDue
    | Answered
    | PowerLost
    | PowerReturned
    | Remembered
    | Reserved
    | Elapsed
    | AvailabilitySet
    | SecurityNoted
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskAuthorisation:
    evse: int
    driver_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Enqueue:
    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginTransaction:
    evse: int
    transaction: Transaction
    is_online: bool
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class EndTransaction:
    evse: int
    transaction: Transaction
    meter_stop_wh: int
    reason: str
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """A driver is turned away; said, since nothing else would show it."""

    evse: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChanged:
    evse: int


Effect = AskAuthorisation | Enqueue | BeginTransaction | EndTransaction | Refuse | StatusChanged
