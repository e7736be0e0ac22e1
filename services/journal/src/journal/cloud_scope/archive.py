"""The archive: every entry the cloud has of any site, with what is known about it; and the named gaps.

A batch of entries, the place reached, its hash and the watermark are one transaction: whatever the crash,
the place says exactly what is there. All methods block: the shell decides where they run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, delete, insert, select, update

from holdfast.contracts.journal import Gap, GapCause
from journal.cloud_scope import schema
from journal.cloud_scope.schema import Phase
from journal.domain import copy
from journal.domain.statement import Stored


class Key(NamedTuple):
    """One life of one site's disk."""

    site: str
    incarnation: str


@dataclass(frozen=True, slots=True)
class Kept:
    """What the archive says about a copy."""

    ordinal: int
    key: Key
    phase: Phase
    state: copy.State
    republished: int

    def in_phase(self, phase: Phase) -> Kept:
        return replace(self, phase=phase)

    @property
    def publishable_seq(self) -> int:
        """Up to here it is the site's journal as far as anyone will ever know. What an ended incarnation holds
        beyond its last signature is real and unsigned; of a forked one it is another history.
        """
        closed = self.phase in (Phase.CLOSED, Phase.RETIRED)
        return self.state.seq if closed and not self.state.diverged else self.state.watermark


class Archive:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def prepare(self) -> None:
        schema.metadata.create_all(self._engine)

    # --- copies ---

    def copies(self, site: str | None = None) -> list[Kept]:
        query = select(schema.copy).order_by(schema.copy.c.ordinal)
        if site is not None:
            query = query.where(schema.copy.c.site == site)
        with self._engine.connect() as connection:
            return [_kept(row) for row in connection.execute(query)]

    def kept(self, key: Key) -> Kept | None:
        with self._engine.connect() as connection:
            row = connection.execute(select(schema.copy).where(_copy_is(key))).first()
        return _kept(row) if row else None

    def add(self, key: Key) -> Kept:
        """Idempotent."""
        found = self.kept(key)
        if found is None:
            values = _state_values(copy.begin(*key)) | {"phase": Phase.LIVE, "republished": 0}
            with self._engine.begin() as connection:
                connection.execute(insert(schema.copy).values(**key._asdict(), **values))
            found = self.kept(key)
        assert found is not None
        return found

    def set_phase(self, key: Key, phase: Phase) -> None:
        self._update_copy(key, phase=phase)

    def set_republished(self, key: Key, seq: int) -> None:
        self._update_copy(key, republished=seq)

    def close(self, key: Key, lost: Gap) -> None:
        """The old disk is gone: what it had beyond what we hold is named."""
        with self._engine.begin() as connection:
            _put_gap(connection, lost)
            connection.execute(update(schema.copy).where(_copy_is(key)).values(phase=Phase.CLOSED))

    def _update_copy(self, key: Key, **values: Any) -> None:
        with self._engine.begin() as connection:
            connection.execute(update(schema.copy).where(_copy_is(key)).values(**values))

    # --- entries ---

    def commit(self, key: Key, state: copy.State, effects: Iterable[copy.Effect]) -> None:
        """Everything the effects ask of the archive, and the place, at once."""
        kept: list[copy.Row] = []
        with self._engine.begin() as connection:
            for effect in effects:
                match effect:
                    case copy.Keep(row=row):
                        kept.append(row)
                        continue
                    case _:
                        _insert(connection, key, kept)
                        kept = []
                _change(connection, key, effect)
            _insert(connection, key, kept)
            connection.execute(
                update(schema.copy).where(_copy_is(key)).values(**_state_values(state))
            )

    def hash_at(self, key: Key, seq: int) -> bytes | None:
        query = select(schema.entry.c.hash).where(_entry_is(key), schema.entry.c.seq == seq)
        with self._engine.connect() as connection:
            found: bytes | None = connection.execute(query).scalar()
        return found

    def entries(
        self, key: Key, *, after: int, to: int, limit: int, excluded: bool = False
    ) -> list[Stored]:
        """In order, `after < seq <= to`; excluded ones only when asked for."""
        query = (
            select(schema.entry)
            .where(_entry_is(key), schema.entry.c.seq > after, schema.entry.c.seq <= to)
            .order_by(schema.entry.c.seq)
            .limit(limit)
        )
        if not excluded:
            query = query.where(schema.entry.c.excluded.is_(False))
        with self._engine.connect() as connection:
            return [_stored(row) for row in connection.execute(query)]

    def first(self, key: Key) -> Stored | None:
        """The first entry that is there."""
        query = select(schema.entry).where(_entry_is(key)).order_by(schema.entry.c.seq).limit(1)
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        return _stored(row) if row else None

    # --- gaps ---

    def gaps(self, site: str | None) -> list[Gap]:
        query = (
            select(schema.gap)
            .join(
                schema.copy,
                and_(
                    schema.copy.c.site == schema.gap.c.site,
                    schema.copy.c.incarnation == schema.gap.c.incarnation,
                ),
            )
            .order_by(schema.gap.c.site, schema.copy.c.ordinal, schema.gap.c.from_seq)
        )
        if site is not None:
            query = query.where(schema.gap.c.site == site)
        with self._engine.connect() as connection:
            return [Gap(**row._mapping) for row in connection.execute(query)]


