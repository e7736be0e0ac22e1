"""How far the journal is folded, while appends are on their way.

A fact appended after sequence n was seen gets a sequence above n. So every fact of ours up to the lowest n
of those still on their way has been folded: that is where a snapshot may say it stands.
"""

from __future__ import annotations


class Position:
    def __init__(self, seen: int = 0) -> None:
        self.seen = seen
        self._floors: dict[int, int] = {}
        self._next = 0

    def begin(self) -> int:
        """An append goes out."""
        self._next += 1
        self._floors[self._next] = self.seen
        return self._next

    def end(self, append: int, seq: int | None) -> None:
        """It is folded (`seq`), or certainly not stored (None)."""
        del self._floors[append]
        self.saw(seq or 0)

    def saw(self, seq: int) -> None:
        """The journal has come so far, whoever wrote it."""
        self.seen = max(self.seen, seq)

    @property
    def folded(self) -> int:
        return min(self._floors.values(), default=self.seen)
