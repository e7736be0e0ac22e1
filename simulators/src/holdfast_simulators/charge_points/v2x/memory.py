"""What a station has been told to keep besides what all keep (`body/memory.py`). Pure records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from holdfast_simulators.charge_points.body import memory, records


@dataclass(frozen=True, slots=True, kw_only=True)
class Update(records.Update):
    request_id: int
    phase: str = "DownloadScheduled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory(memory.Memory):
    variables: dict[str, str] = field(default_factory=dict)
    """`Component.Variable`; only what was changed."""
    firmware: str = "simulated 2"
    update: Update | None = None
    stream_s: float | None = None
    """2.1: the interval that AdjustPeriodicEventStream asked for."""

    @property
    def settings(self) -> dict[str, str]:
        return self.variables


def remembered(document: dict[str, Any]) -> Memory:
    """The inverse of `Memory.document`, over JSON."""
    update = document["update"]
    return Memory(
        **memory.remembered(document),
        variables=document["variables"],
        firmware=document["firmware"],
        update=None if update is None else Update(**update),
        stream_s=document["stream_s"],
    )
