"""The payloads a station sends, as OCPP 2.0.1 and 2.1 write them."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from holdfast_simulators.charge_points.body.moments import timestamp

TRANSACTION_EVENT = "TransactionEvent"
SECURITY_EVENT = "SecurityEventNotification"
SETTLEMENT = "NotifySettlement"
VENDOR_KEY = base64.b64encode(b"a simulated meter has no key").decode()


RFID = re.compile(r"(?:[0-9A-Fa-f]{8}|[0-9A-Fa-f]{14})")


def id_token(driver_token: str) -> dict[str, Any]:
    kind = "ISO14443" if RFID.fullmatch(driver_token) else "Central"
    return {"idToken": driver_token, "type": kind}


def boot(vendor: str, model: str, serial: str, firmware: str, reason: str) -> dict[str, Any]:
    station = {"vendorName": vendor, "model": model, "firmwareVersion": firmware}
    if serial:
        station["serialNumber"] = serial
    return {"reason": reason, "chargingStation": station}


def status(evse: int, status: str, at_ms: int) -> dict[str, Any]:
    return {
        "timestamp": timestamp(at_ms),
        "connectorStatus": status,
        "evseId": evse,
        "connectorId": 1,
    }


def reading(
    register_wh: int, power_w: int, at_ms: int, context: str, *, is_signed: bool = False
) -> list[dict[str, Any]]:
    energy: dict[str, Any] = {
        "value": register_wh,
        "context": context,
        "measurand": "Energy.Active.Import.Register",
        "unitOfMeasure": {"unit": "Wh"},
    }
    if is_signed:
        energy["signedMeterValue"] = _signed(register_wh, at_ms, context)
    power = {
        "value": power_w,
        "context": context,
        "measurand": "Power.Active.Import",
        "unitOfMeasure": {"unit": "W"},
    }
    return [{"timestamp": timestamp(at_ms), "sampledValue": [energy, power]}]


def _signed(register_wh: int, at_ms: int, context: str) -> dict[str, str]:
    """The form of OCMF; the signature is none, as no key is simulated."""
    kind = {"Transaction.Begin": "B", "Transaction.End": "E"}.get(context, "C")
    record = {"TM": timestamp(at_ms), "TX": kind, "RV": register_wh, "RU": "Wh", "ST": "G"}
    data = f"OCMF|{json.dumps({'FV': '1.0', 'RD': [record]})}|{{}}"
    return {
        "signedMeterData": base64.b64encode(data.encode()).decode(),
        "signingMethod": "",
        "encodingMethod": "OCMF",
        "publicKey": VENDOR_KEY,
    }


def security_event(type: str, at_ms: int) -> dict[str, Any]:
    return {"type": type, "timestamp": timestamp(at_ms)}


def settlement(transaction_id: str, energy_wh: int, at_ms: int) -> dict[str, Any]:
    """Of an ad hoc payment: half a currency unit for each kWh."""
    return {
        "pspRef": f"sim-{transaction_id}",
        "transactionId": transaction_id,
        "status": "Settled",
        "settlementAmount": round(energy_wh / 2_000, 2),
        "settlementTime": timestamp(at_ms),
    }
