"""Reads one copy in order, verifies it, commits it to the archive.

    follow the copy ─┐
    heads of pulses ─┴► decide ► perform (fetch, look up, feed back) ► commit ► watermark moves

The archive's place is the reader's only memory: whatever goes wrong, it begins again from there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from holdfast import subjects
from holdfast.backoff import Backoff
from holdfast.bus import Message, ServerBus, StreamGone
from holdfast.contracts.journal import GapCause
from holdfast.offload import Offload
from holdfast.service import Context
from journal.adapters.keys import SitePublicKey, statement_in, stored_of
from journal.cloud_scope.archive import Archive, Kept, Key
from journal.cloud_scope.schema import Phase
from journal.cloud_scope.trouble import PASSING, apart
from journal.config import Config
from journal.domain import copy
from journal.domain.statement import Statement, Stored

log = logging.getLogger(__name__)

BATCH_ENTRIES_MAX = 500
BATCH_BYTES_MAX = 4 << 20
REREAD_MAX = 20_000
"""Entries looked at again at once. A statement about more is passed over: the next checkpoint is nearer."""


class CopyLost(Exception):
    """The copied stream is not there: it has to be made again."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What every reader of the cloud's journal shares."""

    context: Context[Config]
    archive: Archive
    offload: Offload
    on_progress: Callable[[Key], None]
    on_gap: Callable[[Key, GapCause], None]


