"""GetDiagnostics, UpdateFirmware, DataTransfer (OCPP 1.6 5.9, 5.19, 5.6).

Nothing is fetched or uploaded: where a real device would, this one waits and says that it did. An address that
no device could use fails, as it does there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from holdfast_simulators.charge_points.body.moments import moment_ms
from holdfast_simulators.charge_points.body.reply import Reply, Upload, status
from holdfast_simulators.charge_points.v16.device import Situation
from holdfast_simulators.charge_points.v16.memory import Update

FILE_NAME = "diagnostics.zip"


def get_diagnostics(situation: Situation, payload: dict[str, Any]) -> Reply:
    location = str(payload["location"])
    begin = payload.get("startTime")
    if begin is not None and moment_ms(begin) > situation.at.device_ms:
        # Nothing is recorded of the future: no name, nothing to come.
        return Reply(payload={}, executed=False)
    return Reply(payload={"fileName": FILE_NAME}, executed=True, upload=Upload(location=location))


def update_firmware(situation: Situation, payload: dict[str, Any]) -> Reply:
    memory = situation.device.memory
    update = Update(location=str(payload["location"]), at_ms=moment_ms(payload["retrieveDate"]))
    kept = situation.kept(firmware=replace(memory.firmware, update=update))
    return Reply(payload={}, executed=True, events=(kept,))


def data_transfer(_: Situation, payload: dict[str, Any]) -> Reply:
    """No vendor's messages are known here."""
    str(payload["vendorId"])
    return status("UnknownVendorId")
