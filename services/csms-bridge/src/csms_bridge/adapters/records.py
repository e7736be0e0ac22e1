"""The bridge's records in the key-value bucket: read whole, written only over what was read."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import NamedTuple, cast

from pydantic import TypeAdapter, ValidationError

from csms_bridge.domain.kept import KEPT_VERSION, Kept
from holdfast import subjects
from holdfast.bus import Bus, Conflict, Message, NotAcknowledged, RequestFailed
from holdfast.ids import Ids

_KEPT = TypeAdapter(Kept)

TRIES = 3


class Unreadable(Exception):
    """A record that this build can't read: it stays as it is, and nobody guesses."""


class Record(NamedTuple):
    """The newest under a key. `revision` 0: there is none yet."""

    subject: str
    revision: int
    data: bytes


class Records:
    def __init__(self, bus: Bus, ids: Ids) -> None:
        self._bus = bus
        self._ids = ids

    async def newest(self, subject: str) -> Record:
        message = await self._bus.last(subjects.UPSTREAM_KV, subject)
        return _record(message) if message else Record(subject, 0, b"")

    async def all(self, pattern: str) -> list[Record]:
        """Every record whose subject matches, as of now."""
        count = await self._bus.held(subjects.UPSTREAM_KV, pattern)
        found: dict[str, Record] = {}
        if count == 0:
            return []
        stream = cast(
            "AsyncGenerator[Message, None]",
            self._bus.follow(subjects.UPSTREAM_KV, subjects=(pattern,), start="last-per-subject"),
        )
        async with aclosing(stream) as messages:
            async for message in messages:
                found[message.subject] = _record(message)
                if message.pending == 0:
                    break
        return list(found.values())

    async def write(self, subject: str, data: bytes, revision: int) -> int:
        """The new revision. Raise Conflict when another has written, AppendRefused, RequestFailed."""
        id = self._ids.new()
        for attempt in range(TRIES):
            try:
                stored = await self._bus.append(
                    subjects.UPSTREAM_KV, subject, data, id=id, last_seq=revision
                )
            except (Conflict, NotAcknowledged) as error:
                newest = await self._bus.last(subjects.UPSTREAM_KV, subject)
                if newest is not None and newest.id == id:
                    return newest.seq  # written, and the acknowledgement lost
                if isinstance(error, Conflict) or attempt == TRIES - 1:
                    raise
            else:
                return stored.seq
        raise RequestFailed(f"{subject}: not written")


def _record(message: Message) -> Record:
    return Record(message.subject, message.seq, message.data)


def kept_of(record: Record) -> Kept:
    """Raise Unreadable."""
    try:
        kept = _KEPT.validate_json(record.data)
    except ValidationError as error:
        raise Unreadable(f"{record.subject}: {error.title}") from error
    if kept.version != KEPT_VERSION:
        raise Unreadable(f"{record.subject} is of version {kept.version}, not {KEPT_VERSION}")
    return kept


def bytes_of(kept: Kept) -> bytes:
    return _KEPT.dump_json(kept)
