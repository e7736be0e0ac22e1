"""Who is being let in now: a bounded number at a time, the others in the order they came.

After a power cut a whole site comes at once. Taken all together each would wait for all the others, and some
beyond their patience, to begin anew; taken a few at a time, most are in early and none waits longer.

    enter() -> a permit, or seconds after which to come again        permit.leave(): the first answer was given
"""

from __future__ import annotations

import asyncio
import random
from collections import deque

HOLD_S = 0.25
"""A permit is given back so long after the handshake at the latest: a charge point may be far away, or have
nothing to say, and others must not wait for it."""
COME_AGAIN_S = 3
RATE_ASSUMED = 400.0
"""Let in a second, until so many have been that it is known."""
SPREAD_S_MAX = 60
RATE_OVER = 256
"""The newest of them say how fast it goes now."""


class Permit:
    def __init__(self, admission: Admission) -> None:
        self._admission: Admission | None = admission

    def leave(self) -> None:
        """Once; again is nothing."""
        if self._admission:
            self._admission.left()
            self._admission = None


class Admission:
    def __init__(self, at_once: int, waiting_max: int, wait_s: float, rng: random.Random) -> None:
        self._free = at_once
        self._waiting_max = waiting_max
        self._wait_s = wait_s
        self._rng = rng
        self._waiting: deque[tuple[float, asyncio.Future[bool]]] = deque()
        """Until when each waits, and whether its turn has come."""
        self._sweep: asyncio.TimerHandle | None = None
        """One for all who wait, not one for each."""
        self._left_at: deque[float] = deque(maxlen=RATE_OVER)
        """While others waited: how fast it goes when nobody comes says nothing."""
        self._rate = RATE_ASSUMED

    async def enter(self, waited_s: float = 0.0) -> Permit | int:
        """A permit; or after how many seconds to come again: at once, if its turn would come too late.
        `waited_s`: since it connected.
        """
        if self._free > 0:
            self._free -= 1
            return Permit(self)
        loop = asyncio.get_running_loop()
        patience_s = self._wait_s - waited_s
        is_full = len(self._waiting) >= self._waiting_max
        if is_full or self._expected_s() >= patience_s:
            return self.come_again_s()
        turn: asyncio.Future[bool] = loop.create_future()
        ends_s = loop.time() + patience_s
        self._waiting.append((ends_s, turn))
        if self._sweep is None:
            self._sweep = loop.call_at(ends_s, self._give_up)
        try:
            has_come = await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self.left()
            raise
        return Permit(self) if has_come else self.come_again_s()

    def left(self) -> None:
        """The one who has waited longest takes the place."""
        while self._waiting:
            _, turn = self._waiting.popleft()
            if not turn.done():
                self._left_at.append(asyncio.get_running_loop().time())
                turn.set_result(True)
                return
        self._left_at.clear()
        # A slow time is over with its queue: it must not send away whoever comes together next.
        self._rate = max(self._rate, RATE_ASSUMED)
        self._free += 1

    def come_again_s(self) -> int:
        """Spread, so that they don't come together again."""
        spread_s = 2 + int(min(self._expected_s(), SPREAD_S_MAX))
        return COME_AGAIN_S + self._rng.randrange(spread_s + 1)

    def _expected_s(self) -> float:
        """How long one who comes now would wait."""
        if len(self._left_at) == RATE_OVER:
            took_s = asyncio.get_running_loop().time() - self._left_at[0]
            self._rate = RATE_OVER / max(took_s, 0.001)
        return len(self._waiting) / self._rate

    def _give_up(self) -> None:
        """Whose patience is over. They stand in the order they came, so nearly in that of their patience."""
        self._sweep = None
        loop = asyncio.get_running_loop()
        while self._waiting:
            ends_s, turn = self._waiting[0]
            if not turn.done():
                if ends_s > loop.time():
                    self._sweep = loop.call_at(ends_s, self._give_up)
                    return
                turn.set_result(False)
            self._waiting.popleft()
