"""What a charge point does when the central system tells it to.

    obey(device, call) -> Reply(payload or error, executed, what follows)

Pure. `executed` is what the ledger keeps: the instruction took effect, or will at the end of the session.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from holdfast_simulators.charge_points.body.certificates import (
    certificate_signed,
    delete_certificate,
)
from holdfast_simulators.charge_points.body.commands import obeyed, place_for
from holdfast_simulators.charge_points.body.events import (
    AvailabilitySet,
    PluggedIn,
    ReadingDue,
    Stopped,
)
from holdfast_simulators.charge_points.body.reply import Reply, status
from holdfast_simulators.charge_points.body.reservations import cancel_reservation
from holdfast_simulators.charge_points.v16 import (
    charging,
    keys,
    local_list,
    profiles,
    reservations,
    security,
    upkeep,
)
from holdfast_simulators.charge_points.v16.device import Connector, Situation

TRIGGERABLE = (
    "BootNotification",
    "DiagnosticsStatusNotification",
    "FirmwareStatusNotification",
    "Heartbeat",
    "MeterValues",
    "StatusNotification",
)
ALSO_TRIGGERABLE = {
    "BootNotification": "BootNotification",
    "FirmwareStatusNotification": "FirmwareStatusNotification",
    "Heartbeat": "Heartbeat",
    "LogStatusNotification": "LogStatusNotification",
    "MeterValues": "MeterValues",
    "SignChargePointCertificate": "SignCertificate",
    "StatusNotification": "StatusNotification",
}
"""By an ExtendedTriggerMessage: what is sent then."""


def obey(situation: Situation, action: str, payload: dict[str, Any]) -> Reply:
    return obeyed(COMMANDS, situation, action, payload, malformed="FormationViolation")


def _remote_start(situation: Situation, payload: dict[str, Any]) -> Reply:
    driver_token = str(payload["idTag"])
    number, profile = payload.get("connectorId"), payload.get("chargingProfile")
    free = [
        one for one in situation.device.connectors if number in (None, one.number) and _is_free(one)
    ]
    chosen = place_for(free, driver_token)
    if chosen is None or not situation.has_room:
        return status("Rejected")
    if profile is not None and profiles.checked(profile)["chargingProfilePurpose"] != "TxProfile":
        return status("Rejected")  # 5.11
    plugged = PluggedIn(
        at=situation.at,
        connector=chosen.number,
        driver_token=driver_token,
        is_authorised=not situation.behaviour.authorize_remote,
        has_room=situation.has_room,
        profile=profile,
    )
    return status("Accepted", plugged)


def _is_free(connector: Connector) -> bool:
    return (
        connector.is_operative
        and connector.session is None
        and connector.awaiting is None
        and not connector.is_used
    )


def _remote_stop(situation: Situation, payload: dict[str, Any]) -> Reply:
    wanted = int(payload["transactionId"])
    for connector in situation.device.in_session:
        if connector.session is not None and connector.session.transaction_id == wanted:
            stopped = Stopped(
                at=situation.at, connector=connector.number, reason="Remote", is_unplugged=False
            )
            return status("Accepted", stopped)
    return status("Rejected")


def _reset(situation: Situation, payload: dict[str, Any]) -> Reply:
    kind = str(payload["type"])
    if kind not in ("Soft", "Hard"):
        raise ValueError(kind)
    return Reply(payload={"status": "Accepted"}, executed=True, restart=kind)


def _change_availability(situation: Situation, payload: dict[str, Any]) -> Reply:
    number = int(payload["connectorId"])
    is_operative = {"Operative": True, "Inoperative": False}[payload["type"]]
    chosen = situation.device.chosen(number)
    if not chosen:
        return status("Rejected")
    changed = AvailabilitySet(at=situation.at, connector=number, is_operative=is_operative)
    is_busy = not is_operative and any(one.session is not None for one in chosen)
    return status("Scheduled" if is_busy else "Accepted", changed)


def _trigger_message(situation: Situation, payload: dict[str, Any]) -> Reply:
    wanted = str(payload["requestedMessage"])
    if wanted not in TRIGGERABLE:
        return status("NotImplemented")
    return _triggered(situation, wanted, payload)


def _extended_trigger_message(situation: Situation, payload: dict[str, Any]) -> Reply:
    wanted = ALSO_TRIGGERABLE.get(str(payload["requestedMessage"]))
    return status("NotImplemented") if wanted is None else _triggered(situation, wanted, payload)


def _triggered(situation: Situation, wanted: str, payload: dict[str, Any]) -> Reply:
    number = int(payload.get("connectorId", 0))
    if number and situation.device.connector(number) is None:
        return status("Rejected")
    chosen = [one for one in situation.device.in_session if number in (0, one.number)]
    if wanted == "MeterValues" and chosen:
        return status("Accepted", ReadingDue(at=situation.at, asked_for=number))
    return Reply(payload={"status": "Accepted"}, executed=True, trigger=(wanted, number))


def _unlock_connector(situation: Situation, payload: dict[str, Any]) -> Reply:
    """5.18: a transaction there ends first."""
    connector = situation.device.connector(int(payload["connectorId"]))
    if connector is None:
        return status("NotSupported")
    stopped = Stopped(
        at=situation.at, connector=connector.number, reason="UnlockCommand", is_unplugged=False
    )
    return status("Unlocked", stopped)


def _clear_cache(situation: Situation, _: dict[str, Any]) -> Reply:
    if not keys.is_on(situation, "AuthorizationCacheEnabled"):
        return status("Rejected")
    return Reply(payload={"status": "Accepted"}, executed=True, clears_cache=True)


COMMANDS: dict[str, Callable[[Situation, dict[str, Any]], Reply]] = {
    "CancelReservation": cancel_reservation,
    "ChangeAvailability": _change_availability,
    "ChangeConfiguration": keys.change_configuration,
    "ClearCache": _clear_cache,
    "ClearChargingProfile": charging.clear_charging_profile,
    "DataTransfer": upkeep.data_transfer,
    "GetCompositeSchedule": charging.get_composite_schedule,
    "GetConfiguration": keys.get_configuration,
    "GetDiagnostics": upkeep.get_diagnostics,
    "GetLocalListVersion": local_list.get_local_list_version,
    "RemoteStartTransaction": _remote_start,
    "RemoteStopTransaction": _remote_stop,
    "ReserveNow": reservations.reserve_now,
    "Reset": _reset,
    "SendLocalList": local_list.send_local_list,
    "SetChargingProfile": charging.set_charging_profile,
    "TriggerMessage": _trigger_message,
    "UnlockConnector": _unlock_connector,
    "UpdateFirmware": upkeep.update_firmware,
    "CertificateSigned": certificate_signed,
    "DeleteCertificate": delete_certificate,
    "ExtendedTriggerMessage": _extended_trigger_message,
    "GetInstalledCertificateIds": security.get_installed_certificate_ids,
    "GetLog": security.get_log,
    "InstallCertificate": security.install_certificate,
    "SignedUpdateFirmware": security.signed_update_firmware,
}
"""Everything that a central system may send in OCPP 1.6 and its security whitepaper."""
