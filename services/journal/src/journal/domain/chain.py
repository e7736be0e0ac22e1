"""The site's side of the chain: read the stored stream in order, state checkpoints, name damage.

    decide(policy, state, event) -> (state, effects)

The chain is a function of the stored stream alone, so whatever the crash, the same stream gives the same
chain. What this service owes the journal (a quarantine, a named damage) is remembered until its own fact
is read back, and is asked for only once everything stored was read: a replay never writes it twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, assert_never

from holdfast import chain
from journal.domain.statement import Statement, Stored

OWED_MAX = 1_000
"""More facts owed than this before the first is written: the later ones are counted and logged, not named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    every_ms: int
    every_entries: int


# --- what is read ---


@dataclass(frozen=True, slots=True)
class Ordinary:
    """Any fact that says nothing about the chain."""


@dataclass(frozen=True, slots=True)
class OwnCheckpoint:
    statement: Statement
    own: bytes | None
    """What this process itself chained at the statement's sequence; None when it no longer knows."""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """The message at `seq` can't be read. Chained all the same."""

    seq: int
    reason: str = ""
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Damage:
    what: Literal["missing", "altered"]
    from_seq: int
    to_seq: int


Owed = Quarantine | Damage


@dataclass(frozen=True, slots=True)
class Settled:
    """The fact that pays what was owed."""

    owed: Owed


What = Ordinary | OwnCheckpoint | Quarantine | Settled


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    seq: int
    hash: bytes
    newest: int = 0
    """The newest entry that is no checkpoint: an idle journal gets no further checkpoint."""
    stated: int = 0
    """What the newest checkpoint in the stream covers."""
    stated_at_ms: int = 0
    """Monotonic; 0 at start: the first checkpoint of a process is due after one interval."""
    owed: tuple[Owed, ...] = ()

    @property
    def entries_unstated(self) -> int:
        return self.seq - self.stated if self.newest > self.stated else 0


def begin(site: str, incarnation: str) -> State:
    return State(seq=0, hash=chain.genesis(site, incarnation))


# --- events ---


@dataclass(frozen=True, slots=True)
class Read:
    stored: Stored
    what: What
    at_ms: int
    """Monotonic."""


@dataclass(frozen=True, slots=True)
class Ticked:
    """Everything stored has been read, and time has passed."""

    at_ms: int
    """Monotonic."""


Event = Read | Ticked


# --- effects ---


@dataclass(frozen=True, slots=True)
class WriteCheckpoint:
    statement: Statement


@dataclass(frozen=True, slots=True)
class Write:
    """Append the fact that pays what is owed; repeated until it is read back."""

    owed: Owed


@dataclass(frozen=True, slots=True)
class Mark:
    """Remember this place: trimming may end here, and a restart may begin here."""

    statement: Statement
    at_ms: int
    """Everything up to it was stored by then."""


@dataclass(frozen=True, slots=True)
class Unnamed:
    """No fact will name this: too many are owed already. Log and count it."""

    owed: Owed


Effect = WriteCheckpoint | Write | Mark | Unnamed


def decide(policy: Policy, state: State, event: Event) -> tuple[State, list[Effect]]:
    match event:
        case Read():
            return _read(state, event)
        case Ticked(at_ms=at_ms):
            effects: list[Effect] = [Write(owed) for owed in state.owed]
            if _checkpoint_is_due(policy, state, at_ms):
                effects.append(WriteCheckpoint(Statement(state.seq, state.hash)))
            return state, effects
        case _:
            assert_never(event)


def _read(state: State, event: Read) -> tuple[State, list[Effect]]:
    stored = event.stored
    if stored.seq <= state.seq:
        return state, []
    effects: list[Effect] = []
    if stored.seq > state.seq + 1:
        state, effects = _owe(state, Damage("missing", state.seq + 1, stored.seq - 1))
    chained = replace(
        state,
        seq=stored.seq,
        hash=chain.link(state.hash, stored.seq, stored.subject, stored.id, stored.data),
        newest=state.newest if isinstance(event.what, OwnCheckpoint) else stored.seq,
    )
    more: list[Effect] = []
    match event.what:
        case Ordinary():
            pass
        case Quarantine() as unreadable:
            chained, more = _owe(chained, unreadable)
        case Settled(owed=paid):
            left = tuple(one for one in chained.owed if not _pays(paid, one))
            chained = replace(chained, owed=left)
        case OwnCheckpoint(statement=statement, own=own):
            chained, more = _stated(chained, statement, own, stored.at_ms, event.at_ms)
        case _:
            assert_never(event.what)
    return chained, effects + more


def _stated(
    state: State, statement: Statement, own: bytes | None, stored_at_ms: int, at_ms: int
) -> tuple[State, list[Effect]]:
    newer = replace(state, stated=max(state.stated, statement.seq), stated_at_ms=at_ms)
    if own == statement.hash:
        return newer, [Mark(statement, stored_at_ms)]
    if own is None:
        return newer, []
    return _owe(newer, Damage("altered", state.stated + 1, statement.seq))


def _owe(state: State, more: Owed) -> tuple[State, list[Effect]]:
    if len(state.owed) >= OWED_MAX:
        return state, [Unnamed(more)]
    return replace(state, owed=(*state.owed, more)), []


def _pays(paid: Owed, owed: Owed) -> bool:
    match paid, owed:
        case Quarantine(seq=one), Quarantine(seq=other):
            return one == other
        case _:
            return paid == owed


def _checkpoint_is_due(policy: Policy, state: State, at_ms: int) -> bool:
    if state.newest <= state.stated:
        return False
    many = state.seq - state.stated >= policy.every_entries
    return many or at_ms - state.stated_at_ms >= policy.every_ms
