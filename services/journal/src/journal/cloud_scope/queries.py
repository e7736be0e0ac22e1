"""What the cloud's journal answers: the archive page by page, how each copy stands, and the named gaps."""

from __future__ import annotations

from sqlalchemy.exc import SQLAlchemyError

from holdfast import rpc, subjects
from holdfast.bus import RequestFailed
from holdfast.contracts.envelope import Contract, ContractError, Entry, Envelope
from holdfast.contracts.journal import (
    Copies,
    CopiesRequest,
    CopyStatus,
    Entries,
    EntriesRequest,
    Gaps,
)
from journal.cloud_scope.archive import Archive, Kept
from journal.cloud_scope.copies import Copies as AllCopies
from journal.cloud_scope.copies import Heard
from journal.cloud_scope.copy_reader import CopyReader, Parts
from journal.cloud_scope.schema import Phase
from journal.cursor import PAGE_BYTES_MAX, Cursor


class Queries:
    def __init__(self, parts: Parts, copies: AllCopies) -> None:
        self._parts = parts
        self._copies = copies

    async def serve(self) -> None:
        bus = self._parts.context.bus
        await rpc.serve(bus, subjects.cloud_rpc("entries"), EntriesRequest, self._entries)
        await rpc.serve(bus, subjects.cloud_rpc("copies"), CopiesRequest, self._statuses)
        await rpc.serve(bus, subjects.cloud_rpc("gaps"), CopiesRequest, self._gaps)

    async def _entries(self, request: EntriesRequest, _: str) -> Contract:
        self._check(request.site)
        cursor = Cursor.parse(request.after)
        try:
            return await self._parts.offload(page, self._parts.archive, request, cursor)
        except SQLAlchemyError as error:
            raise RequestFailed(f"the archive does not answer ({error}): ask again") from error

    async def _gaps(self, request: CopiesRequest, _: str) -> Contract:
        self._check(request.site)
        try:
            gaps = await self._parts.offload(self._parts.archive.gaps, request.site)
        except SQLAlchemyError as error:
            raise RequestFailed(f"the archive does not answer ({error}): ask again") from error
        return Gaps(gaps=tuple(gaps))

    async def _statuses(self, request: CopiesRequest, _: str) -> Contract:
        self._check(request.site)
        return Copies(
            copies=tuple(
                _status(reader, site.heard.get(incarnation, Heard()))
                for name, site in self._copies.sites.items()
                if request.site in (None, name)
                for incarnation, reader in site.lives.items()
            )
        )

    def _check(self, site: str | None) -> None:
        if site is not None and site not in self._copies.sites:
            raise ContractError(f"site {site[:40]!r} is not known here: see site_keys")


def _status(reader: CopyReader, heard: Heard) -> CopyStatus:
    kept = reader.kept
    return CopyStatus(
        site=kept.key.site,
        incarnation=kept.key.incarnation,
        committed_seq=kept.state.seq,
        watermark=kept.state.watermark,
        head_seq=heard.head_seq,
        chain_verified=kept.state.intact,
        retired=kept.phase in (Phase.CLOSED, Phase.RETIRED),
        pulse_at_ms=heard.pulse_at_ms,
    )


def page(archive: Archive, request: EntriesRequest, cursor: Cursor | None) -> Entries:
    """From the archive, incarnation after incarnation: what is verified, or as far as it will ever be."""
    lives = archive.copies(request.site)
    names = [kept.key.incarnation for kept in lives]
    if cursor and cursor.incarnation not in names:
        raise ContractError(f"incarnation {cursor.incarnation!r} is not in the archive")
    first = names.index(cursor.incarnation) if cursor else 0
    filling = _Page(request.limit)
    for index, kept in enumerate(lives[first:]):
        after = cursor.seq if cursor and index == 0 else 0
        if not filling.take(archive, kept, after):
            break
    return filling.done()


class _Page:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: list[Entry] = []
        self._subjects: list[str] = []
        self._bytes = 0
        self._end: Cursor | None = None

    def take(self, archive: Archive, kept: Kept, after: int) -> bool:
        """False when the page is full."""
        while True:
            room = self._limit - len(self._entries)
            rows = archive.entries(
                kept.key, after=after, to=kept.publishable_seq, limit=max(room, 1)
            )
            if not rows:
                return True
            for stored in rows:
                if len(self._entries) >= self._limit or self._bytes >= PAGE_BYTES_MAX:
                    self._end = Cursor(kept.key.incarnation, after)
                    return False
                after = stored.seq
                self._bytes += len(stored.data) + len(stored.subject)
                try:
                    envelope = Envelope.from_bytes(stored.data)
                except ContractError:
                    continue  # quarantined: its own fact says so
                self._entries.append(Entry(seq=stored.seq, envelope=envelope))
                self._subjects.append(stored.subject)

    def done(self) -> Entries:
        return Entries(
            entries=tuple(self._entries),
            subjects=tuple(self._subjects),
            next=str(self._end) if self._end else None,
        )
