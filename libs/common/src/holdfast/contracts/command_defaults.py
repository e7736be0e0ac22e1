"""The rows of commands that hold where nobody wrote any: the safe values of ocpp-outage-rules 3.5.

One row per command, but for those that mean the same as one of OCPP 1.6 (`same_as` in the table of actions): they go by
its row. `default_rules.yaml` of rule-service gives the reason of each.
"""

from __future__ import annotations

from holdfast.contracts.command_rules import CommandKind, CommandRules, Precondition
from holdfast.contracts.mode import Mode

ALL = tuple(Mode)
LIVE = (Mode.CONNECTED, Mode.DEGRADED, Mode.RECOVERY)
HERE = (Mode.CONNECTED,)
_DAY_MS = 86_400_000
_P, _K = Precondition, CommandKind


def _row(
    kind: CommandKind,
    modes: tuple[Mode, ...],
    age_ms_max: int,
    *precondition: Precondition,
    confirm: str = "never",
    keys_refused: tuple[str, ...] = (),
) -> CommandRules:
    return CommandRules(
        kind=kind,
        modes=modes,
        age_ms_max=age_ms_max,
        precondition=precondition,
        confirm=confirm,
        keys_refused=keys_refused,
    )


def _expiring(
    modes: tuple[Mode, ...], age_ms_max: int, *precondition: Precondition, confirm: str = "never"
) -> CommandRules:
    return _row(_K.EXPIRING, modes, age_ms_max, *precondition, confirm=confirm)


def _desired(
    modes: tuple[Mode, ...], *precondition: Precondition, confirm: str = "never"
) -> CommandRules:
    """Only its own deadline counts."""
    return _row(_K.DESIRED, modes, 0, *precondition, confirm=confirm)


def _query() -> CommandRules:
    return _row(_K.QUERY, LIVE, 60_000)


KEYS_REFUSED = (
    "AuthorizationKey",
    "SecurityProfile",
    "BasicAuthPassword",
    "Identity",
    "NetworkConfigurationPriority",
)
"""What would cut the charge point off from its site."""


def default_commands() -> dict[str, CommandRules]:
    return {**_of_1_6(), **_of_the_whitepaper(), **_of_2_x()}


def _of_1_6() -> dict[str, CommandRules]:
    return {
        "RemoteStartTransaction": _expiring(
            HERE, 60_000, _P.CONNECTOR_FREE, _P.NOT_RESERVED, _P.DRIVER_NOT_CHARGING
        ),
        "RemoteStopTransaction": _expiring(LIVE, 0, _P.SESSION_RUNNING, confirm="after:900000"),
        "Reset": _expiring(HERE, 180_000, _P.NOT_BOOTED_SINCE, _P.NO_SESSION_SINCE),
        "Reset.Hard": _expiring(
            HERE,
            120_000,
            _P.NOT_BOOTED_SINCE,
            _P.NO_SESSION_SINCE,
            _P.RECORDS_SAFE,
            confirm="always",
        ),
        "UnlockConnector": _expiring(LIVE, 60_000, _P.CONNECTOR_UNCHANGED),
        "ChangeAvailability": _desired(ALL),
        "ChangeConfiguration": _row(_K.DESIRED, LIVE, 0, keys_refused=KEYS_REFUSED),
        "GetConfiguration": _query(),
        "ClearCache": _desired(ALL),
        "DataTransfer": _row(_K.REQUEST, HERE, 30_000),
        "GetLocalListVersion": _query(),
        "SendLocalList": _desired(LIVE, _P.LIST_NEWER),
        "ReserveNow": _expiring(HERE, 0, _P.WITHIN_ITS_DATES, _P.CONNECTOR_FREE, _P.NOT_RESERVED),
        "CancelReservation": _desired(LIVE, _P.RESERVATION_NOT_OVER),
        "SetChargingProfile": _desired(LIVE, _P.WITHIN_ITS_DATES),
        "SetChargingProfile.TxProfile": _expiring(LIVE, 0, _P.SESSION_RUNNING, _P.WITHIN_ITS_DATES),
        "ClearChargingProfile": _desired(LIVE),
        "GetCompositeSchedule": _query(),
        "TriggerMessage": _expiring(LIVE, 10_000),
        "GetDiagnostics": _expiring(LIVE, _DAY_MS),
        "UpdateFirmware": _expiring(
            (Mode.CONNECTED, Mode.RECOVERY),
            _DAY_MS,
            _P.WITHIN_ITS_DATES,
            _P.NO_SESSION,
            _P.RECORDS_SAFE,
            confirm="in-recovery",
        ),
    }


def _of_the_whitepaper() -> dict[str, CommandRules]:
    """Security whitepaper of 1.6, and 2.x."""
    return {
        "CertificateSigned": _expiring(LIVE, 4 * 3_600_000),
        "InstallCertificate": _desired(LIVE),
        "DeleteCertificate": _desired(LIVE),
        "GetInstalledCertificateIds": _query(),
    }


def _of_2_x() -> dict[str, CommandRules]:
    return {
        # Sessions
        "GetTransactionStatus": _query(),
        "CostUpdated": _expiring(LIVE, 60_000, _P.SESSION_RUNNING),
        "NotifyWebPaymentStarted": _expiring(HERE, 60_000),
        "RequestBatterySwap": _expiring(HERE, 60_000),
        # Configuration, monitoring, reports
        "SetNetworkProfile": _desired(HERE, confirm="always"),
        "GetBaseReport": _query(),
        "GetReport": _query(),
        "GetMonitoringReport": _query(),
        "SetMonitoringBase": _desired(LIVE),
        "SetMonitoringLevel": _desired(LIVE),
        "SetVariableMonitoring": _desired(LIVE),
        "ClearVariableMonitoring": _desired(LIVE),
        "CustomerInformation": _expiring(LIVE, 60_000),
        "CustomerInformation.Clear": _desired(ALL),
        "AdjustPeriodicEventStream": _desired(LIVE),
        "GetPeriodicEventStream": _query(),
        # Energy
        "GetChargingProfiles": _query(),
        "UpdateDynamicSchedule": _expiring(LIVE, 30_000),
        "UsePriorityCharging": _expiring(LIVE, 60_000, _P.SESSION_RUNNING),
        "NotifyAllowedEnergyTransfer": _expiring(LIVE, 60_000, _P.SESSION_RUNNING),
        "AFRRSignal": _expiring(HERE, 5_000),
        "SetDERControl": _desired(LIVE, _P.WITHIN_ITS_DATES),
        "ClearDERControl": _desired(LIVE),
        "GetDERControl": _query(),
        # Tariffs, displays
        "SetDefaultTariff": _desired(LIVE),
        "ChangeTransactionTariff": _expiring(HERE, 15_000, _P.SESSION_RUNNING),
        "ClearTariffs": _desired(LIVE),
        "GetTariffs": _query(),
        "SetDisplayMessage": _desired(LIVE, _P.WITHIN_ITS_DATES),
        "ClearDisplayMessage": _desired(LIVE),
        "GetDisplayMessages": _query(),
        # Upkeep
        "PublishFirmware": _desired(HERE),
        "UnpublishFirmware": _desired(HERE),
    }
