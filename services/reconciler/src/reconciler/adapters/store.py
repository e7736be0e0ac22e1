"""The sessions, and how far they are folded: written together in one transaction, or not at all.

    reader         how far a stream is read
    fold           one row per incarnation: position, digest, state of the recovery
    part           what one incarnation's journal says of a session
    session        the parts joined: what is shown
    digest_change  the digest wherever it changed, the newest 10,000 of an incarnation

SQLite at a site, SQLite or PostgreSQL in the cloud. One process writes. Calls block the loop for the
milliseconds a commit takes: there is nothing else this service could do meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
)

from holdfast.contracts.decision import Basis
from holdfast.contracts.driver_tokens import TokenStatus
from holdfast.contracts.envelope import ContractError
from holdfast.contracts.recovery import Digest
from holdfast.contracts.session import Sessions, SessionsRequest, SessionView
from reconciler.domain.sequence import Ranges
from reconciler.domain.sessions import FOLD_VERSION, Position, Session, digest_text, join

DIGEST_CHANGES_MAX = 10_000
"""Per incarnation. A digest asked for further back is answered with the reason, and not compared."""

PAGE_BYTES_MAX = 512 * 1024
"""A NATS message is at most 1 MiB; a page that would be larger ends earlier and says where to go on."""

metadata = MetaData()

_reader = Table(
    "reader",
    metadata,
    Column("stream", String(128), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("message", String(300), nullable=False),
    Column("version", String(32), nullable=False),
)
_fold = Table(
    "fold",
    metadata,
    Column("site", String(32), primary_key=True),
    Column("incarnation", String(8), primary_key=True),
    Column("ordinal", Integer, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("sessions", Integer, nullable=False),
    Column("hole_at", BigInteger),
    Column("recovery", Text),
)
_part = Table(
    "part",
    metadata,
    Column("site", String(32), primary_key=True),
    Column("incarnation", String(8), primary_key=True),
    Column("session", String(300), primary_key=True),
    Column("content", Text, nullable=False),
    Column("marks", LargeBinary, nullable=False),
)
_session = Table(
    "session",
    metadata,
    Column("site", String(32), primary_key=True),
    Column("session", String(300), primary_key=True),
    Column("number", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("view", Text, nullable=False),
    Index("session_in_order", "site", "number", unique=True),
    Index("session_by_state", "site", "state"),
)
_change = Table(
    "digest_change",
    metadata,
    Column("site", String(32), primary_key=True),
    Column("incarnation", String(8), primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("sessions", Integer, nullable=False),
)


class ReadTo(NamedTuple):
    """The last message read of a stream. Its id tells a stream made anew from the one that was read."""

    seq: int = 0
    id: str = ""


class Life(NamedTuple):
    """One incarnation of one site: what a fold is of."""

    site: str
    incarnation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """What a batch did to one life."""

    life: Life
    position: Position
    sessions: Mapping[str, Session]
    """Those it changed."""
    digests: Sequence[Position]
    """The position after each entry that changed the digest."""
    recovery: str | None = None
    """State of the recovery, at a site."""


class SessionStore:
    def __init__(self, engine: Engine, version: str) -> None:
        """`version` names everything that must be folded again when it changes."""
        self._engine = engine
        self._version = version
        metadata.create_all(engine)

    # --- where a restart goes on ---

    def read_to(self, stream: str) -> ReadTo:
        """Nothing where nothing is folded. What another version folded is removed, to be folded again."""
        other = select(_reader.c.stream).where(_reader.c.version != self._version).limit(1)
        query = select(_reader.c.seq, _reader.c.message).where(_reader.c.stream == stream)
        with self._engine.begin() as connection:
            if connection.execute(other).first() is not None:
                for table in reversed(metadata.sorted_tables):
                    connection.execute(delete(table))
            row = connection.execute(query).first()
        return ReadTo(row.seq, row.message) if row else ReadTo()

    def position(self, life: Life) -> Position:
        row = self._fold_row(life)
        if row is None:
            return Position()
        return Position(
            seq=row.seq, digest=int(row.digest, 16), sessions=row.sessions, hole_at=row.hole_at
        )

    def recovery(self, life: Life) -> str | None:
        row = self._fold_row(life)
        return row.recovery if row else None

    def parts(self, life: Life, keys: Iterable[str]) -> dict[str, Session]:
        query = select(_part).where(
            _part.c.site == life.site,
            _part.c.incarnation == life.incarnation,
            _part.c.session.in_(list(keys)),
        )
        with self._engine.connect() as connection:
            return {row.session: _part_of(row) for row in connection.execute(query)}

    # --- the one write ---

    def commit(self, stream: str, to: ReadTo, advances: Sequence[Advance]) -> None:
        """Everything up to `to` of `stream` is folded: all of it is on disk when this returns."""
        with self._engine.begin() as connection:
            for advance in advances:
                self._write(connection, advance)
            connection.execute(delete(_reader).where(_reader.c.stream == stream))
            connection.execute(
                insert(_reader).values(
                    stream=stream, seq=to.seq, message=to.id[:300], version=self._version
                )
            )

    def _write(self, connection: Connection, advance: Advance) -> None:
        self._write_fold(connection, advance)
        life = advance.life
        for key, session in advance.sessions.items():
            connection.execute(
                delete(_part).where(
                    _part.c.site == life.site,
                    _part.c.incarnation == life.incarnation,
                    _part.c.session == key,
                )
            )
            content = asdict(session)
            marks = content.pop("marks")
            connection.execute(
                insert(_part).values(
                    site=life.site,
                    incarnation=life.incarnation,
                    session=key,
                    content=json.dumps(content),
                    marks=marks,
                )
            )
        for key in advance.sessions:
            _write_view(connection, life.site, key)

    def _write_fold(self, connection: Connection, advance: Advance) -> None:
        life, position = advance.life, advance.position
        here = (_fold.c.site == life.site, _fold.c.incarnation == life.incarnation)
        ordinal = connection.execute(select(_fold.c.ordinal).where(*here)).scalar()
        if ordinal is None:
            newest = select(func.max(_fold.c.ordinal)).where(_fold.c.site == life.site)
            ordinal = (connection.execute(newest).scalar() or 0) + 1
            # What stands before the first change: without it "too long ago" and "nothing yet" look alike.
            _write_changes(connection, life, [Position()])
        connection.execute(delete(_fold).where(*here))
        connection.execute(
            insert(_fold).values(
                site=life.site,
                incarnation=life.incarnation,
                ordinal=ordinal,
                seq=position.seq,
                digest=digest_text(position.digest),
                sessions=position.sessions,
                hole_at=position.hole_at,
                recovery=advance.recovery,
            )
        )
        _write_changes(connection, life, advance.digests)

    # --- questions ---

    def digest(self, life: Life, seq: int) -> Digest:
        position = self.position(life)

        def answer(at_seq: int, digest: str | None, sessions: int, reason: str = "") -> Digest:
            return Digest(
                incarnation=life.incarnation,
                seq=at_seq,
                fold_version=FOLD_VERSION,
                digest=digest,
                sessions=sessions,
                reason=reason,
            )

        if position.hole_at is not None and position.hole_at <= seq:
            reason = (
                f"entry {position.hole_at} never came, so this fold is not of the whole journal"
            )
            return answer(position.seq, None, position.sessions, reason)
        if position.seq < seq:
            return answer(position.seq, None, position.sessions)
        query = (
            select(_change.c.digest, _change.c.sessions)
            .where(
                _change.c.site == life.site,
                _change.c.incarnation == life.incarnation,
                _change.c.seq <= seq,
            )
            .order_by(_change.c.seq.desc())
            .limit(1)
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        if row is None:
            reason = f"more than {DIGEST_CHANGES_MAX} changes ago"
            return answer(position.seq, None, position.sessions, reason)
        return answer(seq, row.digest, row.sessions)

    def page(self, request: SessionsRequest) -> Sessions:
        """Raise ContractError on a cursor that is none."""
        here = _session.c.site == request.site
        query = select(_session.c.number, _session.c.view).where(here)
        if request.after:
            number = _number(request.after)
            query = query.where(
                _session.c.number < number if request.newest_first else _session.c.number > number
            )
        order = _session.c.number.desc() if request.newest_first else _session.c.number
        counting = (
            select(_session.c.state, func.count().label("sessions"))
            .where(here)
            .group_by(_session.c.state)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(order).limit(request.limit + 1)).all()
            counts = {row.state: row.sessions for row in connection.execute(counting)}
        shown = _that_fit(rows[: request.limit])
        return Sessions(
            sessions=tuple(SessionView.model_validate_json(row.view) for row in shown),
            next=str(shown[-1].number) if len(rows) > len(shown) else None,
            counts=counts,
        )

    def _fold_row(self, life: Life) -> Any:
        query = select(_fold).where(
            _fold.c.site == life.site, _fold.c.incarnation == life.incarnation
        )
        with self._engine.connect() as connection:
            return connection.execute(query).first()


def _write_changes(connection: Connection, life: Life, digests: Sequence[Position]) -> None:
    if not digests:
        return
    connection.execute(
        insert(_change),
        [
            {
                **life._asdict(),
                "seq": position.seq,
                "digest": digest_text(position.digest),
                "sessions": position.sessions,
            }
            for position in digests
        ],
    )
    here = (_change.c.site == life.site, _change.c.incarnation == life.incarnation)
    newest = select(_change.c.seq).where(*here).order_by(_change.c.seq.desc())
    too_old = connection.execute(newest.offset(DIGEST_CHANGES_MAX).limit(1)).scalar()
    if too_old is not None:
        connection.execute(delete(_change).where(*here, _change.c.seq <= too_old))


def _write_view(connection: Connection, site: str, key: str) -> None:
    parts = connection.execute(
        select(_part, _fold.c.ordinal)
        .join(
            _fold,
            (_fold.c.site == _part.c.site) & (_fold.c.incarnation == _part.c.incarnation),
        )
        .where(_part.c.site == site, _part.c.session == key)
        .order_by(_fold.c.ordinal)
    ).all()
    view = join(site, [(row.incarnation, _part_of(row)) for row in parts])
    here = (_session.c.site == site, _session.c.session == key)
    number = connection.execute(select(_session.c.number).where(*here)).scalar()
    if number is None:
        newest = select(func.max(_session.c.number)).where(_session.c.site == site)
        number = (connection.execute(newest).scalar() or 0) + 1
    connection.execute(delete(_session).where(*here))
    connection.execute(
        insert(_session).values(
            site=site,
            session=key,
            number=number,
            state=view.state.value,
            view=view.model_dump_json(),
        )
    )


def _part_of(row: Any) -> Session:
    content = json.loads(row.content)
    status, basis = content.pop("status"), content.pop("basis")
    seen, uncounted = content.pop("seq_seen"), content.pop("seq_uncounted")
    return Session(
        **content,
        seq_seen=_ranges(seen),
        seq_uncounted=_ranges(uncounted),
        status=TokenStatus(status) if status else None,
        basis=Basis(basis) if basis else None,
        marks=bytes(row.marks),
    )


def _ranges(stored: list[list[int]]) -> Ranges:
    return tuple((begin, end) for begin, end in stored)


def _that_fit(rows: Sequence[Any]) -> Sequence[Any]:
    """At least one, and no more than a reply may carry."""
    total = 0
    for index, row in enumerate(rows):
        total += len(row.view)
        if total > PAGE_BYTES_MAX and index:
            return rows[:index]
    return rows


def _number(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 9):
        raise ContractError(f"{cursor[:40]!r} is no cursor of sessions: take the `next` of a reply")
    return int(cursor)
