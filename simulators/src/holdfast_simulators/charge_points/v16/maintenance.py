"""What 1.6 says of firmware and diagnostics (OCPP 1.6 4.4, 4.5, 5.9, 5.19; the security whitepaper for signed ones).

signed:  Downloaded -> SignatureVerified -> ... | InvalidSignature, and that was it
"""

from __future__ import annotations

from dataclasses import replace

from holdfast_simulators.charge_points.body.maintenance import FIRMWARE, LOG, Maintenance
from holdfast_simulators.charge_points.body.moments import timestamp
from holdfast_simulators.charge_points.body.reply import Upload
from holdfast_simulators.charge_points.v16.device import Device
from holdfast_simulators.charge_points.v16.events import StartAnswered
from holdfast_simulators.charge_points.v16.memory import Memory, Update

SIGNED_FIRMWARE = "SignedFirmwareStatusNotification"
DIAGNOSTICS = "DiagnosticsStatusNotification"
SECURITY_EVENT = "SecurityEventNotification"


class Upkeep(Maintenance[Device, StartAnswered, Update]):
    scheduled = "Idle"

    def _coming(self) -> Update | None:
        return self._body.device.memory.firmware.update

    def _with(self, update: Update | None, version: str | None = None) -> Memory:
        memory = self._body.device.memory
        runs = memory.firmware.version if version is None else version
        return replace(memory, firmware=replace(memory.firmware, version=runs, update=update))

    def _verified(self, update: Update) -> str | None:
        if update.phase != "Downloaded" or update.request is None:
            return None
        return "SignatureVerified" if update.is_genuine else "InvalidSignature"

    def _installed(self, update: Update) -> None:
        if update.request is not None:
            self._security_event("FirmwareUpdated")

    def _say_firmware(self, update: Update, status: str) -> None:
        if update.request is None:
            self._body.notice(FIRMWARE, {"status": status})
        else:
            named = {"status": status, "requestId": update.request}
            self._body.notice(SIGNED_FIRMWARE, named)
        if status == "InvalidSignature":
            self._security_event("InvalidFirmwareSignature")

    def _security_event(self, kind: str) -> None:
        """Security whitepaper A04: of what is critical the central system hears."""
        self._body.report("notice", action=SECURITY_EVENT, status=kind)
        at = timestamp(self._body.clock.now().device_ms)
        self._body.agenda.notices.append((SECURITY_EVENT, {"type": kind, "timestamp": at}))

    def _say_upload(self, upload: Upload, *, is_over: bool, is_usable: bool) -> None:
        failed = "UploadFailed" if upload.request_id is None else "UploadFailure"
        status = "Uploading" if not is_over else "Uploaded" if is_usable else failed
        if upload.request_id is not None:
            self._body.notice(LOG, {"status": status, "requestId": upload.request_id})
            return
        self._body.upload_status = {"status": status}
        self._body.notice(DIAGNOSTICS, self._body.upload_status)
