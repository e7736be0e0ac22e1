"""Commands that wait for one charge point, beside each other: which of them newer ones have made pointless.

    desired state: the newest about the same thing counts        a pair that cancels itself out: neither is sent
    a start: anything newer about its connector means it is no longer wanted

What somebody at the site commands is superseded only from the site: a CSMS that is late does not overrule a person
who stands there, nor the site's own rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from holdfast.contracts.command import Command, CommandSettled, Disposition, Issuer
from holdfast.ocpp import payloads
from holdfast.ocpp.actions import same_as
from holdfast.ocpp.payloads import WHOLE
from holdfast.ocpp.profiles import is_cleared, place_cleared, profile_of, replaces
from ocpp_edge.domain import certificates, parts
from ocpp_edge.domain.consequences import answered_status
from ocpp_edge.domain.known import Known

AT_THE_SITE = frozenset({Issuer.OPERATOR_AT_SITE, Issuer.SITE})

SUPERSEDES: Mapping[str, str] = {
    "RemoteStartTransaction": "anything newer about its connector; without one, a newer start of its driver",
    "Reset": "a newer Reset",
    "UnlockConnector": "a newer one of the connector",
    "ChangeAvailability": "a newer one of the connector, or of the whole charge point",
    "ChangeConfiguration": "a newer one of the key (of 2.x: variable by variable; what is left is sent)",
    "ClearCache": "a newer one",
    "SendLocalList": "a newer full list that is not older in version",
    "ReserveNow": "a newer one of the reservation; with its CancelReservation neither is sent",
    "CancelReservation": "a newer one of the reservation",
    "SetChargingProfile": "a newer one in its place (id, or connector, purpose and stack level), or a clear of it",
    "ClearChargingProfile": "a newer set in the very place, or a newer clear of the same",
    "UpdateFirmware": "a newer one",
    "InstallCertificate": "the same again, or the deletion of its certificate",
    "DeleteCertificate": "the same again, or the installation of its certificate",
    "SetNetworkProfile": "a newer one of its slot",
    **dict.fromkeys(
        ("SetMonitoringBase", "SetMonitoringLevel", "AFRRSignal", "PublishFirmware"), "a newer one"
    ),
    "CostUpdated": "a newer one of the session",
    "ChangeTransactionTariff": "a newer one of the session",
    "UsePriorityCharging": "a newer one of the session",
    "NotifyAllowedEnergyTransfer": "a newer one of the session",
    "UpdateDynamicSchedule": "a newer one of the profile",
    "SetDERControl": "a newer one of its id",
    "ClearDERControl": "the same again",
    "SetDefaultTariff": "a newer one of the EVSE",
    "ClearTariffs": "the same again",
    "AdjustPeriodicEventStream": "a newer one of the stream",
    "ClearDisplayMessage": "a newer set or clear of its message",
    "SetDisplayMessage": "a newer set or clear of its message",
    "CertificateSigned": "a newer one of its kind",
    "SetVariableMonitoring": "the same again",
    "ClearVariableMonitoring": "the same again",
    "CustomerInformation": "the same again",
    "UnpublishFirmware": "the same again",
}
"""In words, for the documents; `_is_pointless` is what decides. Actions that are not here stand for themselves."""


@dataclass(frozen=True, slots=True)
class End:
    disposition: Disposition
    reason: str


def ends(known: Known, waiting: Sequence[Command]) -> dict[str, End]:
    """In the order they came; by command id."""
    found: dict[str, End] = {}
    for place, older in enumerate(waiting):
        for newer in waiting[place + 1 :]:
            if newer.id in found or not may_supersede(older, newer):
                continue
            if _annihilates(older, newer):
                found |= _neither(known, older, newer)
                break
            if _is_pointless(known, older, newer):
                found[older.id] = End(Disposition.SUPERSEDED, f"by command {newer.id}")
                break
    return found


def is_undone(older: Command, newer: CommandSettled) -> bool:
    """What it set at the charge point, this newer one has set anew since, or taken away."""
    if answered_status(newer.answer) not in ("Accepted", "Scheduled"):
        return False
    match older.action:
        case "ChangeAvailability":
            return newer.command.action == older.action and _is_set_anew(older, newer.command)
        case "SetChargingProfile":
            return _set_is_pointless(older, newer.command)
        case _:
            return False


def _is_set_anew(older: Command, newer: Command) -> bool:
    """Of ChangeAvailability, by place. The whole of 1.6 is all its connectors; in 2.x each EVSE keeps its own."""
    after, before = (payloads.connector_of(one.action, one.payload) for one in (newer, older))
    return after == before or (after == WHOLE and "type" in newer.payload)


def may_supersede(older: Command, newer: Command) -> bool:
    return _is_local(newer) or not _is_local(older)


def _is_local(command: Command) -> bool:
    return command.issuer in AT_THE_SITE


def _annihilates(older: Command, newer: Command) -> bool:
    return (
        older.action == "ReserveNow"
        and newer.action == "CancelReservation"
        and _reservation(older) == _reservation(newer)
    )


def _neither(known: Known, older: Command, newer: Command) -> dict[str, End]:
    """But a reservation that stands already, and was only to be changed, has to be cancelled."""
    reason = f"command {newer.id} cancels what was never reserved"
    found = {older.id: End(Disposition.OBSOLETE, reason)}
    if _reservation(older) not in known.installed.reservations:
        reason = f"it cancels command {older.id}, which was never sent"
        found[newer.id] = End(Disposition.OBSOLETE, reason)
    return found


def _is_pointless(known: Known, older: Command, newer: Command) -> bool:
    """Actions that mean the same in different versions are one here: a charge point may have been exchanged."""
    means = same_as(older.action)
    same_action = means == same_as(newer.action)
    match means:
        case "RemoteStartTransaction":
            return _start_is_pointless(known, older, newer)
        case "SetChargingProfile":
            return _set_is_pointless(older, newer)
        case "ClearChargingProfile":
            return _clear_is_pointless(older, newer)
        case "ChangeAvailability":
            return same_action and _covers(newer, older)
        case "ChangeConfiguration":
            return same_action and set(parts.keys(older)) <= set(parts.keys(newer))
        case "SendLocalList":
            return same_action and _list_is_pointless(older, newer)
        case "Reset":
            return same_action and _wide(newer) in (WHOLE, _wide(older))
        case _:
            return (same_action and _is_alike(means, older, newer)) or _is_undoing(older, newer)


def _is_undoing(older: Command, newer: Command) -> bool:
    """The newer leaves what it leaves whatever the older did: it may be another action about the same thing."""
    match older.action, newer.action:
        case "InstallCertificate", "DeleteCertificate":
            return certificates.is_named_by(older.payload, newer.payload)
        case "DeleteCertificate", "InstallCertificate":
            return certificates.is_named_by(newer.payload, older.payload)
        case (
            "SetDisplayMessage" | "ClearDisplayMessage",
            "SetDisplayMessage" | "ClearDisplayMessage",
        ):
            return _message(older) is not None and _message(older) == _message(newer)
        case _:
            return False


def _is_alike(means: str, older: Command, newer: Command) -> bool:
    match means:
        case "UnlockConnector":
            return _place(older) == _place(newer)
        case "ReserveNow" | "CancelReservation":
            return _reservation(older) == _reservation(newer)
        case _ if means in _BY:
            return all(_same(older, newer, name) for name in _BY[means])
        case _:
            return means in _NEWEST


_NEWEST = frozenset(
    {
        "ClearCache",
        "UpdateFirmware",
        "SetMonitoringBase",
        "SetMonitoringLevel",
        "AFRRSignal",
        "PublishFirmware",
    }
)
"""The newest one counts, whatever it is about."""
_BY = {
    "InstallCertificate": ("certificateType", "certificate"),
    "DeleteCertificate": ("certificateHashData",),
    "SetNetworkProfile": ("configurationSlot",),
    "CostUpdated": ("transactionId",),
    "ChangeTransactionTariff": ("transactionId",),
    "UsePriorityCharging": ("transactionId",),
    "NotifyAllowedEnergyTransfer": ("transactionId",),
    "UpdateDynamicSchedule": ("chargingProfileId",),
    "SetDERControl": ("controlId",),
    "ClearDERControl": ("isDefault", "controlType", "controlId"),
    "SetDefaultTariff": ("evseId",),
    "ClearTariffs": ("tariffIds", "evseId"),
    "AdjustPeriodicEventStream": ("id",),
    "CertificateSigned": ("certificateType",),
    "SetVariableMonitoring": ("setMonitoringData",),
    "ClearVariableMonitoring": ("id",),
    "CustomerInformation": ("clear", "customerIdentifier", "idToken", "customerCertificate"),
    "UnpublishFirmware": ("checksum",),
}
"""The newest one that has these fields alike."""


def _start_is_pointless(known: Known, older: Command, newer: Command) -> bool:
    connector = _place(older)[0]
    if connector is None:
        # Two drivers may both be meant to charge, wherever there is room.
        is_start = same_as(newer.action) == same_as(older.action) and _place(newer)[0] is None
        return is_start and _token(older) == _token(newer)
    match same_as(newer.action):
        case "RemoteStartTransaction" | "UnlockConnector" | "ReserveNow":
            return _place(newer)[0] == connector
        case "ChangeAvailability":
            is_there = _place(newer)[0] in (WHOLE, connector)
            return is_there and payloads.takes_out_of_service(newer.payload)
        case "RemoteStopTransaction":
            named = payloads.transaction_of(newer.payload)
            session = known.sessions.get(named) if named is not None else None
            return session is not None and session.connector == connector
        case _:
            return False


def _set_is_pointless(older: Command, newer: Command) -> bool:
    profile = profile_of(older.payload)
    if profile is None:
        return False
    if newer.action == "ClearChargingProfile":
        return is_cleared(newer.payload, profile)
    after = profile_of(newer.payload) if newer.action == older.action else None
    return after is not None and replaces(after, profile)


def _clear_is_pointless(older: Command, newer: Command) -> bool:
    """A set in the very place does what the clear was to make room for; a wider clear does more."""
    payload = older.payload
    if newer.action == older.action:
        return not newer.payload or newer.payload == payload
    profile = profile_of(newer.payload) if newer.action == "SetChargingProfile" else None
    if profile is None:
        return False
    id = payload.get("id", payload.get("chargingProfileId"))
    if id is not None:
        return bool(id == profile.profile_id)
    return place_cleared(payload) == (profile.connector, profile.purpose, profile.stack_level)


def _list_is_pointless(older: Command, newer: Command) -> bool:
    """Changes come on top of what was before them; only a whole list does without."""
    before, after = (payloads.list_version_of(one.payload) for one in (older, newer))
    if before is None or after is None:
        return False
    return newer.payload.get("updateType") == "Full" and after >= before


def _same(older: Command, newer: Command, name: str) -> bool:
    return bool(older.payload.get(name) == newer.payload.get(name))


def _place(command: Command) -> tuple[int | None, object]:
    """Connector, and in 2.x the plug on that EVSE."""
    connector = payloads.connector_of(command.action, command.payload)
    has_plug = "evseId" in command.payload
    return connector, command.payload.get("connectorId") if has_plug else None


def _wide(command: Command) -> int:
    """What names no EVSE means all of it."""
    connector = payloads.connector_of(command.action, command.payload)
    return WHOLE if connector is None else connector


def _covers(newer: Command, older: Command) -> bool:
    """Of ChangeAvailability: of the whole, of the same EVSE, or of the same plug on it."""
    after, before = (payloads.connector_of(one.action, one.payload) for one in (newer, older))
    if after == WHOLE or after != before:
        return after == WHOLE
    plug = _plug(newer)
    return plug is None or plug == _plug(older)


def _plug(command: Command) -> object:
    evse = command.payload.get("evse")
    return evse.get("connectorId") if isinstance(evse, dict) else None


def _token(command: Command) -> str | None:
    return payloads.driver_token_of(command.payload)


def _reservation(command: Command) -> int | None:
    return payloads.reservation_of(command.action, command.payload)


def _message(command: Command) -> object:
    """Id of a display message; None: of another command."""
    match command.action:
        case "ClearDisplayMessage":
            return command.payload.get("id")
        case "SetDisplayMessage":
            message = command.payload.get("message")
            return message.get("id") if isinstance(message, dict) else None
        case _:
            return None
