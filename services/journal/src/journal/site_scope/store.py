"""What the site's journal service keeps beside the journal: its place in the chain, marks, and the lives it knew.

All of it can be lost: the chain is read again from the stored stream.
"""

from __future__ import annotations

import json

from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    insert,
    select,
)

from holdfast.store import Snapshots
from journal.domain.budget import Mark
from journal.domain.chain import State

FOLD = "chain"
FOLD_VERSION = 1

_metadata = MetaData()
_life = Table(
    "life",
    _metadata,
    Column("ordinal", Integer, primary_key=True, autoincrement=True),
    Column("incarnation", String(8), nullable=False, unique=True),
)
_mark = Table(
    "mark",
    _metadata,
    Column("incarnation", String(8), primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("hash", LargeBinary, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)


class SiteStore:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._snapshots = Snapshots(engine)
        _metadata.create_all(engine)

    def lives(self) -> list[str]:
        """Every incarnation this disk has served, in order."""
        query = select(_life.c.incarnation).order_by(_life.c.ordinal)
        with self._engine.connect() as connection:
            return [row.incarnation for row in connection.execute(query)]

    def remember_life(self, incarnation: str) -> None:
        if incarnation not in self.lives():
            with self._engine.begin() as connection:
                connection.execute(insert(_life).values(incarnation=incarnation))

    def load(self, incarnation: str) -> State | None:
        snapshot = self._snapshots.load(FOLD, incarnation, FOLD_VERSION)
        if snapshot is None:
            return None
        kept = json.loads(snapshot.state)
        return State(
            seq=snapshot.seq,
            hash=bytes.fromhex(kept["hash"]),
            newest=kept["newest"],
            stated=kept["stated"],
        )

    def save(self, incarnation: str, state: State) -> None:
        """Only of a state that owes nothing: what is owed is found again by reading."""
        assert not state.owed
        kept = {"hash": state.hash.hex(), "newest": state.newest, "stated": state.stated}
        self._snapshots.save(FOLD, incarnation, FOLD_VERSION, state.seq, json.dumps(kept).encode())

    def marks(self, incarnation: str) -> list[Mark]:
        query = (
            select(_mark.c.seq, _mark.c.hash, _mark.c.at_ms)
            .where(_mark.c.incarnation == incarnation)
            .order_by(_mark.c.seq)
        )
        with self._engine.connect() as connection:
            return [Mark(row.seq, row.hash, row.at_ms) for row in connection.execute(query)]

    def add_mark(self, incarnation: str, mark: Mark) -> None:
        here = (_mark.c.incarnation == incarnation) & (_mark.c.seq == mark.seq)
        with self._engine.begin() as connection:
            connection.execute(delete(_mark).where(here))
            connection.execute(
                insert(_mark).values(
                    incarnation=incarnation, seq=mark.seq, hash=mark.hash, at_ms=mark.at_ms
                )
            )

    def drop_marks(self, incarnation: str, below_seq: int) -> None:
        """Of this incarnation below the sequence, and of every earlier life."""
        gone = (_mark.c.incarnation != incarnation) | (_mark.c.seq < below_seq)
        with self._engine.begin() as connection:
            connection.execute(delete(_mark).where(gone))
