"""The state of a charge point: connectors, sessions, meters, limits. What changes it is in `decision.py`.

Energy follows the monotonic clock and is counted in millijoule (watt times millisecond), so no reading
is ever rounded twice; timestamps follow the device's own clock, which may be wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from holdfast_simulators.charge_points.body.clock import Instant
from holdfast_simulators.charge_points.body.config import Behaviour
from holdfast_simulators.charge_points.body.records import Reservation
from holdfast_simulators.charge_points.v16.memory import Memory

MJ_PER_WH = 3_600_000


class Status(StrEnum):
    AVAILABLE = "Available"
    PREPARING = "Preparing"
    CHARGING = "Charging"
    SUSPENDED_EVSE = "SuspendedEVSE"
    FINISHING = "Finishing"
    RESERVED = "Reserved"
    UNAVAILABLE = "Unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    key: str
    driver_token: str
    meter_start_wh: int
    started_ms: int
    """By the charge point's own clock."""
    next_reading_ms: int
    transaction_id: int | None = None
    is_energised: bool = True
    """False when the central system refused the driver token and only the energy was stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    number: int
    register_mj: int = 0
    is_plugged: bool = False
    is_used: bool = False
    """A session has ended and the cable is still in."""
    is_operative: bool = True
    awaiting: str | None = None
    """The driver token whose authorisation is being asked for."""
    session: Session | None = None
    reservation: Reservation | None = None
    limit_w: int | None = None
    """What its charging profiles allow now (`profiles.limited`)."""

    @property
    def register_wh(self) -> int:
        return self.register_mj // MJ_PER_WH

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    connectors: tuple[Connector, ...]
    metered_to_ms: int
    """Monotonic time up to which every register is right."""
    is_powered: bool = False
    sessions_begun: int = 0
    memory: Memory = field(default_factory=Memory)
    limit_w: int | None = None
    """ChargePointMaxProfile: of all connectors together."""
    limits_end_ms: int | None = None
    """When a profile may say something else, by the charge point's own clock."""

    def connector(self, number: int) -> Connector | None:
        return next((one for one in self.connectors if one.number == number), None)

    @property
    def in_session(self) -> tuple[Connector, ...]:
        return tuple(one for one in self.connectors if one.session is not None)

    @property
    def changes_ms(self) -> int | None:
        """When something of it changes by time alone: a profile's period, the end of a reservation."""
        ends = [one.reservation.until_ms for one in self.connectors if one.reservation is not None]
        ends += [] if self.limits_end_ms is None else [self.limits_end_ms]
        return min(ends, default=None)

    def power_w(self, behaviour: Behaviour, connector: Connector) -> int:
        """What flows on a connector now; the common limit is shared in equal parts."""
        if not self.is_powered or connector.status is not Status.CHARGING:
            return 0
        charging = sum(one.status is Status.CHARGING for one in self.connectors)
        limits = [behaviour.power_w]
        if connector.limit_w is not None:
            limits.append(connector.limit_w)
        if self.limit_w is not None:
            limits.append(self.limit_w // charging)
        return min(limits)


def metered(behaviour: Behaviour, device: Device, at: Instant) -> Device:
    """Every register brought up to `at`."""
    elapsed_ms = max(0, at.monotonic_ms - device.metered_to_ms)
    connectors = tuple(
        replace(one, register_mj=one.register_mj + device.power_w(behaviour, one) * elapsed_ms)
        for one in device.connectors
    )
    return replace(device, connectors=connectors, metered_to_ms=at.monotonic_ms)
