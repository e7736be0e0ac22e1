"""The way a service writes facts into its site's journal and telemetry.

One process life serves one incarnation: when the stream behind the subjects changes (the disk was
lost, a fork was found), `IncarnationChanged` ends the process and its supervisor starts it afresh.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from holdfast import subjects
from holdfast.bus import (
    Appending,
    Bus,
    BusError,
    NotAcknowledged,
    RequestFailed,
    Stored,
    StreamGone,
    WrongStream,
)
from holdfast.clock import Clock
from holdfast.contracts.envelope import (
    ENVELOPE_BYTES_MAX,
    ID_CHARACTERS_MAX,
    ClockQuality,
    ContractError,
    Entry,
    Envelope,
    Fact,
    body_of,
)
from holdfast.ids import Ids

POLL_MS = 250
PLACES_MAX = 10_000
"""Subjects remembered; then they are made anew."""


class IncarnationChanged(BusError):
    """This process belongs to a disk life that is over."""


@dataclass(frozen=True, slots=True)
class Incarnation:
    """The life this process writes in."""

    site: str
    name: str

    @property
    def journal(self) -> str:
        return subjects.journal_stream(self.site, self.name)

    @property
    def telemetry(self) -> str:
        return subjects.telemetry_stream(self.site, self.name)


async def current_incarnation(bus: Bus, site: str) -> Incarnation | None:
    """None while the journal service has opened none."""
    stream = await bus.stream_of(subjects.journal_all(site))
    name = subjects.parse_stream(stream) if stream else None
    return Incarnation(site, name.incarnation) if name else None


async def wait_for_incarnation(bus: Bus, clock: Clock, site: str) -> Incarnation:
    """Services start in any order: the journal service opens the incarnation."""
    while True:
        try:
            found = await current_incarnation(bus, site)
        except RequestFailed:
            found = None  # the server itself may still be starting
        if found:
            return found
        await clock.sleep_ms(POLL_MS)


class Recorded(NamedTuple):
    """A fact where it stands. One stored before is what was written then, not what a repeat would have said."""

    seq: int
    at_ms: int
    fact: Fact


class Recorder:
    """Writes facts. `record` returns once the journal has the fact on disk."""

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        ids: Ids,
        incarnation: Incarnation,
        source: str,
        clock_quality: Callable[[], ClockQuality] = lambda: ClockQuality.UNKNOWN,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._ids = ids
        self._source = source
        self._clock_quality = clock_quality
        self.incarnation = incarnation
        self._journal, self._telemetry = incarnation.journal, incarnation.telemetry
        self._places: dict[tuple[str, ...], tuple[str, str]] = {}
        self._wrote = tuple(_json(name) for name in (incarnation.site, incarnation.name, source))

    def envelope(self, fact: Fact, *, id: str | None = None, cause: str | None = None) -> Envelope:
        return Envelope(
            id=id or self._ids.new(),
            type=fact.TYPE,
            at_ms=self._clock.now_ms(),
            clock=self._clock_quality(),
            site=self.incarnation.site,
            incarnation=self.incarnation.name,
            source=self._source,
            cause=cause,
            body=body_of(fact),
        )

    async def record(self, fact: Fact, *, id: str | None = None, cause: str | None = None) -> Entry:
        """Write to the stream the fact belongs to. The same `id` again is stored once, and the entry
        returned is the stored one: what was written first counts, not what a repeat would have said.

        Raise AppendRefused (then nothing may be acknowledged onward) or IncarnationChanged.
        """
        envelope = self.envelope(fact, id=id, cause=cause)
        stored = await self._append(fact, envelope.to_bytes(), envelope.id)
        if stored.duplicate:
            envelope = await self._first(stored) or envelope
        return Entry(seq=stored.seq, envelope=envelope)

    def begin(self, fact: Fact, *, id: str, cause: str | None, at_ms: int) -> Appending:
        """As `record`, where it happens thousands of times a second: the same bytes, written in one go, and nothing
        that has to be waited for but the acknowledgement. What it comes to says `recorded`.
        """
        stream, subject = self._place(fact)
        return self._bus.append(stream, subject, self._bytes(fact, id, at_ms, cause), id=id)

    async def recorded(self, storing: Awaitable[Stored], fact: Fact, at_ms: int) -> Recorded:
        """Raise AppendRefused or IncarnationChanged."""
        try:
            stored = await storing
        except (WrongStream, StreamGone) as error:
            raise self._changed() from error
        if stored.duplicate:
            first = await self._first(stored)
            if first:
                return Recorded(stored.seq, first.at_ms, first.fact())
        return Recorded(stored.seq, at_ms, fact)

    def _bytes(self, fact: Fact, id: str, at_ms: int, cause: str | None) -> bytes:
        """What `envelope(fact).to_bytes()` would be: a test compares them for every fact there is."""
        if not 0 < len(id) <= ID_CHARACTERS_MAX:
            raise ContractError(f"{fact.TYPE}: an id has 1 to {ID_CHARACTERS_MAX} characters")
        data = _ENVELOPE % (
            _json(id),
            _json(fact.TYPE),
            at_ms,
            _CLOCKS[self._clock_quality()],
            *self._wrote,
            _json(cause),
            fact.to_bytes(),
        )
        return _bounded(fact, data)

    async def _append(self, fact: Fact, data: bytes, id: str) -> Stored:
        stream, subject = self._place(fact)
        try:
            return await self._bus.append(stream, subject, _bounded(fact, data), id=id)
        except (WrongStream, StreamGone) as error:
            raise self._changed() from error

    def _place(self, fact: Fact) -> tuple[str, str]:
        """Stream and subject; of every charge point the same few."""
        topic = fact.topic()
        place = self._places.get(topic)
        if place is None:
            site, to_journal = self.incarnation.site, fact.STREAM == "journal"
            of = subjects.journal if to_journal else subjects.telemetry
            if len(self._places) >= PLACES_MAX:
                self._places.clear()
            place = self._journal if to_journal else self._telemetry, of(site, *topic)
            self._places[topic] = place
        return place

    def _changed(self) -> IncarnationChanged:
        site = self.incarnation.site
        return IncarnationChanged(
            f"the journal of site {site!r} is no longer {self._journal}: this process must start afresh"
        )

    async def _first(self, stored: Stored) -> Envelope | None:
        """None: it has left this disk since."""
        try:
            message = await self._bus.get(stored.stream, stored.seq)
        except RequestFailed as error:
            raise NotAcknowledged(
                f"{stored.stream}: {stored.seq} is stored, but can't be read back: record it again"
            ) from error
        return Envelope.from_bytes(message.data) if message else None


def _bounded(fact: Fact, data: bytes) -> bytes:
    if len(data) > ENVELOPE_BYTES_MAX:
        raise ContractError(
            f"{fact.TYPE} of {len(data)} bytes is over the limit of {ENVELOPE_BYTES_MAX}"
        )
    return data


_json = msgspec.json.encode
_CLOCKS = {quality: _json(quality.value) for quality in ClockQuality}
_ENVELOPE = b'{"id":%b,"type":%b,"at_ms":%d,"clock":%b,"site":%b,"incarnation":%b,"source":%b,"cause":%b,"body":%b}'
