"""What the central system kept, read from its database: the last station of every message."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast_simulators.oracle.account import CannotJudge

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptTransaction:
    id: int
    charge_point: str
    start: Fields
    stop: Fields | None
    """Its StopTransaction, without the transaction id; None: it still runs."""

    @property
    def name(self) -> str:
        return f"{self.charge_point} transaction {self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptReading:
    charge_point: str
    transaction_id: int
    fields: Fields
    """MeterValues, without the transaction id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptEvent:
    """A TransactionEvent of 2.x."""

    charge_point: str
    fields: Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class NotTaken:
    """Acknowledged and not taken; the central system says why."""

    charge_point: str
    action: str
    fields: Fields
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    transactions: tuple[KeptTransaction, ...]
    readings: tuple[KeptReading, ...]
    not_taken: tuple[NotTaken, ...]
    doubled: tuple[str, ...]
    """The charge point of each moment in which it had two connections."""
    events: tuple[KeptEvent, ...] = ()
    """In the order in which they came."""


def fields_of(payload: str) -> Fields:
    """Space is no content, and the transaction id is rewritten by whoever stands between."""
    fields = json.loads(payload)
    if not isinstance(fields, dict):
        raise ValueError(f"a payload is an object, given {payload[:80]!r}")
    return {name: value for name, value in fields.items() if name != "transactionId"}


def read(file: Path) -> Kept:
    """Raise CannotJudge when it is not there or not a central system's ledger."""
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            db.execute("BEGIN")
            return _kept(db)
    except (sqlite3.Error, ValueError) as error:
        raise CannotJudge(f"--csms {file}: not a central system's ledger: {error}") from error


def _kept(db: sqlite3.Connection) -> Kept:
    return Kept(
        transactions=tuple(
            KeptTransaction(
                id=row["id"],
                charge_point=row["charge_point"],
                start=fields_of(row["start_payload"]),
                stop=None if row["stop_payload"] is None else fields_of(row["stop_payload"]),
            )
            for row in db.execute("SELECT * FROM transactions ORDER BY id")
        ),
        readings=tuple(
            KeptReading(
                charge_point=row["charge_point"],
                transaction_id=row["transaction_id"],
                fields=fields_of(row["payload"]),
            )
            for row in db.execute(
                "SELECT * FROM meter_value WHERE transaction_id IS NOT NULL ORDER BY n"
            )
        ),
        not_taken=tuple(
            NotTaken(
                charge_point=row["charge_point"],
                action=row["action"],
                fields=fields_of(row["payload"]),
                reason=row["reason"],
            )
            for row in db.execute("SELECT * FROM failed ORDER BY n")
        ),
        doubled=tuple(row["charge_point"] for row in db.execute("SELECT * FROM doubled")),
        events=tuple(
            KeptEvent(charge_point=row["charge_point"], fields=json.loads(row["payload"]))
            for row in db.execute("SELECT * FROM transaction_event ORDER BY n")
        ),
    )
