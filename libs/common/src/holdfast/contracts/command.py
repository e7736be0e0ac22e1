"""Commands: an instruction with deadline and precondition that ends in exactly one disposition."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field

from holdfast.contracts.envelope import Contract, Fact
from holdfast.contracts.numbers import Moment, Payload

Action = Literal[
    # OCPP 1.6; many of them in 2.x, too, with a payload of their own
    "RemoteStartTransaction",
    "RemoteStopTransaction",
    "Reset",
    "UnlockConnector",
    "ChangeAvailability",
    "ChangeConfiguration",
    "GetConfiguration",
    "ClearCache",
    "DataTransfer",
    "GetLocalListVersion",
    "SendLocalList",
    "ReserveNow",
    "CancelReservation",
    "SetChargingProfile",
    "ClearChargingProfile",
    "GetCompositeSchedule",
    "TriggerMessage",
    "GetDiagnostics",
    "UpdateFirmware",
    # the security whitepaper of 1.6; but for two of them in 2.x, too
    "CertificateSigned",
    "InstallCertificate",
    "DeleteCertificate",
    "GetInstalledCertificateIds",
    "GetLog",
    "SignedUpdateFirmware",
    "ExtendedTriggerMessage",
    # 2.0.1 and 2.1
    "RequestStartTransaction",
    "RequestStopTransaction",
    "GetTransactionStatus",
    "CostUpdated",
    "SetVariables",
    "GetVariables",
    "SetNetworkProfile",
    "GetBaseReport",
    "GetReport",
    "GetMonitoringReport",
    "SetMonitoringBase",
    "SetMonitoringLevel",
    "SetVariableMonitoring",
    "ClearVariableMonitoring",
    "CustomerInformation",
    "GetChargingProfiles",
    "SetDisplayMessage",
    "ClearDisplayMessage",
    "GetDisplayMessages",
    "PublishFirmware",
    "UnpublishFirmware",
    # 2.1
    "NotifyWebPaymentStarted",
    "RequestBatterySwap",
    "AdjustPeriodicEventStream",
    "GetPeriodicEventStream",
    "UpdateDynamicSchedule",
    "UsePriorityCharging",
    "NotifyAllowedEnergyTransfer",
    "AFRRSignal",
    "SetDERControl",
    "ClearDERControl",
    "GetDERControl",
    "SetDefaultTariff",
    "ChangeTransactionTariff",
    "ClearTariffs",
    "GetTariffs",
]
"""Everything that a CSMS may ask of a charge point of OCPP 1.6, 2.0.1 or 2.1 (`holdfast.ocpp.actions`). Which of it a
charge point understands depends on the version that it speaks."""


class Issuer(StrEnum):
    CSMS = "csms"
    CLOUD = "cloud"
    OPERATOR_AT_SITE = "operator at site"
    SITE = "site"
    """The site itself, by a rule: an energy cap that is reached."""


class Command(Contract):
    """On `hf.<site>.down.command.<id>`, or from the operator at the site on `hf.<site>.rpc.command`."""

    id: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")
    charge_point: str = Field(min_length=1, max_length=255)
    action: Action
    payload: Payload
    """As the version has it that the charge point speaks; checked against that schema before it is sent."""
    issued_at_ms: Moment
    deadline_ms: Moment
    """Absolute, UTC. Not delivered after it."""
    issuer: Issuer = Issuer.CLOUD
    by_rule: str = Field("", max_length=100)
    """The rule that led to it, where no person and no CSMS did: `upstream.refused_start`, or the site's own."""
    why: str = Field("", max_length=255)
    """For the journal; of what the site itself issues."""
    by: str = Field("", max_length=100)
    """Who gave it, for the journal: the person whose name the monitor was told. Empty where there is none, as with a
    CSMS. It decides nothing, and is no part of what makes it the same command."""


class Disposition(StrEnum):
    """How a command ended. `uncertain` is never sent again; it is settled by observation."""

    DELIVERED = "delivered"
    """The charge point answered; `answer` has its status."""
    REFUSED = "refused"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    OBSOLETE = "obsolete"
    UNCERTAIN = "uncertain"
    FROM_KNOWN = "from known"
    """A question to a charge point that is away, or to a site that is cut off: `answer` is out of what it has told
    before, and `reason` says how old that is. Nobody asked the charge point."""


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
    payload: Payload | None = None
    """What of it is sent, where newer commands took the place of parts of it; None: all of it."""
    reason: str = ""
    """What is not sent, and which commands set that."""


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
    answer: str | None = None
    """The charge point's CALLRESULT payload, where it answered after all: as it stood in the frame."""


class Word(StrEnum):
    """What an operator says to a command that has not been sent yet."""

    CONFIRM = "confirm"
    CANCEL = "cancel"


class CommandWord(Contract):
    """Request of `rpc.command-word` (site); from the cloud on `hf.<site>.down.command-word.<id>.<word>`."""

    id: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")
    """Of the command."""
    word: Word
    by: str = Field(min_length=1, max_length=100)
    """Who says it, for the journal."""
    at_ms: Moment


class SendWord(Contract):
    """Request of `hf.cloud.rpc.command-word`."""

    site: str
    word: CommandWord


class CommandHeld(Fact):
    """The rules want an operator's word before it is sent: it waits for one until its deadline."""

    TYPE: ClassVar[str] = "command.held"

    charge_point: str
    command: Command
    reason: str
    decision: str


class CommandWorded(Fact):
    """An operator confirmed or cancelled a command, or was told why that can't be."""

    TYPE: ClassVar[str] = "command.worded"

    charge_point: str
    command_id: str
    word: Word
    by: str
    taken: bool = True
    """False: it came too late, and changes nothing."""
    reason: str = ""
    """Why it was not taken."""


class CommandReceipt(Contract):
    """Reply of `rpc.command`, `rpc.command-word` (site) and of the same two of the cloud: accepted for its way,
    not yet its end.
    """

    id: str
    accepted: bool
    reason: str = ""


class CommandLanes(Contract):
    """Reply of `rpc.lanes`: what ocpp-edge still has to settle (step 5 of recovery)."""

    pending: tuple[str, ...]
    """Ids of commands received and without disposition, that nothing but their charge point or the site holds up."""
    waiting: tuple[str, ...] = ()
    """Ids of those that wait for an operator's word or a better time: each says so in the journal or its decision,
    and recovery does not wait for them."""
    downlink_seq: int
    """Highest DOWNLINK sequence handled."""


class SendCommand(Contract):
    """Request of `hf.cloud.rpc.command`."""

    site: str
    command: Command
