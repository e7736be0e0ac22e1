"""The local list (2.0.1 D01, D02), the cache (C11), reservations (H01, H02)."""

from __future__ import annotations

from typing import Any

from holdfast_simulators.charge_points.body.moments import moment_ms
from holdfast_simulators.charge_points.body.records import Listed, LocalList, Reservation
from holdfast_simulators.charge_points.body.reply import Reply, answer, status
from holdfast_simulators.charge_points.body.reservations import reserved
from holdfast_simulators.charge_points.v2x import variables
from holdfast_simulators.charge_points.v2x.device import Situation

AT_ONCE_MAX = 100
LENGTH_MAX = 200


def get_local_list_version(situation: Situation, _: dict[str, Any]) -> Reply:
    is_kept = variables.is_on(situation, "LocalAuthListCtrlr.Enabled")
    version = situation.device.memory.local_list.version if is_kept else 0
    return answer({"versionNumber": version})


def send_local_list(situation: Situation, payload: dict[str, Any]) -> Reply:
    version, kind = int(payload["versionNumber"]), payload["updateType"]
    entries = payload.get("localAuthorizationList") or []
    memory = situation.device.memory
    if kind not in ("Full", "Differential"):
        raise ValueError(kind)
    if not variables.is_on(situation, "LocalAuthListCtrlr.Enabled"):
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
    kept = situation.kept(local_list=LocalList(version=version, tokens=tokens))
    return status("Accepted", kept)


def _listed(info: dict[str, Any]) -> Listed:
    until, group = info.get("cacheExpiryDateTime"), info.get("groupIdToken")
    return Listed(
        status=str(info["status"]),
        until_ms=None if until is None else moment_ms(until),
        parent_id_tag=None if group is None else str(group["idToken"]),
    )


def clear_cache(situation: Situation, _: dict[str, Any]) -> Reply:
    if not variables.is_on(situation, "AuthCacheCtrlr.Enabled"):
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
    return reserved(situation, None if number is None else int(number), reservation)
