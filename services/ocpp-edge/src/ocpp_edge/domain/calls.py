"""The CALLs of a charge point as records: what the core decides on. This file: the records, and OCPP 1.6.

The payload was valid by its schema before it came here. What the site does not interpret is one of `Kept`, `Latest`
and `Relay`, by the class that the table of actions gives it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from holdfast.contracts.rules import TokenType
from holdfast.contracts.session import Reading
from holdfast.ocpp.actions import Class
from holdfast.ocpp.versions import OcppVersion
from ocpp_edge.domain.readings import energy_readings
from ocpp_edge.domain.text import number_is_sound, plain

Payload = Mapping[str, Any]


class Boot(msgspec.Struct, frozen=True, kw_only=True):
    vendor: str
    model: str
    serial: str | None
    firmware: str | None
    reason: str | None = None


class Heartbeat(msgspec.Struct, frozen=True):
    pass


class Authorize(msgspec.Struct, frozen=True, kw_only=True):
    driver_token: str
    token_type: TokenType = TokenType.ID_TAG
    has_certificate: bool = False
    """A contract certificate, or what to ask about one: only the CSMS can check it (2.x)."""


class Start(msgspec.Struct, frozen=True, kw_only=True):
    connector: int
    driver_token: str
    meter_start_wh: int
    at: str


class Meter(msgspec.Struct, frozen=True, kw_only=True):
    connector: int
    transaction_id: int | None
    """None: of no transaction."""
    readings: tuple[Reading, ...]
    at: str | None = None
    """Of its newest value, as the charge point said it."""
    is_intermediate: bool = False
    """Periodic or clock-aligned values and nothing else, none of them signed."""


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    transaction_id: int
    meter_stop_wh: int
    at: str
    reason: str
    driver_token: str | None


class Status(msgspec.Struct, frozen=True, kw_only=True):
    connector: int
    status: str
    error_code: str
    plug: int | None = None


class Token(msgspec.Struct, frozen=True, kw_only=True):
    driver_token: str
    token_type: TokenType


class TransactionEvent(msgspec.Struct, frozen=True, kw_only=True):
    """2.x: a session begins, goes on or ends."""

    kind: Literal["Started", "Updated", "Ended"]
    transaction_id: str
    seq_no: int
    at: str
    trigger: str
    offline: bool
    evse: int | None
    plug: int | None
    charging_state: str | None
    reason: str | None
    token: Token | None
    readings: tuple[Reading, ...]
    begin_wh: int | None
    """Of a Started: the register where the transaction began, as far as it says."""
    end_wh: int | None
    """Of an Ended."""
    remote_start_id: int | None
    reservation_id: int | None
    is_intermediate: bool
    """An Updated with periodic or clock-aligned values and nothing else, none of them signed."""


class Data(msgspec.Struct, frozen=True, kw_only=True):
    vendor: str


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """Stored before it is acknowledged (classes T and G; of L what ends something)."""

    kind: Class
    key: str


class Latest(msgspec.Struct, frozen=True, kw_only=True):
    """Acknowledged; the newest counts (class L)."""

    connector: int | None
    """None: none of its kind is thinned by rule, for the last one tells how it ended."""
    key: str
    """What the newest takes the place of."""


class Relay(msgspec.Struct, frozen=True):
    """Only the CSMS can answer it (class R)."""


Request = (
    Boot
    | Heartbeat
    | Authorize
    | Start
    | Meter
    | Stop
    | Status
    | TransactionEvent
    | Data
    | Kept
    | Latest
    | Relay
)


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A CALL as it came: never answered on another connection than its own."""

    connection: str
    message_id: str
    action: str
    raw: str
    request: Request
    version: OcppVersion = OcppVersion.V16
    is_answered: bool = True
    """False: a SEND."""


class Unsound(ValueError):
    """Valid by its schema, and no store behind us could hold it, or tell it from another one."""


def request_of(action: str, payload: Payload) -> Request | None:
    """Of OCPP 1.6; None: the site does not interpret it. Raise Unsound."""
    make = _MAKERS.get(action)
    return make(payload) if make else None


def number(payload: Payload, field: str) -> int:
    number: int = payload[field]
    if not number_is_sound(number):
        raise Unsound(f"{field} is beyond ±(2^53 - 1)")
    return number


def optional(payload: Payload, field: str) -> str | None:
    text = payload.get(field)
    return None if text is None else plain(text)


def _boot(payload: Payload) -> Boot:
    return Boot(
        vendor=plain(payload["chargePointVendor"]),
        model=plain(payload["chargePointModel"]),
        serial=optional(payload, "chargePointSerialNumber")
        or optional(payload, "chargeBoxSerialNumber"),
        firmware=optional(payload, "firmwareVersion"),
    )


def _start(payload: Payload) -> Start:
    return Start(
        connector=number(payload, "connectorId"),
        driver_token=plain(payload["idTag"]),
        meter_start_wh=number(payload, "meterStart"),
        at=plain(payload["timestamp"]),
    )


def _meter(payload: Payload) -> Meter:
    return Meter(
        connector=number(payload, "connectorId"),
        transaction_id=number(payload, "transactionId") if "transactionId" in payload else None,
        readings=energy_readings(payload["meterValue"]),
        at=plain(payload["meterValue"][-1]["timestamp"]) if payload["meterValue"] else None,
        is_intermediate=_is_intermediate(payload),
    )


_PERIODIC = ("Sample.Periodic", "Sample.Clock")


def _is_intermediate(payload: Payload) -> bool:
    for value in payload["meterValue"]:
        for sample in value["sampledValue"]:
            if sample.get("context", "Sample.Periodic") not in _PERIODIC:
                return False
            if sample.get("format", "Raw") != "Raw":
                return False
    return True


def _stop(payload: Payload) -> Stop:
    return Stop(
        transaction_id=number(payload, "transactionId"),
        meter_stop_wh=number(payload, "meterStop"),
        at=plain(payload["timestamp"]),
        reason=payload.get("reason", "Local"),  # the default that OCPP 1.6 gives it
        driver_token=optional(payload, "idTag"),
    )


def _status(payload: Payload) -> Status:
    return Status(
        connector=number(payload, "connectorId"),
        status=payload["status"],
        error_code=payload["errorCode"],
    )


_MAKERS: dict[str, Callable[[Payload], Request]] = {
    "BootNotification": _boot,
    "Heartbeat": lambda _: Heartbeat(),
    "Authorize": lambda payload: Authorize(driver_token=plain(payload["idTag"])),
    "StartTransaction": _start,
    "MeterValues": _meter,
    "StopTransaction": _stop,
    "StatusNotification": _status,
    "DataTransfer": lambda payload: Data(vendor=plain(payload["vendorId"])),
}
