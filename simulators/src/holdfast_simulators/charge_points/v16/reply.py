"""What a charge point answers to a command, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from holdfast_simulators.charge_points.body.clock import Instant
from holdfast_simulators.charge_points.body.config import Behaviour
from holdfast_simulators.charge_points.v16.device import Device
from holdfast_simulators.charge_points.v16.events import DeviceEvent

NOT_EXECUTED = frozenset(
    {
        "Rejected", "NotImplemented", "Unknown", "NotSupported", "Failed", "VersionMismatch", "UnlockFailed",
        "Faulted", "Occupied", "Unavailable", "UnknownVendorId", "UnknownMessageId",
    }
)  # fmt: skip
"""Statuses that say nothing has changed and nothing will."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    payload: dict[str, Any] | None
    """None: a CALLERROR with `code`."""
    code: str = ""
    executed: bool = False
    """It took effect, or will (at the end of the session, at the next boot); of a query: it was answered."""
    events: tuple[DeviceEvent, ...] = ()
    restart: str | None = None
    """`Soft` or `Hard`."""
    trigger: tuple[str, int] | None = None
    clears_cache: bool = False
    upload_to: str | None = None
    """Where the diagnostics are to go."""
    upload_request: int | None = None
    """Of a GetLog: its statuses name it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    behaviour: Behaviour
    device: Device
    at: Instant
    has_room: bool


def status(status: str, *events: DeviceEvent) -> Reply:
    return Reply(payload={"status": status}, executed=status not in NOT_EXECUTED, events=events)


def answer(payload: dict[str, Any]) -> Reply:
    """To a query."""
    return Reply(payload=payload, executed=True)
