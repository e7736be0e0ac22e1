"""Firmware that is on its way in, logs that are on their way out (2.0.1 L01, N01).

    DownloadScheduled -> Downloading -> Downloaded -> (no transaction runs) -> Installing -> boot -> Installed

Where it stands outlives a reboot; an upload does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from holdfast_simulators.charge_points.body.locations import can_be_used, version_of
from holdfast_simulators.charge_points.v2x.body import Body
from holdfast_simulators.charge_points.v2x.events import Remembered, SecurityNoted
from holdfast_simulators.charge_points.v2x.memory import Memory, Update
from holdfast_simulators.charge_points.v2x.reply import Upload

FIRMWARE = "FirmwareStatusNotification"
LOG = "LogStatusNotification"
NOTICE_MS = 20
WAIT_S_MAX = 3_600.0


class Maintenance:
    def __init__(self, body: Body, restart: Callable[[], None]) -> None:
        self._body = body
        self._restart = restart
        self._phase: Update | None = None
        self._phase_ends_ms = 0
        """By the monotonic clock: when what is going on now is done."""
        self._upload: Upload | None = None
        self._upload_ends_ms = 0

    def booted(self) -> None:
        self._phase = self._upload = None
        self._body.log_status = {"status": "Idle"}
        memory = self._body.device.memory
        update = memory.update
        if update is not None and update.phase == "Installing":
            self._keep(replace(memory, firmware=version_of(update.location), update=None))
            self._say_firmware("Installed", update)
            self._body.handle(SecurityNoted(at=self._body.clock.now(), type="FirmwareUpdated"))

    def upload(self, upload: Upload) -> None:
        """A newer one takes the place of one that is under way."""
        self._upload = upload
        self._upload_ends_ms = self._now_ms() + self._takes_ms
        self._say_log("Uploading", upload)
        self._body.upkeep.set()

    async def run(self) -> None:
        while True:
            self._body.upkeep.clear()
            waits_ms = [one for one in (self._go_on(), self._go_on_uploading()) if one is not None]
            wait_s = min(min(waits_ms) / 1_000, WAIT_S_MAX) if waits_ms else None
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._body.upkeep.wait()

    def _go_on(self) -> int | None:
        """One step, or how long until the next; None: not before something else happens."""
        update = self._body.device.memory.update
        if update is None or not self._body.device.is_powered:
            return None
        if update is not self._phase:
            self._phase, self._phase_ends_ms = update, self._now_ms() + self._takes_ms
        left_ms = self._phase_ends_ms - self._now_ms()
        match update.phase:
            case "DownloadScheduled":
                left_ms = update.at_ms - self._body.clock.now().device_ms
                following = "Downloading"
            case "Downloading":
                following = "Downloaded" if can_be_used(update.location) else "DownloadFailed"
            case "Downloaded" if self._body.device.in_transaction:
                return None
            case "Downloaded":
                left_ms, following = 0, "Installing"
            case "Installing":
                return self._install(left_ms)
            case _:
                return None
        if left_ms > 0:
            return left_ms
        self._move(replace(update, phase=following))
        return 0

    def _install(self, left_ms: int) -> int:
        if left_ms > 0:
            return left_ms
        if self._body.is_online and self._body.agenda.notices:
            # It says so before it goes; whoever can't hear it is not waited for.
            return NOTICE_MS
        self._restart()
        return 1

    def _move(self, update: Update) -> None:
        memory = self._body.device.memory
        is_over = update.phase == "DownloadFailed"
        self._keep(replace(memory, update=None if is_over else update))
        self._say_firmware(update.phase, update)

    def _say_firmware(self, status: str, update: Update) -> None:
        self._body.notice(FIRMWARE, {"status": status, "requestId": update.request_id})

    def _keep(self, memory: Memory) -> None:
        self._body.handle(Remembered(at=self._body.clock.now(), memory=memory))

    def _go_on_uploading(self) -> int | None:
        if self._upload is None:
            return None
        left_ms = self._upload_ends_ms - self._now_ms()
        if left_ms > 0:
            return left_ms
        is_usable = can_be_used(self._upload.location)
        self._say_log("Uploaded" if is_usable else "UploadFailure", self._upload)
        self._body.log_status = {"status": "Idle"}
        self._upload = None
        return None

    def _say_log(self, status: str, upload: Upload) -> None:
        self._body.log_status = {"status": status, "requestId": upload.request_id}
        self._body.notice(LOG, self._body.log_status)

    @property
    def _takes_ms(self) -> int:
        return round(self._body.behaviour.upkeep_s * 1_000)

    def _now_ms(self) -> int:
        return self._body.clock.now().monotonic_ms
