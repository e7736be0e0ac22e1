"""What charge points write, made fit for stores: texts, numbers, times. The raw payload keeps the original."""

from __future__ import annotations

from datetime import UTC, datetime

TEXT_CHARACTERS_MAX = 255
NUMBER_MAX = 2**53 - 1
"""Every JSON reader and every database behind us holds such a number exactly."""


def plain(text: str) -> str:
    """Without the NUL that databases refuse, and of bounded length."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")[:TEXT_CHARACTERS_MAX]


def number_is_sound(number: int) -> bool:
    return -NUMBER_MAX <= number <= NUMBER_MAX


def utc_text(at_ms: int) -> str:
    """ISO-8601 as OCPP writes it."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_ms % 1000:03d}Z"
