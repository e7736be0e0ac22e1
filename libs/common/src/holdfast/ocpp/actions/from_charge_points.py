"""What charge points send: one row for each action (`shape.py` says what a row says)."""

from __future__ import annotations

from holdfast.ocpp.actions.shape import (
    ALL,
    MOMENT,
    NEWER,
    OF_KEY,
    REQUEST_OVER,
    SINCE_201,
    V16,
    V21,
    A,
    ActionRow,
    Away,
    Class,
    G,
    L,
    Sender,
    T,
)
from holdfast.ocpp.versions import OcppVersion


def said(
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


def asked(action: str, versions: tuple[OcppVersion, ...], *key: str, obsolete: str) -> ActionRow:
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


ROWS = (
    # Life and status
    said("BootNotification", ALL, A, obsolete="a newer boot; the last one goes up first"),
    said("Heartbeat", ALL, A, obsolete=MOMENT),
    said("StatusNotification", (V16,), L, "connectorId", obsolete=OF_KEY + "; errors never"),
    said("StatusNotification", SINCE_201, L, "evseId", "connectorId", obsolete=OF_KEY),
    # Transactions
    said("Authorize", ALL, A, obsolete=MOMENT),
    said("StartTransaction", (V16,), T, "connectorId", "idTag", "meterStart", "timestamp"),
    said("StopTransaction", (V16,), T, "transactionId"),
    said("TransactionEvent", SINCE_201, T, "transactionInfo.transactionId", "seqNo"),
    said(
        "MeterValues",
        (V16,),
        T,
        otherwise=L,
        when="it belongs to a transaction",
        obsolete="a newer one of its connector, outside a transaction",
    ),
    said("MeterValues", SINCE_201, L, "evseId", obsolete=OF_KEY),
    said("ReservationStatusUpdate", SINCE_201, G, "reservationId", "reservationUpdateStatus"),
    said("NotifySettlement", (V21,), G, "pspRef", "status"),
    said("BatterySwap", (V21,), G, "requestId", "eventType"),
    # What must arrive
    said("SecurityEventNotification", ALL, G, "type", "timestamp"),
    said(
        "NotifyEvent",
        SINCE_201,
        G,
        "seqNo",
        "generatedAt",
        otherwise=L,
        when="one of its events is an alert, or critical",
        obsolete="a newer one, below an alert",
    ),
    said("NotifyDERAlarm", (V21,), G, "controlType", "timestamp"),
    said("NotifyDERStartStop", (V21,), G, "controlId", "timestamp"),
    # Parts of reports: all or nothing
    said("NotifyReport", SINCE_201, G, "requestId", "seqNo", obsolete=REQUEST_OVER),
    said("NotifyMonitoringReport", SINCE_201, G, "requestId", "seqNo", obsolete=REQUEST_OVER),
    said("NotifyCustomerInformation", SINCE_201, G, "requestId", "seqNo", obsolete=REQUEST_OVER),
    said("NotifyDisplayMessages", SINCE_201, G, obsolete=REQUEST_OVER),
    said("ReportChargingProfiles", SINCE_201, G, obsolete=REQUEST_OVER),
    said("ReportDERControl", (V21,), G, obsolete=REQUEST_OVER),
    # Progress: the newest says all; an end is kept
    said("DiagnosticsStatusNotification", (V16,), L, obsolete=NEWER),
    said("FirmwareStatusNotification", (V16,), L, obsolete=NEWER),
    said("FirmwareStatusNotification", SINCE_201, L, "requestId", obsolete=OF_KEY),
    said("SignedFirmwareStatusNotification", (V16,), L, "requestId", obsolete=OF_KEY),
    said("LogStatusNotification", ALL, L, "requestId", obsolete=OF_KEY),
    said("PublishFirmwareStatusNotification", SINCE_201, L, "requestId", obsolete=OF_KEY),
    # Energy
    said(
        "NotifyChargingLimit",
        SINCE_201,
        L,
        "evseId",
        "chargingLimit.chargingLimitSource",
        obsolete=OF_KEY,
    ),
    said("ClearedChargingLimit", SINCE_201, L, "evseId", "chargingLimitSource", obsolete=OF_KEY),
    said("NotifyEVChargingSchedule", SINCE_201, L, "evseId", obsolete=OF_KEY),
    said("NotifyPriorityCharging", (V21,), L, "transactionId", obsolete=OF_KEY),
    asked("NotifyEVChargingNeeds", SINCE_201, "evseId", obsolete="the EV waits seconds for it"),
    asked("PullDynamicScheduleUpdate", (V21,), "chargingProfileId", obsolete=MOMENT),
    # Certificates
    asked("SignCertificate", ALL, obsolete="a newer CSR of the same kind"),
    asked("Get15118EVCertificate", SINCE_201, obsolete="the EV waits seconds for it"),
    asked("GetCertificateStatus", SINCE_201, obsolete=MOMENT),
    asked("GetCertificateChainStatus", (V21,), obsolete=MOMENT),
    # The rest
    asked("DataTransfer", ALL, "vendorId", "messageId", obsolete=MOMENT),
    asked("VatNumberValidation", (V21,), "vatNumber", obsolete=MOMENT),
    asked("OpenPeriodicEventStream", (V21,), "constantStreamData.id", obsolete=MOMENT),
    said("ClosePeriodicEventStream", (V21,), L, "id", obsolete=OF_KEY),
    ActionRow(
        action="NotifyPeriodicEventStream",
        sender=Sender.CHARGE_POINT,
        versions=(V21,),
        kind=L,
        key=("id",),
        away=Away.NOBODY,
        obsolete=OF_KEY,
        send=True,
    ),
)
