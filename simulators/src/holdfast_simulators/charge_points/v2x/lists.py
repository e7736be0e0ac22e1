"""The local list (2.0.1 D01, D02), the cache (C11), reservations (H01, H02)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from holdfast_simulators.charge_points.body.moments import moment_ms
from holdfast_simulators.charge_points.body.records import Listed, LocalList, Reservation
from holdfast_simulators.charge_points.v2x import variables
from holdfast_simulators.charge_points.v2x.device import Evse
from holdfast_simulators.charge_points.v2x.events import Remembered, Reserved
from holdfast_simulators.charge_points.v2x.reply import Reply, Situation, answer, status

AT_ONCE_MAX = 100
LENGTH_MAX = 200


def get_local_list_version(situation: Situation, _: dict[str, Any]) -> Reply:
    is_kept = variables.is_on(situation.device.memory.variables, "LocalAuthListCtrlr.Enabled")
    version = situation.device.memory.local_list.version if is_kept else 0
    return answer({"versionNumber": version})


def send_local_list(situation: Situation, payload: dict[str, Any]) -> Reply:
    version, kind = int(payload["versionNumber"]), payload["updateType"]
    entries = payload.get("localAuthorizationList") or []
    memory = situation.device.memory
    if kind not in ("Full", "Differential"):
        raise ValueError(kind)
    if not variables.is_on(memory.variables, "LocalAuthListCtrlr.Enabled"):
        return status("Failed")
    if kind == "Differential" and version <= memory.local_list.version:
        return status("VersionMismatch")
    if version <= 0 or len(entries) > AT_ONCE_MAX:
        return status("Failed")
    tokens = {} if kind == "Full" else dict(memory.local_list.tokens)
    for entry in entries:
        token, info = str(entry["idToken"]["idToken"]), entry.get("idTokenInfo")
        if info is not None:
            tokens[token] = _listed(info)
        elif kind == "Full":
            return status("Failed")
        else:
            tokens.pop(token, None)
    if len(tokens) > LENGTH_MAX:
        return status("Failed")
    memory = replace(memory, local_list=LocalList(version=version, tokens=tokens))
    return status("Accepted", Remembered(at=situation.at, memory=memory))


def _listed(info: dict[str, Any]) -> Listed:
    until, group = info.get("cacheExpiryDateTime"), info.get("groupIdToken")
    return Listed(
        status=str(info["status"]),
        until_ms=None if until is None else moment_ms(until),
        parent_id_tag=None if group is None else str(group["idToken"]),
    )


def clear_cache(situation: Situation, _: dict[str, Any]) -> Reply:
    if not variables.is_on(situation.device.memory.variables, "AuthCacheCtrlr.Enabled"):
        return status("Rejected")
    return Reply(payload={"status": "Accepted"}, executed=True, clears_cache=True)


def reserve_now(situation: Situation, payload: dict[str, Any]) -> Reply:
    number, group = payload.get("evseId"), payload.get("groupIdToken")
    reservation = Reservation(
        id=int(payload["id"]),
        id_tag=str(payload["idToken"]["idToken"]),
        parent_id_tag=None if group is None else str(group["idToken"]),
        until_ms=moment_ms(payload["expiryDateTime"]),
    )
    # Without an EVSE any would have to do; this station reserves a named one only.
    evse = None if number is None else situation.device.evse(int(number))
    if evse is None or reservation.until_ms <= situation.at.device_ms:
        return status("Rejected")
    obstacle = _obstacle(evse, reservation.id)
    if obstacle:
        return status(obstacle)
    reserved = Reserved(at=situation.at, evse=evse.number, reservation=reservation)
    return status("Accepted", reserved)


def _obstacle(evse: Evse, reservation_id: int) -> str:
    if evse.transaction is not None or evse.is_plugged or evse.awaiting is not None:
        return "Occupied"
    if not evse.is_operative:
        return "Unavailable"
    if evse.reservation is not None and evse.reservation.id != reservation_id:
        return "Occupied"
    return ""


def cancel_reservation(situation: Situation, payload: dict[str, Any]) -> Reply:
    wanted = int(payload["reservationId"])
    for evse in situation.device.evses:
        if evse.reservation is not None and evse.reservation.id == wanted:
            gone = Reserved(at=situation.at, evse=evse.number, reservation=None)
            return status("Accepted", gone)
    return status("Rejected")
