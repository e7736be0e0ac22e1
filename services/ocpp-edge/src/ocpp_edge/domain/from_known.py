"""Questions to a charge point that is away, answered out of what it has told before, with its age; or not at all.

    GetConfiguration (named keys), GetVariables, GetLocalListVersion, GetTransactionStatus of a session that runs

Only a complete answer is one: where any part of it is not known, is a secret, or was cut off, there is none. Whether
such an answer may be given the rules say (`known_age_ms_max`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from holdfast.contracts.command import Command
from holdfast.local_state.configuration import variable
from holdfast.local_state.state import AFTER_BOOT, VALUE_CHARACTERS_MAX, LocalState, Stand
from holdfast.masking import SECRET
from holdfast.ocpp.versions import OcppVersion
from ocpp_edge.domain.known import Known

VENDOR = "dev.holdfast"
"""In the customData of a 2.x answer, which says that it is from what is known; 1.6 has no place for that."""


@dataclass(frozen=True, slots=True)
class FromKnown:
    payload: Mapping[str, Any]
    told_ms: int
    """When the oldest part of it was told."""

    def raw(self, version: OcppVersion | None, at_ms: int) -> str:
        payload = dict(self.payload)
        if version not in (None, OcppVersion.V16):
            age_s = max(0, at_ms - self.told_ms) // 1000
            payload["customData"] = {
                "vendorId": VENDOR,
                "fromWhatIsKnown": True,
                "ageSeconds": age_s,
            }
        return json.dumps(payload, separators=(",", ":"))


def answer(known: Known, version: OcppVersion | None, command: Command) -> FromKnown | None:
    payload = command.payload
    match command.action:
        case "GetConfiguration":
            return _keys(known, payload.get("key"))
        case "GetVariables":
            return _variables(known.local, payload.get("getVariableData"))
        case "GetLocalListVersion":
            return _list(known.local, version)
        case "GetTransactionStatus":
            return _transaction(known, payload.get("transactionId"))
        case _:
            return None


def _keys(known: Known, asked: object) -> FromKnown | None:
    """Without names it asks for all there are, and whether those are all nobody here knows."""
    if not isinstance(asked, list) or not asked:
        return None
    found = [known.local.standing(str(key)) for key in asked]
    told = [one for one in found if one is not None and _is_whole(one[1])]
    if len(told) < len(asked):
        return None
    read_only = {name.casefold() for name in known.read_only}
    keys = [
        {"key": name, "readonly": name.casefold() in read_only, "value": stand.value}
        for whole, stand in told
        for name in [whole.removeprefix("configuration/")]
    ]
    return FromKnown({"configurationKey": keys}, min(stand.heard_ms for _, stand in told))


def _variables(local: LocalState, asked: object) -> FromKnown | None:
    if not isinstance(asked, list) or not asked:
        return None
    results: list[dict[str, Any]] = []
    told_ms: list[int] = []
    for one in asked:
        found = local.standing(variable(one))
        if found is None or not _is_whole(found[1]):
            return None
        stand = found[1]
        result = {"attributeStatus": "Accepted", "attributeValue": stand.value}
        results.append({**result, **{name: one[name] for name in _NAMES if name in one}})
        told_ms.append(stand.heard_ms)
    return FromKnown({"getVariableResult": results}, min(told_ms))


_NAMES = ("component", "variable", "attributeType")


def _list(local: LocalState, version: OcppVersion | None) -> FromKnown | None:
    stand = local.stands.get("list/version")
    if stand is None or not stand.value.lstrip("-").isdecimal():
        return None
    field = "listVersion" if version in (None, OcppVersion.V16) else "versionNumber"
    return FromKnown({field: int(stand.value)}, stand.heard_ms)


def _transaction(known: Known, asked: object) -> FromKnown | None:
    """That it runs is known from its last message; what the charge point still holds it alone knows: it may."""
    session = known.sessions.get(asked) if isinstance(asked, str) else None
    if session is None:
        return None
    told_ms = max(session.read_at_ms, session.started_at_ms)
    return FromKnown({"ongoingIndicator": True, "messagesInQueue": True}, told_ms)


def _is_whole(stand: Stand) -> bool:
    is_cut = len(stand.value) >= VALUE_CHARACTERS_MAX
    return SECRET not in stand.value and not is_cut and not stand.value.endswith(AFTER_BOOT)
