"""What a charge point has been told to keep, beside its meters and sessions: it all outlives a reboot.

Configuration keys, the local list, reservations (on `Connector`), charging profiles, firmware. Pure records; which
command changes what stands in `keys.py`, `local_list.py`, `reservations.py`, `profiles.py`, `upkeep.py`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from holdfast_simulators.charge_points.body.records import Installed, Listed, LocalList


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """A firmware on its way in."""

    location: str
    at_ms: int
    """When it is to be fetched."""
    phase: str = "Idle"
    """The FirmwareStatus last said of it."""
    request: int | None = None
    """Of a SignedUpdateFirmware: its statuses name it."""
    is_genuine: bool = True
    """By its signature, which is looked at once it is here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Firmware:
    version: str = "simulated 1"
    update: Update | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    configuration: dict[str, str] = field(default_factory=dict)
    """Only what was changed; the rest is by behaviour."""
    local_list: LocalList = field(default_factory=LocalList)
    profiles: tuple[Installed, ...] = ()
    firmware: Firmware = field(default_factory=Firmware)
    certificates: dict[str, str] = field(default_factory=dict)
    """Kind by serial number."""

    def document(self) -> dict[str, Any]:
        return asdict(self)


def remembered(document: dict[str, Any]) -> Memory:
    """The inverse of `Memory.document`, over JSON."""
    tokens = document["local_list"]["tokens"]
    firmware = document["firmware"]
    update = firmware["update"]
    return Memory(
        configuration=document["configuration"],
        local_list=LocalList(
            version=document["local_list"]["version"],
            tokens={id_tag: Listed(**entry) for id_tag, entry in tokens.items()},
        ),
        profiles=tuple(Installed(**one) for one in document["profiles"]),
        firmware=Firmware(
            version=firmware["version"], update=None if update is None else Update(**update)
        ),
        certificates=document.get("certificates", {}),
    )
