"""Transaction ids: unique over restarts, over charge points of the site, and over lives of its disk.

    next = max(last + 1, seconds since 2024-01-01)

A wiped disk forgets `last`; the seconds have gone on past every id given out before (unless a site starts
more than one session a second, for ever). Ids are positive: -1 is what charge points write for "none".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

EPOCH_MS = 1_704_067_200_000
"""2024-01-01T00:00:00Z."""
LOWEST = 31_622_400
"""The seconds at 2025-01-01: no site ran before it, so a smaller id was never given out, in no life of the disk. But
for those of a clock that stood in the past: this life knows its own, and an earlier life's are quarantined."""
SECONDS_MAX = 2**30
"""A clock gone mad must not lead beyond 2^31: many charge points hold 32 bits. Reached in 2058."""
AHEAD_MAX = 86_400
"""How far ids may have run ahead of the seconds in an earlier life of the disk."""
OWNERS_MAX = 100_000


def _seconds(at_ms: int) -> int:
    return min(max((at_ms - EPOCH_MS) // 1000, 1), SECONDS_MAX)


@dataclass(slots=True)
class Transactions:
    """The site's allocator: kept by the shell, restored from what the charge points' folds know."""

    last: int = 0
    _owners: dict[int, str] = field(default_factory=dict)

    def allocate(self, at_ms: int) -> int:
        self.last = max(self.last + 1, _seconds(at_ms))
        while self.last in self._owners:  # a charge point brought it along from an earlier life
            self.last += 1
        return self.last

    def restore(self, charge_point: str, transaction_ids: Iterable[int]) -> None:
        """Ids from outside may be among them (an earlier life's, acknowledged all the same)."""
        for transaction_id in transaction_ids:
            self.last = max(self.last, transaction_id)
            self.owned(charge_point, transaction_id)

    def owned(self, charge_point: str, transaction_id: int) -> None:
        """At the bound the oldest is forgotten: its late messages then count as an earlier life's."""
        self._owners[transaction_id] = charge_point
        if len(self._owners) > OWNERS_MAX:
            del self._owners[next(iter(self._owners))]

    def owner(self, transaction_id: int) -> str | None:
        return self._owners.get(transaction_id)

    def highest(self, at_ms: int) -> int:
        """No id above this was ever given out at this site, in any life of its disk."""
        return max(self.last, _seconds(at_ms) + AHEAD_MAX)
