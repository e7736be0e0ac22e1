"""The driver-token list of a site as DOWNLINK has it: the last full list, and the changes since, by their place.

A place is used again after the next full list; changes there that do not begin where the list stands are of
before it.
"""

from __future__ import annotations

from dataclasses import dataclass

from holdfast import subjects
from holdfast.bus import Bus, Message
from holdfast.contracts.driver_tokens import DriverTokenChanges, DriverTokenList
from holdfast.contracts.envelope import Contract, ContractError
from rule_service.domain.token_lists import ListRefused, changed

CHANGES_MAX = 64
"""Since the last full list; then a full one has to be published."""


@dataclass(frozen=True, slots=True)
class Published:
    full: DriverTokenList
    changes: tuple[DriverTokenChanges, ...]
    seq: int
    """Of the newest message."""

    @property
    def version(self) -> int:
        return self.changes[-1].version if self.changes else self.full.version

    def whole(self) -> DriverTokenList:
        """The list that stands at a site that has it all. Raise ContractError."""
        tokens = self.full
        try:
            for one in self.changes:
                tokens = changed(tokens, one)
        except ListRefused as error:
            raise ContractError(str(error)) from error
        return tokens


async def published(bus: Bus, site: str) -> Published | None:
    message = await bus.last(subjects.DOWNLINK, subjects.down_driver_tokens(site))
    if message is None:
        return None
    full = DriverTokenList.from_bytes(message.data)
    version, seq, changes = full.version, message.seq, list[DriverTokenChanges]()
    for place in range(CHANGES_MAX):
        found = await _at(bus, site, place)
        if found is None:
            break
        one = DriverTokenChanges.from_bytes(found.data)
        if one.base_version != version or found.seq < seq:
            break
        changes.append(one)
        version, seq = one.version, found.seq
    return Published(full, tuple(changes), seq)


async def _at(bus: Bus, site: str, place: int) -> Message | None:
    subject = subjects.down_driver_token_changes(site, place)
    return await bus.last(subjects.DOWNLINK, subject)


def compact(contract: Contract) -> bytes:
    """Without what is as it is by default: twice as many driver tokens fit into a message."""
    return contract.model_dump_json(exclude_defaults=True).encode()
