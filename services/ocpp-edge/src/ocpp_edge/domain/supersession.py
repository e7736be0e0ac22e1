"""Commands that wait for one charge point, beside each other: which of them newer ones have made pointless.

    desired state: the newest about the same thing counts        a pair that cancels itself out: neither is sent
    a start: anything newer about its connector means it is no longer wanted

What somebody at the site commands is superseded only from the site: a CSMS that is late does not overrule a person
who stands there, nor the site's own rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from holdfast.contracts.command import Command, Disposition, Issuer
from holdfast.ocpp.profiles import is_cleared, profile_of, replaces
from ocpp_edge.domain.known import Known

AT_THE_SITE = frozenset({Issuer.OPERATOR_AT_SITE, Issuer.SITE})

SUPERSEDES: Mapping[str, str] = {
    "RemoteStartTransaction": "anything newer about its connector; without one, a newer start of its driver",
    "Reset": "a newer Reset",
    "UnlockConnector": "a newer one of the connector",
    "ChangeAvailability": "a newer one of the connector, or of the whole charge point",
    "ChangeConfiguration": "a newer one of the key",
    "ClearCache": "a newer one",
    "SendLocalList": "a newer full list that is not older in version",
    "ReserveNow": "a newer one of the reservation; with its CancelReservation neither is sent",
    "CancelReservation": "a newer one of the reservation",
    "SetChargingProfile": "a newer one in its place (id, or connector, purpose and stack level), or a clear of it",
    "ClearChargingProfile": "a newer set in the very place, or a newer clear of the same",
    "UpdateFirmware": "a newer one",
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
            if newer.id in found or (_is_local(older) and not _is_local(newer)):
                continue
            if _annihilates(older, newer):
                found |= _neither(known, older, newer)
                break
            if _is_pointless(known, older, newer):
                found[older.id] = End(Disposition.SUPERSEDED, f"by command {newer.id}")
                break
    return found


def _is_local(command: Command) -> bool:
    return command.issuer in AT_THE_SITE


def _annihilates(older: Command, newer: Command) -> bool:
    return (
        older.action == "ReserveNow"
        and newer.action == "CancelReservation"
        and _same(older, newer, "reservationId")
    )


def _neither(known: Known, older: Command, newer: Command) -> dict[str, End]:
    """But a reservation that stands already, and was only to be changed, has to be cancelled."""
    reason = f"command {newer.id} cancels what was never reserved"
    found = {older.id: End(Disposition.OBSOLETE, reason)}
    if older.payload.get("reservationId") not in known.installed.reservations:
        reason = f"it cancels command {older.id}, which was never sent"
        found[newer.id] = End(Disposition.OBSOLETE, reason)
    return found


def _is_pointless(known: Known, older: Command, newer: Command) -> bool:
    same_action = older.action == newer.action
    match older.action:
        case "RemoteStartTransaction":
            return _start_is_pointless(known, older, newer)
        case "SetChargingProfile":
            return _set_is_pointless(older, newer)
        case "ClearChargingProfile":
            return _clear_is_pointless(older, newer)
        case "ChangeAvailability":
            return same_action and newer.payload.get("connectorId") in (
                0,
                older.payload.get("connectorId"),
            )
        case "ChangeConfiguration":
            return same_action and _key(older) == _key(newer)
        case "SendLocalList":
            return same_action and _list_is_pointless(older, newer)
        case "UnlockConnector":
            return same_action and _same(older, newer, "connectorId")
        case "ReserveNow" | "CancelReservation":
            return same_action and _same(older, newer, "reservationId")
        case "Reset" | "ClearCache" | "UpdateFirmware":
            return same_action
        case _:
            return False


def _start_is_pointless(known: Known, older: Command, newer: Command) -> bool:
    connector = older.payload.get("connectorId")
    if connector is None:
        # Two drivers may both be meant to charge, wherever there is room.
        is_start = newer.action == older.action and newer.payload.get("connectorId") is None
        return is_start and _same(older, newer, "idTag")
    match newer.action:
        case "RemoteStartTransaction" | "UnlockConnector" | "ReserveNow":
            return _same(older, newer, "connectorId")
        case "ChangeAvailability":
            is_there = newer.payload.get("connectorId") in (0, connector)
            return is_there and newer.payload.get("type") == "Inoperative"
        case "RemoteStopTransaction":
            session = known.sessions.get(newer.payload.get("transactionId", 0))
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
    if payload.get("id") is not None:
        return bool(payload["id"] == profile.profile_id)
    names = (payload.get("connectorId"), payload.get("chargingProfilePurpose"))
    place = (*names, payload.get("stackLevel"))
    return place == (profile.connector, profile.purpose, profile.stack_level)


def _list_is_pointless(older: Command, newer: Command) -> bool:
    """Changes come on top of what was before them; only a whole list does without."""
    before, after = older.payload.get("listVersion"), newer.payload.get("listVersion")
    if not isinstance(before, int) or not isinstance(after, int):
        return False
    return newer.payload.get("updateType") == "Full" and after >= before


def _same(older: Command, newer: Command, name: str) -> bool:
    return bool(older.payload.get(name) == newer.payload.get(name))


def _key(command: Command) -> str:
    return str(command.payload.get("key")).casefold()
