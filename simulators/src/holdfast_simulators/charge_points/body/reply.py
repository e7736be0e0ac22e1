"""What a charge point answers to a command, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Generic

from holdfast_simulators.charge_points.body.clock import Instant
from holdfast_simulators.charge_points.body.config import Behaviour
from holdfast_simulators.charge_points.body.device import D
from holdfast_simulators.charge_points.body.events import Happened, Remembered

NOT_EXECUTED = frozenset(
    {
        "Rejected", "NotImplemented", "Unknown", "NotSupported", "Failed", "VersionMismatch", "UnlockFailed",
        "Faulted", "Occupied", "Unavailable", "UnknownVendorId", "UnknownMessageId", "UnknownConnector",
        "EmptyResultSet", "OngoingAuthorizedTransaction", "NoProfiles", "NotFound", "Invalid",
    }
)  # fmt: skip
"""Statuses that say nothing has changed and nothing will."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """Diagnostics or a log on their way out."""

    location: str
    request_id: int | None = None
    """Of a GetLog: its statuses name it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    payload: dict[str, Any] | None
    """None: a CALLERROR with `code`."""
    code: str = ""
    executed: bool = False
    """It took effect, or will (at the end of the session, at the next boot); of a query: it was answered."""
    events: tuple[Happened, ...] = ()
    restart: str | None = None
    """The type of a Reset."""
    trigger: tuple[str, int] | None = None
    clears_cache: bool = False
    upload: Upload | None = None
    notices: tuple[tuple[str, dict[str, Any]], ...] = ()
    """(action, payload): what is reported afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation(Generic[D]):
    """In which a command comes."""

    behaviour: Behaviour
    device: D
    at: Instant
    has_room: bool

    def kept(self, **changed: Any) -> Remembered:
        """The memory with this changed."""
        return Remembered(at=self.at, memory=replace(self.device.memory, **changed))


def status(status: str, *events: Happened, reason: str = "") -> Reply:
    payload: dict[str, Any] = {"status": status}
    if reason:
        payload["statusInfo"] = {"reasonCode": reason}
    return Reply(payload=payload, executed=status not in NOT_EXECUTED, events=events)


def answer(payload: dict[str, Any]) -> Reply:
    """To a query."""
    return Reply(payload=payload, executed=True)
