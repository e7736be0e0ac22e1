"""Commands: an instruction with deadline and precondition that ends in exactly one disposition."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar, Literal

from pydantic import Field

from holdfast.contracts.envelope import Contract, Fact

Action = Literal[
    "RemoteStartTransaction",
    "RemoteStopTransaction",
    "Reset",
    "ChangeAvailability",
    "TriggerMessage",
    "SetChargingProfile",
]


class Issuer(StrEnum):
    CSMS = "csms"
    CLOUD = "cloud"
    OPERATOR_AT_SITE = "operator at site"


class Command(Contract):
    """On `hf.<site>.down.command.<id>`, or from the operator at the site on `hf.<site>.rpc.command`."""

    id: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")
    charge_point: str = Field(min_length=1, max_length=255)
    action: Action
    payload: dict[str, Any]
    """As OCPP 1.6 has it; checked against the action's schema before it is sent."""
    issued_at_ms: int
    deadline_ms: int
    """Absolute, UTC. Not delivered after it."""
    issuer: Issuer = Issuer.CLOUD


class Disposition(StrEnum):
    """How a command ended. `uncertain` is never sent again; it is settled by observation."""

    DELIVERED = "delivered"
    """The charge point answered; `answer` has its status."""
    REFUSED = "refused"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    OBSOLETE = "obsolete"
    UNCERTAIN = "uncertain"


class CommandReceived(Fact):
    """The site has the command; from here on it ends in one disposition, whatever dies in between."""

    TYPE: ClassVar[str] = "command.received"

    charge_point: str
    command: Command
    downlink_seq: int
    """Its sequence in DOWNLINK; 0 when the operator at the site gave it."""


class CommandDispatched(Fact):
    """About to be sent: written before the frame, so that a crash leaves it uncertain, never forgotten."""

    TYPE: ClassVar[str] = "command.dispatched"

    charge_point: str
    command: Command
    message_id: str


class CommandSettled(Fact):
    TYPE: ClassVar[str] = "command.settled"

    charge_point: str
    command: Command
    disposition: Disposition
    reason: str = ""
    answer: str | None = None
    """The charge point's CALLRESULT payload, as it stood in the frame."""
    decision: str | None = None


class CommandObserved(Fact):
    """An uncertain command was settled by what the charge point did afterwards."""

    TYPE: ClassVar[str] = "command.observed"

    charge_point: str
    command_id: str
    took_effect: bool
    evidence: str


class CommandReceipt(Contract):
    """Reply of `rpc.command` (site) and `hf.cloud.rpc.command`: accepted for its way, not yet its end."""

    id: str
    accepted: bool
    reason: str = ""


class CommandLanes(Contract):
    """Reply of `rpc.lanes`: what ocpp-edge still has to settle (step 5 of recovery)."""

    pending: tuple[str, ...]
    """Ids of commands received and without disposition, and of those the downlink copy still holds."""
    downlink_seq: int
    """Highest DOWNLINK sequence handled."""


class SendCommand(Contract):
    """Request of `hf.cloud.rpc.command`."""

    site: str
    command: Command
