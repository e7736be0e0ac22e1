"""What a charge point has been told to keep, beside its meters and sessions: it all outlives a reboot.

Configuration keys, the local list, reservations (on `Connector`), charging profiles, firmware. Pure records; which
command changes what stands in `keys.py`, `local_list.py`, `reservations.py`, `profiles.py`, `upkeep.py`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any


def moment_ms(text: Any) -> int:
    """Of an ISO 8601 time with a zone; without one it is UTC, as OCPP 1.6 3.16 has it. Raise ValueError."""
    if not isinstance(text, str) or len(text) > 40:
        raise ValueError(text)
    moment = datetime.fromisoformat(text)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    id: int
    id_tag: str
    parent_id_tag: str | None
    until_ms: int
    """By the charge point's own clock, as all moments in payloads are."""

    def is_for(self, id_tag: str, parent_id_tag: str | None) -> bool:
        same_parent = parent_id_tag is not None and parent_id_tag == self.parent_id_tag
        return id_tag == self.id_tag or same_parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One driver token of the local list."""

    status: str
    until_ms: int | None = None
    parent_id_tag: str | None = None

    def is_accepted(self, at_ms: int) -> bool:
        return self.status == "Accepted" and (self.until_ms is None or at_ms < self.until_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalList:
    version: int = 0
    """0: there is none."""
    tokens: dict[str, Listed] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """One charging profile, as it was given."""

    connector: int
    profile: dict[str, Any]
    at_ms: int
    """When: an Absolute one without a start begins here."""

    @property
    def id(self) -> int:
        return int(self.profile["chargingProfileId"])

    @property
    def purpose(self) -> str:
        return str(self.profile["chargingProfilePurpose"])

    @property
    def stack_level(self) -> int:
        return int(self.profile["stackLevel"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """A firmware on its way in."""

    location: str
    at_ms: int
    """When it is to be fetched."""
    phase: str = "Idle"
    """The FirmwareStatus last said of it."""


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
    )
