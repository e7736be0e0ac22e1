"""What may go wrong in a simulation, as data: a seed and, for each fault, how often and how much."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SimOptions:
    """Everything off by default. Ratios are chances per occasion, 0 to 1."""

    seed: int = 0
    # a server and its clients
    append_ms_max: int = 0
    """Between storing and acknowledging: the disk's sync."""
    ack_loss_ratio: float = 0.0
    """Stored, but the acknowledgement is lost: NotAcknowledged."""
    duplicate_ratio: float = 0.0
    """`pull` hands a message out once more, acknowledged or not."""
    # the link
    delay_ms_min: int = 0
    delay_ms_max: int = 0
    """One way."""
    bytes_per_s: int = 0
    """Slow link; 0: no limit."""
    request_loss_ratio: float = 0.0
    """Per direction: the request may be lost, or its reply."""
    copy_loss_ratio: float = 0.0
    """A message copied from site to cloud never arrives although the origin thinks so: a hole."""
    down_copy_loss_ratio: float = 0.0
    """The same from cloud to site."""
    cut_every_ms: int = 0
    """Mean time between cuts; 0: only the test cuts."""
    cut_ms_max: int = 60_000
    cut_one_way_ratio: float = 0.25
    cut_silent_ratio: float = 0.5
    """Black hole: nobody is told. Otherwise both ends see the connection close."""

    def chance(self) -> random.Random:
        """The one source of randomness of a run."""
        return random.Random(self.seed)
