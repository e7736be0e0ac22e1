"""Every action of OCPP 1.6 (with its security whitepaper), 2.0.1 and 2.1, in both directions: one row each.

    row(version, sender, action) -> ActionRow | None        None: that version does not have it

A row says what becomes of a message of that action while somebody is away: its class, what makes two of them the
same, who answers, what makes it obsolete. Whatever depends on a class reads it here. How long a command is good for,
and what must hold when it is delivered, is each site's own and stands in its rules (`commands`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from holdfast.ocpp.versions import OcppVersion

V16, V201, V21 = OcppVersion.V16, OcppVersion.V201, OcppVersion.V21
ALL = (V16, V201, V21)
SINCE_201 = (V201, V21)


class Sender(StrEnum):
    CHARGE_POINT = "charge point"
    CSMS = "csms"


class Class(StrEnum):
    """What becomes of a message when the other side is away."""

    TRANSACTIONAL = "T"
    """Durable before it is acknowledged, never lost, in its charge point's order."""
    GUARANTEED = "G"
    """Durable before it is acknowledged, in a lane of its own."""
    LATEST = "L"
    """Only the newest of each key counts."""
    ANSWERED = "A"
    """Answered by the site; nothing to deliver afterwards."""
    RELAYED = "R"
    """Needs the other side now: handed on live or refused at once, never kept."""
    EXPIRING = "X"
    """Kept with deadline and precondition."""
    DESIRED = "D"
    """A state somebody wants: the newest of each key is kept."""
    QUERY = "Q"
    """Answered by whom it asks, from what is known with its age where the rules say so, or not at all."""


