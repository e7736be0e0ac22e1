"""What is written to the ledger, as data: a statement and its values.

Every table but `wire` and `doubled` is written from what a charge point said. Texts stand as they were sent.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

from holdfast_simulators.csms.book import Transaction, stop_of
from holdfast_simulators.csms.frames import V16, Call

SCHEMA = """
CREATE TABLE IF NOT EXISTS transactions (
    id INTEGER PRIMARY KEY, charge_point TEXT NOT NULL, connector INTEGER NOT NULL,
    id_tag TEXT NOT NULL, meter_start INTEGER NOT NULL, started_at TEXT NOT NULL,
    start_message_id TEXT NOT NULL, start_payload TEXT NOT NULL, status TEXT NOT NULL,
    start_arrived_ms INTEGER NOT NULL,
    meter_stop INTEGER, stopped_at TEXT, reason TEXT, stop_message_id TEXT, stop_payload TEXT,
    stop_arrived_ms INTEGER
);
CREATE TABLE IF NOT EXISTS meter_value (
    n INTEGER PRIMARY KEY AUTOINCREMENT, transaction_id INTEGER, matched INTEGER,
    charge_point TEXT NOT NULL, message_id TEXT NOT NULL, payload TEXT NOT NULL,
    arrived_ms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS failed (
    n INTEGER PRIMARY KEY AUTOINCREMENT, charge_point TEXT NOT NULL, action TEXT NOT NULL,
    message_id TEXT NOT NULL, payload TEXT NOT NULL, reason TEXT NOT NULL,
    arrived_ms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS status (
    charge_point TEXT NOT NULL, connector INTEGER NOT NULL, status TEXT NOT NULL,
    payload TEXT NOT NULL, arrived_ms INTEGER NOT NULL, PRIMARY KEY (charge_point, connector)
);
CREATE TABLE IF NOT EXISTS wire (
    n INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, charge_point TEXT NOT NULL,
    connection INTEGER NOT NULL, direction TEXT NOT NULL, frame TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS doubled (
    n INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, charge_point TEXT NOT NULL,
    connections INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS transaction_event (
    n INTEGER PRIMARY KEY AUTOINCREMENT, charge_point TEXT NOT NULL, transaction_id TEXT NOT NULL,
    event_type TEXT NOT NULL, seq_no INTEGER NOT NULL, offline INTEGER NOT NULL, status TEXT,
    version TEXT NOT NULL, message_id TEXT NOT NULL, payload TEXT NOT NULL,
    arrived_ms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS said (
    n INTEGER PRIMARY KEY AUTOINCREMENT, charge_point TEXT NOT NULL, version TEXT NOT NULL,
    action TEXT NOT NULL, send INTEGER NOT NULL, message_id TEXT NOT NULL, payload TEXT NOT NULL,
    arrived_ms INTEGER NOT NULL
);
"""


class Write(StrEnum):
    """In the order in which one batch executes them: a stop finds the start of its own batch."""

    START = (
        "INSERT INTO transactions (id, charge_point, connector, id_tag, meter_start, started_at, "
        "start_message_id, start_payload, status, start_arrived_ms) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    )
    STOP = (
        "UPDATE transactions SET meter_stop = ?, stopped_at = ?, reason = ?, stop_message_id = ?, "
        "stop_payload = ?, stop_arrived_ms = ? WHERE id = ?"
    )
    METER = (
        "INSERT INTO meter_value (transaction_id, matched, charge_point, message_id, payload, "
        "arrived_ms) VALUES (?, ?, ?, ?, ?, ?)"
    )
    FAILED = (
        "INSERT INTO failed (charge_point, action, message_id, payload, reason, arrived_ms) "
        "VALUES (?, ?, ?, ?, ?, ?)"
    )
    STATUS = "INSERT OR REPLACE INTO status VALUES (?, ?, ?, ?, ?)"
    WIRE = (
        "INSERT INTO wire (at_ms, charge_point, connection, direction, frame) "
        "VALUES (?, ?, ?, ?, ?)"
    )
    EVENT = (
        "INSERT INTO transaction_event (charge_point, transaction_id, event_type, seq_no, offline, "
        "status, version, message_id, payload, arrived_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    )
    SAID = (
        "INSERT INTO said (charge_point, version, action, send, message_id, payload, arrived_ms) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)"
    )
    DOUBLED = "INSERT INTO doubled (at_ms, charge_point, connections) VALUES (?, ?, ?)"


class Row(NamedTuple):
    write: Write
    values: tuple[Any, ...]


def start(call: Call, transaction: Transaction) -> Row:
    told = (call.message_id, call.payload_text, transaction.status, call.at_ms)
    return Row(
        Write.START,
        (
            transaction.id,
            transaction.charge_point,
            transaction.connector,
            transaction.id_tag,
            transaction.meter_start,
            transaction.started_at,
            *told,
        ),
    )


def stop(call: Call) -> Row:
    told = (call.message_id, call.payload_text, call.at_ms)
    return Row(Write.STOP, (*stop_of(call.payload), *told, call.payload["transactionId"]))


def meter(call: Call, *, is_matched: bool | None) -> Row:
    """`is_matched` is None for readings outside a transaction."""
    told = (call.charge_point, call.message_id, call.payload_text, call.at_ms)
    return Row(Write.METER, (call.payload.get("transactionId"), is_matched, *told))


def failed(call: Call, reason: str) -> Row:
    told = (call.charge_point, call.action, call.message_id, call.payload_text)
    return Row(Write.FAILED, (*told, reason, call.at_ms))


def status(call: Call) -> Row:
    """In 2.x the place is EVSE/connector."""
    known = call.payload
    if call.version == V16:
        place, word = known["connectorId"], known["status"]
    else:
        place = f"{known['evseId']}/{known['connectorId']}"
        word = known["connectorStatus"]
    return Row(Write.STATUS, (call.charge_point, place, word, call.payload_text, call.at_ms))


def event(call: Call, status: str | None) -> Row:
    """A TransactionEvent; `status` as its idToken was answered, None where it had none."""
    known = call.payload
    named = (call.charge_point, known["transactionInfo"]["transactionId"], known["eventType"])
    numbers = (known["seqNo"], bool(known.get("offline", False)))
    told = (call.version, call.message_id, call.payload_text, call.at_ms)
    return Row(Write.EVENT, (*named, *numbers, status, *told))


def said(call: Call) -> Row:
    """What is neither of a transaction nor a status: kept, in the order in which it came."""
    named = (call.charge_point, call.version, call.action, call.is_send)
    return Row(Write.SAID, (*named, call.message_id, call.payload_text, call.at_ms))
