"""The CALLs of OCPP 2.0.1 and 2.1 that the site interprets, as records.

In all our records a connector is where one car charges: `evse.id` here. The connector on an EVSE is its plug.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from holdfast.contracts.rules import TokenType
from ocpp_edge.domain.calls import (
    Authorize,
    Boot,
    Data,
    Heartbeat,
    Meter,
    Payload,
    Request,
    Status,
    Token,
    TransactionEvent,
    Unsound,
    number,
    optional,
)
from ocpp_edge.domain.readings import energy_readings
from ocpp_edge.domain.text import plain

PERIODIC = frozenset({"MeterValuePeriodic", "MeterValueClock"})
"""Trigger reasons of events that only carry readings on."""
PERIODIC_CONTEXTS = frozenset({"Sample.Periodic", "Sample.Clock"})
ONLY_READINGS = frozenset(
    {
        "eventType",
        "meterValue",
        "timestamp",
        "triggerReason",
        "seqNo",
        "offline",
        "transactionInfo",
        "evse",
    }
)
"""What an event that may be left out carries at most. A cost, a tariff, a driver token are never left out."""
ONLY_STATE = frozenset({"transactionId", "chargingState", "timeSpentCharging"})


def request_of(action: str, payload: Payload) -> Request | None:
    """None: the site does not interpret it. Raise Unsound."""
    make = _MAKERS.get(action)
    return make(payload) if make else None


def token_type_of(name: str) -> TokenType:
    """A type is a free text in 2.1; the one for groups is ours alone."""
    try:
        found = TokenType(name)
    except ValueError:
        return TokenType.OTHER
    return TokenType.OTHER if found in (TokenType.GROUP, TokenType.ID_TAG) else found


def _token(id_token: Mapping[str, Any]) -> Token:
    return Token(
        driver_token=plain(id_token["idToken"]), token_type=token_type_of(id_token["type"])
    )


def _boot(payload: Payload) -> Boot:
    station = payload["chargingStation"]
    return Boot(
        vendor=plain(station["vendorName"]),
        model=plain(station["model"]),
        serial=optional(station, "serialNumber"),
        firmware=optional(station, "firmwareVersion"),
        reason=payload["reason"],
    )


def _authorize(payload: Payload) -> Authorize:
    token = _token(payload["idToken"])
    return Authorize(
        driver_token=token.driver_token,
        token_type=token.token_type,
        has_certificate="certificate" in payload or "iso15118CertificateHashData" in payload,
    )


def _status(payload: Payload) -> Status:
    return Status(
        connector=number(payload, "evseId"),
        plug=number(payload, "connectorId"),
        status=payload["connectorStatus"],
        error_code="NoError",
    )


def _meter(payload: Payload) -> Meter:
    """Of an EVSE, outside transactions: those of a transaction come in its events."""
    return Meter(connector=number(payload, "evseId"), transaction_id=None, readings=())


def _event(payload: Payload) -> TransactionEvent:
    info, evse = payload["transactionInfo"], payload.get("evse", {})
    transaction_id = info["transactionId"]
    if not transaction_id.strip() or transaction_id != plain(transaction_id):
        raise Unsound("transactionInfo.transactionId has to name a transaction")
    values = payload.get("meterValue", [])
    readings = energy_readings(values)
    token = payload.get("idToken")
    return TransactionEvent(
        kind=payload["eventType"],
        transaction_id=transaction_id,
        seq_no=number(payload, "seqNo"),
        at=plain(payload["timestamp"]),
        trigger=payload["triggerReason"],
        offline=payload.get("offline", False),
        evse=number(evse, "id") if evse else None,
        plug=number(evse, "connectorId") if "connectorId" in evse else None,
        charging_state=info.get("chargingState"),
        reason=info.get("stoppedReason"),
        token=_token(token) if token else None,
        readings=readings,
        begin_wh=_register(values, "Transaction.Begin", readings[:1])
        if payload["eventType"] == "Started"
        else None,
        end_wh=_register(values, "Transaction.End", readings[-1:])
        if payload["eventType"] == "Ended"
        else None,
        remote_start_id=number(info, "remoteStartId") if "remoteStartId" in info else None,
        reservation_id=number(payload, "reservationId") if "reservationId" in payload else None,
        is_intermediate=_is_intermediate(payload, values),
    )


def _register(values: list[Any], context: str, otherwise: tuple[Any, ...]) -> int | None:
    """The register where a transaction began or ended: as its context says, or the first or last one there is."""
    marked = [
        {
            **value,
            "sampledValue": [one for one in value["sampledValue"] if one.get("context") == context],
        }
        for value in values
    ]
    found = energy_readings(marked) or otherwise
    return found[-1].energy_wh if found else None


def _is_intermediate(payload: Payload, values: list[Any]) -> bool:
    if payload["eventType"] != "Updated" or payload["triggerReason"] not in PERIODIC:
        return False
    if not payload.keys() <= ONLY_READINGS or not payload["transactionInfo"].keys() <= ONLY_STATE:
        return False
    return bool(values) and all(
        sample.get("context", "Sample.Periodic") in PERIODIC_CONTEXTS
        and "signedMeterValue" not in sample
        for value in values
        for sample in value["sampledValue"]
    )


_MAKERS: dict[str, Callable[[Payload], Request]] = {
    "BootNotification": _boot,
    "Heartbeat": lambda _: Heartbeat(),
    "Authorize": _authorize,
    "TransactionEvent": _event,
    "StatusNotification": _status,
    "MeterValues": _meter,
    "DataTransfer": lambda payload: Data(vendor=plain(payload["vendorId"])),
}
