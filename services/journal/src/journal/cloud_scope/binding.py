"""Makes the copies of one incarnation, and makes them again where they are gone or stuck.

A durable copy never gets again what its origin saw acknowledged. So a copy that is new, or that stands
still while its site goes on, has its consumer at the origin made anew; what it has already it ignores.
"""

from __future__ import annotations

from holdfast import subjects
from holdfast.bus import CopySpec, ServerBus, StreamGone
from journal.cloud_scope.archive import Key


def streams_of(key: Key) -> tuple[str, str]:
    return subjects.journal_stream(*key), subjects.telemetry_stream(*key)


def _subjects_of(key: Key, stream: str) -> str:
    if stream == subjects.journal_stream(*key):
        return subjects.journal_all(key.site)
    return subjects.telemetry_all(key.site)


async def bind_origin(bus: ServerBus, key: Key, stream: str) -> None:
    """(Re)create the consumer at the site that this copy reads through. Raise BusError."""
    await bus.bind_consumer(
        stream,
        subjects.up_consumer(key.site),
        subjects.up_deliver(key.site, stream),
        _subjects_of(key, stream),
        domain=subjects.domain(key.site),
    )


async def ensure_copied(bus: ServerBus, key: Key, stream: str) -> None:
    """Idempotent, and right after a crash at any step. Raise BusError."""
    consumer, domain = subjects.up_consumer(key.site), subjects.domain(key.site)
    if not await _exists(bus, stream) or not await bus.has_consumer(
        stream, consumer, domain=domain
    ):
        await bind_origin(bus, key, stream)
    await bus.ensure_copy(
        CopySpec(
            name=stream,
            origin_domain=domain,
            consumer=consumer,
            deliver=subjects.up_deliver(key.site, stream),
        )
    )


async def bind_downlink(bus: ServerBus, site: str) -> None:
    """The consumer that this site's copy of DOWNLINK reads through, from the first message on."""
    await bus.bind_consumer(
        subjects.DOWNLINK,
        subjects.down_consumer(site),
        subjects.down_deliver(site),
        subjects.down_all(site),
    )


async def retire(bus: ServerBus, key: Key) -> None:
    """The copies of a dead life keep what they have and listen no more. Idempotent."""
    for stream, kind in zip(streams_of(key), ("journal", "telemetry"), strict=True):
        try:
            await bus.retire_copy(stream, subjects.retired(key.site, key.incarnation, kind))
        except StreamGone:
            continue


async def _exists(bus: ServerBus, stream: str) -> bool:
    try:
        await bus.state(stream)
    except StreamGone:
        return False
    return True
