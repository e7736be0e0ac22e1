"""What one charge point remembers over reboots and kills: its queue, its meters, its ledger.

One SQLite file per charge point. Each change is one transaction, so a kill leaves the queue, the
register and the ledger in agreement. `synchronous=NORMAL` with a write-ahead log: safe against the
death of the process, which is what is simulated; the machine's own power is not.

The ledger grows with the run and is never trimmed: it is the truth the oracle judges by.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from holdfast_simulators.charge_point import outbox
from holdfast_simulators.charge_point.device import Connector, Device, Session
from holdfast_simulators.charge_point.events import BeginSession, EndSession
from holdfast_simulators.charge_point.memory import Memory, Reservation, remembered
from holdfast_simulators.charge_point.outbox import Action, Entry, Transactional

SCHEMA = """
CREATE TABLE IF NOT EXISTS charge_point (
    id TEXT NOT NULL, memory TEXT
);
CREATE TABLE IF NOT EXISTS connector (
    number INTEGER PRIMARY KEY, register_mj INTEGER NOT NULL, is_plugged INTEGER NOT NULL,
    is_used INTEGER NOT NULL, is_operative INTEGER NOT NULL, reservation TEXT
);
CREATE TABLE IF NOT EXISTS queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT, action TEXT NOT NULL, session TEXT NOT NULL,
    fields TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, message_id TEXT, payload TEXT
);
CREATE TABLE IF NOT EXISTS known_token (
    driver_token TEXT PRIMARY KEY, accepted INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS session (
    number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, connector INTEGER NOT NULL,
    driver_token TEXT NOT NULL, online INTEGER NOT NULL, is_energised INTEGER NOT NULL DEFAULT 1,
    meter_start_wh INTEGER NOT NULL, started_at_ms INTEGER NOT NULL, started_true_ms INTEGER NOT NULL,
    meter_stop_wh INTEGER, stopped_at_ms INTEGER, stopped_true_ms INTEGER, stop_reason TEXT,
    transaction_id INTEGER, start_acked_at_ms INTEGER, stop_acked_at_ms INTEGER
);
CREATE TABLE IF NOT EXISTS acknowledged (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT NOT NULL, action TEXT NOT NULL,
    session TEXT, payload TEXT NOT NULL, acked_at_ms INTEGER NOT NULL, answer TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS discarded (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, action TEXT NOT NULL, session TEXT NOT NULL,
    payload TEXT, why TEXT NOT NULL, attempts INTEGER NOT NULL, at_ms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS command (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT NOT NULL, action TEXT NOT NULL,
    payload TEXT NOT NULL, at_ms INTEGER NOT NULL, executed INTEGER NOT NULL, answer TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS authorisation (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, connector INTEGER NOT NULL, driver_token TEXT NOT NULL,
    accepted INTEGER NOT NULL, online INTEGER NOT NULL, at_ms INTEGER NOT NULL
);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """A message at its place in the queue, with the id and text of its last transmission."""

    place: int
    message: Transactional
    attempts: int
    message_id: str | None
    payload: str | None
    transaction_id: int | None
    """Of its session, when it is known by now."""


class Store:
    def __init__(self, file: Path, charge_point: str) -> None:
        self._db = sqlite3.connect(file, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._saved = Memory()
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(SCHEMA)
        if self._db.execute("SELECT 1 FROM charge_point").fetchone() is None:
            self._db.execute("INSERT INTO charge_point (id) VALUES (?)", (charge_point,))

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

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

    # --- the queue

    def queue_length(self) -> int:
        return self._count("SELECT count(*) FROM queue")

    def has_room(self, running: int, capacity: int) -> bool:
        """Whether one more session may begin."""
        fixed = self._count("SELECT count(*) FROM queue WHERE action != ?", Action.METER)
        return outbox.may_begin_session(starts_and_stops=fixed, running=running, capacity=capacity)

    def enqueue(
        self,
        message: Transactional,
        *,
        running: int,
        capacity: int,
        in_flight: int | None,
        at_ms: int,
    ) -> Entry:
        """`in_flight` is the place of the message being sent: what is on the wire is not dropped."""
        oldest = self._db.execute(
            "SELECT * FROM queue WHERE action = ? AND id IS NOT ? ORDER BY id LIMIT 1",
            (Action.METER, in_flight),
        ).fetchone()
        verdict = outbox.entry(
            action=message.action,
            queued=self.queue_length(),
            meter_values=0 if oldest is None else 1,
            reserved=running,
            capacity=capacity,
        )
        if verdict is Entry.DROPPED:
            self._record_discarded(message, None, "queue full", 0, at_ms)
            return verdict
        if verdict is Entry.AFTER_DROPPING:
            self._remove(self._queued(oldest), "queue full", at_ms)
        self._db.execute(
            "INSERT INTO queue (action, session, fields) VALUES (?, ?, ?)",
            (message.action, message.session, json.dumps(message.fields)),
        )
        return verdict

    def head(self) -> Queued | None:
        row = self._db.execute("SELECT * FROM queue ORDER BY id LIMIT 1").fetchone()
        return None if row is None else self._queued(row)

    def sending(self, queued: Queued, message_id: str, payload: str) -> None:
        """Remember what is about to be sent, so that it can be sent again as it was."""
        self._db.execute(
            "UPDATE queue SET message_id = ?, payload = ? WHERE id = ?",
            (message_id, payload, queued.place),
        )

    def failed(self, queued: Queued) -> int:
        """One transmission came to nothing; how many that makes."""
        self._db.execute("UPDATE queue SET attempts = attempts + 1 WHERE id = ?", (queued.place,))
        return queued.attempts + 1

    def acknowledged(
        self, queued: Queued, message_id: str, payload: str, answer: str, at_ms: int
    ) -> None:
        self.record_answer(
            message_id, queued.message.action, payload, answer, at_ms, queued.message.session
        )
        column = {Action.START: "start_acked_at_ms", Action.STOP: "stop_acked_at_ms"}
        if queued.message.action in column:
            self._db.execute(
                f"UPDATE session SET {column[queued.message.action]} = ? WHERE key = ?",  # noqa: S608 - one of two names above
                (at_ms, queued.message.session),
            )
        self._db.execute("DELETE FROM queue WHERE id = ?", (queued.place,))

    def set_transaction_id(self, session: str, transaction_id: int) -> None:
        self._db.execute(
            "UPDATE session SET transaction_id = ? WHERE key = ?", (transaction_id, session)
        )

    def discard(self, queued: Queued, why: str, at_ms: int) -> None:
        self._remove(queued, why, at_ms)

    def discard_all(self, why: str, at_ms: int) -> int:
        rows = self._db.execute("SELECT * FROM queue ORDER BY id").fetchall()
        for row in rows:
            self._remove(self._queued(row), why, at_ms)
        return len(rows)

    def _remove(self, queued: Queued, why: str, at_ms: int) -> None:
        self._record_discarded(queued.message, queued.payload, why, queued.attempts, at_ms)
        self._db.execute("DELETE FROM queue WHERE id = ?", (queued.place,))

    def _record_discarded(
        self, message: Transactional, payload: str | None, why: str, attempts: int, at_ms: int
    ) -> None:
        self._db.execute(
            "INSERT INTO discarded (action, session, payload, why, attempts, at_ms) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (message.action, message.session, payload, why, attempts, at_ms),
        )

    def _queued(self, row: sqlite3.Row) -> Queued:
        session = self._db.execute(
            "SELECT transaction_id FROM session WHERE key = ?", (row["session"],)
        ).fetchone()
        return Queued(
            place=row["id"],
            message=Transactional(
                action=Action(row["action"]),
                session=row["session"],
                fields=json.loads(row["fields"]),
            ),
            attempts=row["attempts"],
            message_id=row["message_id"],
            payload=row["payload"],
            transaction_id=None if session is None else session["transaction_id"],
        )

    # --- the ledger, and the tokens

    def record_answer(
        self,
        message_id: str,
        action: str,
        payload: str,
        answer: str,
        at_ms: int,
        session: str | None = None,
    ) -> None:
        self._db.execute(
            "INSERT INTO acknowledged (message_id, action, session, payload, acked_at_ms, answer) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (message_id, action, session, payload, at_ms, answer),
        )

    def record_command(
        self, message_id: str, action: str, payload: str, at_ms: int, *, executed: bool, answer: str
    ) -> None:
        self._db.execute(
            "INSERT INTO command (message_id, action, payload, at_ms, executed, answer) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (message_id, action, payload, at_ms, executed, answer),
        )

    def record_authorisation(
        self, connector: int, driver_token: str, at_ms: int, *, accepted: bool, online: bool
    ) -> None:
        self._db.execute(
            "INSERT INTO authorisation (connector, driver_token, accepted, online, at_ms) "
            "VALUES (?, ?, ?, ?, ?)",
            (connector, driver_token, accepted, online, at_ms),
        )

    def remember_token(self, driver_token: str, *, accepted: bool) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO known_token VALUES (?, ?)", (driver_token, accepted)
        )

    def forget_tokens(self) -> None:
        self._db.execute("DELETE FROM known_token")

    def known_token(self, driver_token: str) -> bool | None:
        row = self._db.execute(
            "SELECT accepted FROM known_token WHERE driver_token = ?", (driver_token,)
        ).fetchone()
        return None if row is None else bool(row["accepted"])

    def _count(self, statement: str, *parameters: Any) -> int:
        return int(self._db.execute(statement, parameters).fetchone()[0])


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
