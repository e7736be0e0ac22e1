"""What a 1.6 charge point keeps: its connectors and sessions, beside what all keep (`body/store.py`)."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from holdfast_simulators.charge_points.body import store
from holdfast_simulators.charge_points.body.events import BeginSession
from holdfast_simulators.charge_points.body.outbox import Queued
from holdfast_simulators.charge_points.body.store import reservation_text, session_of
from holdfast_simulators.charge_points.v16.device import Connector, Device, Session
from holdfast_simulators.charge_points.v16.memory import Memory, remembered
from holdfast_simulators.charge_points.v16.outbox import Action

SCHEMA = """
CREATE TABLE IF NOT EXISTS connector (
    number INTEGER PRIMARY KEY, register_mj INTEGER NOT NULL, is_plugged INTEGER NOT NULL,
    is_used INTEGER NOT NULL, is_operative INTEGER NOT NULL, reservation TEXT
);
CREATE TABLE IF NOT EXISTS session (
    number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, connector INTEGER NOT NULL,
    driver_token TEXT NOT NULL, online INTEGER NOT NULL, is_energised INTEGER NOT NULL DEFAULT 1,
    meter_start_wh INTEGER NOT NULL, started_at_ms INTEGER NOT NULL, started_true_ms INTEGER NOT NULL,
    meter_stop_wh INTEGER, stopped_at_ms INTEGER, stopped_true_ms INTEGER, stop_reason TEXT,
    transaction_id INTEGER, start_acked_at_ms INTEGER, stop_acked_at_ms INTEGER
);
"""
PARTS = {Action.START: "begin", Action.STOP: "end"}


class Store(store.Store[Device]):
    def __init__(self, file: Path, charge_point: str) -> None:
        super().__init__(file, charge_point, SCHEMA)

    def _connector_rows(self) -> sqlite3.Cursor:
        return self._db.execute("SELECT * FROM connector")

    def _connector(self, row: sqlite3.Row | None, session: sqlite3.Row | None, **kept: Any) -> Any:
        is_used = row is not None and bool(row["is_used"])
        running = None if session is None else _session(session)
        return Connector(is_used=is_used, session=running, **kept)

    def _remembered(self, document: dict[str, Any] | None) -> Memory:
        return Memory() if document is None else remembered(document)

    def _device(self, **kept: Any) -> Device:
        return Device(**kept)

    def _save_connectors(self, device: Device) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO connector VALUES (?, ?, ?, ?, ?, ?)",
            [
                (
                    one.number,
                    one.register_mj,
                    one.is_plugged,
                    one.is_used,
                    one.is_operative,
                    reservation_text(one),
                )
                for one in device.connectors
            ],
        )
        self._db.executemany(
            "UPDATE session SET is_energised = ? WHERE key = ?",
            [
                (one.session.is_energised, one.session.key)
                for one in device.connectors
                if one.session is not None
            ],
        )

    def begin_session(self, effect: BeginSession) -> None:
        session = effect.session
        self._db.execute(
            "INSERT INTO session (key, connector, driver_token, online, meter_start_wh, "
            "started_at_ms, started_true_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                session.key,
                effect.connector,
                session.driver_token,
                effect.is_online,
                session.meter_start_wh,
                effect.at.device_ms,
                effect.at.true_ms,
            ),
        )

    def _part_of_session(self, queued: Queued) -> str:
        return PARTS.get(Action(queued.message.action), "")

    def transaction_id(self, session: str) -> int | None:
        row = self._db.execute(
            "SELECT transaction_id FROM session WHERE key = ?", (session,)
        ).fetchone()
        return None if row is None else row["transaction_id"]

    def set_transaction_id(self, session: str, transaction_id: int) -> None:
        self._db.execute(
            "UPDATE session SET transaction_id = ? WHERE key = ?", (transaction_id, session)
        )


def _session(row: sqlite3.Row) -> Session:
    return Session(is_energised=bool(row["is_energised"]), **session_of(row))
