"""What a station has been told to keep, beside its meters and transactions: it all outlives a reboot."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from holdfast_simulators.charge_points.body.records import Installed, Listed, LocalList


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """A firmware on its way in."""

    location: str
    request_id: int
    at_ms: int
    """When it is to be fetched."""
    phase: str = "DownloadScheduled"
    """The FirmwareStatus last said of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    variables: dict[str, str] = field(default_factory=dict)
    """`Component.Variable`; only what was changed, the rest is by behaviour."""
    local_list: LocalList = field(default_factory=LocalList)
    profiles: tuple[Installed, ...] = ()
    firmware: str = "simulated 2"
    update: Update | None = None
    certificates: dict[str, str] = field(default_factory=dict)
    """Installed ones: serial number of the simulated hash to type."""
    stream_s: float | None = None
    """2.1: the interval that AdjustPeriodicEventStream asked for."""

    def document(self) -> dict[str, Any]:
        return asdict(self)


def remembered(document: dict[str, Any]) -> Memory:
    """The inverse of `Memory.document`, over JSON."""
    listed, update = document["local_list"], document["update"]
    return Memory(
        variables=document["variables"],
        local_list=LocalList(
            version=listed["version"],
            tokens={token: Listed(**entry) for token, entry in listed["tokens"].items()},
        ),
        profiles=tuple(Installed(**one) for one in document["profiles"]),
        firmware=document["firmware"],
        update=None if update is None else Update(**update),
        certificates=document["certificates"],
        stream_s=document["stream_s"],
    )
