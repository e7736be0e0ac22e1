"""Whether the door is as it should be: on /health at once, and a fact when it changes, so that operators read of it
wherever they look. The newest fact has everything that is not well; a restart goes on from there.
"""

from __future__ import annotations

import logging

from holdfast import subjects
from holdfast.bus import AppendRefused, Bus
from holdfast.clock import Clock
from holdfast.contracts.envelope import ContractError
from holdfast.contracts.registry import DoorCondition, DoorConditionsChanged
from holdfast.entries import read
from holdfast.health import Health
from holdfast.recorder import Recorder

log = logging.getLogger(__name__)

LOOK_EVERY_MS, AGAIN_EVERY_MS = 1_000, 10_000
"""After a fact the next one waits: what changes to and fro fills no journal."""


class DoorConditions:
    def __init__(self, health: Health) -> None:
        self._health = health
        self._stand: dict[str, DoorCondition] = {}

    def ok(self, name: str) -> None:
        self._health.ok(name)
        self._stand.pop(name, None)

    def warn(self, name: str, why: str, told: str = "") -> None:
        """It holds, but not for long. `told`: what operators read, where `why` changes from day to day."""
        self._health.warn(name, why)
        self._stand[name] = DoorCondition(name=name, holds=True, why=told or why)

    def wrong(self, name: str, why: str, told: str = "") -> None:
        self._health.wrong(name, why)
        self._stand[name] = DoorCondition(name=name, holds=False, why=told or why)

    async def run(self, recorder: Recorder, bus: Bus, clock: Clock) -> None:
        """Tell, for ever. Raise IncarnationChanged."""
        told = await _last_told(recorder, bus)
        while True:
            stand = tuple(self._stand[name] for name in sorted(self._stand))
            if stand == told:
                await clock.sleep_ms(LOOK_EVERY_MS)
                continue
            try:
                await recorder.record(DoorConditionsChanged(conditions=stand))
                told = stand
            except AppendRefused as error:
                log.warning("the door's conditions not journaled yet", extra={"why": str(error)})
            await clock.sleep_ms(AGAIN_EVERY_MS)


async def _last_told(recorder: Recorder, bus: Bus) -> tuple[DoorCondition, ...]:
    """As far as the journal reaches: before it, and at a new disk's, all was well."""
    incarnation = recorder.incarnation
    subject = subjects.journal(incarnation.site, *DoorConditionsChanged.TYPE.split("."))
    message = await bus.last(incarnation.journal, subject)
    try:
        fact = read(message).fact if message else None
    except ContractError:
        return ()
    return fact.conditions if isinstance(fact, DoorConditionsChanged) else ()
