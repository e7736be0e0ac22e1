"""What the site's journal answers: how far it reaches, how full the disk is, and its entries page by page."""

from __future__ import annotations

from holdfast import rpc, subjects
from holdfast.bus import Bus, ServerBus, StreamGone
from holdfast.contracts.envelope import Contract, ContractError, Entry
from holdfast.contracts.journal import Entries, EntriesRequest, HeadRequest
from holdfast.contracts.rpc import Empty
from holdfast.entries import read
from journal.cursor import PAGE_BYTES_MAX, Cursor
from journal.site_scope.chaining import Chainer
from journal.site_scope.keeping import Keeper


async def serve(bus: ServerBus, chainer: Chainer, keeper: Keeper) -> None:
    site = chainer.incarnation.site

    async def head(_: HeadRequest, __: str) -> Contract:
        return chainer.head()

    async def storage(_: Empty, __: str) -> Contract:
        return keeper.status()

    async def entries(request: EntriesRequest, _: str) -> Contract:
        if request.site != site:
            raise ContractError(f"this is site {site!r}, not {request.site!r}: ask there")
        return await page(bus, chainer.incarnation.name, request)

    await rpc.serve(bus, subjects.rpc(site, "head"), HeadRequest, head)
    await rpc.serve(bus, subjects.rpc(site, "storage"), Empty, storage)
    await rpc.serve(bus, subjects.rpc(site, "entries"), EntriesRequest, entries)


async def page(bus: Bus, incarnation: str, request: EntriesRequest) -> Entries:
    """From the stored stream. A cursor may name an ended incarnation whose stream is still on this disk."""
    cursor = Cursor.parse(request.after) or Cursor(incarnation, 0)
    stream = subjects.journal_stream(request.site, cursor.incarnation)
    try:
        state = await bus.state(stream)
    except StreamGone as error:
        raise ContractError(
            f"incarnation {cursor.incarnation!r} is not on this disk: begin without a cursor"
        ) from error
    entries: list[Entry] = []
    names: list[str] = []
    size = 0
    seq = max(cursor.seq, state.first_seq - 1)
    while seq < state.last_seq and len(entries) < request.limit and size < PAGE_BYTES_MAX:
        seq += 1
        message = await bus.get(stream, seq)
        if message is None:
            continue
        try:
            entries.append(read(message).entry)
        except ContractError:
            continue  # quarantined: its own fact says so
        names.append(message.subject)
        size += len(message.data) + len(message.subject)
    after = str(Cursor(cursor.incarnation, seq)) if seq < state.last_seq else None
    return Entries(entries=tuple(entries), subjects=tuple(names), next=after)
