"""The local driver-token list: a newer version replaces the whole list at once, durably, then the journal says so."""

from __future__ import annotations

import logging

from sqlalchemy.exc import OperationalError

from holdfast.backoff import Backoff
from holdfast.bus import Bus
from holdfast.contracts.rules import DriverTokenList, DriverTokensInstalled
from holdfast.health import Health
from holdfast.ids import derived
from holdfast.recorder import Recorder
from rule_service.adapters.token_store import NONE_INSTALLED, Installed, TokenStore
from rule_service.site_scope.recording import last_fact, until_recorded

log = logging.getLogger(__name__)

CONDITION = "driver tokens"


class Lists:
    def __init__(
        self, recorder: Recorder, store: TokenStore, backoff: Backoff, health: Health
    ) -> None:
        self._recorder = recorder
        self._store = store
        self._backoff = backoff
        self._health = health
        self._installed = store.installed()

    @property
    def version(self) -> int:
        return self._installed.version

    async def recall(self, bus: Bus) -> None:
        """The process may have died between its store and the journal. Raise RequestFailed."""
        if self._installed == NONE_INSTALLED:
            return
        said = await last_fact(bus, self._recorder.incarnation, DriverTokensInstalled)
        if said != _fact(self._installed):
            await self._say(self._installed)

    async def offer(self, tokens: DriverTokenList) -> None:
        """Older, or the same again: as it should be, nothing happens."""
        if tokens.version <= self.version:
            return
        installed = await self._install(tokens)
        self._installed = installed
        await self._say(installed)
        log.info(
            "driver tokens installed", extra={"version": tokens.version, "count": installed.entries}
        )

    def unreadable(self, reason: str) -> None:
        self._health.wrong(CONDITION, f"{reason}: version {self.version} goes on standing")
        log.warning("driver tokens refused", extra={"why": reason})

    async def _install(self, tokens: DriverTokenList) -> Installed:
        while True:
            try:
                installed = self._store.install(tokens)
            except OperationalError as error:
                self._health.wrong(
                    CONDITION, f"list {tokens.version} can't be stored: {error.orig}"
                )
                await self._backoff.wait()
            else:
                self._health.ok(CONDITION)
                return installed

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
