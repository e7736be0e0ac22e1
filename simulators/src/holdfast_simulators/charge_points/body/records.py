"""Reservations, the local list, charging profiles, a firmware to come, as charge points of every version keep them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


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

    def keeps_out(self, id_tag: str) -> bool:
        """Before anybody is asked; where the parent decides, the central system is (1.6 5.13)."""
        return self.parent_id_tag is None and id_tag != self.id_tag


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
    phase: str
    """The FirmwareStatus last said of it."""
