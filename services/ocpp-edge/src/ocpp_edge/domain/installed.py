"""What accepted commands have left at a charge point: profiles, reservations, the local list. A part of the fold.

Only what went through this site's journal is known; a charge point may hold more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from holdfast.contracts.charge_point import ChargePointSaid
from holdfast.contracts.command import Command, CommandSettled, Disposition
from holdfast.contracts.decision import ProfileInstalled
from holdfast.contracts.transaction import TransactionId
from holdfast.empty import nothing
from holdfast.ocpp import payloads
from holdfast.ocpp.moments import moment_ms
from holdfast.ocpp.profiles import installed_with, is_cleared, profile_of
from holdfast.records import replace
from ocpp_edge.domain.consequences import answered
from ocpp_edge.domain.dedupe import Memory, no_memory

RESERVATIONS_MAX = 64
TX_PROFILE = "TxProfile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    connector: int
    driver_token: str
    ends_at_ms: int | None
    """None: its expiryDate is none that can be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    profiles: tuple[ProfileInstalled, ...] = ()
    reservations: Mapping[int, Reservation] = field(default_factory=nothing)
    reservations_over: Memory = field(default_factory=partial(no_memory, RESERVATIONS_MAX))
    list_version: int | None = None
    """None: not known."""
    list_missing: int | None = None
    """Version of a list, or of changes to one, that did not arrive, and no full one since: later changes have no
    ground."""

    def reservation_is_over(self, reservation: int, at_ms: int) -> bool:
        found = self.reservations.get(reservation)
        if found is None:
            return str(reservation) in self.reservations_over
        return found.ends_at_ms is not None and found.ends_at_ms <= at_ms

    def profiles_at(self, at_ms: int) -> tuple[ProfileInstalled, ...]:
        """Without those whose time has passed."""
        return tuple(
            one for one in self.profiles if one.ends_at_ms is None or one.ends_at_ms > at_ms
        )

    def reserved(self, connector: int, at_ms: int) -> list[tuple[int, Reservation]]:
        """On the connector, or on any (0)."""
        return [
            (id, one)
            for id, one in self.reservations.items()
            if connector in (one.connector, 0) or one.connector == 0
            if one.ends_at_ms is None or one.ends_at_ms > at_ms
        ]


NOTHING_INSTALLED = Installed()


def after_command(installed: Installed, fact: CommandSettled) -> Installed:
    command, answer = fact.command, _answer(fact)
    is_taken = answer.get("status") == "Accepted"
    match command.action:
        case "SendLocalList":
            return _listed(installed, command, is_taken)
        case "GetLocalListVersion" if payloads.list_version_of(answer) is not None:
            return _has_list(installed, payloads.list_version_of(answer) or 0)
        case "SetChargingProfile" if is_taken:
            profile = profile_of(command.payload)
            profiles = installed_with(installed.profiles, profile) if profile else ()
            return replace(installed, profiles=profiles or installed.profiles)
        case "ClearChargingProfile" if is_taken:
            left = [one for one in installed.profiles if not is_cleared(command.payload, one)]
            return replace(installed, profiles=tuple(left))
        case "ReserveNow" if is_taken:
            return _reserved(installed, command.payload)
        case "CancelReservation" if is_taken:
            return _over(installed, command.payload.get("reservationId"))
        case _:
            return installed


def after_start(installed: Installed, raw: str) -> Installed:
    """A session that names its reservation has used it up."""
    return _over(installed, answered(raw).get("reservationId"))


def after_said(installed: Installed, fact: ChargePointSaid) -> Installed:
    """2.x: a reservation expired, or was removed at the charge point."""
    if fact.action != "ReservationStatusUpdate":
        return installed
    return _over(installed, answered(fact.raw).get("reservationId"))


def after_stop(
    installed: Installed, connector: int | None, transaction_id: TransactionId
) -> Installed:
    """A TxProfile is for one transaction."""
    left = [
        one
        for one in installed.profiles
        if one.purpose != TX_PROFILE
        or (one.transaction_id != transaction_id and one.connector != connector)
    ]
    return replace(installed, profiles=tuple(left))


def _listed(installed: Installed, command: Command, is_taken: bool) -> Installed:
    version = payloads.list_version_of(command.payload)
    if version is None:
        return installed
    if is_taken:
        is_full = command.payload.get("updateType") == "Full"
        has_come = is_full or version == installed.list_missing  # late, but it has
        missing = None if has_come else installed.list_missing
        return replace(installed, list_version=version, list_missing=missing)
    if installed.list_version is not None and version <= installed.list_version:
        return installed  # nothing that anybody misses
    return replace(installed, list_missing=version)


def _has_list(installed: Installed, version: int) -> Installed:
    """As the charge point itself says; what was taken for missing may have arrived."""
    missing = installed.list_missing
    arrived = missing is not None and version >= missing
    return replace(installed, list_version=version, list_missing=None if arrived else missing)


def _reserved(installed: Installed, payload: Mapping[str, Any]) -> Installed:
    id = payloads.reservation_of("ReserveNow", payload)
    if id is None:
        return installed
    one = Reservation(
        connector=payloads.connector_of("ReserveNow", payload) or 0,
        driver_token=str(payloads.driver_token_of(payload)),
        ends_at_ms=moment_ms(payload.get("expiryDate", payload.get("expiryDateTime"))),
    )
    reservations = {**installed.reservations, id: one}
    if len(reservations) > RESERVATIONS_MAX:
        del reservations[next(iter(reservations))]
    over = installed.reservations_over.without({str(id)})
    return replace(installed, reservations=reservations, reservations_over=over)


def _over(installed: Installed, id: object) -> Installed:
    if not isinstance(id, int):
        return installed
    left = {one: value for one, value in installed.reservations.items() if one != id}
    over = installed.reservations_over.remembering(str(id), "over")
    return replace(installed, reservations=left, reservations_over=over)


def _answer(fact: CommandSettled) -> dict[str, Any]:
    return answered(fact.answer) if fact.disposition is Disposition.DELIVERED else {}
