"""The registry of bundles: stream RULES, one subject per site, the last `HISTORY_MAX` bundles published to it.

A bundle is here before it is in DOWNLINK. What died in between is healed by asking again: it is found here and goes on.
"""

from __future__ import annotations

from holdfast import subjects
from holdfast.bus import Bus
from holdfast.contracts.envelope import ContractError
from holdfast.contracts.rollout import BundleRecord
from holdfast.ids import derived

TEXT_BYTES_MAX = 512 * 1024
"""Of all texts in one answer; NATS carries 1 MiB."""


class BundleRegistry:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def newest(self, site: str) -> BundleRecord | None:
        message = await self._bus.last(subjects.RULES, subjects.published_rules(site))
        return BundleRecord.from_bytes(message.data) if message else None

    async def keep(self, site: str, record: BundleRecord) -> None:
        """Raise AppendRefused."""
        id = derived("published rules", site, record.version, record.hash)
        subject = subjects.published_rules(site)
        await self._bus.append(subjects.RULES, subject, record.to_bytes(), id=id)

    async def history(self, site: str) -> tuple[BundleRecord, ...]:
        """Newest first."""
        subject = subjects.published_rules(site)
        last = await self._bus.last(subjects.RULES, subject)
        if last is None:
            return ()
        found = []
        async for message in self._bus.follow(subjects.RULES, subjects=(subject,)):
            found.append(BundleRecord.from_bytes(message.data))
            if message.seq >= last.seq:
                break
        return tuple(reversed(found))

    async def of_version(self, site: str, version: int) -> BundleRecord:
        """Raise ContractError when it is not there (any more)."""
        for record in await self.history(site):
            if record.version == version:
                return record
        raise ContractError(f"version {version} was not published to {site}, or too long ago")


def within_one_message(records: tuple[BundleRecord, ...]) -> tuple[BundleRecord, ...]:
    """The newest with their texts, the rest without once there is too much of it."""
    left, fitting = TEXT_BYTES_MAX, []
    for record in records:
        left -= len(record.text.encode())
        fitting.append(record if left >= 0 else record.model_copy(update={"text": ""}))
    return tuple(fitting)
