"""The rules of the offline queue: what may enter, what leaves, under which transaction id.

    OCPP 1.6 3.7 and 3.7.1, errata 3.18. Pure; the rows are in `store.py`.

The queue never holds more than its capacity: a session begins only when its Start and its Stop, and
the Stops of all running sessions, will fit, so those two are never refused later. Meter values in
between take what is left, and the oldest go first.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

NO_TRANSACTION = -1
"""Errata 3.18: what later messages carry when no StartTransaction.conf was obtained."""


class Action(StrEnum):
    START = "StartTransaction"
    METER = "MeterValues"
    STOP = "StopTransaction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transactional:
    """A message of a session that must reach the central system."""

    action: Action
    session: str
    fields: dict[str, Any]
    """The payload without its transaction id, which may not be known yet."""


class Entry(StrEnum):
    """What happens when a message asks to enter the queue."""

    ADMITTED = "admitted"
    AFTER_DROPPING = "admitted after dropping the oldest meter values"
    DROPPED = "dropped"


def may_begin_session(*, starts_and_stops: int, running: int, capacity: int) -> bool:
    """Whether this session's Start and Stop fit beside what is queued and still to come."""
    return starts_and_stops + running + 2 <= capacity


def entry(*, action: Action, queued: int, meter_values: int, reserved: int, capacity: int) -> Entry:
    """`reserved` places are kept for the Stops of running sessions."""
    free = capacity - queued - (reserved if action is Action.METER else 0)
    if free > 0:
        return Entry.ADMITTED
    if meter_values > 0:
        return Entry.AFTER_DROPPING
    return Entry.DROPPED if action is Action.METER else Entry.ADMITTED


def payload(message: Transactional, transaction_id: int | None) -> dict[str, Any]:
    """What is sent: under the real id when it was obtained by now, else under -1."""
    if message.action is Action.START:
        return message.fields
    known = NO_TRANSACTION if transaction_id is None else transaction_id
    return {"transactionId": known, **message.fields}


def is_exhausted(*, attempts: int, attempts_max: int) -> bool:
    return attempts >= attempts_max


def retry_wait_ms(*, attempts: int, interval_s: float) -> int:
    """1.6 3.7.1: the interval times the number of transmissions made."""
    return round(interval_s * 1_000) * attempts
