"""What the link lets through now. Changed by commands, asked by every pump before every byte.

    clear | reset | black-hole | one-way(up or down lost), each with a delay and a rate

- `reset`: all connections are reset, new ones refused.
- `black-hole`: sockets stay open, nothing is read or passed; new connections are accepted and held.
  What was held back **is passed on after `heal`**, as TCP would repeat it: at most 1 MiB for each
  direction of a connection here, beyond that it stays with the sender.
- `one-way`: bytes of one direction are read and thrown away, the other direction flows. A new
  connection is held, since a handshake needs both. After `heal` a connection that lost bytes is
  **reset**: a stream must not go on with a hole in its middle.
- `heal` ends cuts and flapping. Delay and rate stay until they are set to 0 or null.
"""

from __future__ import annotations

import asyncio
import time
from enum import StrEnum


class Cut(StrEnum):
    NONE = "none"
    RESET = "reset"
    BLACK_HOLE = "black-hole"
    ONE_WAY = "one-way"


class Direction(StrEnum):
    UP = "up"
    """From the side that connects (the leaf) to the cloud."""
    DOWN = "down"


class Weather:
    def __init__(self) -> None:
        self.cut = Cut.NONE
        self.lost: Direction | None = None
        """Under `one-way`: whose bytes vanish."""
        self.delay_ms = 0
        self._bytes_per_s: int | None = None
        self._next_free_s = dict.fromkeys(Direction, 0.0)
        self._changed = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()

    def set_cut(self, cut: Cut, lost: Direction | None = None) -> None:
        self.cut = cut
        self.lost = lost
        if cut in (Cut.NONE, Cut.ONE_WAY):
            self._open.set()
        else:
            self._open.clear()
        self._announce()

    def set_rate(self, bytes_per_s: int | None) -> None:
        self._bytes_per_s = bytes_per_s
        self._next_free_s = dict.fromkeys(Direction, 0.0)

    @property
    def bytes_per_s(self) -> int | None:
        return self._bytes_per_s

    def loses(self, direction: Direction) -> bool:
        return self.cut is Cut.ONE_WAY and self.lost is direction

    async def until_bytes_move(self) -> None:
        """Bytes move: through, or into nothing."""
        await self._open.wait()

    async def until_clear(self) -> None:
        """A handshake can succeed."""
        while self.cut is not Cut.NONE:
            await self._changed.wait()

    def piece_bytes(self) -> int:
        """How much goes out at once, so that a slow link is slow and not jerky."""
        if self._bytes_per_s is None:
            return 64 * 1024
        return max(64, min(64 * 1024, self._bytes_per_s // 10))

    async def until_carried(self, direction: Direction, size: int) -> None:
        """The time that the link, shared by all connections, takes to carry what was just sent."""
        if self._bytes_per_s is None:
            return
        now_s = time.monotonic()
        begin_s = max(now_s, self._next_free_s[direction])
        self._next_free_s[direction] = begin_s + size / self._bytes_per_s
        await asyncio.sleep(self._next_free_s[direction] - now_s)

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
