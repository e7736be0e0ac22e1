"""What a charge point of 1.6 has been told to keep besides what all keep (`body/memory.py`). Pure records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from holdfast_simulators.charge_points.body import memory, records


@dataclass(frozen=True, slots=True, kw_only=True)
class Update(records.Update):
    phase: str = "Idle"
    request: int | None = None
    """Of a SignedUpdateFirmware: its statuses name it."""
    is_genuine: bool = True
    """By its signature, which is looked at once it is here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Firmware:
    version: str = "simulated 1"
    update: Update | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory(memory.Memory):
    configuration: dict[str, str] = field(default_factory=dict)
    """Keys; only what was changed."""
    firmware: Firmware = field(default_factory=Firmware)

    @property
    def settings(self) -> dict[str, str]:
        return self.configuration


def remembered(document: dict[str, Any]) -> Memory:
    """The inverse of `Memory.document`, over JSON."""
    firmware = document["firmware"]
    update = firmware["update"]
    return Memory(
        **memory.remembered(document),
        configuration=document["configuration"],
        firmware=Firmware(
            version=firmware["version"], update=None if update is None else Update(**update)
        ),
    )
