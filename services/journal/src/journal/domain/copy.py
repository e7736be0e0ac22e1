"""The cloud's side of the chain: is this copy of a site's journal whole, and what the site said it is?

    decide(policy, state, event) -> (state, effects)

One state per incarnation of a site. Entries are taken strictly in order; a hole is fetched again from the
origin, and what the origin does not have is a named gap. Every signed statement of the site must meet our
own hash: then everything up to it is verified. When it does not, the range since the last verified entry is
read again from the origin: either the copy was wrong and is repaired, or the origin holds another history
than we verified (a fork), or site and chain differ and the range is named altered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from holdfast import chain
from holdfast.contracts.journal import GapCause
from journal.domain.statement import Statement, Stored

Row = tuple[Stored, bytes]
"""An entry with the chain hash at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A run the origin does not have; named once the entry after it is there to tell the time."""

    from_seq: int
    to_seq: int
    from_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    seq: int
    """Everything up to here was taken or is a named gap."""
    hash: bytes
    last_ms: int = 0
    """Time of the last entry taken."""
    watermark: int = 0
    """The newest sequence whose hash the site has signed."""
    watermark_hash: bytes
    gap_to: int = 0
    """End of the last named gap. Beyond the watermark: the hash is carried over it, as the site's own chain
    carries it over a hole that was there when it chained; the next statement decides whether that is right."""
    intact: bool = True
    """False once a gap or a break of the chain had to be named."""
    diverged: bool = False
    """The origin holds another history than we verified: nothing more is taken from it."""
    missing: Missing | None = None
    ahead: tuple[Statement, ...] = ()
    """Statements about entries still to come: the nearest and the newest."""

    @property
    def next_seq(self) -> int:
        return (self.missing.to_seq if self.missing else self.seq) + 1


def begin(site: str, incarnation: str) -> State:
    genesis = chain.genesis(site, incarnation)
    return State(seq=0, hash=genesis, watermark_hash=genesis)


def lasting(state: State) -> State:
    """What of it outlives a crash: statements ahead and a gap not yet named are met again."""
    return replace(state, missing=None, ahead=())


# --- events ---


@dataclass(frozen=True, slots=True)
class Arrived:
    """From the copy, or fetched from the origin."""

    stored: Stored
    statement: Statement | None = None
    """What a checkpoint or an anchor states; its signature is good."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The origin has none of `next_seq..to_seq`."""

    to_seq: int


@dataclass(frozen=True, slots=True)
class Stated:
    statement: Statement
    own: bytes | None
    """Our hash there; None when the sequence is still to come, or lies in a gap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedAgain:
    """Answer to `FetchAgain`: what the origin has of watermark+1..statement."""

    statement: Statement
    entries: Sequence[Stored]
    later: Sequence[Stored]
    """What we hold after the statement."""
    verified_differs: bool
    """The origin's entry at the watermark is not the one we verified."""
    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class HeldAfter:
    """Answer to `ReadHeld`: what we hold after the statement."""

    statement: Statement
    entries: Sequence[Stored]


Event = Arrived | Gone | Stated | FetchedAgain | HeldAfter


# --- effects ---


@dataclass(frozen=True, slots=True)
class Keep:
    row: Row


@dataclass(frozen=True, slots=True)
class Name:
    from_seq: int
    to_seq: int
    from_ms: int
    to_ms: int
    cause: GapCause


@dataclass(frozen=True, slots=True)
class Replace:
    """From `from_seq` on the archive holds these rows and no others."""

    from_seq: int
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Unchain:
    """Received, and no part of a chain we can follow: nothing can be compared with their hashes."""

    from_seq: int
    to_seq: int


@dataclass(frozen=True, slots=True)
class Exclude:
    """Not what the site signed: kept as evidence, no part of the journal."""

    from_seq: int
    to_seq: int


@dataclass(frozen=True, slots=True)
class Consult:
    """Look up our own hash at the statement, then say `Stated`."""

    statement: Statement


@dataclass(frozen=True, slots=True)
class Refetch:
    """Fetch these from the origin, say `Arrived` or `Gone` for each in order, then `behind` again."""

    from_seq: int
    to_seq: int
    behind: Arrived


@dataclass(frozen=True, slots=True)
class FetchAgain:
    """Read watermark+1..statement from the origin, and the entry at the watermark."""

    from_seq: int
    statement: Statement


@dataclass(frozen=True, slots=True)
class ReadHeld:
    statement: Statement


Effect = Keep | Name | Replace | Unchain | Exclude | Consult | Refetch | FetchAgain | ReadHeld


def decide(state: State, event: Event) -> tuple[State, list[Effect]]:
    if state.diverged:
        return state, []
    match event:
        case Arrived():
            return _arrived(state, event)
        case Gone(to_seq=to_seq):
            return _gone(state, to_seq), []
        case Stated(statement=statement, own=own):
            return _stated(state, statement, own)
        case FetchedAgain():
            return _fetched_again(state, event)
        case HeldAfter(statement=statement, entries=entries):
            return _chain_from(state, statement, entries)
        case _:
            assert_never(event)


