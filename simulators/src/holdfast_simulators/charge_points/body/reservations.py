"""When a connector can be reserved, and whose reservation ends (OCPP 1.6 5.13, 5.4; 2.0.1 H01, H02)."""

from __future__ import annotations

from typing import Any

from holdfast_simulators.charge_points.body.device import Connector
from holdfast_simulators.charge_points.body.events import Reserved
from holdfast_simulators.charge_points.body.records import Reservation
from holdfast_simulators.charge_points.body.reply import Reply, Situation, status


def reserved(situation: Situation[Any], number: int | None, reservation: Reservation) -> Reply:
    """A named connector only, for a time to come."""
    connector = None if number is None else situation.device.connector(number)
    if connector is None or reservation.until_ms <= situation.at.device_ms:
        return status("Rejected")
    obstacle = _obstacle(connector, reservation.id)
    if obstacle:
        return status(obstacle)
    return status(
        "Accepted",
        Reserved(at=situation.at, connector=connector.number, reservation=reservation),
    )


def _obstacle(connector: Connector[Any], reservation_id: int) -> str:
    if connector.session is not None or connector.is_plugged or connector.awaiting is not None:
        return "Occupied"
    if not connector.is_operative:
        return "Unavailable"
    if connector.reservation is not None and connector.reservation.id != reservation_id:
        return "Occupied"
    return ""


def cancel_reservation(situation: Situation[Any], payload: dict[str, Any]) -> Reply:
    wanted = int(payload["reservationId"])
    for connector in situation.device.connectors:
        if connector.reservation is not None and connector.reservation.id == wanted:
            gone = Reserved(at=situation.at, connector=connector.number, reservation=None)
            return status("Accepted", gone)
    return status("Rejected")
