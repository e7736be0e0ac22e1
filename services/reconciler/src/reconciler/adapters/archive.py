"""The cloud's archive read from its beginning: when CLOUD_JOURNAL no longer holds what must be folded again."""

from __future__ import annotations

import logging

from holdfast import subjects
from holdfast.bus import RequestFailed
from holdfast.contracts.envelope import ContractError, Entry
from holdfast.contracts.journal import Copies, CopiesRequest, CopyStatus, Entries, EntriesRequest
from holdfast.entries import Read
from holdfast.rpc import call
from holdfast.service import Context
from reconciler.adapters.store import Life, ReadTo, SessionStore
from reconciler.config import Config
from reconciler.folding import Placed, fold_and_commit

log = logging.getLogger(__name__)

TIMEOUT_MS = 10_000
RETRY_MS = 2_000
ARCHIVE = "archive"
"""Stands for the archive where a stream is named: its position is each life's own."""


async def refold_from_archive(context: Context[Config], store: SessionStore) -> None:
    """Every site's entries up to its watermark: beyond it nothing is verified, and CLOUD_JOURNAL goes on.

    Waits for the journal service: without it the sessions of before would be missing for good.
    """
    copies = await _ask_copies(context)
    log.info("folding the archive again", extra={"lives": len(copies)})
    marks = {Life(copy.site, copy.incarnation): copy.watermark for copy in copies}
    for site in sorted({copy.site for copy in copies}):
        await _refold_site(context, store, site, marks)


async def _refold_site(
    context: Context[Config], store: SessionStore, site: str, marks: dict[Life, int]
) -> None:
    after: str | None = ""
    while after is not None:
        page = await _ask_entries(context, site, after)
        batch = []
        for entry in page.entries:
            life = Life(site, entry.envelope.incarnation)
            if entry.seq <= marks.get(life, 0):
                batch.append(Placed(life=life, seq=entry.seq, read=_read(entry)))
        await fold_and_commit(
            store, ARCHIVE, ReadTo(), batch, clock=context.clock, health=context.health
        )
        after = page.next


def _read(entry: Entry) -> Read | None:
    try:
        return Read(entry, entry.envelope.fact())
    except ContractError:
        return None


async def _ask_copies(context: Context[Config]) -> tuple[CopyStatus, ...]:
    subject = subjects.cloud_rpc("copies")
    while True:
        try:
            reply = await call(context.bus, subject, CopiesRequest(), Copies, timeout_ms=TIMEOUT_MS)
        except RequestFailed as error:
            await _wait(context, error)
        else:
            context.health.ok(ARCHIVE)
            return reply.copies


async def _ask_entries(context: Context[Config], site: str, after: str) -> Entries:
    subject = subjects.cloud_rpc("entries")
    request = EntriesRequest(site=site, after=after, limit=500)
    while True:
        try:
            reply = await call(context.bus, subject, request, Entries, timeout_ms=TIMEOUT_MS)
        except RequestFailed as error:
            await _wait(context, error)
        else:
            context.health.ok(ARCHIVE)
            return reply


async def _wait(context: Context[Config], error: RequestFailed) -> None:
    context.health.wrong(ARCHIVE, f"the archive must be folded again and gives no answer: {error}")
    await context.clock.sleep_ms(RETRY_MS)
