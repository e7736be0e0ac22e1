"""Lives of this disk: find the one that stands, or open a new one.

Every step looks first whether it is done, so a crash anywhere is taken up again at the next start:

    release the old life's subjects -> JOURNAL -> IncarnationOpened -> TELEMETRY -> consumers for the copies
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from holdfast import subjects
from holdfast.bus import ServerBus, StreamSpec
from holdfast.contracts.journal import IncarnationOpened
from holdfast.ids import Ids, derived
from holdfast.recorder import Incarnation, Recorder, current_incarnation
from holdfast.service import Context
from journal.config import Config
from journal.site_scope.store import SiteStore

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sizes:
    journal_bytes_max: int
    telemetry_bytes_max: int


def journal_spec(incarnation: Incarnation, bytes_max: int) -> StreamSpec:
    return StreamSpec(
        name=incarnation.journal,
        subjects=(subjects.journal_all(incarnation.site),),
        bytes_max=bytes_max,
        when_full="refuse",
        atomic=True,
    )


def telemetry_spec(incarnation: Incarnation, bytes_max: int) -> StreamSpec:
    return StreamSpec(
        name=incarnation.telemetry,
        subjects=(subjects.telemetry_all(incarnation.site),),
        bytes_max=bytes_max,
        when_full="drop-oldest",
    )


async def standing_incarnation(
    context: Context[Config], store: SiteStore, sizes: Sizes
) -> Incarnation:
    """The one this disk lives in; a new one on a new disk."""
    bus, site = context.bus, context.config.site
    found = await current_incarnation(bus, site)
    if found is None:
        found = await _make_journal(bus, context.ids, site, sizes)
    await _complete(context, store, found, sizes)
    return found


async def open_after_fork(
    context: Context[Config], store: SiteStore, forked: Incarnation, sizes: Sizes
) -> Incarnation:
    """The cloud holds another history for this life: end it here. Its stream stays on the disk, readable.

    An old disk that was put back has an old copy of DOWNLINK, too: it is made again.
    """
    bus, site = context.bus, context.config.site
    await bus.delete_stream(subjects.DOWNLINK)
    await bus.release_subjects(forked.journal, subjects.retired(site, forked.name, "journal"))
    opened = await standing_incarnation(context, store, sizes)
    log.warning("fork: new incarnation", extra={"ended": forked.name, "opened": opened.name})
    return opened


async def _make_journal(bus: ServerBus, ids: Ids, site: str, sizes: Sizes) -> Incarnation:
    incarnation = Incarnation(site, ids.incarnation())
    await bus.ensure_stream(journal_spec(incarnation, sizes.journal_bytes_max))
    return incarnation


async def _complete(
    context: Context[Config], store: SiteStore, incarnation: Incarnation, sizes: Sizes
) -> None:
    bus = context.bus
    previous, on_this_disk = await _life_before(bus, store, incarnation)
    state = await bus.state(incarnation.journal)
    opened = subjects.journal(incarnation.site, *IncarnationOpened.TYPE.split("."))
    # Once trimmed, the first fact has gone; it was there.
    if state.first_seq == 1 and await bus.last(incarnation.journal, opened) is None:
        recorder = Recorder(bus, context.clock, context.ids, incarnation, "journal")
        await recorder.record(
            IncarnationOpened(cause="fork" if on_this_disk else "new disk", previous=previous),
            id=derived("incarnation-opened", incarnation.site, incarnation.name),
        )
    store.remember_life(incarnation.name)
    await _make_telemetry(bus, incarnation, sizes)
    for stream, subject in (
        (incarnation.journal, subjects.journal_all(incarnation.site)),
        (incarnation.telemetry, subjects.telemetry_all(incarnation.site)),
    ):
        consumer = subjects.up_consumer(incarnation.site)
        # Making one anew would send everything again: only where there is none.
        if not await bus.has_consumer(stream, consumer):
            deliver = subjects.up_deliver(incarnation.site, stream)
            await bus.bind_consumer(stream, consumer, deliver, subject)


async def _life_before(
    bus: ServerBus, store: SiteStore, incarnation: Incarnation
) -> tuple[str | None, bool]:
    """The incarnation before this one, and whether its stream is still on this disk."""
    names = [subjects.parse_stream(one.name) for one in await bus.streams("JOURNAL_")]
    streams = {
        name.incarnation
        for name in names
        if name and name.site == incarnation.site and name.incarnation != incarnation.name
    }
    known = [life for life in store.lives() if life != incarnation.name]
    before = next((life for life in reversed(known) if not streams or life in streams), None)
    return before or min(streams, default=None), bool(streams)


async def _make_telemetry(bus: ServerBus, incarnation: Incarnation, sizes: Sizes) -> None:
    bound = await bus.stream_of(subjects.telemetry_all(incarnation.site))
    if bound == incarnation.telemetry:
        return
    if bound is not None:
        old = subjects.parse_stream(bound)
        label = old.incarnation if old else "unknown"
        await bus.release_subjects(bound, subjects.retired(incarnation.site, label, "telemetry"))
    await bus.ensure_stream(telemetry_spec(incarnation, sizes.telemetry_bytes_max))
