"""Firmware that is on its way in, diagnostics that are on their way out (OCPP 1.6 4.4, 4.5, 5.9, 5.19).

    Idle -> Downloading -> Downloaded -> (no session runs) -> Installing -> boot -> Installed
    signed:                Downloaded -> SignatureVerified -> ... | InvalidSignature, and that was it

Where it stands outlives a reboot; an upload does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from holdfast_simulators.charge_points.body import locations
from holdfast_simulators.charge_points.body.moments import timestamp
from holdfast_simulators.charge_points.v16.body import Body
from holdfast_simulators.charge_points.v16.events import Remembered
from holdfast_simulators.charge_points.v16.memory import Firmware, Update

FIRMWARE = "FirmwareStatusNotification"
SIGNED_FIRMWARE = "SignedFirmwareStatusNotification"
DIAGNOSTICS = "DiagnosticsStatusNotification"
LOG = "LogStatusNotification"
SECURITY_EVENT = "SecurityEventNotification"
WAIT_S_MAX = 3_600.0


class Maintenance:
    def __init__(self, body: Body, restart: Callable[[], None]) -> None:
        self._body = body
        self._restart = restart
        self._phase: Update | None = None
        self._phase_ends_ms = 0
        """By the monotonic clock: when what is going on now is done."""
        self._upload_to: str | None = None
        self._upload_request: int | None = None
        self._upload_ends_ms = 0

    def booted(self) -> None:
        self._phase = self._upload_to = None
        self._body.diagnostics = "Idle"
        firmware = self._body.device.memory.firmware
        if firmware.update is not None and firmware.update.phase == "Installing":
            version = locations.version_of(firmware.update.location)
            self._keep(Firmware(version=version))
            self._say_firmware(firmware.update, "Installed")
            if firmware.update.request is not None:
                self._security_event("FirmwareUpdated")

    def upload(self, location: str, request: int | None = None) -> None:
        """A newer one takes the place of one that is under way. Of a GetLog with the number of its request."""
        self._upload_to, self._upload_request = location, request
        self._upload_ends_ms = self._now_ms() + self._takes_ms
        self._say_diagnostics("Uploading")
        self._body.upkeep.set()

    async def run(self) -> None:
        while True:
            self._body.upkeep.clear()
            waits_ms = [one for one in (self._go_on(), self._upload()) if one is not None]
            wait_s = min(min(waits_ms) / 1_000, WAIT_S_MAX) if waits_ms else None
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._body.upkeep.wait()

    # --- firmware

    def _go_on(self) -> int | None:
        """One step, or how long until the next; None: not before something else happens."""
        update = self._body.device.memory.firmware.update
        if update is None or not self._body.device.is_powered:
            return None
        if update is not self._phase:
            self._phase, self._phase_ends_ms = update, self._now_ms() + self._takes_ms
        left_ms = self._phase_ends_ms - self._now_ms()
        match update.phase:
            case "Idle":
                left_ms = update.at_ms - self._body.clock.now().device_ms
                following = "Downloading"
            case "Downloading":
                is_there = locations.can_be_used(update.location)
                following = "Downloaded" if is_there else "DownloadFailed"
            case "Downloaded" | "SignatureVerified":
                followed = self._after_download(update)
                if followed is None:
                    return None
                left_ms, following = 0, followed
            case "Installing":
                if left_ms <= 0:
                    self._restart()
                return max(left_ms, 1)
            case _:
                return None
        if left_ms > 0:
            return left_ms
        self._move(replace(update, phase=following))
        return 0

    def _after_download(self, update: Update) -> str | None:
        """None: not while a session runs."""
        if update.phase == "Downloaded" and update.request is not None:
            return "SignatureVerified" if update.is_genuine else "InvalidSignature"
        return None if self._body.device.in_session else "Installing"

    def _move(self, update: Update) -> None:
        firmware = self._body.device.memory.firmware
        is_over = update.phase in ("DownloadFailed", "InvalidSignature")
        self._keep(replace(firmware, update=None if is_over else update))
        self._say_firmware(update, update.phase)
        if update.phase == "InvalidSignature":
            self._security_event("InvalidFirmwareSignature")

    def _say_firmware(self, update: Update, status: str) -> None:
        action = FIRMWARE if update.request is None else SIGNED_FIRMWARE
        self._body.notice(action, status, update.request)

    def _security_event(self, kind: str) -> None:
        """Security whitepaper A04: of what is critical the central system hears."""
        self._body.report("notice", action=SECURITY_EVENT, status=kind)
        at = timestamp(self._body.clock.now().device_ms)
        self._body.agenda.notices.append((SECURITY_EVENT, {"type": kind, "timestamp": at}))

    def _keep(self, firmware: Firmware) -> None:
        memory = replace(self._body.device.memory, firmware=firmware)
        self._body.handle(Remembered(at=self._body.clock.now(), memory=memory))

    # --- diagnostics

    def _upload(self) -> int | None:
        if self._upload_to is None:
            return None
        left_ms = self._upload_ends_ms - self._now_ms()
        if left_ms > 0:
            return left_ms
        self._say_diagnostics(
            "Uploaded" if locations.can_be_used(self._upload_to) else "UploadFailed"
        )
        self._body.diagnostics = "Idle"
        self._upload_to = None
        return None

    def _say_diagnostics(self, status: str) -> None:
        if self._upload_request is not None:
            of_a_log = {"UploadFailed": "UploadFailure"}.get(status, status)
            self._body.notice(LOG, of_a_log, self._upload_request)
            return
        self._body.diagnostics = status
        self._body.notice(DIAGNOSTICS, status)

    @property
    def _takes_ms(self) -> int:
        return round(self._body.behaviour.upkeep_s * 1_000)

    def _now_ms(self) -> int:
        return self._body.clock.now().monotonic_ms
