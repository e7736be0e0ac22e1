"""What a 1.6 charge point keeps: its connectors and sessions, beside the queue and the ledger of `body/`."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict
from pathlib import Path

from holdfast_simulators.charge_points.body.outbox import Outbox, Queued
from holdfast_simulators.charge_points.body.records import Reservation
from holdfast_simulators.charge_points.v16.device import Connector, Device, Session
from holdfast_simulators.charge_points.v16.events import BeginSession, EndSession
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


class Store(Outbox):
    def __init__(self, file: Path, charge_point: str) -> None:
        super().__init__(file, charge_point, SCHEMA)
        self._saved = Memory()

    # --- the device

    def load(self, connectors: int, monotonic_ms: int) -> Device:
        """The device as it was left: without power, its sessions still open."""
        rows = {row["number"]: row for row in self._db.execute("SELECT * FROM connector")}
        open_sessions = {
            row["connector"]: Session(
                key=row["key"],
                driver_token=row["driver_token"],
                meter_start_wh=row["meter_start_wh"],
                started_ms=row["started_at_ms"],
                next_reading_ms=monotonic_ms,
                transaction_id=row["transaction_id"],
                is_energised=bool(row["is_energised"]),
            )
            for row in self._db.execute("SELECT * FROM session WHERE stopped_true_ms IS NULL")
        }
        # A connector that was taken out of the configuration still ends its session.
        numbers = sorted({*range(1, connectors + 1), *open_sessions})
        memory = self._db.execute("SELECT memory FROM charge_point").fetchone()[0]
        self._saved = Memory() if memory is None else remembered(json.loads(memory))
        return Device(
            connectors=tuple(
                _connector(number, rows.get(number), open_sessions.get(number))
                for number in numbers
            ),
            metered_to_ms=monotonic_ms,
            sessions_begun=self._count("SELECT count(*) FROM session"),
            memory=self._saved,
        )

    def save(self, device: Device) -> None:
        if device.memory is not self._saved:
            document = json.dumps(device.memory.document())
            self._db.execute("UPDATE charge_point SET memory = ?", (document,))
            self._saved = device.memory
        self._db.executemany(
            "INSERT OR REPLACE INTO connector VALUES (?, ?, ?, ?, ?, ?)",
            [
                (
                    one.number,
                    one.register_mj,
                    one.is_plugged,
                    one.is_used,
                    one.is_operative,
                    None if one.reservation is None else json.dumps(asdict(one.reservation)),
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

    def end_session(self, effect: EndSession) -> None:
        self._db.execute(
            "UPDATE session SET meter_stop_wh = ?, stopped_at_ms = ?, stopped_true_ms = ?, "
            "stop_reason = ? WHERE key = ?",
            (
                effect.meter_stop_wh,
                effect.at.device_ms,
                effect.at.true_ms,
                effect.reason,
                effect.session.key,
            ),
        )

    def acknowledged(
        self, queued: Queued, message_id: str, payload: str, answer: str, at_ms: int
    ) -> None:
        super().acknowledged(queued, message_id, payload, answer, at_ms)
        column = {Action.START: "start_acked_at_ms", Action.STOP: "stop_acked_at_ms"}
        action = Action(queued.message.action)
        if action in column:
            self._db.execute(
                f"UPDATE session SET {column[action]} = ? WHERE key = ?",  # noqa: S608 - one of two names above
                (at_ms, queued.message.session),
            )

    def transaction_id(self, session: str) -> int | None:
        row = self._db.execute(
            "SELECT transaction_id FROM session WHERE key = ?", (session,)
        ).fetchone()
        return None if row is None else row["transaction_id"]

    def set_transaction_id(self, session: str, transaction_id: int) -> None:
        self._db.execute(
            "UPDATE session SET transaction_id = ? WHERE key = ?", (transaction_id, session)
        )


def _connector(number: int, row: sqlite3.Row | None, session: Session | None) -> Connector:
    if row is None:
        return Connector(number=number, session=session)
    return Connector(
        number=number,
        register_mj=row["register_mj"],
        is_plugged=bool(row["is_plugged"]),
        is_used=bool(row["is_used"]),
        is_operative=bool(row["is_operative"]),
        session=session,
        reservation=(
            None if row["reservation"] is None else Reservation(**json.loads(row["reservation"]))
        ),
    )
