"""What the charge points know, read from their databases: the truth of the judgement."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from holdfast_simulators.oracle.account import CannotJudge

NO_TRANSACTION = -1
GUARANTEED = ("SecurityEventNotification", "NotifySettlement")
"""Of no session, and kept all the same until they are acknowledged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """A transactional CALL that the charge point holds an answer to, and has therefore forgotten."""

    charge_point: str
    session: str
    action: str
    payload: str
    message_id: str
    acked_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueSession:
    charge_point: str
    key: str
    connector: int
    transaction_id: int | str | None
    meter_start_wh: int
    meter_stop_wh: int | None
    started_at_ms: int
    """By the charge point's clock, as it stands in StartTransaction."""
    is_start_acked: bool
    is_stop_acked: bool

    @property
    def name(self) -> str:
        return f"{self.charge_point} session {self.key}"

    @property
    def energy_wh(self) -> int | None:
        return None if self.meter_stop_wh is None else self.meter_stop_wh - self.meter_start_wh


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """A command that took effect."""

    charge_point: str
    message_id: str
    action: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    acknowledged: tuple[Acknowledged, ...]
    sessions: tuple[TrueSession, ...]
    executed: tuple[Executed, ...]
    sent: frozenset[tuple[str, str, str]]
    """(charge point, action, payload) of every transactional transmission ever begun."""
    discarded: int
    queued: int
    """Not yet acknowledged: a judgement passed too early."""
    charge_points: tuple[str, ...]
    guaranteed: tuple[Acknowledged, ...] = ()
    """Acknowledged ones of `GUARANTEED`."""


def read(folder: Path) -> Truth:
    """All databases of the folder; raise CannotJudge when there are none or one is not readable."""
    files = sorted(folder.glob("*.db"))
    if not files:
        raise CannotJudge(f"--state {folder}: no charge point's ledger (*.db) there")
    parts = [_read(file) for file in files]
    return Truth(
        acknowledged=tuple(one for part in parts for one in part.acknowledged),
        sessions=tuple(one for part in parts for one in part.sessions),
        guaranteed=tuple(one for part in parts for one in part.guaranteed),
        executed=tuple(one for part in parts for one in part.executed),
        sent=frozenset(one for part in parts for one in part.sent),
        discarded=sum(part.discarded for part in parts),
        queued=sum(part.queued for part in parts),
        charge_points=tuple(one for part in parts for one in part.charge_points),
    )


def _read(file: Path) -> Truth:
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            db.execute("BEGIN")
            return _truth(db)
    except sqlite3.Error as error:
        raise CannotJudge(f"{file}: not a charge point's ledger: {error}") from error


def _truth(db: sqlite3.Connection) -> Truth:
    charge_point = str(db.execute("SELECT id FROM charge_point").fetchone()[0])
    answered = tuple(
        Acknowledged(
            charge_point=charge_point,
            session=row["session"] or "",
            action=row["action"],
            payload=row["payload"],
            message_id=row["message_id"],
            acked_at_ms=row["acked_at_ms"],
        )
        for row in db.execute("SELECT * FROM acknowledged ORDER BY seq")
    )
    acknowledged = tuple(one for one in answered if one.session)
    in_queue = db.execute("SELECT action, payload FROM queue").fetchall()
    discarded = db.execute("SELECT action, payload FROM discarded").fetchall()
    return Truth(
        acknowledged=acknowledged,
        sessions=tuple(_sessions(db, charge_point)),
        guaranteed=tuple(one for one in answered if one.action in GUARANTEED),
        executed=tuple(
            Executed(
                charge_point=charge_point,
                message_id=row["message_id"],
                action=row["action"],
                at_ms=row["at_ms"],
            )
            for row in db.execute("SELECT * FROM command WHERE executed ORDER BY seq")
        ),
        sent=frozenset(
            [(charge_point, one.action, one.payload) for one in acknowledged]
            + [
                (charge_point, row["action"], row["payload"])
                for row in (*in_queue, *discarded)
                if row["payload"] is not None
            ]
        ),
        discarded=len(discarded),
        queued=len(in_queue),
        charge_points=(charge_point,),
    )


def _sessions(db: sqlite3.Connection, charge_point: str) -> Iterator[TrueSession]:
    for row in db.execute("SELECT * FROM session ORDER BY number"):
        yield TrueSession(
            charge_point=charge_point,
            key=row["key"],
            connector=row["connector"],
            transaction_id=row["transaction_id"],
            meter_start_wh=row["meter_start_wh"],
            meter_stop_wh=row["meter_stop_wh"],
            started_at_ms=row["started_at_ms"],
            is_start_acked=row["start_acked_at_ms"] is not None,
            is_stop_acked=row["stop_acked_at_ms"] is not None,
        )
