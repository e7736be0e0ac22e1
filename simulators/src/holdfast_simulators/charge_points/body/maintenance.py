"""Firmware that is on its way in, diagnostics and logs that are on their way out.

    scheduled -> Downloading -> Downloaded -> [by version] -> (no session runs) -> Installing -> boot -> Installed

Nothing is fetched or sent: it waits and says so. Where it stands outlives a reboot; an upload does not.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Generic, TypeVar

from holdfast_simulators.charge_points.body.body import IDLE, Body
from holdfast_simulators.charge_points.body.core import E
from holdfast_simulators.charge_points.body.device import D
from holdfast_simulators.charge_points.body.events import Remembered
from holdfast_simulators.charge_points.body.locations import can_be_used, version_of
from holdfast_simulators.charge_points.body.memory import Memory
from holdfast_simulators.charge_points.body.records import Update
from holdfast_simulators.charge_points.body.reply import Upload

FIRMWARE = "FirmwareStatusNotification"
LOG = "LogStatusNotification"
NOTICE_MS = 20
"""How often it looks whether it was heard before it goes."""
WAIT_S_MAX = 3_600.0

U = TypeVar("U", bound=Update)


class Maintenance(ABC, Generic[D, E, U]):
    scheduled: str
    """The phase before the download."""

    def __init__(self, body: Body[D, E], restart: Callable[[], None]) -> None:
        self._body = body
        self._restart = restart
        self._phase: Update | None = None
        self._phase_ends_ms = 0
        """By the monotonic clock: when what is going on now is done."""
        self._upload: Upload | None = None
        self._upload_ends_ms = 0

    # --- what each version does so

    @abstractmethod
    def _coming(self) -> U | None: ...

    @abstractmethod
    def _with(self, update: U | None, version: str | None = None) -> Memory:
        """The memory with this one on its way, or none; `version`: of what runs from now on."""

    @abstractmethod
    def _say_firmware(self, update: U, status: str) -> None: ...

    @abstractmethod
    def _say_upload(self, upload: Upload, *, is_over: bool, is_usable: bool) -> None: ...

    @abstractmethod
    def _installed(self, update: U) -> None:
        """What is said besides its status."""

    def _verified(self, update: U) -> str | None:
        """The phase between download and installation that is next; None: there is none."""
        return None

    @property
    def _is_heard(self) -> bool:
        """Whether it may go, what it had to say being said."""
        return True

    # --- in the course of time

    def booted(self) -> None:
        self._phase = self._upload = None
        self._body.upload_status = {"status": IDLE}
        update = self._coming()
        if update is not None and update.phase == "Installing":
            self._keep(self._with(None, version_of(update.location)))
            self._say_firmware(update, "Installed")
            self._installed(update)

    def upload(self, upload: Upload) -> None:
        """A newer one takes the place of one that is under way."""
        self._upload = upload
        self._upload_ends_ms = self._now_ms() + self._takes_ms
        self._say_upload(upload, is_over=False, is_usable=True)
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
        update = self._coming()
        if update is None or not self._body.device.is_powered:
            return None
        if update is not self._phase:
            self._phase, self._phase_ends_ms = update, self._now_ms() + self._takes_ms
        left_ms = self._phase_ends_ms - self._now_ms()
        match update.phase:
            case self.scheduled:
                left_ms = update.at_ms - self._body.clock.now().device_ms
                following = "Downloading"
            case "Downloading":
                following = "Downloaded" if can_be_used(update.location) else "DownloadFailed"
            case "Installing":
                return self._install(left_ms)
            case _:
                checked = self._verified(update)
                if checked is None and self._body.device.in_session:
                    return None
                left_ms, following = 0, checked or "Installing"
        if left_ms > 0:
            return left_ms
        self._move(replace(update, phase=following))
        return 0

    def _install(self, left_ms: int) -> int:
        if left_ms > 0:
            return left_ms
        if not self._is_heard:
            return NOTICE_MS
        self._restart()
        return 1

    def _move(self, update: U) -> None:
        is_over = update.phase in ("DownloadFailed", "InvalidSignature")
        self._keep(self._with(None if is_over else update))
        self._say_firmware(update, update.phase)

    def _keep(self, memory: Memory) -> None:
        self._body.handle(Remembered(at=self._body.clock.now(), memory=memory))

    def _go_on_uploading(self) -> int | None:
        if self._upload is None:
            return None
        left_ms = self._upload_ends_ms - self._now_ms()
        if left_ms > 0:
            return left_ms
        self._say_upload(self._upload, is_over=True, is_usable=can_be_used(self._upload.location))
        self._body.upload_status = {"status": IDLE}
        self._upload = None
        return None

    @property
    def _takes_ms(self) -> int:
        return round(self._body.behaviour.upkeep_s * 1_000)

    def _now_ms(self) -> int:
        return self._body.clock.now().monotonic_ms
