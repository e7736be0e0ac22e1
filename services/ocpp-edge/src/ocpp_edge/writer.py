"""The way of one charge point's facts into the journal: one at a time, in order, each to its certain end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine

from holdfast.bus import Appending, AppendRefused, StreamFull
from holdfast.bus import Stored as Acknowledged
from holdfast.contracts.envelope import ContractError, Fact
from holdfast.recorder import Recorded
from ocpp_edge.domain.events import NotStored, Record, Stored
from ocpp_edge.services import Services

log = logging.getLogger(__name__)

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
        """Bounded by the core: it has at most so many facts on their way that it stops reading. The first is being
        written."""

    def put(self, effect: Record) -> None:
        self._records.append(effect)
        if len(self._records) == 1:
            self._begin()

    # --- the ordinary way: no task, for the acknowledgement is all there is to wait for ---

    def _begin(self) -> None:
        """Write the first."""
        services, effect = self._services, self._records[0]
        append, at_ms = services.position.begin(), services.clock.now_ms()
        try:
            storing = self._append(effect, at_ms)
        except ContractError:
            self._starts(self._carry(effect, append, None, at_ms))
            return
        if not isinstance(storing, asyncio.Future):  # it has to wait for room, or a connection
            storing.close()
            self._starts(self._carry(effect, append, None, at_ms))
            return
        begun_s = storing.get_loop().time()

        def landed(storing: asyncio.Future[Acknowledged]) -> None:
            if storing.cancelled():  # the service stops: what is not stored is not acknowledged
                return
            if storing.exception() or storing.result().duplicate:
                self._starts(self._carry(effect, append, storing, at_ms))
                return
            stands = Recorded(storing.result().seq, at_ms, effect.fact)
            try:
                self._taken(effect, stands, storing.get_loop().time() - begun_s)
                self._ended(append, stands.seq)
            except Exception as fault:
                log.exception("a fault of ours: it ends the process")
                self._starts(_raising(fault))

        storing.add_done_callback(landed)

    def _append(self, effect: Record, at_ms: int) -> Appending:
        recorder = self._services.recorder
        return recorder.begin(effect.fact, id=effect.id, cause=effect.cause, at_ms=at_ms)

    def _ended(self, append: int, seq: int | None) -> None:
        self._services.position.end(append, seq)
        self._records.pop(0)
        if self._records:
            self._begin()

    def _taken(self, effect: Record, stands: Recorded, took_s: float) -> None:
        services = self._services
        services.metrics.append_seconds.observe(took_s)
        services.health.ok("journal takes facts")
        # A repeat gives back what stands in the journal: that counts, not what we were about to write.
        self._note(stands.fact)
        self._handle(
            Stored(
                at_ms=services.clock.now_ms(),
                mono_ms=services.clock.monotonic_ms(),
                id=effect.id,
                seq=stands.seq,
                entry_at_ms=stands.at_ms,
                fact=stands.fact,
            )
        )

    # --- where it was stored before, or is refused, or in doubt ---

    def _starts(self, work: Coroutine[None, None, None]) -> None:
        try:
            self._services.group.create_task(work)
        except RuntimeError:  # the service stops
            work.close()

    async def _carry(
        self,
        effect: Record,
        append: int,
        storing: asyncio.Future[Acknowledged] | None,
        at_ms: int,
    ) -> None:
        """To its certain end. In doubt: again, with the same id."""
        services, pause_ms, loop = self._services, PAUSE_MS, asyncio.get_running_loop()
        while True:
            begun_s = loop.time()
            try:
                storing_now = storing or self._append(effect, at_ms)
                stands = await services.recorder.recorded(storing_now, effect.fact, at_ms)
            except (StreamFull, ContractError) as error:
                self._not_stored(effect, str(error), final=True)
                self._ended(append, None)
                return
            except AppendRefused as error:
                self._not_stored(effect, str(error), final=False)
                await services.clock.sleep_ms(pause_ms + services.rng.randrange(pause_ms))
                pause_ms = min(2 * pause_ms, PAUSE_MS_MAX)
                storing, at_ms = None, services.clock.now_ms()
                continue
            self._taken(effect, stands, loop.time() - begun_s)
            self._ended(append, stands.seq)
            return

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


async def _raising(fault: Exception) -> None:
    raise fault
