"""What a charge point has been told to keep, beside its meters and sessions: it all outlives a reboot.

Settings, the local list, charging profiles, certificates; reservations stand on `Connector`, firmware by version.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from typing import Any

from holdfast_simulators.charge_points.body.records import Installed, Listed, LocalList


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory(ABC):
    local_list: LocalList = field(default_factory=LocalList)
    profiles: tuple[Installed, ...] = ()
    certificates: dict[str, str] = field(default_factory=dict)
    """Installed ones: kind by the serial number of the simulated hash."""

    @property
    @abstractmethod
    def settings(self) -> dict[str, str]:
        """What was changed by name; the rest is by behaviour."""

    def document(self) -> dict[str, Any]:
        return asdict(self)


def remembered(document: dict[str, Any]) -> dict[str, Any]:
    """The inverse of `Memory.document`, over JSON, for what every version keeps."""
    listed = document["local_list"]
    return {
        "local_list": LocalList(
            version=listed["version"],
            tokens={token: Listed(**entry) for token, entry in listed["tokens"].items()},
        ),
        "profiles": tuple(Installed(**one) for one in document["profiles"]),
        "certificates": document.get("certificates", {}),
    }
