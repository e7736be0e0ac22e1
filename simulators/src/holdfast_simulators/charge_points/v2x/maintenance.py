"""What a station says of firmware and logs (2.0.1 L01, N01)."""

from __future__ import annotations

from dataclasses import replace

from holdfast_simulators.charge_points.body.maintenance import FIRMWARE, LOG, Maintenance
from holdfast_simulators.charge_points.body.reply import Upload
from holdfast_simulators.charge_points.v2x.device import Device
from holdfast_simulators.charge_points.v2x.events import OfStation, SecurityNoted
from holdfast_simulators.charge_points.v2x.memory import Memory, Update


class Upkeep(Maintenance[Device, OfStation, Update]):
    scheduled = "DownloadScheduled"

    def _coming(self) -> Update | None:
        return self._body.device.memory.update

    def _with(self, update: Update | None, version: str | None = None) -> Memory:
        memory = self._body.device.memory
        runs = memory.firmware if version is None else version
        return replace(memory, firmware=runs, update=update)

    @property
    def _is_heard(self) -> bool:
        """It says so before it goes; whoever can't hear it is not waited for."""
        return not (self._body.is_online and self._body.agenda.notices)

    def _installed(self, update: Update) -> None:
        self._body.handle(SecurityNoted(at=self._body.clock.now(), type="FirmwareUpdated"))

    def _say_firmware(self, update: Update, status: str) -> None:
        self._body.notice(FIRMWARE, {"status": status, "requestId": update.request_id})

    def _say_upload(self, upload: Upload, *, is_over: bool, is_usable: bool) -> None:
        status = "Uploading" if not is_over else "Uploaded" if is_usable else "UploadFailure"
        self._body.upload_status = {"status": status, "requestId": upload.request_id}
        self._body.notice(LOG, self._body.upload_status)
