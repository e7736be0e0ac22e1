"""Every transaction this central system knows, in memory, found by id and by what a charge point says twice.

    start(call) -> transaction, known before or new        stop(call) -> None, or why it is not taken

Pure: what is written to disk is in `rows.py`. The ids go on from the highest ever given.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from holdfast_simulators.csms.frames import Call

BusinessKey = tuple[str, int, str, int, str]
Stop = tuple[int, str, str | None]
"""meterStop, timestamp, reason."""


@dataclass(slots=True, kw_only=True)
class Transaction:
    id: int
    charge_point: str
    connector: int
    id_tag: str
    meter_start: int
    started_at: str
    start_message_id: str
    status: str
    """As StartTransaction was answered."""
    stop: Stop | None = None

    @property
    def key(self) -> BusinessKey:
        return (
            self.charge_point,
            self.connector,
            self.id_tag,
            self.meter_start,
            self.started_at,
        )


class Book:
    def __init__(self, first_id: int, known: Iterable[Transaction] = ()) -> None:
        self._by_id: dict[int, Transaction] = {}
        self._by_key: dict[BusinessKey, Transaction] = {}
        self._by_message: dict[tuple[str, str], Transaction] = {}
        self._open_of_tag: defaultdict[str, set[int]] = defaultdict(set)
        self._next_id = first_id
        for one in known:
            self._enter(one)

    def repeated(self, call: Call, dedupe: str) -> Transaction | None:
        """The transaction that this StartTransaction already began."""
        if dedupe == "message-id":
            return self._by_message.get((call.charge_point, call.message_id))
        return self._by_key.get(_key(call)) if dedupe == "business-key" else None

    def start(self, call: Call, status: str) -> Transaction:
        charge_point, connector, id_tag, meter_start, started_at = _key(call)
        transaction = Transaction(
            id=self._next_id,
            charge_point=charge_point,
            connector=connector,
            id_tag=id_tag,
            meter_start=meter_start,
            started_at=started_at,
            start_message_id=call.message_id,
            status=status,
        )
        self._enter(transaction)
        return transaction

    def stop(self, call: Call) -> str | None:
        """Why it is not taken; an equal second one changes nothing and is taken."""
        transaction = self._of(call)
        if transaction is None:
            return "stop of an unknown transaction"
        stop = stop_of(call.payload)
        if transaction.stop is None:
            transaction.stop = stop
            self._open_of_tag[transaction.id_tag].discard(transaction.id)
        elif transaction.stop != stop:
            return "second stop with other values"
        return None

    def find(self, transaction_id: Any) -> Transaction | None:
        return self._by_id.get(transaction_id)

    def is_stopped(self, call: Call) -> bool:
        transaction = self._of(call)
        return transaction is not None and transaction.stop is not None

    def is_open(self, call: Call) -> bool:
        """The transaction of these MeterValues runs, and at this charge point."""
        transaction = self._of(call)
        return transaction is not None and transaction.stop is None

    def has_open(self, id_tag: str) -> bool:
        return bool(self._open_of_tag.get(id_tag))

    def open_of(self, charge_point: str) -> list[int]:
        running = (one for ids in self._open_of_tag.values() for one in ids)
        return sorted(one for one in running if self._by_id[one].charge_point == charge_point)

    def __len__(self) -> int:
        return len(self._by_id)

    def _of(self, call: Call) -> Transaction | None:
        """Somebody else's transaction is an unknown one."""
        transaction = self._by_id.get(call.payload["transactionId"])
        if transaction is None or transaction.charge_point != call.charge_point:
            return None
        return transaction

    def _enter(self, transaction: Transaction) -> None:
        self._by_id[transaction.id] = transaction
        # Without deduplication there are several; a repeat is answered as the first was.
        self._by_key.setdefault(transaction.key, transaction)
        message = (transaction.charge_point, transaction.start_message_id)
        self._by_message.setdefault(message, transaction)
        if transaction.stop is None:
            self._open_of_tag[transaction.id_tag].add(transaction.id)
        self._next_id = max(self._next_id, transaction.id + 1)


def _key(call: Call) -> BusinessKey:
    said = call.payload
    return (
        call.charge_point,
        said["connectorId"],
        said["idTag"],
        said["meterStart"],
        said["timestamp"],
    )


def stop_of(payload: dict[str, Any]) -> Stop:
    return payload["meterStop"], payload["timestamp"], payload.get("reason")
