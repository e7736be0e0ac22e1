"""ReserveNow, CancelReservation (OCPP 1.6 5.13, 5.4): until its time, its use, or its cancellation."""

from __future__ import annotations

from typing import Any

from holdfast_simulators.charge_points.body.moments import moment_ms
from holdfast_simulators.charge_points.body.records import Reservation
from holdfast_simulators.charge_points.v16.device import Connector
from holdfast_simulators.charge_points.v16.events import Reserved
from holdfast_simulators.charge_points.v16.reply import Reply, Situation, status


def reserve_now(situation: Situation, payload: dict[str, Any]) -> Reply:
    number, parent = int(payload["connectorId"]), payload.get("parentIdTag")
    reservation = Reservation(
        id=int(payload["reservationId"]),
        id_tag=str(payload["idTag"]),
        parent_id_tag=None if parent is None else str(parent),
        until_ms=moment_ms(payload["expiryDate"]),
    )
    connector = situation.device.connector(number)
    # ReserveConnectorZeroSupported is false.
    if connector is None or reservation.until_ms <= situation.at.device_ms:
        return status("Rejected")
    obstacle = _obstacle(connector, reservation.id)
    if obstacle:
        return status(obstacle)
    return status("Accepted", Reserved(at=situation.at, connector=number, reservation=reservation))


def _obstacle(connector: Connector, reservation_id: int) -> str:
    if connector.session is not None or connector.is_plugged or connector.awaiting is not None:
        return "Occupied"
    if not connector.is_operative:
        return "Unavailable"
    if connector.reservation is not None and connector.reservation.id != reservation_id:
        return "Occupied"
    return ""


def cancel_reservation(situation: Situation, payload: dict[str, Any]) -> Reply:
    wanted = int(payload["reservationId"])
    for connector in situation.device.connectors:
        if connector.reservation is not None and connector.reservation.id == wanted:
            gone = Reserved(at=situation.at, connector=connector.number, reservation=None)
            return status("Accepted", gone)
    return status("Rejected")
