"""The record of one charge point at one backend: written whenever it changed, by the one instance that speaks for it.

A change is written a little later, with what came meanwhile; at once where a message waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from csms_bridge.adapters.records import bytes_of
from csms_bridge.domain import sending
from csms_bridge.domain.kept import Kept
from csms_bridge.domain.state import State
from csms_bridge.services import Services
from holdfast import subjects
from holdfast.backoff import Backoff
from holdfast.bus import AppendRefused, Conflict, RequestFailed

log = logging.getLogger(__name__)

SAVE_PAUSE_MS = 200
"""Between two records of one charge point, unless a message waits for it."""


class Fenced(Exception):
    """Another instance has written this record: it speaks for the site now."""


class Keeping:
    def __init__(
        self,
        services: Services,
        state: Callable[[], State],
        saved: Callable[[Kept], None],
        names: Callable[..., dict[str, object]],
    ) -> None:
        """`state`: as it is now; `saved` hears what is durable; `names` for the log."""
        self.revision = 0
        """Of the record in KV."""
        self._services = services
        self._state = state
        self._saved = saved
        self._names = names
        first = state()
        self._subject = subjects.upstream_charge_point(
            first.backend, first.site, first.charge_point
        )
        self._under_way = b""
        """What was last given to be written; whether it was may not be known."""
        self._dirty = asyncio.Event()
        self._hurry = asyncio.Event()

    def changed(self) -> None:
        """An event was handled."""
        state = self._state()
        if state.kept is not state.live.saved:
            self._dirty.set()
            if sending.waits_for_saving(state):
                self._hurry.set()

    async def run(self) -> None:
        """For ever. Raise Fenced."""
        while True:
            await self._dirty.wait()
            if not sending.waits_for_saving(self._state()):
                with suppress(TimeoutError):
                    async with asyncio.timeout(SAVE_PAUSE_MS / 1000):
                        await self._hurry.wait()
            self._dirty.clear()
            self._hurry.clear()
            await self._save()

    async def _save(self) -> None:
        kept = self._state().kept
        backoff = Backoff(self._services.clock, self._services.rng)
        while True:
            try:
                async with self._services.saving:
                    self._under_way = bytes_of(kept)
                    self.revision = await self._services.records.write(
                        self._subject, self._under_way, self.revision
                    )
            except Conflict as error:
                raise Fenced(f"{self._state().charge_point}: {error}") from error
            except (AppendRefused, RequestFailed) as error:
                # Nothing that rests on it is sent meanwhile.
                log.warning("record not written", extra=self._names(why=str(error)))
                await backoff.wait()
            else:
                break
        self._saved(kept)

    async def save_at_end(self) -> None:
        """Once, after the last event: whoever takes over does not send again what was answered."""
        state = self._state()
        if state.kept is not state.live.saved:
            self.revision = await self._services.records.write(
                self._subject, bytes_of(state.kept), self.revision
            )

    async def hand_over(self) -> None:
        """The last record, whatever became of the one that was under way. Raise Fenced, BusError."""
        try:
            newest = await self._services.records.newest(self._subject)
            if newest.revision != self.revision:
                if newest.data != self._under_way:
                    raise Fenced(f"{self._state().charge_point}: another has written its record")
                self.revision = newest.revision
            await self.save_at_end()
        except Conflict as error:
            raise Fenced(f"{self._state().charge_point}: {error}") from error
