"""The rules of the offline queue: what may enter, what leaves, when it is tried again.

    OCPP 1.6 3.7 and 3.7.1, 2.0.1 E04. Pure; the rows are in each version's `store.py`.

The queue never holds more than its capacity: a session begins only when its begin and its end, and
the ends of all running sessions, will fit, so those two are never refused later. Readings in
between take what is left, and the oldest go first.
"""

from __future__ import annotations

from enum import StrEnum


class Entry(StrEnum):
    """What happens when a message asks to enter the queue."""

    ADMITTED = "admitted"
    AFTER_DROPPING = "admitted after dropping the oldest meter values"
    DROPPED = "dropped"


def may_begin_session(*, starts_and_stops: int, running: int, capacity: int) -> bool:
    """Whether this session's begin and end fit beside what is queued and still to come."""
    return starts_and_stops + running + 2 <= capacity


def entry(*, is_reading: bool, queued: int, readings: int, reserved: int, capacity: int) -> Entry:
    """`reserved` places are kept for the ends of running sessions."""
    free = capacity - queued - (reserved if is_reading else 0)
    if free > 0:
        return Entry.ADMITTED
    if readings > 0:
        return Entry.AFTER_DROPPING
    return Entry.DROPPED if is_reading else Entry.ADMITTED


def is_exhausted(*, attempts: int, attempts_max: int) -> bool:
    return attempts >= attempts_max


def retry_wait_ms(*, attempts: int, interval_s: float) -> int:
    """1.6 3.7.1: the interval times the number of transmissions made."""
    return round(interval_s * 1_000) * attempts
