"""What a charge point does and says, apart from sessions."""

from __future__ import annotations

from typing import ClassVar, Literal

from holdfast.contracts.envelope import Contract, Fact
from holdfast.contracts.transaction import TransactionId
from holdfast.ocpp.versions import OcppVersion


class ChargePointConnected(Fact):
    TYPE: ClassVar[str] = "charge-point.connected"

    charge_point: str
    connection: str
    """One life of one socket. Every effect names it, so a late close of an old one touches nothing."""
    protocol: str
    """The subprotocol that was agreed on."""
    version: OcppVersion = OcppVersion.V16
    security_profile: int = 1
    """OCPP's: 0 nothing, 1 password, 2 TLS and password, 3 TLS and the charge point's certificate."""
    remote: str
    replaced: str | None = None
    """The connection that this one took over from."""
    replaced_answered: bool = False
    """The one before still answered a ping, at a site where the newest wins: two charge points under one identity?"""
    coalesced: int = 0
    """So many facts of connections before this one were left out: the journal did not take them in time."""


class ChargePointDisconnected(Fact):
    TYPE: ClassVar[str] = "charge-point.disconnected"

    charge_point: str
    connection: str
    reason: str
    coalesced: int = 0
    """As for `ChargePointConnected`."""


class ChargePointBooted(Fact):
    """A BootNotification was answered."""

    TYPE: ClassVar[str] = "charge-point.booted"

    charge_point: str
    message_id: str
    action: str = "BootNotification"
    vendor: str
    model: str
    serial: str | None
    firmware: str | None
    status: Literal["Accepted", "Pending", "Rejected"]
    reason: str | None = None
    """Why it booted (2.x)."""
    version: OcppVersion = OcppVersion.V16
    raw: str
    """The CALL's payload, byte for byte."""


class ConnectorStatusChanged(Fact):
    """A StatusNotification that changed the connector's status or named an error."""

    TYPE: ClassVar[str] = "charge-point.status-changed"

    charge_point: str
    connector: int
    """1.6: connectorId. 2.x: evseId."""
    plug: int | None = None
    """2.x: connectorId on that EVSE."""
    status: str
    error_code: str
    """2.x has none in a StatusNotification: NoError."""
    message_id: str
    action: str = "StatusNotification"
    version: OcppVersion = OcppVersion.V16
    raw: str


class AvailabilityChanged(Fact):
    """The charge point took a ChangeAvailability: state that must answer "what changed while cut off"."""

    TYPE: ClassVar[str] = "charge-point.availability-changed"

    charge_point: str
    connector: int
    availability: Literal["Operative", "Inoperative"]
    command_id: str


class ChargingProfileInstalled(Fact):
    TYPE: ClassVar[str] = "charge-point.profile-installed"

    charge_point: str
    connector: int
    profile: str
    """The csChargingProfiles object as it was sent."""
    command_id: str


class DataTransferred(Fact):
    """A DataTransfer from the charge point; answered UnknownVendorId unless a rule knows the vendor."""

    TYPE: ClassVar[str] = "charge-point.data-transferred"

    charge_point: str
    vendor: str
    message_id: str
    action: str = "DataTransfer"
    version: OcppVersion = OcppVersion.V16
    raw: str


class ChargePointSaid(Fact):
    """A message that the site keeps and does not interpret: of class T and G, and how things ended, stored before it
    was acknowledged; else of class L, of which the newest of its key counts, and the CSMS gets it.
    """

    TYPE: ClassVar[str] = "charge-point.said"

    charge_point: str
    version: OcppVersion
    action: str
    kind: str
    """Class of the action, as the table of actions has it: T, G or L."""
    key: str
    """Digest of its business key: a repeat has the same."""
    message_id: str
    left_out: int = 0
    """Class L: so many older ones of its key came shortly before it, and only the newest counts."""
    raw: str


class FrameRefused(Fact):
    """A frame that could not be served: counted, answered with the right error, kept for reading."""

    TYPE: ClassVar[str] = "charge-point.frame-refused"
    STREAM: ClassVar[Literal["journal", "telemetry"]] = "telemetry"

    charge_point: str
    reason: str
    code: str | None
    """The CALLERROR code answered; None where nothing could be answered."""
    frame: str
    """The first 2,000 characters."""
    version: OcppVersion = OcppVersion.V16


class ChargePointThrottled(Fact):
    """It sends faster than it may: its socket is read more slowly, and nothing is refused. Told when it begins,
    then once a minute.
    """

    TYPE: ClassVar[str] = "charge-point.throttled"
    STREAM: ClassVar[Literal["journal", "telemetry"]] = "telemetry"

    charge_point: str
    frames: int
    """Read later than they came, since this was last told."""
    waited_ms: int
    authorize: bool
    """Authorize, which has a bound of its own, was sent too fast."""


class ChargePointSampled(Fact):
    """Periodic and latest-wins frames (Heartbeat, meter values outside a session, unchanged status)."""

    TYPE: ClassVar[str] = "charge-point.sampled"
    STREAM: ClassVar[Literal["journal", "telemetry"]] = "telemetry"

    charge_point: str
    action: str
    message_id: str
    left_out: int = 0
    """So many of its kind, on its connector, before this one were left out by rule (`buffering`)."""
    version: OcppVersion = OcppVersion.V16
    raw: str


class ConnectorView(Contract):
    """One connector as its last StatusNotification and the session on it say."""

    connector: int
    """0: the charge point as a whole."""
    status: str | None
    """None: no StatusNotification came yet."""
    error_code: str | None
    transaction_id: TransactionId | None
    """Of the session that runs on it."""


class ChargePointView(Contract):
    """One charge point as ocpp-edge knows it now."""

    charge_point: str
    connected: bool
    connection: str | None
    connected_at_ms: int | None
    version: OcppVersion | None = None
    """Of its last connection; None: it never connected."""
    heard_at_ms: int | None
    """When its last frame came; None since ocpp-edge started."""
    booted_at_ms: int | None
    vendor: str | None
    model: str | None
    connectors: tuple[ConnectorView, ...]
    waiting_messages: int
    """Transactional messages received and not yet acknowledged."""
    waiting_commands: int
    """Commands without disposition."""
    registered: bool = True
    """It may connect; False: not any more."""
    security_profile: int | None = None
    """The registered one; None: not registered."""
    next_security_profile: int | None = None
    """It may come by this one, too; once it has, this is its only one."""


class ChargePointsStatus(Contract):
    """Reply of `rpc.charge-points`: every charge point that is registered or was ever connected."""

    at_ms: int
    charge_points: tuple[ChargePointView, ...]
