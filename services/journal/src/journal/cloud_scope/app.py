"""The journal service in the cloud: copies found by pulses, verified, archived, republished, told of."""

from __future__ import annotations

import asyncio
import logging

from prometheus_client import Counter

from holdfast.backoff import Backoff
from holdfast.contracts.journal import GapCause
from holdfast.offload import Offload
from holdfast.service import Context
from holdfast.store import open_store, sqlite_url
from journal.adapters.keys import SitePublicKey
from journal.cloud_scope.archive import Archive, Key
from journal.cloud_scope.copies import Copies
from journal.cloud_scope.copy_reader import Parts
from journal.cloud_scope.csms import CsmsWatch
from journal.cloud_scope.healing import Healing
from journal.cloud_scope.metrics import Metrics
from journal.cloud_scope.pulses import Pulses
from journal.cloud_scope.queries import Queries
from journal.cloud_scope.trouble import PASSING
from journal.config import Config

log = logging.getLogger(__name__)


async def run_in_cloud(context: Context[Config]) -> None:
    """Until cancelled."""
    config = context.config
    keys = {site: SitePublicKey.of_hex(site, text) for site, text in config.site_keys.items()}
    archive = Archive(open_store(config.database_url or sqlite_url(config.data_dir, "archive")))
    offload = Offload(context.clock)
    gaps = Counter(
        "holdfast_journal_gaps",
        "Gaps named since start.",
        ["site", "cause"],
        registry=context.health.registry,
    )

    def on_progress(key: Key) -> None:
        copies.sites[key.site].republisher.wake()

    def on_gap(key: Key, cause: GapCause) -> None:
        gaps.labels(key.site, cause.value).inc()

    parts = Parts(context, archive, offload, on_progress, on_gap)
    async with asyncio.TaskGroup() as group:
        copies = Copies(parts, keys, group)
        csms = CsmsWatch(context.bus, context.clock, context.health.registry)
        group.create_task(csms.follow())
        await _when_archive_is_there(context, archive, offload)
        await copies.start()
        healing = Healing(parts, copies)
        pulses = Pulses(context, copies, csms)
        await Queries(parts, copies).serve()
        await csms.until_read()
        await pulses.serve()
        for work in (
            pulses.follow_desired_rules(),
            healing.run(),
            Metrics(context, copies).run(),
        ):
            group.create_task(work)


async def _when_archive_is_there(
    context: Context[Config], archive: Archive, offload: Offload
) -> None:
    backoff = Backoff(context.clock, context.rng)
    while True:
        try:
            await offload(archive.prepare)
            await offload(archive.copies)
        except PASSING as error:
            context.health.wrong("archive", str(error))
            log.warning("archive not reachable", extra={"why": str(error)})
            await backoff.wait()
        else:
            context.health.ok("archive")
            return
