"""What a station does when the central system tells it to.

    obey(situation, call) -> Reply(payload or error, executed, what follows)

Pure. `executed` is what the ledger keeps: the instruction took effect, or will at the end of the transaction.
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
from holdfast_simulators.charge_points.body.profile_rules import OF_SESSION
from holdfast_simulators.charge_points.body.reply import Reply, answer, status
from holdfast_simulators.charge_points.body.reservations import cancel_reservation
from holdfast_simulators.charge_points.v2x import charging, lists, profiles, upkeep, variables
from holdfast_simulators.charge_points.v2x.device import Situation

TRIGGERABLE = (
    "BootNotification",
    "FirmwareStatusNotification",
    "Heartbeat",
    "LogStatusNotification",
    "MeterValues",
    "StatusNotification",
    "TransactionEvent",
)


def obey(situation: Situation, action: str, payload: dict[str, Any]) -> Reply:
    known = COMMANDS_21 if situation.version == "2.1" else COMMANDS
    return obeyed(known, situation, action, payload, malformed="FormatViolation")


def _request_start(situation: Situation, payload: dict[str, Any]) -> Reply:
    token = str(payload["idToken"]["idToken"])
    remote_start_id, number = int(payload["remoteStartId"]), payload.get("evseId")
    profile = payload.get("chargingProfile")
    free = [
        one for one in situation.device.connectors if number in (None, one.number) and one.is_free
    ]
    chosen = place_for(free, token)
    if chosen is None or not situation.has_room:
        return status("Rejected")
    if profile is not None:
        profile = profiles.checked(profile)
        if profile["chargingProfilePurpose"] != OF_SESSION:
            return status("Rejected", reason="InvalidProfile")
    plugged = PluggedIn(
        at=situation.at,
        connector=chosen.number,
        driver_token=token,
        is_authorised=not situation.behaviour.authorize_remote,
        has_room=situation.has_room,
        remote_start_id=remote_start_id,
        profile=profile,
    )
    return status("Accepted", plugged)


def _request_stop(situation: Situation, payload: dict[str, Any]) -> Reply:
    evse = situation.device.of_transaction(str(payload["transactionId"]))
    if evse is None:
        return status("Rejected", reason="TxNotFound")
    stopped = Stopped(at=situation.at, connector=evse.number, reason="Remote", is_unplugged=False)
    return status("Accepted", stopped)


def _reset(situation: Situation, payload: dict[str, Any]) -> Reply:
    kind, evse = str(payload["type"]), payload.get("evseId")
    if kind not in ("Immediate", "OnIdle", "ImmediateAndResume"):
        raise ValueError(kind)
    if evse is not None:
        # This station resets as a whole only.
        return status("Rejected", reason="UnsupportedParam")
    if kind == "ImmediateAndResume" and situation.behaviour.session_after_reboot != "resume":
        return status("Rejected", reason="UnsupportedParam")
    is_later = kind == "OnIdle" and bool(situation.device.in_session)
    word = "Scheduled" if is_later else "Accepted"
    return Reply(payload={"status": word}, executed=True, restart=kind)


def _change_availability(situation: Situation, payload: dict[str, Any]) -> Reply:
    number = int((payload.get("evse") or {"id": 0})["id"])
    is_operative = {"Operative": True, "Inoperative": False}[payload["operationalStatus"]]
    chosen = situation.device.chosen(number)
    if not chosen:
        return status("Rejected", reason="UnknownEvse")
    changed = AvailabilitySet(at=situation.at, connector=number, is_operative=is_operative)
    is_busy = not is_operative and any(one.session is not None for one in chosen)
    return status("Scheduled" if is_busy else "Accepted", changed)


def _trigger_message(situation: Situation, payload: dict[str, Any]) -> Reply:
    wanted = str(payload["requestedMessage"])
    number = int((payload.get("evse") or {"id": 0})["id"])
    if wanted not in TRIGGERABLE:
        return status("NotImplemented")
    if number and situation.device.connector(number) is None:
        return status("Rejected", reason="UnknownEvse")
    if wanted == "TransactionEvent":
        chosen = [one for one in situation.device.in_session if number in (0, one.number)]
        if not chosen:
            return status("Rejected", reason="TxNotFound")
        return status("Accepted", ReadingDue(at=situation.at, asked_for=number))
    return Reply(payload={"status": "Accepted"}, executed=True, trigger=(wanted, number))


def _unlock_connector(situation: Situation, payload: dict[str, Any]) -> Reply:
    """F05.FR.02: not while an authorised transaction runs there."""
    evse, connector = (
        situation.device.connector(int(payload["evseId"])),
        int(payload["connectorId"]),
    )
    if evse is None or connector != 1:
        return status("UnknownConnector")
    if evse.session is not None and evse.session.is_authorised:
        return status("OngoingAuthorizedTransaction")
    stopped = Stopped(at=situation.at, connector=evse.number, reason="Other", is_unplugged=True)
    return status("Unlocked", stopped)


def _transaction_status(situation: Situation, payload: dict[str, Any]) -> Reply:
    wanted, queued = payload.get("transactionId"), situation.queued_transactions
    if wanted is None:
        return answer({"messagesInQueue": bool(queued)})
    is_ongoing = situation.device.of_transaction(str(wanted)) is not None
    return answer({"ongoingIndicator": is_ongoing, "messagesInQueue": wanted in queued})


def _cost_updated(_: Situation, payload: dict[str, Any]) -> Reply:
    float(payload["totalCost"])
    return answer({})


def _always(word: str) -> Callable[[Situation, dict[str, Any]], Reply]:
    return lambda _, __: status(word)


COMMANDS: dict[str, Callable[[Situation, dict[str, Any]], Reply]] = {
    "CancelReservation": cancel_reservation,
    "CertificateSigned": certificate_signed,
    "ChangeAvailability": _change_availability,
    "ClearCache": lists.clear_cache,
    "ClearChargingProfile": charging.clear_charging_profile,
    "ClearVariableMonitoring": upkeep.clear_variable_monitoring,
    "CostUpdated": _cost_updated,
    "CustomerInformation": upkeep.customer_information,
    "DataTransfer": upkeep.data_transfer,
    "DeleteCertificate": delete_certificate,
    "GetBaseReport": upkeep.get_base_report,
    "GetChargingProfiles": charging.get_charging_profiles,
    "GetCompositeSchedule": charging.get_composite_schedule,
    "GetInstalledCertificateIds": upkeep.get_installed_certificate_ids,
    "GetLocalListVersion": lists.get_local_list_version,
    "GetLog": upkeep.get_log,
    "GetMonitoringReport": _always("EmptyResultSet"),
    "GetReport": upkeep.get_report,
    "GetTransactionStatus": _transaction_status,
    "GetVariables": variables.get_variables,
    "InstallCertificate": upkeep.install_certificate,
    "RequestStartTransaction": _request_start,
    "RequestStopTransaction": _request_stop,
    "ReserveNow": lists.reserve_now,
    "Reset": _reset,
    "SendLocalList": lists.send_local_list,
    "SetChargingProfile": charging.set_charging_profile,
    "SetMonitoringBase": _always("NotSupported"),
    "SetMonitoringLevel": _always("Rejected"),
    "SetNetworkProfile": _always("Rejected"),
    "SetVariableMonitoring": upkeep.set_variable_monitoring,
    "SetVariables": variables.set_variables,
    "TriggerMessage": _trigger_message,
    "UnlockConnector": _unlock_connector,
    "UpdateFirmware": upkeep.update_firmware,
}
"""Of 2.0.1 and 2.1; what is not here (displays, tariffs, DER, batteries) such a station does not implement."""
COMMANDS_21: dict[str, Callable[[Situation, dict[str, Any]], Reply]] = COMMANDS | {
    "AdjustPeriodicEventStream": upkeep.adjust_stream,
    "GetPeriodicEventStream": upkeep.get_stream,
    "UsePriorityCharging": _always("Rejected"),
}
