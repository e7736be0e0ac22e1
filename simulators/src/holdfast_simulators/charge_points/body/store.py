"""What a charge point keeps: its connectors, sessions and memory, beside queue and ledger.

Tables of connectors and sessions are the version's; in each, an open session is one without `stopped_true_ms`.
"""

from __future__ import annotations

import json
import sqlite3
from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic

from holdfast_simulators.charge_points.body.device import Connector, D
from holdfast_simulators.charge_points.body.events import BeginSession, EndSession
from holdfast_simulators.charge_points.body.memory import Memory
from holdfast_simulators.charge_points.body.outbox import Outbox, Queued
from holdfast_simulators.charge_points.body.records import Reservation

ACKNOWLEDGED = {"begin": "start_acked_at_ms", "end": "stop_acked_at_ms"}


class Store(Outbox, ABC, Generic[D]):
    def __init__(self, file: Path, charge_point: str, schema: str) -> None:
        super().__init__(file, charge_point, schema)
        self._id = charge_point
        self._saved: Memory | None = None

    # --- what each version keeps

    @abstractmethod
    def _connector_rows(self) -> sqlite3.Cursor: ...

    @abstractmethod
    def _connector(self, row: sqlite3.Row | None, session: sqlite3.Row | None, **kept: Any) -> Any:
        """Of its row and that of the session that is open there; `kept`: what is the same in every version."""

    @abstractmethod
    def _remembered(self, document: dict[str, Any] | None) -> Memory:
        """None: nothing was ever kept."""

    @abstractmethod
    def _device(self, **kept: Any) -> D: ...

    @abstractmethod
    def _save_connectors(self, device: D) -> None:
        """And what changes of their sessions."""

    @abstractmethod
    def begin_session(self, effect: BeginSession) -> None: ...

    @abstractmethod
    def _part_of_session(self, queued: Queued) -> str:
        """`begin`, `end`, or neither."""

    # --- the device

    def load(self, connectors: int, monotonic_ms: int) -> D:
        """The device as it was left: without power, its sessions still open."""
        known = {row["number"]: row for row in self._connector_rows()}
        running = {
            row["connector"]: row
            for row in self._db.execute("SELECT * FROM session WHERE stopped_true_ms IS NULL")
        }
        # A connector that was taken out of the configuration still ends its session.
        numbers = sorted({*range(1, connectors + 1), *running})
        memory = self._db.execute("SELECT memory FROM charge_point").fetchone()[0]
        device = self._device(
            connectors=tuple(
                self._connector(
                    known.get(number),
                    running.get(number),
                    number=number,
                    **_of_connector(known.get(number)),
                )
                for number in numbers
            ),
            metered_to_ms=monotonic_ms,
            sessions_begun=self._count("SELECT count(*) FROM session"),
            memory=self._remembered(None if memory is None else json.loads(memory)),
        )
        self._saved = device.memory
        return device

    def save(self, device: D) -> None:
        if device.memory is not self._saved:
            document = json.dumps(device.memory.document())
            self._db.execute("UPDATE charge_point SET memory = ?", (document,))
            self._saved = device.memory
        self._save_connectors(device)

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
        column = ACKNOWLEDGED.get(self._part_of_session(queued))
        if column is not None:
            self._db.execute(
                f"UPDATE session SET {column} = ? WHERE key = ?",  # noqa: S608 - one of two names above
                (at_ms, queued.message.session),
            )


def reservation_text(connector: Connector[Any]) -> str | None:
    return None if connector.reservation is None else json.dumps(asdict(connector.reservation))


def _of_connector(row: sqlite3.Row | None) -> dict[str, Any]:
    """What is kept of a connector in every version."""
    if row is None:
        return {}
    reservation = row["reservation"]
    return {
        "register_mj": row["register_mj"],
        "is_plugged": bool(row["is_plugged"]),
        "is_operative": bool(row["is_operative"]),
        "reservation": None if reservation is None else Reservation(**json.loads(reservation)),
    }


def session_of(row: sqlite3.Row) -> dict[str, Any]:
    """What is kept of a session in every version; its next reading is due at once."""
    return {
        "key": row["key"],
        "transaction_id": row["transaction_id"],
        "driver_token": row["driver_token"],
        "meter_start_wh": row["meter_start_wh"],
        "started_ms": row["started_at_ms"],
        "next_reading_ms": 0,
    }
