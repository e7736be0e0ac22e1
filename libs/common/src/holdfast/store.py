"""The embedded store of a service: SQLite with fsync before commit, or PostgreSQL, one schema for both.

`Snapshots` keeps the state of a fold with the position it is of, so that a restart reads the journal
from there: a snapshot names (incarnation, seq, fold version), and one of another version is not used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    delete,
    event,
    insert,
    select,
)


def open_store(url: str) -> Engine:
    """`sqlite:///FILE` (its folder is made) or `postgresql+psycopg://...`."""
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(url, connect_args={"check_same_thread": False})
    if engine.url.database and engine.url.database != ":memory:":
        Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)

    @event.listens_for(engine, "connect")
    def _durable(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")  # a commit is on disk before it returns
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    return engine


def sqlite_url(data_dir: Path, name: str) -> str:
    return f"sqlite:///{data_dir / name}.sqlite"


metadata = MetaData()

_snapshot = Table(
    "snapshot",
    metadata,
    Column("fold", String(64), primary_key=True),
    Column("incarnation", String(64), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("fold_version", Integer, nullable=False),
    Column("state", LargeBinary, nullable=False),
)


class Snapshot(NamedTuple):
    seq: int
    state: bytes


class Snapshots:
    """The newest snapshot of each fold of one service."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        metadata.create_all(engine)

    def load(self, fold: str, incarnation: str, fold_version: int) -> Snapshot | None:
        """None when there is none of this incarnation and fold version: the fold begins at the beginning."""
        query = select(_snapshot.c.seq, _snapshot.c.state).where(
            _snapshot.c.fold == fold,
            _snapshot.c.incarnation == incarnation,
            _snapshot.c.fold_version == fold_version,
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        return Snapshot(row.seq, row.state) if row else None

    def save(self, fold: str, incarnation: str, fold_version: int, seq: int, state: bytes) -> None:
        with self._engine.begin() as connection:
            connection.execute(delete(_snapshot).where(_snapshot.c.fold == fold))
            connection.execute(
                insert(_snapshot).values(
                    fold=fold,
                    incarnation=incarnation,
                    fold_version=fold_version,
                    seq=seq,
                    state=state,
                )
            )
