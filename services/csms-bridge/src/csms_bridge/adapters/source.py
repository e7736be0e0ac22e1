"""The journal that the bridge reads: CLOUD_JOURNAL for every site, or a site's own JOURNAL. Same facts, same order."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import NamedTuple, Protocol

from csms_bridge.domain.outgoing import Place
from holdfast import subjects
from holdfast.bus import Bus, Message
from holdfast.contracts.envelope import ContractError, Envelope, Fact
from holdfast.recorder import Incarnation


class Found(NamedTuple):
    """An entry, where it stands."""

    place: Place
    stream_seq: int
    id: str
    """Of the message in the stream."""
    at_ms: int
    fact: Fact | None
    """None where it can't be read: the journal service keeps it, with its reason."""


class Source(Protocol):
    """Where facts come from."""

    @property
    def stream(self) -> str: ...
    def follow(self, site: str, start: int) -> AsyncGenerator[Found, None]:
        """Everything of the site from a sequence of the stream on, for ever. Raise StreamGone."""
        ...

    def follow_charge_point(
        self, site: str, charge_point: str, start: int
    ) -> AsyncGenerator[tuple[Found, int], None]:
        """Of one charge point; with how many more there are now."""
        ...

    async def newest(self, site: str, *topic: str) -> Fact | None: ...
    async def newest_seq(self, site: str, charge_point: str | None = None) -> int:
        """Of the site, or of one charge point of it; 0: the stream holds nothing. Raise RequestFailed."""
        ...

    async def gone_to(self) -> int:
        """The stream holds nothing up to here any more. Raise RequestFailed, StreamGone."""
        ...

    async def place_of(self, seq: int, id: str) -> Place | None:
        """None: the stream does not hold that message there any more. Raise RequestFailed."""
        ...


class _Stream:
    def __init__(self, bus: Bus, stream: str) -> None:
        self._bus = bus
        self.stream = stream

    async def gone_to(self) -> int:
        return (await self._bus.state(self.stream)).first_seq - 1

    async def _held(self, seq: int, id: str) -> Message | None:
        message = await self._bus.get(self.stream, seq)
        return message if message is not None and message.id == id else None

    async def _newest_seq(self, pattern: str) -> int:
        message = await self._bus.last(self.stream, pattern)
        return message.seq if message else 0

    async def _newest(self, subject: str) -> Fact | None:
        message = await self._bus.last(self.stream, subject)
        return _fact(message)[1] if message else None


class CloudSource(_Stream):
    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, subjects.CLOUD_JOURNAL)

    async def follow(self, site: str, start: int) -> AsyncGenerator[Found, None]:
        pattern = subjects.cloud_journal_all(site)
        async for message in self._bus.follow(self.stream, subjects=(pattern,), start=start):
            found = self._found(message)
            if found:
                yield found

    async def follow_charge_point(
        self, site: str, charge_point: str, start: int
    ) -> AsyncGenerator[tuple[Found, int], None]:
        pattern = subjects.cloud_journal_of_charge_point(site, charge_point)
        async for message in self._bus.follow(self.stream, subjects=(pattern,), start=start):
            found = self._found(message)
            if found:
                yield found, message.pending

    async def newest(self, site: str, *topic: str) -> Fact | None:
        return await self._newest(subjects.cloud_journal(site, subjects.journal(site, *topic)))

    async def newest_seq(self, site: str, charge_point: str | None = None) -> int:
        if charge_point is None:
            return await self._newest_seq(subjects.cloud_journal_all(site))
        return await self._newest_seq(subjects.cloud_journal_of_charge_point(site, charge_point))

    def _found(self, message: Message) -> Found | None:
        """None for what names no place: it is not the journal service's."""
        headers = message.headers
        try:
            place = Place(headers["Hf-Incarnation"], int(headers["Hf-Seq"]))
        except (KeyError, ValueError):
            return None
        at_ms, fact = _fact(message)
        return Found(place, message.seq, message.id, at_ms, fact)

    async def place_of(self, seq: int, id: str) -> Place | None:
        message = await self._held(seq, id)
        found = self._found(message) if message else None
        return found.place if found else None


class SiteSource(_Stream):
    def __init__(self, bus: Bus, incarnation: Incarnation) -> None:
        super().__init__(bus, incarnation.journal)
        self._incarnation = incarnation.name

    async def follow(self, site: str, start: int) -> AsyncGenerator[Found, None]:
        pattern = subjects.journal_all(site)
        async for message in self._bus.follow(self.stream, subjects=(pattern,), start=start):
            yield self._found(message)

    async def follow_charge_point(
        self, site: str, charge_point: str, start: int
    ) -> AsyncGenerator[tuple[Found, int], None]:
        pattern = subjects.journal_of_charge_point(site, charge_point)
        async for message in self._bus.follow(self.stream, subjects=(pattern,), start=start):
            yield self._found(message), message.pending

    async def newest(self, site: str, *topic: str) -> Fact | None:
        return await self._newest(subjects.journal(site, *topic))

    async def newest_seq(self, site: str, charge_point: str | None = None) -> int:
        if charge_point is None:
            return await self._newest_seq(subjects.journal_all(site))
        return await self._newest_seq(subjects.journal_of_charge_point(site, charge_point))

    async def place_of(self, seq: int, id: str) -> Place | None:
        message = await self._held(seq, id)
        return self._found(message).place if message else None

    def _found(self, message: Message) -> Found:
        at_ms, fact = _fact(message)
        return Found(Place(self._incarnation, message.seq), message.seq, message.id, at_ms, fact)


def _fact(message: Message) -> tuple[int, Fact | None]:
    try:
        envelope = Envelope.from_bytes(message.data)
        return envelope.at_ms, envelope.fact()
    except ContractError:
        return message.stored_at_ms, None
