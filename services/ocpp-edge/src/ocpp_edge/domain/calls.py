"""The CALLs of a charge point that are served, as records: what the core decides on.

The payload was valid by its schema before it came here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from holdfast.contracts.session import Reading
from ocpp_edge.domain.readings import energy_readings
from ocpp_edge.domain.text import number_is_sound, plain

Payload = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    vendor: str
    model: str
    serial: str | None
    firmware: str | None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorize:
    driver_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    connector: int
    driver_token: str
    meter_start_wh: int
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    connector: int
    transaction_id: int | None
    """None: of no transaction."""
    readings: tuple[Reading, ...]
    at: str | None = None
    """Of its newest value, as the charge point said it."""
    is_intermediate: bool = False
    """Periodic or clock-aligned values and nothing else, none of them signed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    transaction_id: int
    meter_stop_wh: int
    at: str
    reason: str
    driver_token: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    connector: int
    status: str
    error_code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    vendor: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Progress of diagnostics or firmware: acknowledged, kept as telemetry."""


Request = Boot | Heartbeat | Authorize | Start | Meter | Stop | Status | Data | Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A CALL as it came: never answered on another connection than its own."""

    connection: str
    message_id: str
    action: str
    raw: str
    request: Request


class NumberTooLarge(ValueError):
    """A number that no store behind us holds exactly."""


def request_of(action: str, payload: Payload) -> Request | None:
    """None: this action is not served. Raise NumberTooLarge."""
    make = _MAKERS.get(action)
    return make(payload) if make else None


ACTIONS: frozenset[str]


def _number(payload: Payload, field: str) -> int:
    number: int = payload[field]
    if not number_is_sound(number):
        raise NumberTooLarge(f"{field} is beyond ±(2^53 - 1)")
    return number


def _optional(payload: Payload, field: str) -> str | None:
    text = payload.get(field)
    return None if text is None else plain(text)


def _boot(payload: Payload) -> Boot:
    return Boot(
        vendor=plain(payload["chargePointVendor"]),
        model=plain(payload["chargePointModel"]),
        serial=_optional(payload, "chargePointSerialNumber")
        or _optional(payload, "chargeBoxSerialNumber"),
        firmware=_optional(payload, "firmwareVersion"),
    )


def _start(payload: Payload) -> Start:
    return Start(
        connector=_number(payload, "connectorId"),
        driver_token=plain(payload["idTag"]),
        meter_start_wh=_number(payload, "meterStart"),
        at=plain(payload["timestamp"]),
    )


def _meter(payload: Payload) -> Meter:
    return Meter(
        connector=_number(payload, "connectorId"),
        transaction_id=_number(payload, "transactionId") if "transactionId" in payload else None,
        readings=energy_readings(payload["meterValue"]),
        at=plain(payload["meterValue"][-1]["timestamp"]) if payload["meterValue"] else None,
        is_intermediate=_is_intermediate(payload),
    )


def _is_intermediate(payload: Payload) -> bool:
    return all(
        sample.get("context", "Sample.Periodic") in ("Sample.Periodic", "Sample.Clock")
        and sample.get("format", "Raw") == "Raw"
        for value in payload["meterValue"]
        for sample in value["sampledValue"]
    )


def _stop(payload: Payload) -> Stop:
    return Stop(
        transaction_id=_number(payload, "transactionId"),
        meter_stop_wh=_number(payload, "meterStop"),
        at=plain(payload["timestamp"]),
        reason=payload.get("reason", "Local"),  # the default that OCPP 1.6 gives it
        driver_token=_optional(payload, "idTag"),
    )


def _status(payload: Payload) -> Status:
    return Status(
        connector=_number(payload, "connectorId"),
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
    "DiagnosticsStatusNotification": lambda _: Notice(),
    "FirmwareStatusNotification": lambda _: Notice(),
}

ACTIONS = frozenset(_MAKERS)
