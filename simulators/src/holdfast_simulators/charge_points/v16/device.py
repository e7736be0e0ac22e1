"""Connectors and sessions as 1.6 has them. What changes them is in `decision.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from holdfast_simulators.charge_points.body import device, reply
from holdfast_simulators.charge_points.v16.memory import Memory


class Status(StrEnum):
    AVAILABLE = "Available"
    PREPARING = "Preparing"
    CHARGING = "Charging"
    SUSPENDED_EVSE = "SuspendedEVSE"
    FINISHING = "Finishing"
    RESERVED = "Reserved"
    UNAVAILABLE = "Unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session(device.Session):
    driver_token: str
    transaction_id: int | None = None
    """The central system's; None: it has not answered yet."""
    is_energised: bool = True
    """False when the central system refused the driver token and only the energy was stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector(device.Connector[Session]):
    is_used: bool = False
    """A session has ended and the cable is still in."""

    @property
    def status(self) -> Status:
        if self.session is not None:
            is_suspended = not self.session.is_energised or self.limit_w == 0
            return Status.SUSPENDED_EVSE if is_suspended else Status.CHARGING
        if not self.is_operative:
            return Status.UNAVAILABLE
        if self.is_plugged:
            return Status.FINISHING if self.is_used else Status.PREPARING
        return Status.AVAILABLE if self.reservation is None else Status.RESERVED

    @property
    def is_charging(self) -> bool:
        return self.status is Status.CHARGING


@dataclass(frozen=True, slots=True, kw_only=True)
class Device(device.Device[Connector, Memory]):
    memory: Memory = field(default_factory=Memory)


class Situation(reply.Situation[Device]):
    """In which a command of 1.6 comes."""

    __slots__ = ()
