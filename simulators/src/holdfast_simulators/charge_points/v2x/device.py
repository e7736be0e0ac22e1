"""The state of a charging station: EVSEs, transactions, meters, limits. What changes it is in `decision.py`.

Energy follows the monotonic clock and is counted in millijoule (watt times millisecond), so no reading is ever rounded
twice; timestamps follow the station's own clock, which may be wrong. An EVSE has one connector.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from holdfast_simulators.charge_points.body.clock import Instant
from holdfast_simulators.charge_points.body.config import Behaviour
from holdfast_simulators.charge_points.body.records import Reservation
from holdfast_simulators.charge_points.v2x.memory import Memory

MJ_PER_WH = 3_600_000


class ConnectorStatus(StrEnum):
    AVAILABLE = "Available"
    OCCUPIED = "Occupied"
    RESERVED = "Reserved"
    UNAVAILABLE = "Unavailable"


class ChargingState(StrEnum):
    EV_CONNECTED = "EVConnected"
    CHARGING = "Charging"
    SUSPENDED_EVSE = "SuspendedEVSE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    key: str
    """In the ledger."""
    id: str
    """In TransactionEvents: the station chooses it."""
    next_seq_no: int = 0
    driver_token: str | None
    meter_start_wh: int
    started_ms: int
    """By the station's own clock."""
    next_reading_ms: int
    said: ChargingState = ChargingState.EV_CONNECTED
    """The charging state that the last event carried."""
    is_authorised: bool = False
    is_refused: bool = False
    """The central system refused the driver token and only the energy was stopped."""
    remote_start_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evse:
    number: int
    register_mj: int = 0
    is_plugged: bool = False
    is_operative: bool = True
    awaiting: str | None = None
    """The driver token whose authorisation is being asked for."""
    remote_start_id: int | None = None
    """Of the remote start that it waits for."""
    transaction: Transaction | None = None
    reservation: Reservation | None = None
    limit_w: int | None = None
    """What its charging profiles allow now."""

    @property
    def register_wh(self) -> int:
        return self.register_mj // MJ_PER_WH

    @property
    def status(self) -> ConnectorStatus:
        if self.transaction is None and not self.is_operative:
            return ConnectorStatus.UNAVAILABLE
        if self.transaction is not None or self.is_plugged:
            return ConnectorStatus.OCCUPIED
        if self.reservation is not None:
            return ConnectorStatus.RESERVED
        return ConnectorStatus.AVAILABLE

    @property
    def charging_state(self) -> ChargingState | None:
        """None: no transaction."""
        if self.transaction is None:
            return None
        if not self.transaction.is_authorised:
            return ChargingState.EV_CONNECTED
        is_suspended = self.transaction.is_refused or self.limit_w == 0
        return ChargingState.SUSPENDED_EVSE if is_suspended else ChargingState.CHARGING

    @property
    def is_free(self) -> bool:
        return self.is_operative and self.transaction is None and self.awaiting is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    id: str
    evses: tuple[Evse, ...]
    metered_to_ms: int
    """Monotonic time up to which every register is right."""
    is_powered: bool = False
    transactions_begun: int = 0
    memory: Memory = field(default_factory=Memory)
    limit_w: int | None = None
    """ChargingStationMaxProfile and ExternalConstraints: of all EVSEs together."""
    limits_end_ms: int | None = None
    """When a profile may say something else, by the station's own clock."""

    def evse(self, number: int) -> Evse | None:
        return next((one for one in self.evses if one.number == number), None)

    def of_transaction(self, transaction_id: str) -> Evse | None:
        for one in self.evses:
            if one.transaction is not None and one.transaction.id == transaction_id:
                return one
        return None

    @property
    def in_transaction(self) -> tuple[Evse, ...]:
        return tuple(one for one in self.evses if one.transaction is not None)

    @property
    def changes_ms(self) -> int | None:
        """When something of it changes by time alone: a profile's period, the end of a reservation."""
        ends = [one.reservation.until_ms for one in self.evses if one.reservation is not None]
        ends += [] if self.limits_end_ms is None else [self.limits_end_ms]
        return min(ends, default=None)

    def power_w(self, behaviour: Behaviour, evse: Evse) -> int:
        """What flows on an EVSE now; the common limit is shared in equal parts."""
        if not self.is_powered or evse.charging_state is not ChargingState.CHARGING:
            return 0
        charging = sum(one.charging_state is ChargingState.CHARGING for one in self.evses)
        limits = [behaviour.power_w]
        if evse.limit_w is not None:
            limits.append(evse.limit_w)
        if self.limit_w is not None:
            limits.append(self.limit_w // charging)
        return min(limits)


def metered(behaviour: Behaviour, device: Device, at: Instant) -> Device:
    """Every register brought up to `at`."""
    elapsed_ms = max(0, at.monotonic_ms - device.metered_to_ms)
    evses = tuple(
        replace(one, register_mj=one.register_mj + device.power_w(behaviour, one) * elapsed_ms)
        for one in device.evses
    )
    return replace(device, evses=evses, metered_to_ms=at.monotonic_ms)
