"""Reads the stored journal and chains it; says how far it reaches, signed.

    follow -> classify -> decide -> perform

The place in the chain is snapshotted now and then only to make a restart short: the stream itself is the truth.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from prometheus_client import Counter

from holdfast import subjects
from holdfast.bus import AppendRefused, Message, RequestFailed, StreamFull
from holdfast.clock import Clock
from holdfast.contracts.envelope import ContractError
from holdfast.contracts.journal import Checkpoint, JournalDamaged, MessageQuarantined, Trimmed
from holdfast.contracts.mode import Head
from holdfast.entries import quarantine, read
from holdfast.ids import derived
from holdfast.recorder import Incarnation, Recorder
from holdfast.service import Context
from journal.adapters.keys import SiteKey, statement_in, stored_of
from journal.config import Config
from journal.domain import budget, chain
from journal.domain.statement import Statement
from journal.site_scope.store import SiteStore

log = logging.getLogger(__name__)

TICK_MS = 1_000
SNAPSHOT_ENTRIES = 1_000
RECENT_MAX = 4_096
"""Hashes kept in memory; older ones are chained again from the nearest mark when someone asks."""


class NotYet(RequestFailed):
    """The stored journal is still being read after a start: no head below the last one may be told."""


class OldDisk(Exception):
    """The stream ends before where it had been chained to: an earlier state of the disk was put back."""


class Chainer:
    def __init__(
        self,
        context: Context[Config],
        store: SiteStore,
        key: SiteKey,
        recorder: Recorder,
        policy: Callable[[], chain.Policy],
    ) -> None:
        self._bus = context.bus
        self._clock: Clock = context.clock
        self._store = store
        self._key = key
        self._recorder = recorder
        self._policy = policy
        self._health = context.health
        self._unnamed = Counter(
            "holdfast_journal_unnamed",
            "Unreadable or damaged places that no fact names: too many were owed at once.",
            registry=context.health.registry,
        )
        self.incarnation: Incarnation = recorder.incarnation
        self.state = chain.begin(self.incarnation.site, self.incarnation.name)
        self.is_caught_up = False
        """Everything that was stored at start has been chained."""
        self.last_refused = False
        """The last append of this service was refused for want of room."""
        self._goal = 0
        self._behind = 0
        self._saved_seq = 0
        self._recent: OrderedDict[int, bytes] = OrderedDict()

    # --- what others ask ---

    def head(self) -> Head:
        """Raise NotYet."""
        if not self.is_caught_up:
            raise NotYet("the stored journal is still being read: ask again")
        statement = Statement(self.state.seq, self.state.hash)
        return Head(
            incarnation=self.incarnation.name,
            seq=statement.seq,
            hash=statement.hash.hex(),
            signature=self._sign(statement),
        )

    async def hash_at(self, seq: int) -> bytes | None:
        """Our own hash there; None when that part has left this disk, or is still to come."""
        if seq > self.state.seq:
            return None
        if seq == self.state.seq:
            return self.state.hash
        known = self._recent.get(seq)
        if known is not None:
            return known
        base = await self._base_at_or_below(seq)
        if base is None:
            return None
        state = base
        while state.seq < seq:
            message = await self._next_stored(state.seq, seq)
            if message is None:
                return None
            state, _ = chain.decide(
                self._policy(), state, chain.Read(stored_of(message), chain.Ordinary(), 0)
            )
        return state.hash

    # --- reading ---

    async def start(self) -> None:
        """Take up the place; raise OldDisk, BusError."""
        stream = await self._bus.state(self.incarnation.journal)
        anchor = await self._anchor()
        if anchor and stream.first_seq <= anchor.seq:
            await self._bus.trim(self.incarnation.journal, anchor.seq + 1)
            stream = await self._bus.state(self.incarnation.journal)
        kept = self._store.load(self.incarnation.name)
        if kept and kept.seq > stream.last_seq:
            raise OldDisk(
                f"{self.incarnation.journal} ends at {stream.last_seq}, "
                f"and was chained up to {kept.seq} before"
            )
        if anchor and (kept is None or kept.seq < anchor.seq):
            kept = chain.State(seq=anchor.seq, hash=anchor.hash, stated=anchor.seq)
        self.state = replace(
            kept or chain.begin(self.incarnation.site, self.incarnation.name),
            stated_at_ms=self._clock.monotonic_ms(),
        )
        self._saved_seq = self.state.seq
        self._goal = stream.last_seq
        self._look_whether_caught_up()

    async def read(self) -> None:
        """For ever. Raise StreamGone."""
        stream = self._bus.follow(self.incarnation.journal, start=self.state.seq + 1)
        async for message in stream:
            self._behind = message.pending
            await self._take(
                chain.Read(stored_of(message), self._what(message), self._clock.monotonic_ms())
            )
            self._look_whether_caught_up()

    async def tick(self) -> None:
        """For ever: checkpoints, and what is owed, once everything stored has been read."""
        while True:
            if self.is_caught_up and self._behind == 0:
                await self._take(chain.Ticked(self._clock.monotonic_ms()))
            await self._clock.sleep_ms(TICK_MS)

    def _look_whether_caught_up(self) -> None:
        if not self.is_caught_up and self.state.seq >= self._goal:
            self.is_caught_up = True
            log.info("journal chained", extra={"seq": self.state.seq})

    def _what(self, message: Message) -> chain.What:
        site, name = self.incarnation.site, self.incarnation.name
        try:
            fact = read(message).fact
        except ContractError as error:
            return chain.Quarantine(message.seq, str(error), message.subject)
        match fact:
            case Checkpoint():
                statement = self._key.public.statement(site, name, fact)
                if statement and statement.seq < message.seq:
                    own = self._hash_known_at(statement.seq)
                    return chain.OwnCheckpoint(statement, own)
            case MessageQuarantined(stream=stream) if stream == self.incarnation.journal:
                return chain.Settled(chain.Quarantine(fact.seq))
            case JournalDamaged():
                return chain.Settled(chain.Damage(fact.what, fact.from_seq, fact.to_seq))
            case _:
                pass
        return chain.Ordinary()

    def _hash_known_at(self, seq: int) -> bytes | None:
        return self.state.hash if seq == self.state.seq else self._recent.get(seq)

    async def _take(self, event: chain.Event) -> None:
        self.state, effects = chain.decide(self._policy(), self.state, event)
        if isinstance(event, chain.Read):
            self._remember()
        for effect in effects:
            await self._perform(effect)

    def _remember(self) -> None:
        self._recent[self.state.seq] = self.state.hash
        if len(self._recent) > RECENT_MAX:
            self._recent.popitem(last=False)
        if self.state.seq - self._saved_seq >= SNAPSHOT_ENTRIES:
            self._save()

    def _save(self) -> None:
        if not self.state.owed:
            self._store.save(self.incarnation.name, self.state)
            self._saved_seq = self.state.seq

    # --- effects ---

    async def _perform(self, effect: chain.Effect) -> None:
        match effect:
            case chain.Mark(statement=statement, at_ms=at_ms):
                self._store.add_mark(
                    self.incarnation.name, budget.Mark(statement.seq, statement.hash, at_ms)
                )
                self._save()
                self._health.ok("checkpoint")
            case chain.WriteCheckpoint(statement=statement):
                await self._write_checkpoint(statement)
            case chain.Write(owed=owed):
                await self._write_owed(owed)
            case chain.Unnamed(owed=owed):
                self._unnamed.inc()
                log.error("not named: too much is owed to the journal", extra={"what": str(owed)})
            case _:
                assert_never(effect)

    async def _write_checkpoint(self, statement: Statement) -> None:
        fact = Checkpoint(
            seq=statement.seq, hash=statement.hash.hex(), signature=self._sign(statement)
        )
        try:
            await self._recorder.record(
                fact, id=derived("checkpoint", self.incarnation.name, statement.seq)
            )
            self.last_refused = False
        except AppendRefused as error:
            self._refused("checkpoint", error)

    async def _write_owed(self, owed: chain.Owed) -> None:
        try:
            match owed:
                case chain.Quarantine():
                    await self._quarantine(owed)
                case chain.Damage(what=what, from_seq=first, to_seq=last):
                    log.error("journal damaged", extra={"what": what, "from": first, "to": last})
                    self._health.wrong("journal intact", f"entries {first} to {last} are {what}")
                    await self._recorder.record(
                        JournalDamaged(what=what, from_seq=first, to_seq=last),
                        id=derived("damaged", self.incarnation.name, what, first, last),
                    )
        except (AppendRefused, RequestFailed) as error:
            self._refused("owed fact", error)

    async def _quarantine(self, owed: chain.Quarantine) -> None:
        """A message that has left the disk meanwhile is named all the same, or it were owed for ever and no
        place in the chain kept again.
        """
        stream = self.incarnation.journal
        message = await self._bus.get(stream, owed.seq)
        if message:
            await quarantine(message, owed.reason, self._recorder)
            return
        log.warning("quarantined without its bytes", extra={"seq": owed.seq, "why": owed.reason})
        fact = MessageQuarantined(
            stream=stream,
            seq=owed.seq,
            subject=owed.subject,
            reason=f"{owed.reason} (its bytes have left this disk)",
            data_base64="",
        )
        await self._recorder.record(fact, id=derived("quarantine", stream, owed.seq))

    def _refused(self, what: str, error: Exception) -> None:
        """It is asked for again at the next tick."""
        self.last_refused = isinstance(error, StreamFull)
        self._health.wrong("checkpoint", f"{what} not written: {error}")

    def _sign(self, statement: Statement) -> str:
        return self._key.sign(self.incarnation.site, self.incarnation.name, statement)

    # --- places to begin ---

    async def _anchor(self) -> Statement | None:
        """The newest anchor: what it covers is gone, or was about to go when the process died."""
        topic = subjects.journal(self.incarnation.site, *Trimmed.TYPE.split("."))
        message = await self._bus.last(self.incarnation.journal, topic)
        if message is None:
            return None
        site, name = self.incarnation.site, self.incarnation.name
        return statement_in(self._key.public, site, name, message)

    async def _base_at_or_below(self, seq: int) -> chain.State | None:
        marks = [one for one in self._store.marks(self.incarnation.name) if one.seq <= seq]
        if marks:
            return chain.State(seq=marks[-1].seq, hash=marks[-1].hash)
        anchor = await self._anchor()
        if anchor is None:
            return chain.begin(self.incarnation.site, self.incarnation.name)
        return chain.State(seq=anchor.seq, hash=anchor.hash) if anchor.seq <= seq else None

    async def _next_stored(self, after: int, last: int) -> Message | None:
        """The next message up to `last`, over whatever holes there are."""
        for seq in range(after + 1, last + 1):
            message = await self._bus.get(self.incarnation.journal, seq)
            if message:
                return message
        return None
