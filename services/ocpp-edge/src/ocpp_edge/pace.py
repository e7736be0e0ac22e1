"""How fast one charge point is listened to: at the bound its socket is read more slowly, and nobody else's.

    took(frame) -> wait_ms() until the next one is read        report() -> what there is to say of it

Nothing is refused: what is not read yet waits in its own TCP, and a charge point that waits for its answers
is slowed down to the rate. Who sends on regardless answers no pings in time, and is closed by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

BYTES_PER_FRAME = 4_096
"""A larger frame counts as several: it is work for as many."""
REPORT_EVERY_MS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    frames_per_s: int = 50
    frames_burst: int = 250
    authorize_per_min: int = 60
    """Apart and tighter: each is a question to rule-service, and a guess at a driver token."""
    authorize_burst: int = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    frames: int
    """Read later than they could have been, since the last report."""
    waited_ms: int
    authorize: bool
    """Authorize was among what it sent too fast."""


class Bucket:
    """Fills by time, is emptied by what is taken; below zero, somebody waits."""

    __slots__ = ("_at_ms", "_burst", "_per_ms", "_tokens")

    def __init__(self, per_ms: float, burst: int) -> None:
        self._per_ms = per_ms
        self._burst = float(burst)
        self._tokens = float(burst)
        self._at_ms = 0

    def take(self, cost: float, mono_ms: int) -> None:
        passed_ms = mono_ms - self._at_ms
        if passed_ms > 0:
            self._tokens = min(self._burst, self._tokens + passed_ms * self._per_ms)
            self._at_ms = mono_ms
        self._tokens -= cost

    @property
    def is_overdrawn(self) -> bool:
        return self._tokens < 0

    def wait_ms(self, mono_ms: int) -> int:
        if self._tokens >= 0:
            return 0
        due_ms = self._at_ms - self._tokens / self._per_ms
        return max(0, ceil(due_ms - mono_ms))


class Pace:
    """Of one charge point, over all its connections: who comes again has not become another one."""

    __slots__ = (
        "_authorize",
        "_frames",
        "_late",
        "_late_authorize",
        "_late_ms",
        "_reported_ms",
        "because",
    )

    def __init__(self, rates: Rates) -> None:
        self._frames = Bucket(rates.frames_per_s / 1_000, rates.frames_burst)
        self._authorize = Bucket(rates.authorize_per_min / 60_000, rates.authorize_burst)
        self.because = ""
        """What the last wait was for: frames, or Authorize."""
        self._reported_ms: int | None = None
        self._late = 0
        self._late_ms = 0
        self._late_authorize = False

    def took(self, size: int, mono_ms: int) -> None:
        self._frames.take(1 + size // BYTES_PER_FRAME, mono_ms)

    def took_authorize(self, mono_ms: int) -> None:
        self._authorize.take(1, mono_ms)

    @property
    def is_late(self) -> bool:
        """More was taken than there was; time may have mended it since."""
        return self._frames.is_overdrawn or self._authorize.is_overdrawn

    def wait_ms(self, mono_ms: int) -> int:
        """How long the next frame is left where it is; 0: not at all."""
        frames_ms = self._frames.wait_ms(mono_ms)
        authorize_ms = self._authorize.wait_ms(mono_ms)
        wait_ms = max(frames_ms, authorize_ms)
        if wait_ms:
            self._late += 1
            self._late_ms += wait_ms
            self.because = "Authorize" if authorize_ms > frames_ms else "frames"
            self._late_authorize = self._late_authorize or authorize_ms > frames_ms
        return wait_ms

    def report(self, mono_ms: int) -> Report | None:
        """At once when it begins, then once a minute while it goes on."""
        since_ms = None if self._reported_ms is None else mono_ms - self._reported_ms
        if not self._late or (since_ms is not None and since_ms < REPORT_EVERY_MS):
            return None
        found = Report(frames=self._late, waited_ms=self._late_ms, authorize=self._late_authorize)
        self._reported_ms = mono_ms
        self._late, self._late_ms, self._late_authorize = 0, 0, False
        return found
