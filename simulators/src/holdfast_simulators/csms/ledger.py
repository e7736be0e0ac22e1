"""What the central system keeps, in one SQLite file that may be read while it is written.

    add(rows) -> soon committed, in groups        await committed() -> everything added so far is

Commits come every 50 ms or 500 rows, and at once (a few ms, so that many share one) when an answer
waits. `synchronous=NORMAL` with a write-ahead log: safe against the death of the process, which is what is
simulated. The file grows with the run.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from holdfast_simulators.control import CannotStart
from holdfast_simulators.csms.book import Book, Transaction
from holdfast_simulators.csms.event_book import EventBook
from holdfast_simulators.csms.rows import SCHEMA, Row, Write

COMMIT_AFTER_S = 0.05
GATHER_S = 0.002
"""How long the first answer that waits lets others join its commit."""
ROWS_MAX = 500


@contextmanager
def held(file: Path) -> Iterator[Ledger]:
    """The ledger, for this process alone: two would give the same ids."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = file.with_name(f"{file.name}.lock").open("w")
    except OSError as error:
        raise CannotStart(f"--state {file}: {error.strerror}; name a writable file") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            problem = "another process is this central system"
            raise CannotStart(f"--state {file}: {problem}; stop it first") from error
        try:
            ledger = Ledger(file)
        except sqlite3.Error as error:
            raise CannotStart(f"--state {file}: no ledger: {error}; name another file") from error
        try:
            yield ledger
        finally:
            ledger.close()


class Ledger:
    def __init__(self, file: Path) -> None:
        self._db = sqlite3.connect(file, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(SCHEMA)
        self._rows: dict[Write, list[tuple[object, ...]]] = {write: [] for write in Write}
        self._count = 0
        self._waiters: list[asyncio.Future[None]] = []
        self._has_rows = asyncio.Event()
        self._is_due = asyncio.Event()
        """Somebody waits, or there are many."""

    def book(self, first_id: int) -> Book:
        """All transactions, as a process that just started knows them."""
        self.commit()
        return Book(first_id, _transactions(self._db))

    def events(self) -> EventBook:
        """All transactions of 2.x, in the same way."""
        self.commit()
        rows = self._db.execute(
            "SELECT charge_point, message_id, payload, status FROM transaction_event ORDER BY n"
        )
        return EventBook((row[0], row[1], json.loads(row[2]), row[3]) for row in rows)

    def last_connection(self) -> int:
        """The highest number that a connection ever had in `wire`."""
        row = self._db.execute("SELECT connection FROM wire ORDER BY n DESC LIMIT 1").fetchone()
        return 0 if row is None else int(row[0])

    def add(self, rows: Iterable[Row]) -> None:
        for write, values in rows:
            self._rows[write].append(values)
            self._count += 1
        if self._count:
            self._has_rows.set()
        if self._count >= ROWS_MAX:
            self._is_due.set()

    async def committed(self) -> None:
        if self._count == 0:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._is_due.set()
        await waiter

    async def run(self) -> None:
        """Commit, for ever. What cannot be written ends the program: a ledger with a hole judges nothing."""
        while True:
            await self._has_rows.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(COMMIT_AFTER_S):
                    await self._is_due.wait()
            if self._count < ROWS_MAX:
                await asyncio.sleep(GATHER_S)
            self.commit()

    def commit(self) -> None:
        if self._count == 0:
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for write, rows in self._rows.items():
                if rows:
                    self._db.executemany(write.value, rows)
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
        for rows in self._rows.values():
            rows.clear()
        self._count = 0
        self._has_rows.clear()
        self._is_due.clear()
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def close(self) -> None:
        self.commit()
        self._db.close()


def _transactions(db: sqlite3.Connection) -> Iterator[Transaction]:
    for row in db.execute(
        "SELECT id, charge_point, connector, id_tag, meter_start, started_at, start_message_id, "
        "status, meter_stop, stopped_at, reason FROM transactions ORDER BY id"
    ):
        number, charge_point, connector, id_tag, meter_start, started_at, message_id, status = row[
            :8
        ]
        yield Transaction(
            id=number,
            charge_point=charge_point,
            connector=connector,
            id_tag=id_tag,
            meter_start=meter_start,
            started_at=started_at,
            start_message_id=message_id,
            status=status,
            stop=None if row[8] is None else (row[8], row[9], row[10]),
        )
