"""The way of one charge point's facts into the journal: one at a time, in order, each to its certain end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from holdfast.bus import AppendRefused, StreamFull
from holdfast.contracts.envelope import Fact
from holdfast.recorder import Recorded
from ocpp_edge.domain.events import NotStored, Record, Stored
from ocpp_edge.services import Services

PAUSE_MS, PAUSE_MS_MAX = 200, 2_000
"""Between tries of an append whose outcome is not known."""


class Writer:
    def __init__(
        self,
        services: Services,
        handle: Callable[[Stored | NotStored], None],
        note: Callable[[Fact], None],
    ) -> None:
        self._services = services
        self._handle = handle
        self._note = note
        self._records: list[Record] = []
        """Bounded by the core: it has at most so many facts on their way that it stops reading."""
        self._is_writing = False

    def put(self, effect: Record) -> None:
        self._records.append(effect)
        if self._is_writing:
            return
        self._is_writing = (
            True  # a charge point with nothing to write has no task that waits for it
        )
        work = self._write()
        try:
            self._services.group.create_task(work)
        except RuntimeError:  # the service stops: what is not stored is not acknowledged
            work.close()

    async def _write(self) -> None:
        services = self._services
        while self._records:
            effect = self._records.pop(0)
            append = services.position.begin()
            stands = await self._carry(effect)
            if stands:
                self._stored(effect, stands)
            services.position.end(append, stands.seq if stands else None)
        self._is_writing = False

    def _stored(self, effect: Record, stands: Recorded) -> None:
        # A repeat gives back what stands in the journal: that counts, not what we were about to write.
        self._note(stands.fact)
        self._handle(
            Stored(
                at_ms=self._services.clock.now_ms(),
                mono_ms=self._services.clock.monotonic_ms(),
                id=effect.id,
                seq=stands.seq,
                entry_at_ms=stands.at_ms,
                fact=stands.fact,
            )
        )

    async def _carry(self, effect: Record) -> Recorded | None:
        """Stored: as it stands. None: certainly not. In doubt: again, with the same id."""
        services, pause_ms, loop = self._services, PAUSE_MS, asyncio.get_running_loop()
        while True:
            try:
                begun_s = loop.time()
                stands = await services.recorder.store(
                    effect.fact, id=effect.id, cause=effect.cause
                )
                services.metrics.append_seconds.observe(loop.time() - begun_s)
            except StreamFull as error:
                self._not_stored(effect, str(error), final=True)
                return None
            except AppendRefused as error:
                self._not_stored(effect, str(error), final=False)
                await services.clock.sleep_ms(pause_ms + services.rng.randrange(pause_ms))
                pause_ms = min(2 * pause_ms, PAUSE_MS_MAX)
                continue
            services.health.ok("journal takes facts")
            return stands

    def _not_stored(self, effect: Record, why: str, *, final: bool) -> None:
        self._services.health.wrong("journal takes facts", why)
        self._handle(
            NotStored(
                at_ms=self._services.clock.now_ms(),
                mono_ms=self._services.clock.monotonic_ms(),
                id=effect.id,
                fact=effect.fact,
                why=why,
                final=final,
            )
        )
