"""Messages of a stream to committed sessions: fold a batch, commit it, only then remember it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy.exc import SQLAlchemyError

from holdfast.bus import Message
from holdfast.clock import Clock
from holdfast.contracts.envelope import ContractError, Entry, Envelope
from holdfast.entries import Read
from holdfast.health import Health
from reconciler.adapters.store import Advance, Life, ReadTo, SessionStore
from reconciler.domain.sessions import Position, Session, advance, session_of, skip

log = logging.getLogger(__name__)

RETRY_MS = 1_000
"""The store may be full or away for a while: nothing is acknowledged meanwhile, and reading waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """An entry at its place in its site's journal."""

    life: Life
    seq: int
    read: Read | None
    """None where the bytes could not be read."""


@dataclass(slots=True)
class _Work:
    """One life's share of a batch, while it is folded."""

    life: Life
    position: Position
    sessions: dict[str, Session] = field(default_factory=dict)
    changed: dict[str, None] = field(default_factory=dict)
    """In the order of the journal: sessions are numbered in it, whatever the batches."""
    digests: list[Position] = field(default_factory=list)

    def take(self, placed: Placed) -> None:
        if placed.read is None:
            self.position = skip(self.position, placed.seq)
            return
        entry, fact = placed.read.entry, placed.read.fact
        key = session_of(fact)
        before = self.position
        known = self.sessions.get(key) if key else None
        self.position, session = advance(before, known, entry, fact)
        if key and session is not None and session is not known:
            self.sessions[key] = session
            self.changed[key] = None
            self.digests.append(self.position)

    def result(self, recovery: str | None) -> Advance:
        return Advance(
            life=self.life,
            position=self.position,
            sessions={key: self.sessions[key] for key in self.changed},
            digests=self.digests,
            recovery=recovery,
        )


async def fold_and_commit(
    store: SessionStore,
    stream: str,
    to: ReadTo,
    batch: Sequence[Placed],
    *,
    clock: Clock,
    health: Health,
    recovery: str | None = None,
) -> None:
    """`batch` goes up to `to` of `stream`. Returns once it is on disk; tries for ever, and says so."""
    while True:
        try:
            store.commit(stream, to, fold_batch(store, batch, recovery=recovery))
        except SQLAlchemyError as error:
            health.wrong("store", f"sessions can't be written: {error}")
            log.error("sessions can't be written", extra={"why": str(error)})  # noqa: TRY400  one line says it
            await clock.sleep_ms(RETRY_MS)
        else:
            health.ok("store")
            return


def fold_batch(
    store: SessionStore, batch: Sequence[Placed], *, recovery: str | None = None
) -> list[Advance]:
    advances = []
    for life, placed in _by_life(batch):
        keys = {key for one in placed if one.read and (key := session_of(one.read.fact))}
        known = store.parts(life, keys) if keys else {}
        work = _Work(life, store.position(life), known)
        for one in placed:
            work.take(one)
        advances.append(work.result(recovery))
    return advances


def read_message(message: Message, seq: int) -> Read | None:
    """The fact where it stands; None (said once) where it can't be read: the journal service keeps it."""
    try:
        envelope = Envelope.from_bytes(message.data)
        return Read(Entry(seq=seq, envelope=envelope), envelope.fact())
    except ContractError as error:
        log.warning(
            "unreadable entry passed over",
            extra={"stream": message.stream, "seq": message.seq, "why": str(error)},
        )
        return None


def _by_life(batch: Sequence[Placed]) -> Iterable[tuple[Life, list[Placed]]]:
    grouped: dict[Life, list[Placed]] = {}
    for placed in batch:
        grouped.setdefault(placed.life, []).append(placed)
    return grouped.items()
