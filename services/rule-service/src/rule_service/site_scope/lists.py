"""The local driver-token list: a newer version, or changes to the one that stands, take effect at once, durably,
then the journal says so.

    full list   newer than the installed one -> installed
    changes     to the installed one, and leading to the list they name -> installed
                else -> refused, the last good one stays, and the cloud is asked for a full list
"""

from __future__ import annotations

import asyncio
import logging

from sqlalchemy.exc import OperationalError

from holdfast import subjects
from holdfast.backoff import Backoff
from holdfast.bus import Bus, RequestFailed
from holdfast.clock import Clock
from holdfast.contracts.driver_tokens import (
    DriverTokenChanges,
    DriverTokenList,
    DriverTokensInstalled,
    DriverTokensRefused,
    FullListWanted,
)
from holdfast.contracts.rules import Published
from holdfast.health import Health
from holdfast.ids import derived
from holdfast.offload import Offload
from holdfast.recorder import Recorder
from holdfast.rpc import call
from rule_service.adapters.token_store import NONE_INSTALLED, Installed, TokenStore
from rule_service.domain.token_lists import ListRefused
from rule_service.site_scope.recording import last_fact, until_recorded

log = logging.getLogger(__name__)

CONDITION = "driver tokens"
ASK_MS = 2_000
ASK_AGAIN_MS = 30_000

Offered = DriverTokenList | DriverTokenChanges


class NotStorable(ListRefused):
    """By its content: the very same again would not help. A disk that is full is none of it."""


class Lists:
    def __init__(
        self,
        recorder: Recorder,
        store: TokenStore,
        backoff: Backoff,
        health: Health,
        offload: Offload,
    ) -> None:
        self._recorder = recorder
        self._store = store
        self._backoff = backoff
        self._health = health
        self._offload = offload
        self._installed = store.installed()
        self._unfit: DriverTokenChanges | None = None
        self._full_wanted = asyncio.Event()
        self.refused: str | None = None
        """Why the newest one offered was not taken."""

    @property
    def version(self) -> int:
        return self._installed.version

    @property
    def full_wanted(self) -> bool:
        return self._full_wanted.is_set()

    async def recall(self, bus: Bus) -> None:
        """The process may have died between its store and the journal. Raise RequestFailed."""
        if self._installed == NONE_INSTALLED:
            return
        said = await last_fact(bus, self._recorder.incarnation, DriverTokensInstalled)
        if said != _fact(self._installed):
            await self._say(self._installed)

    async def run(self, bus: Bus, clock: Clock) -> None:
        """For ever: ask for a full list while one is wanted. It comes by DOWNLINK, as every list does."""
        subject = subjects.up(self._recorder.incarnation.site, "driver-tokens")
        while True:
            await self._full_wanted.wait()
            wanted = FullListWanted(installed_version=self.version, why=self.refused or "")
            try:
                await call(bus, subject, wanted, Published, timeout_ms=ASK_MS)
            except RequestFailed as error:
                log.warning("no full list yet", extra={"why": str(error)})
            await clock.sleep_ms(ASK_AGAIN_MS)

    async def offer(self, offered: Offered) -> None:
        """Older, or the same again: as it should be, nothing happens."""
        if offered.version < self.version:
            return
        if offered.version == self.version and not self.full_wanted:
            if not self._store.is_installed(offered):
                reason = (
                    f"version {offered.version} is installed with other content: raise its version"
                )
                await self.refuse(offered.version, reason, full_wanted=False)
            return
        if isinstance(offered, DriverTokenChanges) and offered.base_version != self.version:
            # A full list may still be on its way behind it: `settle` says.
            self._unfit = offered
            return
        try:
            installed = await self._install(offered)
        except ListRefused as error:
            again = isinstance(offered, DriverTokenChanges) or not isinstance(error, NotStorable)
            await self.refuse(offered.version, str(error), full_wanted=again)
            return
        self._installed, self.refused = installed, None
        self._full_wanted.clear()
        await self._say(installed)
        await self._sweep()
        log.info(
            "driver tokens installed",
            extra={"version": installed.version, "count": installed.entries},
        )

    async def settle(self) -> None:
        """Everything that was sent has been offered."""
        unfit, self._unfit = self._unfit, None
        if unfit is None or unfit.version <= self.version:
            return
        if unfit.base_version == self.version:
            await self.offer(unfit)
            return
        reason = (
            f"version {unfit.version} is changes to version {unfit.base_version}, "
            f"and {self.version or 'none'} is installed"
        )
        await self.refuse(unfit.version, reason, full_wanted=True)

    async def refuse(self, version: int | None, reason: str, *, full_wanted: bool) -> None:
        """Say so, once; what stands goes on standing."""
        self.unreadable(reason)
        if full_wanted:
            self._full_wanted.set()
        fact = DriverTokensRefused(
            version=version,
            installed_version=self.version,
            reason=reason,
            full_wanted=full_wanted,
        )
        incarnation = self._recorder.incarnation.name
        id = derived("driver-tokens-refused", incarnation, version or 0, self.version, reason)
        await until_recorded(self._recorder, fact, id, backoff=self._backoff, health=self._health)

    def unreadable(self, reason: str) -> None:
        self.refused = reason
        self._health.wrong(CONDITION, f"{reason}: version {self.version} goes on standing")
        log.warning("driver tokens refused", extra={"why": reason})

    async def _install(self, offered: Offered) -> Installed:
        """Raise ListRefused. Decisions go on meanwhile, by the list that stands."""
        while True:
            try:
                installed = self._store.switch(await self._offload(self._store.prepare, offered))
            except OperationalError as error:
                self._health.wrong(
                    CONDITION, f"list {offered.version} can't be stored: {error.orig}"
                )
                await self._backoff.wait()
            except ListRefused:
                raise
            except (
                Exception
            ) as error:  # it lies in DOWNLINK: it would end every next life of this process too
                log.exception("list not storable", extra={"version": offered.version})
                await self._sweep()
                why = f"{type(error).__name__}: {str(error)[:200]}"
                raise NotStorable(f"list {offered.version} can't be stored here ({why})") from error
            else:
                self._health.ok(CONDITION)
                self._backoff.reset()
                return installed

    async def _sweep(self) -> None:
        try:
            await self._offload(self._store.sweep)
        except OperationalError as error:
            # The next list clears that place anyway.
            log.warning("the list before is still on the disk", extra={"why": str(error.orig)})

    async def _say(self, installed: Installed) -> None:
        incarnation = self._recorder.incarnation.name
        id = derived("driver-tokens", incarnation, installed.version, installed.hash)
        await until_recorded(
            self._recorder, _fact(installed), id, backoff=self._backoff, health=self._health
        )


def _fact(installed: Installed) -> DriverTokensInstalled:
    return DriverTokensInstalled(
        version=installed.version, count=installed.entries, hash=installed.hash
    )
