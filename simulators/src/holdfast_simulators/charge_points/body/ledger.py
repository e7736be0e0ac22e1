"""The part of a charge point's database that the oracle judges by, the same in every version.

    {state}/{percent-encoded id}.db:  sessions (by version)  |  queue  |  acknowledged, discarded, command, ...

`synchronous=NORMAL` with a write-ahead log: safe against the death of the process, which is what is simulated;
the machine's own power is not. The ledger grows with the run and is never trimmed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS charge_point (
    id TEXT NOT NULL, memory TEXT
);
CREATE TABLE IF NOT EXISTS known_token (
    driver_token TEXT PRIMARY KEY, accepted INTEGER NOT NULL
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


class Ledger:
    def __init__(self, file: Path, charge_point: str, schema: str) -> None:
        """`schema`: the tables that only this version has."""
        self._db = sqlite3.connect(file, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(SCHEMA + schema)
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

    # --- what was said

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

    def record_discarded(
        self, action: str, session: str, payload: str | None, why: str, attempts: int, at_ms: int
    ) -> None:
        self._db.execute(
            "INSERT INTO discarded (action, session, payload, why, attempts, at_ms) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (action, session, payload, why, attempts, at_ms),
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

    # --- the cache of driver tokens

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
