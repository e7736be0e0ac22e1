"""The payloads a charge point sends, as OCPP 1.6 writes them."""

from __future__ import annotations

from typing import Any

from holdfast_simulators.charge_points.body.moments import timestamp


def boot(vendor: str, model: str, serial: str, firmware: str) -> dict[str, Any]:
    payload = {
        "chargePointVendor": vendor,
        "chargePointModel": model,
        "firmwareVersion": firmware,
    }
    return payload | ({"chargePointSerialNumber": serial} if serial else {})


def status(connector: int, status: str, at_ms: int) -> dict[str, Any]:
    return {
        "connectorId": connector,
        "errorCode": "NoError",
        "status": status,
        "timestamp": timestamp(at_ms),
    }


def start(
    connector: int, driver_token: str, meter_start_wh: int, at_ms: int, reservation: int | None
) -> dict[str, Any]:
    payload = {
        "connectorId": connector,
        "idTag": driver_token,
        "meterStart": meter_start_wh,
        "timestamp": timestamp(at_ms),
    }
    return payload if reservation is None else {**payload, "reservationId": reservation}


def meter(
    connector: int, register_wh: int, power_w: int, at_ms: int, context: str
) -> dict[str, Any]:
    return {
        "connectorId": connector,
        "meterValue": [
            {
                "timestamp": timestamp(at_ms),
                "sampledValue": [
                    {
                        "value": str(register_wh),
                        "context": context,
                        "measurand": "Energy.Active.Import.Register",
                        "unit": "Wh",
                    },
                    {
                        "value": str(power_w),
                        "context": context,
                        "measurand": "Power.Active.Import",
                        "unit": "W",
                    },
                ],
            }
        ],
    }


def stop(driver_token: str, meter_stop_wh: int, at_ms: int, reason: str) -> dict[str, Any]:
    return {
        "idTag": driver_token,
        "meterStop": meter_stop_wh,
        "timestamp": timestamp(at_ms),
        "reason": reason,
    }