# --- SQL of one effect ---


def _change(connection: Connection, key: Key, effect: copy.Effect) -> None:
    match effect:
        case copy.Name(from_seq=first, to_seq=last, from_ms=from_ms, to_ms=to_ms, cause=cause):
            gap = Gap(
                **key._asdict(),
                from_seq=first,
                to_seq=last,
                from_ms=from_ms,
                to_ms=to_ms,
                cause=cause,
            )
            _put_gap(connection, gap)
        case copy.Replace(from_seq=first, rows=rows):
            connection.execute(
                delete(schema.entry).where(_entry_is(key), schema.entry.c.seq >= first)
            )
            _insert(connection, key, rows)
        case copy.Unchain(from_seq=first, to_seq=last):
            _mark(connection, key, first, last, hash=None)
        case copy.Exclude(from_seq=first, to_seq=last):
            _mark(connection, key, first, last, hash=None, excluded=True)
        case _:
            raise AssertionError(f"{effect} asks nothing of the archive")


def _insert(connection: Connection, key: Key, rows: Sequence[copy.Row]) -> None:
    if not rows:
        return
    connection.execute(
        insert(schema.entry),
        [
            {
                **key._asdict(),
                "seq": stored.seq,
                "subject": stored.subject,
                "id": stored.id,
                "stored_at_ms": stored.at_ms,
                "data": stored.data,
                "hash": digest,
                "excluded": False,
            }
            for stored, digest in rows
        ],
    )


def _mark(connection: Connection, key: Key, first: int, last: int, **values: Any) -> None:
    where = _entry_is(key), schema.entry.c.seq >= first, schema.entry.c.seq <= last
    connection.execute(update(schema.entry).where(*where).values(**values))


def _put_gap(connection: Connection, gap: Gap) -> None:
    here = and_(
        schema.gap.c.site == gap.site,
        schema.gap.c.incarnation == gap.incarnation,
        schema.gap.c.from_seq == gap.from_seq,
    )
    connection.execute(delete(schema.gap).where(here))
    connection.execute(insert(schema.gap).values(**gap.model_dump(mode="json")))


def _copy_is(key: Key) -> ColumnElement[bool]:
    return and_(schema.copy.c.site == key.site, schema.copy.c.incarnation == key.incarnation)


def _entry_is(key: Key) -> ColumnElement[bool]:
    return and_(schema.entry.c.site == key.site, schema.entry.c.incarnation == key.incarnation)


# --- rows and records ---


def _state_values(state: copy.State) -> dict[str, Any]:
    """The columns of `copy.lasting(state)`."""
    return {
        "seq": state.seq,
        "hash": state.hash,
        "last_ms": state.last_ms,
        "watermark": state.watermark,
        "watermark_hash": state.watermark_hash,
        "gap_to": state.gap_to,
        "intact": state.intact,
        "diverged": state.diverged,
    }


def _kept(row: Row[Any]) -> Kept:
    key = Key(row.site, row.incarnation)
    state = replace(
        copy.begin(*key),
        seq=row.seq,
        hash=row.hash,
        last_ms=row.last_ms,
        watermark=row.watermark,
        watermark_hash=row.watermark_hash,
        gap_to=row.gap_to,
        intact=row.intact,
        diverged=row.diverged,
    )
    return Kept(row.ordinal, key, Phase(row.phase), state, row.republished)


def _stored(row: Row[Any]) -> Stored:
    return Stored(
        seq=row.seq, subject=row.subject, id=row.id, data=row.data, at_ms=row.stored_at_ms
    )


def lost_gap(kept: Kept, to_ms: int) -> Gap:
    """What a lost disk had beyond what we hold of it; the end is unknown."""
    last = kept.publishable_seq if kept.state.diverged else kept.state.seq
    return Gap(
        site=kept.key.site,
        incarnation=kept.key.incarnation,
        from_seq=last + 1,
        to_seq=None,
        from_ms=kept.state.last_ms,
        to_ms=to_ms,
        cause=GapCause.DISK_LOST,
    )
