"""Every transaction of OCPP 2.x that this central system knows: the station chose its id and numbers its events.

    look(call, dedupe) -> was it said before, is anything wrong with it        enter(call, status)

Pure: what is written to disk is in `rows.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from holdfast_simulators.csms.frames import Call

Key = tuple[str, str]
"""Charge point, transaction id."""


class Known(NamedTuple):
    payload: dict[str, Any]
    status: str | None
    """As its idToken was answered."""


class Look(NamedTuple):
    """What is known of an event before it is taken."""

    is_repeat: bool = False
    status: str | None = None
    """Of a repeat: as the first was answered."""
    problem: str | None = None
    is_stray: bool = False
    """Updated, and its transaction is unknown or over."""


@dataclass(slots=True)
class Transaction:
    events: dict[int, Known] = field(default_factory=dict)
    """By seqNo."""
    token: str | None = None
    is_over: bool = False


class EventBook:
    def __init__(self, known: Iterable[tuple[str, str, dict[str, Any], str | None]] = ()) -> None:
        """`known`: charge point, message id, payload and status of each event."""
        self._transactions: dict[Key, Transaction] = {}
        self._by_message: dict[tuple[str, str], Known] = {}
        for charge_point, message_id, payload, status in known:
            self._enter(charge_point, message_id, payload, status)

    def look(self, call: Call, dedupe: str) -> Look:
        transaction = self._transactions.get(_key(call.charge_point, call.payload))
        same_id = self._by_message.get((call.charge_point, call.message_id))
        if dedupe == "message-id" and same_id is not None:
            return Look(is_repeat=True, status=same_id.status)
        same = None if transaction is None else transaction.events.get(call.payload["seqNo"])
        if dedupe == "business-key" and same is not None:
            if same.payload == call.payload:
                return Look(is_repeat=True, status=same.status)
            return Look(problem="seqNo of another event of its transaction")
        is_running = transaction is not None and not transaction.is_over
        return Look(is_stray=call.payload["eventType"] == "Updated" and not is_running)

    def enter(self, call: Call, status: str | None) -> None:
        self._enter(call.charge_point, call.message_id, call.payload, status)

    def has_open(self, token: str) -> bool:
        return any(one.token == token and not one.is_over for one in self._transactions.values())

    def open_of(self, charge_point: str) -> list[str]:
        return sorted(
            key[1]
            for key, one in self._transactions.items()
            if key[0] == charge_point and not one.is_over
        )

    def __len__(self) -> int:
        return len(self._transactions)

    def _enter(
        self, charge_point: str, message_id: str, payload: dict[str, Any], status: str | None
    ) -> None:
        known = Known(payload, status)
        transaction = self._transactions.setdefault(_key(charge_point, payload), Transaction())
        transaction.events.setdefault(payload["seqNo"], known)
        self._by_message.setdefault((charge_point, message_id), known)
        token = payload.get("idToken")
        if token is not None and payload["eventType"] != "Ended":
            transaction.token = transaction.token or token["idToken"]
        transaction.is_over = transaction.is_over or payload["eventType"] == "Ended"


def _key(charge_point: str, payload: dict[str, Any]) -> Key:
    return charge_point, payload["transactionInfo"]["transactionId"]