def _arrived(state: State, event: Arrived) -> tuple[State, list[Effect]]:
    stored = event.stored
    if stored.seq < state.next_seq:
        return state, []  # delivered again
    if stored.seq > state.next_seq:
        return state, [Refetch(state.next_seq, stored.seq - 1, event)]
    effects: list[Effect] = []
    gap = state.missing
    if gap:
        effects.append(
            Name(gap.from_seq, gap.to_seq, gap.from_ms, stored.at_ms, GapCause.NOT_AT_ORIGIN)
        )
    digest = chain.link(state.hash, stored.seq, stored.subject, stored.id, stored.data)
    taken = replace(
        state,
        seq=stored.seq,
        hash=digest,
        last_ms=stored.at_ms,
        gap_to=gap.to_seq if gap else state.gap_to,
        intact=state.intact and gap is None,
        missing=None,
    )
    effects.append(Keep((stored, digest)))
    if event.statement:
        effects.append(Consult(event.statement))
    taken, more = _meet_ahead(taken)
    return taken, effects + more


def _gone(state: State, to_seq: int) -> State:
    if to_seq < state.next_seq:
        return state
    begun = state.missing or Missing(from_seq=state.seq + 1, to_seq=to_seq, from_ms=state.last_ms)
    return replace(state, missing=replace(begun, to_seq=to_seq))


def _meet_ahead(state: State) -> tuple[State, list[Effect]]:
    """Statements that were about entries to come, now that one came."""
    due = [statement for statement in state.ahead if statement.seq <= state.seq]
    if not due:
        return state, []
    state = replace(state, ahead=tuple(one for one in state.ahead if one.seq > state.seq))
    meets = next((one for one in due if one.seq == state.seq), None)
    return _stated(state, meets, state.hash) if meets else (state, [])


def _stated(state: State, statement: Statement, own: bytes | None) -> tuple[State, list[Effect]]:
    if statement.seq > state.seq:
        return replace(state, ahead=_nearest_and_newest(state.ahead, statement)), []
    if own is None:
        # An anchor right where a gap ends: what follows it can be chained again.
        resumes = state.watermark < statement.seq == state.gap_to
        return state, [ReadHeld(statement)] if resumes else []
    if own == statement.hash:
        return _verified(state, statement), []
    if statement.seq <= state.watermark:
        return replace(state, diverged=True, intact=False), []
    if state.watermark < state.gap_to <= statement.seq:
        return state, [ReadHeld(statement)]
    return state, [FetchAgain(state.watermark + 1, statement)]


def _nearest_and_newest(
    ahead: tuple[Statement, ...], statement: Statement
) -> tuple[Statement, ...]:
    """Two are enough: the nearest is met first, and by then the newest is about entries not far off."""
    ordered = sorted(
        {one.seq: one for one in (*ahead, statement)}.values(), key=lambda one: one.seq
    )
    return tuple(ordered[:1] + ordered[1:][-1:])


def _verified(state: State, statement: Statement) -> State:
    if statement.seq <= state.watermark:
        return state
    return replace(state, watermark=statement.seq, watermark_hash=statement.hash)


def _fetched_again(state: State, event: FetchedAgain) -> tuple[State, list[Effect]]:
    rows = _linked(state.watermark_hash, event.entries)
    statement = event.statement
    reaches = rows[-1][1] if rows else state.watermark_hash
    if not event.verified_differs and reaches == statement.hash:
        rows += _linked(statement.hash, event.later)
        repaired = replace(
            _verified(state, statement), hash=rows[-1][1] if rows else statement.hash
        )
        return repaired, [Replace(state.watermark + 1, tuple(rows))]
    if event.verified_differs:
        return replace(state, diverged=True, intact=False), []
    first, last = state.watermark + 1, statement.seq
    goes_on, effects = _chain_from(state, statement, event.later)
    named = Name(first, last, event.from_ms, event.to_ms, GapCause.ALTERED)
    return goes_on, [*effects, Exclude(first, last), named]


def _chain_from(
    state: State, statement: Statement, entries: Sequence[Stored]
) -> tuple[State, list[Effect]]:
    """Our own chain is broken: it goes on from what the site has signed."""
    rows = _linked(statement.hash, entries)
    goes_on = replace(
        _verified(state, statement), hash=rows[-1][1] if rows else statement.hash, intact=False
    )
    effects: list[Effect] = [Replace(statement.seq + 1, tuple(rows))]
    if state.watermark < state.gap_to < statement.seq:
        effects.append(Unchain(state.gap_to + 1, statement.seq))
    return goes_on, effects


def _linked(base: bytes, entries: Sequence[Stored]) -> list[Row]:
    rows: list[Row] = []
    for stored in entries:
        base = chain.link(base, stored.seq, stored.subject, stored.id, stored.data)
        rows.append((stored, base))
    return rows
