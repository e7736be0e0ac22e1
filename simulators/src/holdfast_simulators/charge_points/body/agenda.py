"""What a charge point has to say besides its queue; in memory only, a reboot forgets it."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any

TRIGGERED_MAX = 20
"""Messages asked for by TriggerMessage and not yet sent; the oldest are forgotten. Of notices the same."""


@dataclass(slots=True)
class Agenda:
    work: asyncio.Event = field(default_factory=asyncio.Event)
    needs_boot: bool = True
    statuses: set[int] = field(default_factory=set)
    authorisations: dict[int, str] = field(default_factory=dict)
    triggered: deque[tuple[str, int]] = field(default_factory=lambda: deque(maxlen=TRIGGERED_MAX))
    notices: deque[tuple[str, dict[str, Any]]] = field(
        default_factory=lambda: deque(maxlen=TRIGGERED_MAX)
    )
    """(action, payload): of firmware, diagnostics, reports."""
    retry_at_ms: int = 0
    in_flight: int | None = None
    """Place of the queued message that is on the wire."""
    was_in_flight: bool = False
    """The last connection ended with a CALL unanswered."""

    def forget(self, connectors: tuple[int, ...]) -> None:
        self.needs_boot = True
        self.statuses = set(connectors)
        self.authorisations.clear()
        self.triggered.clear()
        self.notices.clear()
        self.retry_at_ms = 0
        self.was_in_flight = False