class CopyReader:
    def __init__(self, parts: Parts, key: SitePublicKey, kept: Kept) -> None:
        self._parts = parts
        self._bus: ServerBus = parts.context.bus
        self._key = key
        self.key = kept.key
        self.stream = subjects.journal_stream(*kept.key)
        self.kept = kept
        """As committed: what others may rely on."""
        self.is_drained = asyncio.Event()
        """Of an ended incarnation: everything the copy holds is committed."""
        self.is_lost = asyncio.Event()
        """The copied stream is not there. Whoever makes it again clears this."""
        self.trouble: str | None = None
        """Why it does not get on, while it does not."""
        self._state = kept.state
        self._pending: list[copy.Effect] = []
        self._pending_bytes = 0
        self._own: dict[int, bytes] = {}
        self._lock = asyncio.Lock()
        self._head: Statement | None = None
        self._head_came = asyncio.Event()
        self._fetch_to = 0
        self._again = asyncio.Event()

    # --- what others say to it ---

    def heard(self, head: Statement) -> None:
        """A pulse's head; only the newest counts."""
        self._head = head
        self._head_came.set()

    def fetch_up_to(self, seq: int) -> None:
        """The copy leaves out what comes next: read it from the origin."""
        self._fetch_to = seq
        self._head_came.set()

    def begin_again(self) -> None:
        """The copy was bound anew, or its phase changed: follow it afresh."""
        self._again.set()

    # --- its life ---

    async def run(self) -> None:
        """Until the copy is drained and closed. For ever while it is live."""
        backoff = Backoff(self._parts.context.clock, self._parts.context.rng)
        while not self.is_drained.is_set():
            try:
                await apart(self._read_on(backoff))
            except* _Again:
                pass
            except* CopyLost:
                await self._when_lost()
            except* PASSING as errors:
                self.trouble = str(_first(errors))
                log.warning("copy not read", extra={"copy": self.stream, "why": self.trouble})
                await backoff.wait()

    async def _read_on(self, backoff: Backoff) -> None:
        self._again.clear()
        kept = await self._parts.offload(self._parts.archive.kept, self.key)
        assert kept is not None
        self.kept, self._state = kept, kept.state
        self._pending, self._pending_bytes, self._own = [], 0, {}
        if kept.phase is Phase.ENDED:
            await self._drain()
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(backoff))
            group.create_task(self._meet_heads())
            group.create_task(self._wait_for_change())

    async def _follow(self, backoff: Backoff) -> None:
        try:
            async for message in self._bus.follow(self.stream, start=self._state.seq + 1):
                async with self._lock:
                    await self._arrived(message, more=message.pending > 0)
                backoff.reset()
                self.trouble = None
        except StreamGone as error:
            raise CopyLost(self.stream) from error

    async def _meet_heads(self) -> None:
        while True:
            await self._head_came.wait()
            self._head_came.clear()
            async with self._lock:
                if self._fetch_to > self._state.seq:
                    await self._refetch(self._state.next_seq, self._fetch_to)
                    await self._flush()
                self._fetch_to = 0
                if self._head:
                    await self._consult(self._head)

    async def _wait_for_change(self) -> None:
        await self._again.wait()
        raise _Again

    async def _when_lost(self) -> None:
        if self.kept.phase is Phase.ENDED:
            self.is_drained.set()  # whatever it held and we did not read is gone with it
            return
        self.trouble = f"{self.stream} is not there"
        self.is_lost.set()
        await self._again.wait()

    async def _drain(self) -> None:
        """The site has a newer life: read what there still is, then be done."""
        try:
            last_seq = (await self._bus.state(self.stream)).last_seq
            for seq in range(self._state.seq + 1, last_seq + 1):
                message = await self._bus.get(self.stream, seq)
                if message and not self._state.diverged:
                    await self._arrived(message, more=seq < last_seq)
            await self._flush()
        except StreamGone as error:
            raise CopyLost(self.stream) from error
        self.is_drained.set()

    # --- events in ---

    async def _arrived(self, message: Message, *, more: bool) -> None:
        await self._take(self._arrival(message))
        if not more or self._is_full():
            await self._flush()

    def _is_full(self) -> bool:
        return len(self._pending) >= BATCH_ENTRIES_MAX or self._pending_bytes >= BATCH_BYTES_MAX

    def _arrival(self, message: Message) -> copy.Arrived:
        return copy.Arrived(stored_of(message), statement_in(self._key, *self.key, message))

    async def _take(self, event: copy.Event) -> None:
        was = self._state
        self._state, effects = copy.decide(was, event)
        if self._state.diverged and not was.diverged:
            log.error("journal diverged", extra={"copy": self.stream, "watermark": was.watermark})
        for effect in effects:
            await self._perform(effect)
        if self._state.watermark != was.watermark or self._state.diverged != was.diverged:
            await self._flush()

    # --- effects out ---

    async def _perform(self, effect: copy.Effect) -> None:
        match effect:
            case copy.Keep(row=(stored, digest)):
                self._pending.append(effect)
                self._pending_bytes += len(stored.data)
                self._own[stored.seq] = digest
            case copy.Name() | copy.Replace() | copy.Unchain() | copy.Exclude():
                self._pending.append(effect)
            case copy.Consult(statement=statement):
                await self._consult(statement)
            case copy.Refetch(from_seq=first, to_seq=last, behind=behind):
                await self._refetch(first, last)
                await self._take(behind)
            case copy.FetchAgain(from_seq=first, statement=statement):
                await self._fetch_again(first, statement)
            case copy.ReadHeld(statement=statement):
                await self._read_held(statement)

    async def _flush(self) -> None:
        """One transaction; afterwards, and only then, others may see it."""
        state, pending = copy.lasting(self._state), self._pending
        if pending or state != self.kept.state:
            await self._parts.offload(self._parts.archive.commit, self.key, state, pending)
            self.kept = replace(self.kept, state=state)
            for effect in pending:
                if isinstance(effect, copy.Name):
                    self._note_gap(effect)
            self._parts.on_progress(self.key)
        self._pending, self._pending_bytes, self._own = [], 0, {}

    def _note_gap(self, gap: copy.Name) -> None:
        log.error(
            "gap",
            extra={
                "copy": self.stream,
                "from": gap.from_seq,
                "to": gap.to_seq,
                "cause": gap.cause.value,
            },
        )
        self._parts.on_gap(self.key, gap.cause)

    async def _consult(self, statement: Statement) -> None:
        await self._take(copy.Stated(statement, await self._own_hash(statement.seq)))

    async def _own_hash(self, seq: int) -> bytes | None:
        state = self._state
        if seq > state.seq:
            return None
        if seq == state.watermark:
            return state.watermark_hash
        if seq == state.seq:
            return state.hash
        if seq in self._own:
            return self._own[seq]
        return await self._parts.offload(self._parts.archive.hash_at, self.key, seq)

    async def _refetch(self, first: int, last: int) -> None:
        """Fill the hole from the origin, one by one."""
        log.warning("hole in copy", extra={"copy": self.stream, "from": first, "to": last})
        trimmed = await self._trimmed_at_origin()
        if first <= trimmed:
            await self._take(copy.Gone(min(last, trimmed)))
        domain = subjects.domain(self.key.site)
        for seq in range(max(first, trimmed + 1), last + 1):
            try:
                message = await self._bus.fetch(self.stream, seq, domain=domain)
            except StreamGone:
                await self._take(copy.Gone(last))  # the whole stream has left the site
                break
            event = self._arrival(message) if message else copy.Gone(seq)
            await self._take(event)
            if self._is_full():
                await self._flush()  # the link may go again: what was fetched stays

    async def _trimmed_at_origin(self) -> int:
        """What the site's newest anchor in the copy says has left its disk."""
        topic = subjects.journal(self.key.site, "journal", "trimmed")
        message = await self._bus.last(self.stream, topic)
        statement = statement_in(self._key, *self.key, message) if message else None
        return statement.seq if statement else 0

    async def _fetch_again(self, first: int, statement: Statement) -> None:
        log.error(
            "chain does not meet statement",
            extra={"copy": self.stream, "from": first, "to": statement.seq},
        )
        await self._flush()
        if statement.seq - first >= REREAD_MAX:
            return
        held = await self._held(first - 2, statement.seq)
        entries: list[Stored] = []
        differs = False
        for seq in range(max(first - 1, 1), statement.seq + 1):
            stored = await self._from_origin(seq)
            if seq >= first:
                entries += [stored] if stored else []
            elif stored and seq in held:
                differs = (stored.data, stored.id) != (held[seq].data, held[seq].id)
        later = await self._later(statement.seq)
        times = [one.at_ms for one in held.values()] or [self._state.last_ms]
        for one in entries:
            if one.seq in held and one != held[one.seq]:
                log.error("entry differs", extra={"copy": self.stream, "seq": one.seq})
        await self._take(
            copy.FetchedAgain(
                statement=statement,
                entries=entries,
                later=later,
                verified_differs=differs,
                from_ms=times[0],
                to_ms=times[-1],
            )
        )

    async def _from_origin(self, seq: int) -> Stored | None:
        try:
            message = await self._bus.fetch(self.stream, seq, domain=subjects.domain(self.key.site))
        except StreamGone:
            return None
        return stored_of(message) if message else None

    async def _held(self, after: int, to: int) -> dict[int, Stored]:
        entries = await self._parts.offload(
            lambda: self._parts.archive.entries(self.key, after=after, to=to, limit=REREAD_MAX)
        )
        return {one.seq: one for one in entries}

    async def _later(self, seq: int) -> list[Stored]:
        return list((await self._held(seq, self._state.seq)).values())

    async def _read_held(self, statement: Statement) -> None:
        await self._flush()
        if self._state.seq - statement.seq < REREAD_MAX:
            await self._take(copy.HeldAfter(statement, await self._later(statement.seq)))


class _Again(Exception):
    """Follow the copy afresh."""


def _first(group: BaseExceptionGroup[Exception]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
