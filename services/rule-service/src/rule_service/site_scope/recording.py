"""The journal as this service uses it: facts that must be written before anything goes on, and the last of a kind."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Generic, TypeVar

from holdfast import subjects
from holdfast.backoff import Backoff
from holdfast.bus import AppendRefused, Bus
from holdfast.contracts.envelope import ContractError, Entry, Fact
from holdfast.entries import read
from holdfast.health import Health
from holdfast.recorder import Incarnation, Recorder

log = logging.getLogger(__name__)

CONDITION = "journal"

Kind = TypeVar("Kind", bound=Fact)


async def until_recorded(
    recorder: Recorder, fact: Fact, id: str, *, backoff: Backoff, health: Health
) -> Entry:
    """Raise IncarnationChanged."""
    while True:
        try:
            entry = await recorder.record(fact, id=id)
        except AppendRefused as error:
            health.wrong(CONDITION, f"{fact.TYPE} is not stored: {error}")
            log.warning("not stored, tried again", extra={"type": fact.TYPE, "why": str(error)})
            await backoff.wait()
        else:
            health.ok(CONDITION)
            backoff.reset()
            return entry


@dataclass(frozen=True, slots=True)
class LastRead(Generic[Kind]):
    entry: Entry
    fact: Kind


async def last_read(bus: Bus, incarnation: Incarnation, kind: type[Kind]) -> LastRead[Kind] | None:
    """None when the journal has none, or none that can be read. Raise RequestFailed."""
    topic = subjects.journal(incarnation.site, *kind.TYPE.split("."))
    message = await bus.last(incarnation.journal, topic)
    if message is None:
        return None
    try:
        found = read(message)
    except ContractError as error:
        # The journal service quarantines it.
        log.warning("unreadable entry", extra={"seq": message.seq, "why": str(error)})
        return None
    return LastRead(found.entry, found.fact) if isinstance(found.fact, kind) else None


async def last_fact(bus: Bus, incarnation: Incarnation, kind: type[Kind]) -> Kind | None:
    found = await last_read(bus, incarnation, kind)
    return found.fact if found else None
