"""EVSEs and transactions as 2.x has them. What changes them is in `decision.py`. An EVSE has one connector."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from holdfast_simulators.charge_points.body import device, reply
from holdfast_simulators.charge_points.v2x.memory import Memory


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
class Transaction(device.Session):
    transaction_id: str
    """The station chooses it."""
    next_seq_no: int = 0
    said: ChargingState = ChargingState.EV_CONNECTED
    """The charging state that the last event carried."""
    is_authorised: bool = False
    is_refused: bool = False
    """The central system refused the driver token and only the energy was stopped."""
    remote_start_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evse(device.Connector[Transaction]):
    remote_start_id: int | None = None
    """Of the remote start that it waits for."""

    @property
    def status(self) -> ConnectorStatus:
        if self.session is None and not self.is_operative:
            return ConnectorStatus.UNAVAILABLE
        if self.session is not None or self.is_plugged:
            return ConnectorStatus.OCCUPIED
        if self.reservation is not None:
            return ConnectorStatus.RESERVED
        return ConnectorStatus.AVAILABLE

    @property
    def charging_state(self) -> ChargingState | None:
        """None: no transaction."""
        if self.session is None:
            return None
        if not self.session.is_authorised:
            return ChargingState.EV_CONNECTED
        is_suspended = self.session.is_refused or self.limit_w == 0
        return ChargingState.SUSPENDED_EVSE if is_suspended else ChargingState.CHARGING

    @property
    def is_charging(self) -> bool:
        return self.charging_state is ChargingState.CHARGING

    @property
    def is_free(self) -> bool:
        return self.is_operative and self.session is None and self.awaiting is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Device(device.Device[Evse, Memory]):
    id: str
    memory: Memory = field(default_factory=Memory)

    def of_transaction(self, transaction_id: str) -> Evse | None:
        for one in self.in_session:
            if one.session is not None and one.session.transaction_id == transaction_id:
                return one
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation(reply.Situation[Device]):
    version: str
    queued_transactions: frozenset[str]
    """Those of which something waits to be sent."""