class Away(StrEnum):
    """Who answers while the cloud is away."""

    SITE = "the site"
    REFUSED = "refused at once"
    """By the site to a charge point; by the csms-bridge to the CSMS."""
    NOBODY = "nobody"
    """A SEND (OCPP-J 2.1) has no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRow:
    action: str
    sender: Sender
    versions: tuple[OcppVersion, ...]
    kind: Class
    otherwise: Class | None = None
    """Where not all of its messages are of one class, that of the others: `when` says which is which."""
    when: str = ""
    """`kind` holds when …"""
    key: tuple[str, ...] = ()
    """Fields of the payload, dots for depth: with the charge point and the action they tell a repeat, or what the
    newest takes the place of. Empty: the whole payload."""
    away: Away = Away.SITE
    obsolete: str = "never"
    """What makes it pointless to deliver."""
    send: bool = False
    same_as: str | None = None
    """The action of OCPP 1.6 whose rules, time-outs and consequences are its own."""
    patience: int = 1
    """Of a command: so many times as long as others (`answer_ms_max` of ocpp-edge) its answer may take."""


def row(version: OcppVersion, sender: Sender, action: str) -> ActionRow | None:
    return _INDEX.get((version, sender, action))


def same_as(action: str) -> str:
    """The command of OCPP 1.6 whose rules and consequences this command has; itself where there is none."""
    return _SAME_AS.get(action, action)


def rows(version: OcppVersion, sender: Sender) -> tuple[ActionRow, ...]:
    return tuple(one for one in ROWS if one.sender is sender and version in one.versions)


def _said(
    action: str,
    versions: tuple[OcppVersion, ...],
    kind: Class,
    *key: str,
    otherwise: Class | None = None,
    when: str = "",
    obsolete: str = "never",
) -> ActionRow:
    """By a charge point: acknowledged by the site."""
    return ActionRow(
        action=action,
        sender=Sender.CHARGE_POINT,
        versions=versions,
        kind=kind,
        otherwise=otherwise,
        when=when,
        key=key,
        obsolete=obsolete,
    )


def _asked(action: str, versions: tuple[OcppVersion, ...], *key: str, obsolete: str) -> ActionRow:
    """By a charge point of the CSMS: only the CSMS can answer it."""
    return ActionRow(
        action=action,
        sender=Sender.CHARGE_POINT,
        versions=versions,
        kind=Class.RELAYED,
        key=key,
        away=Away.REFUSED,
        obsolete=obsolete,
    )


def _told(
    action: str,
    versions: tuple[OcppVersion, ...],
    kind: Class,
    *key: str,
    obsolete: str,
    same_as: str | None = None,
) -> ActionRow:
    """By a CSMS to a charge point: a command."""
    return ActionRow(
        action=action,
        sender=Sender.CSMS,
        versions=versions,
        kind=kind,
        key=key,
        away=Away.REFUSED,
        obsolete=obsolete,
        same_as=same_as,
        patience=_PATIENCE.get(action, 1),
    )


_PATIENCE = {
    **dict.fromkeys(("SendLocalList", "InstallCertificate", "CertificateSigned"), 2),
    **dict.fromkeys(("GetConfiguration", "GetVariables", "SetVariables"), 2),
    **dict.fromkeys(("GetReport", "GetBaseReport", "GetMonitoringReport", "DataTransfer"), 2),
    **dict.fromkeys(("GetDiagnostics", "GetLog", "UpdateFirmware", "SignedUpdateFirmware"), 4),
    "PublishFirmware": 4,
}
"""Charge points that write a list or a certificate to flash, look through their keys, or pack
their logs before they answer."""

T, G, L, A, R = (
    Class.TRANSACTIONAL,
    Class.GUARANTEED,
    Class.LATEST,
    Class.ANSWERED,
    Class.RELAYED,
)
X, D, Q = Class.EXPIRING, Class.DESIRED, Class.QUERY

_NEWER = "a newer one"
_OF_KEY = "a newer one of its key"
_MOMENT = "the moment it was asked in"
_ITS_END = "its session's end"
_REQUEST_OVER = "the request it belongs to is waited for no more"

_FROM_CHARGE_POINTS = (
    # Life and status
    _said("BootNotification", ALL, A, obsolete="a newer boot; the last one goes up first"),
    _said("Heartbeat", ALL, A, obsolete=_MOMENT),
    _said("StatusNotification", (V16,), L, "connectorId", obsolete=_OF_KEY + "; errors never"),
    _said("StatusNotification", SINCE_201, L, "evseId", "connectorId", obsolete=_OF_KEY),
    # Transactions
    _said("Authorize", ALL, A, obsolete=_MOMENT),
    _said("StartTransaction", (V16,), T, "connectorId", "idTag", "meterStart", "timestamp"),
    _said("StopTransaction", (V16,), T, "transactionId"),
    _said("TransactionEvent", SINCE_201, T, "transactionInfo.transactionId", "seqNo"),
    _said(
        "MeterValues",
        (V16,),
        T,
        otherwise=L,
        when="it belongs to a transaction",
        obsolete="a newer one of its connector, outside a transaction",
    ),
    _said("MeterValues", SINCE_201, L, "evseId", obsolete=_OF_KEY),
    _said("ReservationStatusUpdate", SINCE_201, G, "reservationId", "reservationUpdateStatus"),
    _said("NotifySettlement", (V21,), G, "pspRef", "status"),
    _said("BatterySwap", (V21,), G, "requestId", "eventType"),
    # What must arrive
    _said("SecurityEventNotification", ALL, G, "type", "timestamp"),
    _said(
        "NotifyEvent",
        SINCE_201,
        G,
        "seqNo",
        "generatedAt",
        otherwise=L,
        when="one of its events is an alert, or critical",
        obsolete="a newer one, below an alert",
    ),
    _said("NotifyDERAlarm", (V21,), G, "controlType", "timestamp"),
    _said("NotifyDERStartStop", (V21,), G, "controlId", "timestamp"),
    # Parts of reports: all or nothing
    _said("NotifyReport", SINCE_201, G, "requestId", "seqNo", obsolete=_REQUEST_OVER),
    _said("NotifyMonitoringReport", SINCE_201, G, "requestId", "seqNo", obsolete=_REQUEST_OVER),
    _said("NotifyCustomerInformation", SINCE_201, G, "requestId", "seqNo", obsolete=_REQUEST_OVER),
    _said("NotifyDisplayMessages", SINCE_201, G, obsolete=_REQUEST_OVER),
    _said("ReportChargingProfiles", SINCE_201, G, obsolete=_REQUEST_OVER),
    _said("ReportDERControl", (V21,), G, obsolete=_REQUEST_OVER),
    # Progress: the newest says all; an end is kept
    _said("DiagnosticsStatusNotification", (V16,), L, obsolete=_NEWER),
    _said("FirmwareStatusNotification", (V16,), L, obsolete=_NEWER),
    _said("FirmwareStatusNotification", SINCE_201, L, "requestId", obsolete=_OF_KEY),
    _said("SignedFirmwareStatusNotification", (V16,), L, "requestId", obsolete=_OF_KEY),
    _said("LogStatusNotification", ALL, L, "requestId", obsolete=_OF_KEY),
    _said("PublishFirmwareStatusNotification", SINCE_201, L, "requestId", obsolete=_OF_KEY),
    # Energy
    _said("NotifyChargingLimit", SINCE_201, L, "evseId", obsolete=_OF_KEY),
    _said("ClearedChargingLimit", SINCE_201, L, "evseId", obsolete=_OF_KEY),
    _said("NotifyEVChargingSchedule", SINCE_201, L, "evseId", obsolete=_OF_KEY),
    _said("NotifyPriorityCharging", (V21,), L, "transactionId", obsolete=_OF_KEY),
    _asked("NotifyEVChargingNeeds", SINCE_201, "evseId", obsolete="the EV waits seconds for it"),
    _asked("PullDynamicScheduleUpdate", (V21,), "chargingProfileId", obsolete=_MOMENT),
    # Certificates
    _asked("SignCertificate", ALL, obsolete="a newer CSR of the same kind"),
    _asked("Get15118EVCertificate", SINCE_201, obsolete="the EV waits seconds for it"),
    _asked("GetCertificateStatus", SINCE_201, obsolete=_MOMENT),
    _asked("GetCertificateChainStatus", (V21,), obsolete=_MOMENT),
    # The rest
    _asked("DataTransfer", ALL, "vendorId", "messageId", obsolete=_MOMENT),
    _asked("VatNumberValidation", (V21,), "vatNumber", obsolete=_MOMENT),
    _asked("OpenPeriodicEventStream", (V21,), "constantStreamData.id", obsolete=_MOMENT),
    _said("ClosePeriodicEventStream", (V21,), L, "id", obsolete=_OF_KEY),
    ActionRow(
        action="NotifyPeriodicEventStream",
        sender=Sender.CHARGE_POINT,
        versions=(V21,),
        kind=L,
        key=("id",),
        away=Away.NOBODY,
        obsolete=_OF_KEY,
        send=True,
    ),
)

_FROM_CSMS = (
    # Sessions
    _told(
        "RemoteStartTransaction",
        (V16,),
        X,
        "connectorId",
        "idTag",
        obsolete="its age; the place taken or reserved; its driver charging already; a newer one for the place",
    ),
    _told(
        "RequestStartTransaction",
        SINCE_201,
        X,
        "remoteStartId",
        same_as="RemoteStartTransaction",
        obsolete="its age; the place taken or reserved; its driver charging already; a newer one for the place",
    ),
    _told("RemoteStopTransaction", (V16,), X, "transactionId", obsolete=_ITS_END),
    _told(
        "RequestStopTransaction",
        SINCE_201,
        X,
        "transactionId",
        same_as="RemoteStopTransaction",
        obsolete=_ITS_END,
    ),
    _told("ReserveNow", (V16,), X, "reservationId", obsolete="its expiryDate; its cancellation"),
    _told(
        "ReserveNow",
        SINCE_201,
        X,
        "id",
        same_as="ReserveNow",
        obsolete="its expiryDateTime; its cancellation",
    ),
    _told("CancelReservation", ALL, D, "reservationId", obsolete="the reservation's end"),
    _told("UnlockConnector", (V16,), X, "connectorId", obsolete="its age; the connector changed"),
    _told(
        "UnlockConnector",
        SINCE_201,
        X,
        "evseId",
        "connectorId",
        same_as="UnlockConnector",
        obsolete="its age; the connector changed",
    ),
    _told("GetTransactionStatus", SINCE_201, Q, "transactionId", obsolete=_MOMENT),
    _told("CostUpdated", SINCE_201, X, "transactionId", obsolete="its session's end; a newer one"),
    _told("NotifyWebPaymentStarted", (V21,), X, "evseId", obsolete="its timeout"),
    _told("RequestBatterySwap", (V21,), X, "requestId", obsolete="its age: a person stood there"),
    # The charge point itself
    _told("Reset", (V16,), X, obsolete="its age; a boot after it; a session that began after it"),
    _told(
        "Reset",
        SINCE_201,
        X,
        "evseId",
        same_as="Reset",
        obsolete="its age; a boot after it; a session that began after it",
    ),
    _told("ChangeAvailability", (V16,), D, "connectorId", obsolete=_OF_KEY),
    _told(
        "ChangeAvailability",
        SINCE_201,
        D,
        "evse.id",
        "evse.connectorId",
        same_as="ChangeAvailability",
        obsolete=_OF_KEY,
    ),
    _told("TriggerMessage", ALL, X, "requestedMessage", obsolete="seconds: it is about now"),
    _told(
        "ExtendedTriggerMessage",
        (V16,),
        X,
        "requestedMessage",
        same_as="TriggerMessage",
        obsolete="seconds: it is about now",
    ),
    # Configuration, monitoring, reports
    _told("ChangeConfiguration", (V16,), D, "key", obsolete=_OF_KEY),
    _told(
        "SetVariables",
        SINCE_201,
        D,
        "setVariableData",
        same_as="ChangeConfiguration",
        obsolete=_OF_KEY,
    ),
    _told("GetConfiguration", (V16,), Q, "key", obsolete=_MOMENT),
    _told(
        "GetVariables",
        SINCE_201,
        Q,
        "getVariableData",
        same_as="GetConfiguration",
        obsolete=_MOMENT,
    ),
    _told(
        "SetNetworkProfile",
        SINCE_201,
        D,
        "configurationSlot",
        obsolete="a newer one of its slot; never without an operator's word",
    ),
    _told("GetBaseReport", SINCE_201, Q, "requestId", obsolete=_MOMENT),
    _told("GetReport", SINCE_201, Q, "requestId", obsolete=_MOMENT),
    _told("GetMonitoringReport", SINCE_201, Q, "requestId", obsolete=_MOMENT),
    _told("SetMonitoringBase", SINCE_201, D, obsolete=_NEWER),
    _told("SetMonitoringLevel", SINCE_201, D, obsolete=_NEWER),
    _told("SetVariableMonitoring", SINCE_201, D, "setMonitoringData", obsolete=_OF_KEY),
    _told("ClearVariableMonitoring", SINCE_201, D, "id", obsolete=_OF_KEY),
    _told(
        "CustomerInformation",
        SINCE_201,
        X,
        "requestId",
        obsolete="never where it erases: kept until it is done",
    ),
    _told("AdjustPeriodicEventStream", (V21,), D, "id", obsolete=_OF_KEY),
    _told("GetPeriodicEventStream", (V21,), Q, obsolete=_MOMENT),
    # Who may charge
    _told("ClearCache", ALL, D, obsolete=_NEWER),
    _told("GetLocalListVersion", ALL, Q, obsolete=_MOMENT),
    _told("SendLocalList", (V16,), D, "listVersion", obsolete="a version that is installed"),
    _told(
        "SendLocalList",
        SINCE_201,
        D,
        "versionNumber",
        same_as="SendLocalList",
        obsolete="a version that is installed",
    ),
    # Energy
    _told(
        "SetChargingProfile",
        (V16,),
        D,
        "connectorId",
        "csChargingProfiles.chargingProfilePurpose",
        "csChargingProfiles.stackLevel",
        obsolete="a newer one in its place; for a session its end; a higher limit its age",
    ),
    _told(
        "SetChargingProfile",
        SINCE_201,
        D,
        "evseId",
        "chargingProfile.chargingProfilePurpose",
        "chargingProfile.stackLevel",
        same_as="SetChargingProfile",
        obsolete="a newer one in its place; for a session its end; a higher limit its age",
    ),
    _told("ClearChargingProfile", (V16,), D, "id", obsolete="a newer set in its place"),
    _told(
        "ClearChargingProfile",
        SINCE_201,
        D,
        "chargingProfileId",
        same_as="ClearChargingProfile",
        obsolete="a newer set in its place",
    ),
    _told("GetCompositeSchedule", (V16,), Q, "connectorId", obsolete=_MOMENT),
    _told(
        "GetCompositeSchedule",
        SINCE_201,
        Q,
        "evseId",
        same_as="GetCompositeSchedule",
        obsolete=_MOMENT,
    ),
    _told("GetChargingProfiles", SINCE_201, Q, "requestId", obsolete=_MOMENT),
    _told("UpdateDynamicSchedule", (V21,), X, "chargingProfileId", obsolete=_NEWER),
    _told("UsePriorityCharging", (V21,), X, "transactionId", obsolete=_ITS_END),
    _told("NotifyAllowedEnergyTransfer", (V21,), X, "transactionId", obsolete=_ITS_END),
    _told("AFRRSignal", (V21,), X, "timestamp", obsolete="seconds: it is about now"),
    _told("SetDERControl", (V21,), D, "controlId", obsolete=_OF_KEY),
    _told("ClearDERControl", (V21,), D, "controlId", obsolete=_OF_KEY),
    _told("GetDERControl", (V21,), Q, "requestId", obsolete=_MOMENT),
    # Tariffs, displays
    _told("SetDefaultTariff", (V21,), D, "evseId", obsolete=_OF_KEY),
    _told(
        "ChangeTransactionTariff",
        (V21,),
        X,
        "transactionId",
        obsolete="its age: applied late it is a wrong bill",
    ),
    _told("ClearTariffs", (V21,), D, "evseId", obsolete=_OF_KEY),
    _told("GetTariffs", (V21,), Q, "evseId", obsolete=_MOMENT),
    _told(
        "SetDisplayMessage",
        SINCE_201,
        D,
        "message.id",
        obsolete="a newer one of its key; its endDateTime",
    ),
    _told("ClearDisplayMessage", SINCE_201, D, "id", obsolete=_OF_KEY),
    _told("GetDisplayMessages", SINCE_201, Q, "requestId", obsolete=_MOMENT),
    # Upkeep
    _told("GetDiagnostics", (V16,), X, "location", obsolete="its upload address's end"),
    _told(
        "GetLog", ALL, X, "requestId", same_as="GetDiagnostics", obsolete="its upload address's end"
    ),
    _told("UpdateFirmware", (V16,), X, "location", obsolete="a newer one; its retrieveDate passed"),
    _told(
        "UpdateFirmware",
        SINCE_201,
        X,
        "requestId",
        same_as="UpdateFirmware",
        obsolete="a newer one; its retrieveDateTime passed",
    ),
    _told(
        "SignedUpdateFirmware",
        (V16,),
        X,
        "requestId",
        same_as="UpdateFirmware",
        obsolete="a newer one; its retrieveDateTime passed",
    ),
    _told("PublishFirmware", SINCE_201, D, "requestId", obsolete=_NEWER),
    _told("UnpublishFirmware", SINCE_201, D, "checksum", obsolete=_NEWER),
    # Certificates
    _told("CertificateSigned", ALL, X, obsolete="a newer CSR than the one it answers"),
    _told("InstallCertificate", ALL, D, "certificate", obsolete="the same one's deletion"),
    _told(
        "DeleteCertificate",
        ALL,
        D,
        "certificateHashData.serialNumber",
        obsolete="the same one's installation",
    ),
    _told("GetInstalledCertificateIds", ALL, Q, obsolete=_MOMENT),
    # The rest
    _told("DataTransfer", ALL, R, "vendorId", "messageId", obsolete=_MOMENT),
)

ROWS = (*_FROM_CHARGE_POINTS, *_FROM_CSMS)
_INDEX = {(version, one.sender, one.action): one for one in ROWS for version in one.versions}
_SAME_AS = {one.action: one.same_as for one in _FROM_CSMS if one.same_as}
