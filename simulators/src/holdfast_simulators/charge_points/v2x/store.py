"""What a station keeps: its EVSEs and transactions, beside what all keep (`body/store.py`)."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from holdfast_simulators.charge_points.body import store
from holdfast_simulators.charge_points.body.events import BeginSession, EndSession
from holdfast_simulators.charge_points.body.outbox import Queued
from holdfast_simulators.charge_points.body.store import reservation_text, session_of
from holdfast_simulators.charge_points.v2x.device import ChargingState, Device, Evse, Transaction
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
PARTS = {"Started": "begin", "Ended": "end"}


class Store(store.Store[Device]):
    def __init__(self, file: Path, station: str) -> None:
        super().__init__(file, station, SCHEMA)

    def _connector_rows(self) -> sqlite3.Cursor:
        return self._db.execute("SELECT * FROM evse")

    def _connector(self, row: sqlite3.Row | None, session: sqlite3.Row | None, **kept: Any) -> Any:
        return Evse(session=None if session is None else _transaction(session), **kept)

    def _remembered(self, document: dict[str, Any] | None) -> Memory:
        return Memory() if document is None else remembered(document)

    def _device(self, **kept: Any) -> Device:
        return Device(id=self._id, **kept)

    def _save_connectors(self, device: Device) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO evse VALUES (?, ?, ?, ?, ?)",
            [
                (
                    one.number,
                    one.register_mj,
                    one.is_plugged,
                    one.is_operative,
                    reservation_text(one),
                )
                for one in device.connectors
            ],
        )
        for one in device.connectors:
            if one.session is not None:
                self._note(one.session)

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

    def begin_session(self, effect: BeginSession) -> None:
        transaction = effect.session
        assert isinstance(transaction, Transaction)
        self._db.execute(
            "INSERT INTO session (key, connector, driver_token, online, is_authorised, "
            "remote_start_id, next_seq_no, said, meter_start_wh, started_at_ms, started_true_ms, "
            "transaction_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                transaction.key,
                effect.connector,
                transaction.driver_token,
                effect.is_online,
                transaction.is_authorised,
                transaction.remote_start_id,
                transaction.next_seq_no,
                transaction.said,
                transaction.meter_start_wh,
                effect.at.device_ms,
                effect.at.true_ms,
                transaction.transaction_id,
            ),
        )

    def end_session(self, effect: EndSession) -> None:
        assert isinstance(effect.session, Transaction)
        self._note(effect.session)
        super().end_session(effect)

    def _part_of_session(self, queued: Queued) -> str:
        return PARTS.get(str(queued.message.fields.get("eventType")), "")

    def queued_transactions(self) -> frozenset[str]:
        """Those of which something waits to be sent."""
        rows = self._db.execute(
            "SELECT DISTINCT transaction_id FROM queue JOIN session ON session.key = queue.session"
        )
        return frozenset(row[0] for row in rows)


def _transaction(row: sqlite3.Row) -> Transaction:
    return Transaction(
        next_seq_no=row["next_seq_no"],
        said=ChargingState(row["said"]),
        is_authorised=bool(row["is_authorised"]),
        is_refused=bool(row["is_refused"]),
        remote_start_id=row["remote_start_id"],
        **session_of(row),
    )
