"""ReserveNow (OCPP 1.6 5.13): until its time, its use, or its cancellation."""

from __future__ import annotations

from typing import Any

from holdfast_simulators.charge_points.body.moments import moment_ms
from holdfast_simulators.charge_points.body.records import Reservation
from holdfast_simulators.charge_points.body.reply import Reply
from holdfast_simulators.charge_points.body.reservations import reserved
from holdfast_simulators.charge_points.v16.device import Situation


def reserve_now(situation: Situation, payload: dict[str, Any]) -> Reply:
    """ReserveConnectorZeroSupported is false."""
    parent = payload.get("parentIdTag")
    reservation = Reservation(
        id=int(payload["reservationId"]),
        id_tag=str(payload["idTag"]),
        parent_id_tag=None if parent is None else str(parent),
        until_ms=moment_ms(payload["expiryDate"]),
    )
    return reserved(situation, int(payload["connectorId"]), reservation)
