"""The offline queue of a charge point, durable beside its ledger.

Every change is one transaction, so that a kill leaves both in agreement. Which message
may enter is decided in `queue_rules.py`.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast_simulators.charge_points.body import queue_rules
from holdfast_simulators.charge_points.body.ledger import Ledger
from holdfast_simulators.charge_points.body.queue_rules import Entry

SCHEMA = """
CREATE TABLE IF NOT EXISTS queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT, action TEXT NOT NULL, session TEXT NOT NULL,
    fields TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, message_id TEXT, payload TEXT,
    is_reading INTEGER NOT NULL DEFAULT 0, is_offline INTEGER NOT NULL DEFAULT 0
);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What must reach the central system, sooner or later."""

    action: str
    session: str = ""
    """Empty: of no session. It is then guaranteed: never given up, never in the way of a session's."""
    fields: dict[str, Any]
    """The payload without what is only known when it is sent."""
    is_reading: bool = False
    """May be left out when the queue is full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """A message at its place in the queue, with the id and text of its last transmission."""

    place: int
    message: Message
    attempts: int
    message_id: str | None
    payload: str | None
    is_offline: bool
    """It arose, or waited, without a connection, and has not been sent before."""


class Outbox(Ledger):
    def __init__(self, file: Path, charge_point: str, schema: str) -> None:
        super().__init__(file, charge_point, SCHEMA + schema)
        columns = {row["name"] for row in self._db.execute("PRAGMA table_info(queue)")}
        if "is_reading" not in columns:
            # A database of a simulator that knew 1.6 only.
            self._db.execute("ALTER TABLE queue ADD is_reading INTEGER NOT NULL DEFAULT 0")
            self._db.execute("ALTER TABLE queue ADD is_offline INTEGER NOT NULL DEFAULT 0")
            self._db.execute("UPDATE queue SET is_reading = action = 'MeterValues'")

    def queue_length(self) -> int:
        return self._count("SELECT count(*) FROM queue")

    def has_room(self, running: int, capacity: int) -> bool:
        """Whether one more session may begin."""
        fixed = self._count("SELECT count(*) FROM queue WHERE NOT is_reading")
        return queue_rules.may_begin_session(
            starts_and_stops=fixed, running=running, capacity=capacity
        )

    def enqueue(
        self,
        message: Message,
        *,
        running: int,
        capacity: int,
        in_flight: int | None,
        at_ms: int,
        is_offline: bool = False,
    ) -> Entry:
        """`in_flight` is the place of the message being sent: what is on the wire is not dropped."""
        oldest = self._db.execute(
            "SELECT * FROM queue WHERE is_reading AND id IS NOT ? ORDER BY id LIMIT 1",
            (in_flight,),
        ).fetchone()
        verdict = queue_rules.entry(
            is_reading=message.is_reading,
            queued=self.queue_length(),
            readings=0 if oldest is None else 1,
            reserved=running,
            capacity=capacity,
        )
        if verdict is Entry.DROPPED:
            self._record_lost(message, None, "queue full", 0, at_ms)
            return verdict
        if verdict is Entry.AFTER_DROPPING:
            self.discard(_queued(oldest), "queue full", at_ms)
        self._db.execute(
            "INSERT INTO queue (action, session, fields, is_reading, is_offline) "
            "VALUES (?, ?, ?, ?, ?)",
            (
                message.action,
                message.session,
                json.dumps(message.fields),
                message.is_reading,
                is_offline,
            ),
        )
        return verdict

    def head(self, *, of_sessions: bool = True) -> Queued | None:
        row = self._db.execute(
            "SELECT * FROM queue WHERE (session != '') = ? ORDER BY id LIMIT 1", (of_sessions,)
        ).fetchone()
        return None if row is None else _queued(row)

    def mark_offline(self) -> None:
        """The link is gone: what waits was not told while it happened. What was sent once stays as it was."""
        self._db.execute("UPDATE queue SET is_offline = 1 WHERE payload IS NULL")

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
        message = queued.message
        self.record_answer(
            message_id, message.action, payload, answer, at_ms, message.session or None
        )
        self._db.execute("DELETE FROM queue WHERE id = ?", (queued.place,))

    def discard(self, queued: Queued, why: str, at_ms: int) -> None:
        self._record_lost(queued.message, queued.payload, why, queued.attempts, at_ms)
        self._db.execute("DELETE FROM queue WHERE id = ?", (queued.place,))

    def discard_all(self, why: str, at_ms: int) -> int:
        rows = self._db.execute("SELECT * FROM queue ORDER BY id").fetchall()
        for row in rows:
            self.discard(_queued(row), why, at_ms)
        return len(rows)

    def _record_lost(
        self, message: Message, payload: str | None, why: str, attempts: int, at_ms: int
    ) -> None:
        self.record_discarded(message.action, message.session, payload, why, attempts, at_ms)


def _queued(row: sqlite3.Row) -> Queued:
    return Queued(
        place=row["id"],
        message=Message(
            action=row["action"],
            session=row["session"],
            fields=json.loads(row["fields"]),
            is_reading=bool(row["is_reading"]),
        ),
        attempts=row["attempts"],
        message_id=row["message_id"],
        payload=row["payload"],
        is_offline=bool(row["is_offline"]),
    )
