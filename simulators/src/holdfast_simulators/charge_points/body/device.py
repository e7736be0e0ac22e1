"""The state of a charge point of any version: connectors, sessions, meters, limits. What changes it, a version decides.

Energy follows the monotonic clock and is counted in millijoule (watt times millisecond), so no reading
is ever rounded twice; timestamps follow the device's own clock, which may be wrong.

A connector is where one vehicle charges: in 2.x the EVSE, which has one connector. A session is what 2.x calls a
transaction.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from holdfast_simulators.charge_points.body.clock import Instant
from holdfast_simulators.charge_points.body.config import Behaviour
from holdfast_simulators.charge_points.body.memory import Memory
from holdfast_simulators.charge_points.body.records import Reservation

MJ_PER_WH = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    key: str
    """In the ledger."""
    transaction_id: int | str | None = None
    """What the messages of it say; None: not known yet."""
    driver_token: str | None
    """None: not shown yet."""
    meter_start_wh: int
    started_ms: int
    """By the charge point's own clock."""
    next_reading_ms: int


S = TypeVar("S", bound=Session)
M = TypeVar("M", bound=Memory)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector(ABC, Generic[S]):
    number: int
    register_mj: int = 0
    is_plugged: bool = False
    is_operative: bool = True
    awaiting: str | None = None
    """The driver token whose authorisation is being asked for."""
    session: S | None = None
    reservation: Reservation | None = None
    limit_w: int | None = None
    """What its charging profiles allow now."""

    @property
    def register_wh(self) -> int:
        return self.register_mj // MJ_PER_WH

    @property
    @abstractmethod
    def status(self) -> str:
        """As a StatusNotification says it."""

    @property
    @abstractmethod
    def is_charging(self) -> bool:
        """Energy flows, if there is power and no limit is zero."""


C = TypeVar("C", bound=Connector[Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Device(Generic[C, M]):
    connectors: tuple[C, ...]
    metered_to_ms: int
    """Monotonic time up to which every register is right."""
    is_powered: bool = False
    sessions_begun: int = 0
    memory: M
    limit_w: int | None = None
    """Of all connectors together, by the charging profiles of the whole charge point."""
    limits_end_ms: int | None = None
    """When a profile may say something else, by the charge point's own clock."""

    def connector(self, number: int) -> C | None:
        return next((one for one in self.connectors if one.number == number), None)

    def chosen(self, number: int) -> tuple[C, ...]:
        """That one; of 0 all."""
        return tuple(one for one in self.connectors if number in (0, one.number))

    @property
    def in_session(self) -> tuple[C, ...]:
        return tuple(one for one in self.connectors if one.session is not None)

    @property
    def changes_ms(self) -> int | None:
        """When something of it changes by time alone: a profile's period, the end of a reservation."""
        ends = [one.reservation.until_ms for one in self.connectors if one.reservation is not None]
        ends += [] if self.limits_end_ms is None else [self.limits_end_ms]
        return min(ends, default=None)

    def power_w(self, behaviour: Behaviour, connector: C) -> int:
        """What flows on a connector now; the common limit is shared in equal parts."""
        if not self.is_powered or not connector.is_charging:
            return 0
        charging = sum(one.is_charging for one in self.connectors)
        limits = [behaviour.power_w]
        if connector.limit_w is not None:
            limits.append(connector.limit_w)
        if self.limit_w is not None:
            limits.append(self.limit_w // charging)
        return min(limits)

    @property
    def reading_ms(self) -> int | None:
        """When the next reading is due, by the monotonic clock."""
        if not self.is_powered:
            return None
        sessions = (one.session for one in self.connectors)
        return min((one.next_reading_ms for one in sessions if one is not None), default=None)

    def due(self, asked_for: int | None, at: Instant) -> tuple[C, ...]:
        """Whose reading is to be made: all of which it is time, or those it was asked of (0: all)."""
        if asked_for is not None:
            return tuple(one for one in self.in_session if asked_for in (0, one.number))
        return tuple(one for one in self.in_session if is_due(one, at))


D = TypeVar("D", bound=Device[Any, Any])


def with_connector(device: D, connector: Connector[Any]) -> D:
    return replace(
        device,
        connectors=tuple(
            connector if one.number == connector.number else one for one in device.connectors
        ),
    )


def metered(behaviour: Behaviour, device: D, at: Instant) -> D:
    """Every register brought up to `at`."""
    elapsed_ms = max(0, at.monotonic_ms - device.metered_to_ms)
    connectors = tuple(
        replace(one, register_mj=one.register_mj + device.power_w(behaviour, one) * elapsed_ms)
        for one in device.connectors
    )
    return replace(device, connectors=connectors, metered_to_ms=at.monotonic_ms)


def is_due(connector: Connector[Any], at: Instant) -> bool:
    return connector.session is not None and connector.session.next_reading_ms <= at.monotonic_ms


def next_reading(behaviour: Behaviour, device: D, number: int, at: Instant) -> D:
    """An interval from now: readings missed while the process was held up are not made up for."""
    connector = device.connector(number)
    assert connector is not None, f"no connector {number}"
    assert connector.session is not None, f"no session on connector {number}"
    later = replace(connector.session, next_reading_ms=at.monotonic_ms + interval_ms(behaviour))
    return with_connector(device, replace(connector, session=later))


def interval_ms(behaviour: Behaviour) -> int:
    return max(1, round(behaviour.meter_interval_s * 1_000))
