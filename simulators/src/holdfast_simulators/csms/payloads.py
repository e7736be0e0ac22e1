"""The fields without which a CALL cannot be taken. Not the whole schema: more is nobody's business here."""

from __future__ import annotations

from typing import Any

from holdfast_simulators.csms.frames import V16

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
    "SecurityEventNotification": {"type": str, "timestamp": str},
    "SignedFirmwareStatusNotification": {"status": str},
    "LogStatusNotification": {"status": str},
    "SignCertificate": {"csr": str},
}
REQUIRED_2: dict[str, dict[str, type]] = {
    "BootNotification": {"reason": str, "chargingStation": dict},
    "Authorize": {"idToken": dict},
    "TransactionEvent": {
        "eventType": str,
        "timestamp": str,
        "triggerReason": str,
        "seqNo": int,
        "transactionInfo": dict,
    },
    "MeterValues": {"evseId": int, "meterValue": list},
    "StatusNotification": {
        "timestamp": str,
        "connectorStatus": str,
        "evseId": int,
        "connectorId": int,
    },
    "DataTransfer": {"vendorId": str},
}
"""Of 2.x."""
INSIDE_2: dict[str, dict[str, dict[str, type]]] = {
    "Authorize": {"idToken": {"idToken": str, "type": str}},
    "TransactionEvent": {
        "transactionInfo": {"transactionId": str},
        "idToken": {"idToken": str, "type": str},
    },
}
OPTIONAL: dict[str, dict[str, type]] = {
    "MeterValues": {"transactionId": int},
    "StopTransaction": {"idTag": str, "reason": str},
}


def wrong_field(action: str, payload: dict[str, Any], version: str = V16) -> str | None:
    """A sentence about the first one that is missing or of the wrong type."""
    if version != V16:
        return _wrong_field_2(action, payload)
    if wrong := _missing(REQUIRED.get(action, {}), payload):
        return wrong
    for name, kind in OPTIONAL.get(action, {}).items():
        if name in payload and not _is(payload[name], kind):
            return f"{name} is not of the right type"
    return None


def _wrong_field_2(action: str, payload: dict[str, Any]) -> str | None:
    if wrong := _missing(REQUIRED_2.get(action, {}), payload):
        return wrong
    for outer, fields in INSIDE_2.get(action, {}).items():
        if outer in payload and not isinstance(payload[outer], dict):
            return f"{outer} is not of the right type"
        wrong = _missing(fields, payload[outer]) if outer in payload else None
        if wrong is not None:
            return f"{outer}.{wrong}"
    return None


def _missing(fields: dict[str, type], payload: dict[str, Any]) -> str | None:
    for name, kind in fields.items():
        if name not in payload:
            return f"{name} is missing"
        if not _is(payload[name], kind):
            return f"{name} is not of the right type"
    return None


def _is(value: Any, kind: type) -> bool:
    if kind is int:
        # A bool is an int to Python; and what SQLite cannot hold is no number of this protocol.
        return type(value) is int and -WHOLE_MAX <= value <= WHOLE_MAX
    return isinstance(value, kind)
