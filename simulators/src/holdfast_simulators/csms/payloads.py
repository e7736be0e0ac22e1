"""The fields without which a CALL cannot be taken. Not the whole schema: more is nobody's business here."""

from __future__ import annotations

from typing import Any

WHOLE_MAX = 2**53

REQUIRED: dict[str, dict[str, type]] = {
    "BootNotification": {"chargePointVendor": str, "chargePointModel": str},
    "Heartbeat": {},
    "Authorize": {"idTag": str},
    "StartTransaction": {"connectorId": int, "idTag": str, "meterStart": int, "timestamp": str},
    "MeterValues": {"connectorId": int, "meterValue": list},
    "StopTransaction": {"transactionId": int, "meterStop": int, "timestamp": str},
    "StatusNotification": {"connectorId": int, "errorCode": str, "status": str},
    "DataTransfer": {"vendorId": str},
    "DiagnosticsStatusNotification": {"status": str},
    "FirmwareStatusNotification": {"status": str},
}
OPTIONAL: dict[str, dict[str, type]] = {
    "MeterValues": {"transactionId": int},
    "StopTransaction": {"idTag": str, "reason": str},
}


def wrong_field(action: str, payload: dict[str, Any]) -> str | None:
    """A sentence about the first one that is missing or of the wrong type."""
    for name, kind in REQUIRED[action].items():
        if name not in payload:
            return f"{name} is missing"
        if not _is(payload[name], kind):
            return f"{name} is not of the right type"
    for name, kind in OPTIONAL.get(action, {}).items():
        if name in payload and not _is(payload[name], kind):
            return f"{name} is not of the right type"
    return None


def _is(value: Any, kind: type) -> bool:
    if kind is int:
        # A bool is an int to Python; and what SQLite cannot hold is no number of this protocol.
        return type(value) is int and -WHOLE_MAX <= value <= WHOLE_MAX
    return isinstance(value, kind)
