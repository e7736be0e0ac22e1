"""What a station answers to a command, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from holdfast_simulators.charge_points.body.clock import Instant
from holdfast_simulators.charge_points.body.config import Behaviour
from holdfast_simulators.charge_points.v2x.device import Device
from holdfast_simulators.charge_points.v2x.events import DeviceEvent

NOT_EXECUTED = frozenset(
    {
        "Rejected", "NotImplemented", "Unknown", "NotSupported", "Failed", "VersionMismatch", "UnlockFailed",
        "Faulted", "Occupied", "Unavailable", "UnknownVendorId", "UnknownConnector", "EmptyResultSet",
        "OngoingAuthorizedTransaction", "NoProfiles", "NotFound", "Invalid",
    }
)  # fmt: skip
"""Statuses that say nothing has changed and nothing will."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A log on its way out."""

    location: str
    request_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    payload: dict[str, Any] | None
    """None: a CALLERROR with `code`."""
    code: str = ""
    executed: bool = False
    """It took effect, or will (at the end of the transaction, at the next boot); of a query: it was answered."""
    events: tuple[DeviceEvent, ...] = ()
    restart: str | None = None
    """`Immediate` or `OnIdle`."""
    trigger: tuple[str, int] | None = None
    clears_cache: bool = False
    upload: Upload | None = None
    notices: tuple[tuple[str, dict[str, Any]], ...] = ()
    """(action, payload): what is reported afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    version: str
    behaviour: Behaviour
    device: Device
    at: Instant
    has_room: bool
    queued_transactions: frozenset[str]
    """Those of which something waits to be sent."""


def status(status: str, *events: DeviceEvent, reason: str = "") -> Reply:
    payload: dict[str, Any] = {"status": status}
    if reason:
        payload["statusInfo"] = {"reasonCode": reason}
    return Reply(payload=payload, executed=status not in NOT_EXECUTED, events=events)


def answer(payload: dict[str, Any]) -> Reply:
    """To a query."""
    return Reply(payload=payload, executed=True)
