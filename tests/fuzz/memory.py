"""What a process keeps in memory, and that it does not grow with what it is sent."""

from __future__ import annotations

import os
from pathlib import Path

GROWTH_MAX_MB = 20
"""Over a whole run, however long."""
PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024


class Grew(AssertionError):
    """Memory that is kept for what was sent."""


class Memory:
    """Of one process: looked at as often as one likes, first when it is warm (its caches are full)."""

    def __init__(self, pid: int | None = None, growth_max_mb: float = GROWTH_MAX_MB) -> None:
        self._statm = Path(f"/proc/{pid or os.getpid()}/statm")
        self._growth_max_mb = growth_max_mb
        self._warm_mb: float | None = None
        self.grown_mb = 0.0
        """The most that was seen above the first look."""

    def look(self) -> None:
        """Raise Grew."""
        now_mb = int(self._statm.read_text().split()[1]) * PAGE_KB / 1024
        if self._warm_mb is None:
            self._warm_mb = now_mb
        self.grown_mb = max(self.grown_mb, now_mb - self._warm_mb)
        if self.grown_mb > self._growth_max_mb:
            raise Grew(
                f"{self._warm_mb:.0f} MB when warm, {now_mb:.0f} MB now: "
                f"it may grow by {self._growth_max_mb:g} MB"
            )

    def __str__(self) -> str:
        if self._warm_mb is None:
            return "memory not looked at: too few frames to be warm"
        return f"{self._warm_mb:.1f} MB when warm, {self.grown_mb:.1f} MB more at most"
