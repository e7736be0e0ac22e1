"""Sessions out of a site's journal; the same function at the site and in the cloud.

    step(session | None, entry, fact) -> session
    advance(position, session | None, entry, fact) -> (position, session | None)
    skip(position, seq) -> position                     (an entry whose bytes could not be read)
    digest = sum over all sessions of SHA-256(canonical session), mod 2^256

Everything is a function of the entries in their order and of nothing else: neither how they came in
batches nor how often they were delivered changes a session or a digest. The sum can be carried along
(take the old session's hash away, add the new one's), so the digest is known at every sequence.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import assert_never

from holdfast.contracts.decision import Basis, auth_method
from holdfast.contracts.driver_tokens import TokenStatus
from holdfast.contracts.envelope import Entry, Fact
from holdfast.contracts.session import (
    SessionEventConflicted,
    SessionMetered,
    SessionStarted,
    SessionState,
    SessionStopped,
    SessionStopRepeated,
    SessionView,
)
from holdfast.contracts.transaction import TransactionId
from reconciler.domain.sequence import Ranges, common, missing, seen

FOLD_VERSION = 4
"""Raised with every change that gives the same entries another session or digest."""

MARK_BYTES = 8
MARKS_MAX = 1024
"""So many ids are remembered per session. A repeat older than that (17 hours of readings, one a minute,
and beyond the stream's own window) counts as one more reading; start, stop and energy stay as they are."""

_MODULUS = 1 << 256

SessionFact = (
    SessionStarted | SessionMetered | SessionStopped | SessionStopRepeated | SessionEventConflicted
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What one incarnation's journal says of one session."""

    key: str
    charge_point: str
    transaction_id: TransactionId
    connector: int | None = None
    """None while only a stop is known: StopTransaction names no connector."""
    connectors: int | None = None
    """The charge point said that it has so many."""
    meter_start_wh: int | None = None
    started_at: str | None = None
    status: TokenStatus | None = None
    basis: Basis | None = None
    flagged: bool = False
    meter_stop_wh: int | None = None
    stopped_at: str | None = None
    reason: str | None = None
    last_reading_wh: int | None = None
    """In the order of the journal; a charge point's late reading may be older than the one before it."""
    last_reading_at: str | None = None
    readings: int = 0
    duplicates: int = 0
    """Facts dropped because they, or a start or stop like them, were there before."""
    stops_differing: int = 0
    """Later stops that contradict the first. The first counts, the difference is shown."""
    started_seen_ms: int | None = None
    """Site clock of the entry that told of the start which counts."""
    stopped_seen_ms: int | None = None
    highest_reading_wh: int | None = None
    left_out: int = 0
    """Messages that the rules left out, as later ones counted them."""
    left_out_uncounted: bool = False
    """A restart may have made the count too low."""
    seq_seen: Ranges = ()
    """seqNos of a transaction of 2.x that came, or that the rules left out."""
    seq_uncounted: Ranges = ()
    """seqNos that the site says nobody knows of; what is in `seq_seen` came all the same."""
    seq_highest: int | None = None
    first_seq: int
    last_seq: int
    marks: bytes = b""
    """The newest ids folded in, 8 bytes of SHA-256 each. Two of 1,024 alike: once in 10^13 sessions."""

    @property
    def state(self) -> SessionState:
        if self.started_at is None:
            return SessionState.FRAGMENT
        return SessionState.RUNNING if self.stopped_at is None else SessionState.STOPPED

    @property
    def energy_wh(self) -> int | None:
        """None where begin or end is missing, or the register ran backwards: never a guess, never negative."""
        end_wh = self.last_reading_wh if self.stopped_at is None else self.meter_stop_wh
        if self.meter_start_wh is None or end_wh is None or end_wh < self.meter_start_wh:
            return None
        return end_wh - self.meter_start_wh


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far one incarnation is folded, and the digest there."""

    seq: int = 0
    digest: int = 0
    sessions: int = 0
    hole_at: int | None = None
    """The first entry that never came (trimmed here, or a named gap): from there on the digest speaks for
    this fold alone and is compared with no other."""


def step(session: Session | None, entry: Entry, fact: SessionFact) -> Session:
    """Fold one fact into its session. An entry or id met before changes at most the count of duplicates."""
    if session is None:
        session = Session(
            key=fact.session,
            charge_point=fact.charge_point,
            transaction_id=fact.transaction_id,
            first_seq=entry.seq,
            last_seq=entry.seq - 1,
        )
    if entry.seq <= session.last_seq:
        return session
    session = replace(session, last_seq=entry.seq)
    mark = _mark(entry.envelope.id)
    if _has_mark(session.marks, mark):
        return replace(session, duplicates=session.duplicates + 1)
    session = replace(session, marks=(session.marks + mark)[-MARK_BYTES * MARKS_MAX :])
    session = _numbered(session, fact)
    match fact:
        case SessionStarted():
            return _started(session, fact, entry.envelope.at_ms)
        case SessionMetered():
            return _metered(session, fact)
        case SessionStopped():
            return _stopped(session, fact, entry.envelope.at_ms)
        case SessionStopRepeated():
            return replace(session, stops_differing=session.stops_differing + 1)
        case SessionEventConflicted(event=event):
            differing = session.stops_differing + (event == "Ended")
            return replace(session, stops_differing=differing)
        case _:
            assert_never(fact)


def advance(
    position: Position, session: Session | None, entry: Entry, fact: Fact
) -> tuple[Position, Session | None]:
    """Fold one entry. `session` is the one the fact is of; None when it is new or the fact is of none."""
    if entry.seq <= position.seq:
        return position, session
    position = skip(position, entry.seq)
    if not isinstance(fact, SessionFact):
        return position, session
    after = step(session, entry, fact)
    change = hash_of(after) - (hash_of(session) if session else 0)
    return (
        replace(
            position,
            digest=(position.digest + change) % _MODULUS,
            sessions=position.sessions + (session is None),
        ),
        after,
    )


def skip(position: Position, seq: int) -> Position:
    """Pass an entry: it took its place in the journal, whatever it says."""
    if seq <= position.seq:
        return position
    hole_at = position.hole_at
    if hole_at is None and seq > position.seq + 1:
        hole_at = position.seq + 1
    return replace(position, seq=seq, hole_at=hole_at)


def session_of(fact: Fact) -> str | None:
    """Key of the session the fact is of."""
    return fact.session if isinstance(fact, SessionFact) else None


def hash_of(session: Session) -> int:
    content = asdict(session)
    del content["marks"]  # follows from the ids, which `duplicates` already speaks for
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return int.from_bytes(sha256(canonical.encode()).digest(), "big")


def digest_text(digest: int) -> str:
    return f"{digest:064x}"


def join(site: str, parts: Sequence[tuple[str, Session]]) -> SessionView:
    """One session out of its parts (incarnation, session), oldest life first: a disk may be lost between
    start and stop. The first start and the first stop count, as within one life.
    """
    assert parts
    whole = parts[0][1]
    for _, part in parts[1:]:
        whole = _joined(whole, part)
    return SessionView(
        site=site,
        session=whole.key,
        charge_point=whole.charge_point,
        connector=whole.connector,
        connectors=whole.connectors,
        transaction_id=whole.transaction_id,
        state=whole.state,
        meter_start_wh=whole.meter_start_wh,
        meter_stop_wh=whole.meter_stop_wh,
        energy_wh=whole.energy_wh,
        started_at=whole.started_at,
        stopped_at=whole.stopped_at,
        reason=whole.reason,
        last_reading_wh=whole.last_reading_wh,
        last_reading_at=whole.last_reading_at,
        readings=whole.readings,
        status=whole.status,
        basis=whole.basis,
        flagged=whole.flagged,
        auth_method=auth_method(whole.basis, flagged=whole.flagged, status=whole.status),
        duplicates=whole.duplicates,
        stops_differing=whole.stops_differing,
        incarnations=tuple(incarnation for incarnation, _ in parts),
        started_seen_ms=whole.started_seen_ms,
        stopped_seen_ms=whole.stopped_seen_ms,
        highest_reading_wh=whole.highest_reading_wh,
        left_out=whole.left_out,
        left_out_uncounted=whole.left_out_uncounted,
        seq_missing=missing(seen(whole.seq_seen, *whole.seq_uncounted), whole.seq_highest),
        seq_uncounted=common(missing(whole.seq_seen, whole.seq_highest), whole.seq_uncounted),
    )


def _numbered(session: Session, fact: SessionFact) -> Session:
    number = None if isinstance(fact, SessionEventConflicted) else fact.seq_no
    if number is None:
        return session
    left_out: Ranges = ()
    uncounted: Ranges = ()
    if isinstance(fact, SessionMetered | SessionStopped):
        left_out, uncounted = fact.left_out_seq, fact.uncounted_seq
    return replace(
        session,
        seq_seen=seen(session.seq_seen, (number, number), *left_out),
        seq_uncounted=seen(session.seq_uncounted, *uncounted),
        seq_highest=_highest(session.seq_highest, number),
    )


def _started(session: Session, fact: SessionStarted, seen_ms: int) -> Session:
    if session.started_at is not None:
        return replace(session, duplicates=session.duplicates + 1)
    return replace(
        session,
        connector=_first(fact.connector, session.connector),
        connectors=fact.connectors,
        meter_start_wh=fact.meter_start_wh,
        started_at=fact.at,
        status=fact.status or session.status,
        basis=fact.basis or session.basis,
        flagged=fact.flagged or session.flagged,
        started_seen_ms=seen_ms,
    )


def _metered(session: Session, fact: SessionMetered) -> Session:
    session = replace(
        session,
        connector=_first(session.connector, fact.connector),
        left_out=session.left_out + fact.left_out,
        left_out_uncounted=session.left_out_uncounted or fact.uncounted,
    )
    session = _authorised(session, fact)
    if not fact.readings:
        return session
    return replace(
        session,
        last_reading_wh=fact.readings[-1].energy_wh,
        last_reading_at=fact.readings[-1].at,
        readings=session.readings + len(fact.readings),
        highest_reading_wh=_highest(
            session.highest_reading_wh, *(one.energy_wh for one in fact.readings)
        ),
    )


def _authorised(session: Session, fact: SessionMetered | SessionStopped) -> Session:
    """In 2.x a driver may show a token when the session has long begun: the first one counts."""
    if fact.authorised is None or session.status is not None:
        return session
    return replace(
        session,
        status=fact.authorised.status,
        basis=fact.authorised.basis,
        flagged=fact.authorised.flagged,
    )


def _stopped(session: Session, fact: SessionStopped, seen_ms: int) -> Session:
    if session.stopped_at is None:
        return replace(
            _authorised(session, fact),
            connector=_first(session.connector, fact.connector),
            meter_stop_wh=fact.meter_stop_wh,
            stopped_at=fact.at,
            reason=fact.reason,
            stopped_seen_ms=seen_ms,
            left_out=session.left_out + fact.left_out,
            left_out_uncounted=session.left_out_uncounted or fact.uncounted,
        )
    differs = (session.meter_stop_wh, session.stopped_at) != (fact.meter_stop_wh, fact.at)
    return replace(
        session,
        duplicates=session.duplicates + 1,
        stops_differing=session.stops_differing + differs,
    )


def _joined(older: Session, newer: Session) -> Session:
    if older.started_at is None:
        begin = newer
        again = 0
    else:
        begin = older
        again = int(newer.started_at is not None)
    end = newer if older.stopped_at is None else older
    stopped_again = older.stopped_at is not None and newer.stopped_at is not None
    vouched = older if older.status is not None else newer
    reading = older if newer.last_reading_wh is None else newer
    return replace(
        older,
        connector=_first(begin.connector, _first(older.connector, newer.connector)),
        connectors=begin.connectors,
        meter_start_wh=begin.meter_start_wh,
        started_at=begin.started_at,
        status=vouched.status,
        basis=vouched.basis,
        flagged=vouched.flagged,
        meter_stop_wh=end.meter_stop_wh,
        stopped_at=end.stopped_at,
        reason=end.reason,
        last_reading_wh=reading.last_reading_wh,
        last_reading_at=reading.last_reading_at,
        readings=older.readings + newer.readings,
        started_seen_ms=begin.started_seen_ms,
        stopped_seen_ms=end.stopped_seen_ms,
        highest_reading_wh=_highest(older.highest_reading_wh, newer.highest_reading_wh),
        left_out=older.left_out + newer.left_out,
        left_out_uncounted=older.left_out_uncounted or newer.left_out_uncounted,
        seq_seen=seen(older.seq_seen, *newer.seq_seen),
        seq_uncounted=seen(older.seq_uncounted, *newer.seq_uncounted),
        seq_highest=_highest(older.seq_highest, newer.seq_highest),
        duplicates=older.duplicates + newer.duplicates + again + stopped_again,
        stops_differing=older.stops_differing
        + newer.stops_differing
        + (stopped_again and older.meter_stop_wh != newer.meter_stop_wh),
    )


def _first(one: int | None, other: int | None) -> int | None:
    return other if one is None else one


def _highest(*readings_wh: int | None) -> int | None:
    return max((one for one in readings_wh if one is not None), default=None)


def _mark(id: str) -> bytes:
    return sha256(id.encode()).digest()[:MARK_BYTES]


def _has_mark(marks: bytes, mark: bytes) -> bool:
    at = marks.find(mark)
    while at >= 0 and at % MARK_BYTES:
        at = marks.find(mark, at + 1)
    return at >= 0
