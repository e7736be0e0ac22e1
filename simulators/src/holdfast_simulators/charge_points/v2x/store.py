"""What a station keeps: its EVSEs and transactions, beside the queue and the ledger of `body/`."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict
from pathlib import Path

from holdfast_simulators.charge_points.body.outbox import Outbox, Queued
from holdfast_simulators.charge_points.body.records import Reservation
from holdfast_simulators.charge_points.v2x.device import ChargingState, Device, Evse, Transaction
from holdfast_simulators.charge_points.v2x.events import BeginTransaction, EndTransaction
from holdfast_simulators.charge_points.v2x.memory import Memory, remembered

SCHEMA = """
CREATE TABLE IF NOT EXISTS evse (
    number INTEGER PRIMARY KEY, register_mj INTEGER NOT NULL, is_plugged INTEGER NOT NULL,
    is_operative INTEGER NOT NULL, reservation TEXT
);
CREATE TABLE IF NOT EXISTS session (
    number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, connector INTEGER NOT NULL,
    driver_token TEXT, online INTEGER NOT NULL, is_authorised INTEGER NOT NULL,
    is_refused INTEGER NOT NULL DEFAULT 0, remote_start_id INTEGER,
    next_seq_no INTEGER NOT NULL, said TEXT NOT NULL,
    meter_start_wh INTEGER NOT NULL, started_at_ms INTEGER NOT NULL, started_true_ms INTEGER NOT NULL,
    meter_stop_wh INTEGER, stopped_at_ms INTEGER, stopped_true_ms INTEGER, stop_reason TEXT,
    transaction_id TEXT NOT NULL, start_acked_at_ms INTEGER, stop_acked_at_ms INTEGER
);
"""
ACKNOWLEDGED = {"Started": "start_acked_at_ms", "Ended": "stop_acked_at_ms"}


class Store(Outbox):
    def __init__(self, file: Path, station: str) -> None:
        super().__init__(file, station, SCHEMA)
        self._id = station
        self._saved = Memory()

    def load(self, evses: int, monotonic_ms: int) -> Device:
        """The device as it was left: without power, its transactions still open."""
        rows = {row["number"]: row for row in self._db.execute("SELECT * FROM evse")}
        running = {
            row["connector"]: _transaction(row, monotonic_ms)
            for row in self._db.execute("SELECT * FROM session WHERE stopped_true_ms IS NULL")
        }
        # An EVSE that was taken out of the configuration still ends its transaction.
        numbers = sorted({*range(1, evses + 1), *running})
        memory = self._db.execute("SELECT memory FROM charge_point").fetchone()[0]
        self._saved = Memory() if memory is None else remembered(json.loads(memory))
        return Device(
            id=self._id,
            evses=tuple(_evse(number, rows.get(number), running.get(number)) for number in numbers),
            metered_to_ms=monotonic_ms,
            transactions_begun=self._count("SELECT count(*) FROM session"),
            memory=self._saved,
        )

    def save(self, device: Device) -> None:
        if device.memory is not self._saved:
            document = json.dumps(device.memory.document())
            self._db.execute("UPDATE charge_point SET memory = ?", (document,))
            self._saved = device.memory
        self._db.executemany(
            "INSERT OR REPLACE INTO evse VALUES (?, ?, ?, ?, ?)",
            [
                (
                    one.number,
                    one.register_mj,
                    one.is_plugged,
                    one.is_operative,
                    None if one.reservation is None else json.dumps(asdict(one.reservation)),
                )
                for one in device.evses
            ],
        )
        for one in device.in_transaction:
            assert one.transaction is not None
            self._note(one.transaction)

    def _note(self, transaction: Transaction) -> None:
        self._db.execute(
            "UPDATE session SET driver_token = ?, is_authorised = ?, is_refused = ?, "
            "remote_start_id = ?, next_seq_no = ?, said = ? WHERE key = ?",
            (
                transaction.driver_token,
                transaction.is_authorised,
                transaction.is_refused,
                transaction.remote_start_id,
                transaction.next_seq_no,
                transaction.said,
                transaction.key,
            ),
        )

    def begin(self, effect: BeginTransaction) -> None:
        transaction = effect.transaction
        self._db.execute(
            "INSERT INTO session (key, connector, driver_token, online, is_authorised, "
            "remote_start_id, next_seq_no, said, meter_start_wh, started_at_ms, started_true_ms, "
            "transaction_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                transaction.key,
                effect.evse,
                transaction.driver_token,
                effect.is_online,
                transaction.is_authorised,
                transaction.remote_start_id,
                transaction.next_seq_no,
                transaction.said,
                transaction.meter_start_wh,
                effect.at.device_ms,
                effect.at.true_ms,
                transaction.id,
            ),
        )

    def end(self, effect: EndTransaction) -> None:
        self._note(effect.transaction)
        self._db.execute(
            "UPDATE session SET meter_stop_wh = ?, stopped_at_ms = ?, stopped_true_ms = ?, "
            "stop_reason = ? WHERE key = ?",
            (
                effect.meter_stop_wh,
                effect.at.device_ms,
                effect.at.true_ms,
                effect.reason,
                effect.transaction.key,
            ),
        )

    def acknowledged(
        self, queued: Queued, message_id: str, payload: str, answer: str, at_ms: int
    ) -> None:
        super().acknowledged(queued, message_id, payload, answer, at_ms)
        column = ACKNOWLEDGED.get(str(queued.message.fields.get("eventType")))
        if column is not None:
            self._db.execute(
                f"UPDATE session SET {column} = ? WHERE key = ?",  # noqa: S608 - one of two names above
                (at_ms, queued.message.session),
            )

    def queued_transactions(self) -> frozenset[str]:
        """Those of which something waits to be sent."""
        rows = self._db.execute(
            "SELECT DISTINCT transaction_id FROM queue JOIN session ON session.key = queue.session"
        )
        return frozenset(row[0] for row in rows)


def _evse(number: int, row: sqlite3.Row | None, transaction: Transaction | None) -> Evse:
    if row is None:
        return Evse(number=number, transaction=transaction)
    reservation = row["reservation"]
    return Evse(
        number=number,
        register_mj=row["register_mj"],
        is_plugged=bool(row["is_plugged"]),
        is_operative=bool(row["is_operative"]),
        transaction=transaction,
        reservation=None if reservation is None else Reservation(**json.loads(reservation)),
    )


def _transaction(row: sqlite3.Row, monotonic_ms: int) -> Transaction:
    return Transaction(
        key=row["key"],
        id=row["transaction_id"],
        next_seq_no=row["next_seq_no"],
        driver_token=row["driver_token"],
        meter_start_wh=row["meter_start_wh"],
        started_ms=row["started_at_ms"],
        next_reading_ms=monotonic_ms,
        said=ChargingState(row["said"]),
        is_authorised=bool(row["is_authorised"]),
        is_refused=bool(row["is_refused"]),
        remote_start_id=row["remote_start_id"],
    )
