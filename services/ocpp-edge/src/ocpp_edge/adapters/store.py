"""The newest snapshot: what is known of each charge point, and how far the journal is folded in all of them.

Only what changed is written, in one transaction. A snapshot of another incarnation or fold version is not
used: then the journal is folded from its beginning.

Beside it, what was left out by rule and is not told in the journal yet: of each session it counts only as long as
the reading that it follows is the session's last one there. And what the journal last said of who is registered.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from itertools import islice
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    insert,
    select,
)

from holdfast.contracts.registry import ChargePointRegistered
from holdfast.contracts.transaction import TransactionId
from ocpp_edge.domain.known import FOLD_VERSION, Known, TransactionKey
from ocpp_edge.domain.left_out import Untold

log = logging.getLogger(__name__)

_metadata = MetaData()

_position = Table(
    "position",
    _metadata,
    Column("incarnation", String(64), primary_key=True),
    Column("fold_version", Integer, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("downlink_seq", Integer, nullable=False),
)

_known = Table(
    "known",
    _metadata,
    Column("charge_point", String(1024), primary_key=True),
    Column("state", LargeBinary, nullable=False),
)

_opening = Table(
    "opening",
    _metadata,
    Column("incarnation", String(64), primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
)

_nobodys = Table(
    "nobodys_commands",
    _metadata,
    Column("place", Integer, primary_key=True),
    Column("command_id", String(64), nullable=False),
    Column("content", String(64), nullable=False),
)

_untold = Table(
    "untold",
    _metadata,
    Column("charge_point", String(1024), primary_key=True),
    Column("incarnation", String(64), nullable=False),
    Column("sessions", LargeBinary, nullable=False),
)

_registered = Table(
    "registered",
    _metadata,
    Column("charge_point", String(1024), primary_key=True),
    Column("incarnation", String(64), nullable=False),
    Column("fact", LargeBinary, nullable=False),
)

_KNOWN = TypeAdapter(Known)
_UNTOLD: TypeAdapter[dict[TransactionKey, Untold]] = TypeAdapter(dict[TransactionKey, Untold])


class Snapshot(NamedTuple):
    seq: int
    """Every fact of ours up to here is folded in; a charge point may be further."""
    downlink_seq: int
    known: dict[str, Known]
    nobodys: dict[str, str]
    """Ids of commands to charge points that are not registered, oldest first, with what each was."""


ROWS_AT_ONCE = 256
"""In one transaction still: after a storm all have changed, and their JSON need not be in memory all together."""


class Store:
    def __init__(self, engine: Engine, incarnation: str) -> None:
        self._engine = engine
        self._incarnation = incarnation
        _metadata.create_all(engine)

    def load(self) -> Snapshot:
        with self._engine.connect() as connection:
            found = connection.execute(
                select(_position.c.seq, _position.c.downlink_seq).where(
                    _position.c.incarnation == self._incarnation,
                    _position.c.fold_version == FOLD_VERSION,
                )
            ).first()
            if found is None:
                return Snapshot(0, 0, {}, {})
            rows = connection.execute(select(_known.c.charge_point, _known.c.state)).all()
            ids = connection.execute(select(_nobodys).order_by(_nobodys.c.place)).all()
        try:
            known = {row.charge_point: _KNOWN.validate_json(row.state) for row in rows}
        except ValidationError as error:
            # The journal has it all, unless it was trimmed: better slow than never.
            log.error("snapshot unreadable, folding the journal anew: %s", error.title)  # noqa: TRY400
            return Snapshot(0, 0, {}, {})
        nobodys = {row.command_id: row.content for row in ids}
        return Snapshot(found.seq, found.downlink_seq, known, nobodys)

    def load_untold(self) -> dict[str, dict[TransactionId, Untold]]:
        """By charge point and transaction id. What can't be read was not written: then it is not known."""
        mine = select(_untold).where(_untold.c.incarnation == self._incarnation)
        with self._engine.connect() as connection:
            rows = connection.execute(mine).all()
        try:
            return {row.charge_point: _UNTOLD.validate_json(row.sessions) for row in rows}
        except ValidationError as error:
            log.error("what was left out is unreadable: %s", error.title)  # noqa: TRY400
            return {}

    def save_untold(self, changed: Mapping[str, Mapping[TransactionId, Untold]]) -> None:
        """Of these charge points: nothing where there is none."""
        rows = [
            {
                "charge_point": name,
                "incarnation": self._incarnation,
                "sessions": _UNTOLD.dump_json(dict(sessions)),
            }
            for name, sessions in changed.items()
            if sessions
        ]
        with self._engine.begin() as connection:
            gone = delete(_untold).where(_untold.c.charge_point == bindparam("name"))
            connection.execute(gone, [{"name": name} for name in changed])
            if rows:
                connection.execute(insert(_untold), rows)

    def load_registered(self) -> dict[str, ChargePointRegistered]:
        """What the journal last said of who is registered. What can't be read is told again."""
        mine = select(_registered).where(_registered.c.incarnation == self._incarnation)
        with self._engine.connect() as connection:
            rows = connection.execute(mine).all()
        try:
            return {
                row.charge_point: ChargePointRegistered.model_validate_json(row.fact)
                for row in rows
            }
        except ValidationError as error:
            log.error("who was registered is unreadable: %s", error.title)  # noqa: TRY400
            return {}

    def save_registered(self, changed: Mapping[str, ChargePointRegistered | None]) -> None:
        """None: not any more."""
        rows = [
            {"charge_point": name, "incarnation": self._incarnation, "fact": fact.to_bytes()}
            for name, fact in changed.items()
            if fact
        ]
        with self._engine.begin() as connection:
            connection.execute(
                delete(_registered).where(_registered.c.incarnation != self._incarnation)
            )
            gone = delete(_registered).where(_registered.c.charge_point == bindparam("name"))
            connection.execute(gone, [{"name": name} for name in changed])
            if rows:
                connection.execute(insert(_registered), rows)

    def opened_at_ms(self) -> int | None:
        """When this incarnation was opened; None: not known here."""
        mine = select(_opening.c.at_ms).where(_opening.c.incarnation == self._incarnation)
        with self._engine.connect() as connection:
            return connection.execute(mine).scalar()

    def remember_opening(self, at_ms: int) -> None:
        with self._engine.begin() as connection:
            connection.execute(delete(_opening))
            connection.execute(insert(_opening).values(incarnation=self._incarnation, at_ms=at_ms))

    def save(
        self,
        seq: int,
        downlink_seq: int,
        changed: Mapping[str, Known],
        nobodys: Mapping[str, str] | None = None,
    ) -> None:
        """`nobodys`: where they have changed."""
        with self._engine.begin() as connection:
            mine = (_position.c.incarnation == self._incarnation) & (
                _position.c.fold_version == FOLD_VERSION
            )
            if connection.execute(select(_position.c.seq).where(mine)).first() is None:
                connection.execute(delete(_known))
                connection.execute(delete(_nobodys))
            connection.execute(delete(_position))
            connection.execute(
                insert(_position).values(
                    incarnation=self._incarnation,
                    fold_version=FOLD_VERSION,
                    seq=seq,
                    downlink_seq=downlink_seq,
                )
            )
            if nobodys is not None:
                connection.execute(delete(_nobodys))
                for place, (id, content) in enumerate(nobodys.items()):
                    row = {"place": place, "command_id": id, "content": content}
                    connection.execute(insert(_nobodys).values(row))
            gone = delete(_known).where(_known.c.charge_point == bindparam("name"))
            remaining = iter(changed.items())
            while some := list(islice(remaining, ROWS_AT_ONCE)):
                connection.execute(gone, [{"name": name} for name, _ in some])
                rows = [
                    {"charge_point": name, "state": _KNOWN.dump_json(known)} for name, known in some
                ]
                connection.execute(insert(_known), rows)
