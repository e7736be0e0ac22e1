"""The local list of driver tokens (OCPP 1.6 5.15, 5.10): full, or what has changed since an older version."""

from __future__ import annotations

from typing import Any

from holdfast_simulators.charge_points.body.moments import moment_ms
from holdfast_simulators.charge_points.body.records import Listed, LocalList
from holdfast_simulators.charge_points.body.reply import Reply, answer, status
from holdfast_simulators.charge_points.v16 import keys
from holdfast_simulators.charge_points.v16.device import Situation

NO_LIST = -1
"""What a charge point without local lists calls its version."""


def get_local_list_version(situation: Situation, _: dict[str, Any]) -> Reply:
    return answer({"listVersion": _version(situation)})


def send_local_list(situation: Situation, payload: dict[str, Any]) -> Reply:
    version, kind = int(payload["listVersion"]), payload["updateType"]
    entries = payload.get("localAuthorizationList") or []
    memory = situation.device.memory
    if not _is_enabled(situation):
        return status("NotSupported")
    # 1.6 has no base version in the message: older than what is here is all that can be told.
    if kind == "Differential" and version <= memory.local_list.version:
        return status("VersionMismatch")
    if version <= 0 or len(entries) > keys.LIST_AT_ONCE_MAX:
        return status("Failed")
    tokens = {} if kind == "Full" else dict(memory.local_list.tokens)
    if kind not in ("Full", "Differential"):
        raise ValueError(kind)
    for entry in entries:
        id_tag, info = str(entry["idTag"]), entry.get("idTagInfo")
        if info is not None:
            tokens[id_tag] = _listed(info)
        elif kind == "Full":
            return status("Failed")
        else:
            tokens.pop(id_tag, None)
    if len(tokens) > keys.LIST_LENGTH_MAX:
        return status("Failed")
    kept = situation.kept(local_list=LocalList(version=version, tokens=tokens))
    return status("Accepted", kept)


def _listed(info: dict[str, Any]) -> Listed:
    until = info.get("expiryDate")
    parent = info.get("parentIdTag")
    return Listed(
        status=str(info["status"]),
        until_ms=None if until is None else moment_ms(until),
        parent_id_tag=None if parent is None else str(parent),
    )


def _is_enabled(situation: Situation) -> bool:
    return keys.is_on(situation, "LocalAuthListEnabled")


def _version(situation: Situation) -> int:
    return situation.device.memory.local_list.version if _is_enabled(situation) else NO_LIST
