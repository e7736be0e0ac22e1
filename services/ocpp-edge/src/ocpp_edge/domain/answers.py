"""The payloads of our CALLRESULTs, as JSON text. A stored fact is enough to make its answer again."""

from __future__ import annotations

import json

from holdfast.contracts.envelope import Fact
from holdfast.contracts.rules import TokenStatus
from holdfast.contracts.session import (
    SessionEventConflicted,
    SessionMetered,
    SessionStarted,
    SessionStopped,
    SessionStopRepeated,
)
from holdfast.ocpp.versions import OcppVersion
from ocpp_edge.domain.text import utc_text

EMPTY = "{}"
REFUSAL_KEPT_MS = 60_000
"""A refusal for lack of storage must not stay in the charge point's own cache of driver tokens."""


def to_fact(fact: Fact) -> str:
    """What the CALL behind this stored fact is answered."""
    match fact:
        case SessionStarted(version=OcppVersion.V16):
            return to_start(fact)
        case SessionStarted(status=status, parent=parent):
            return _to_event(status, parent)
        case (
            SessionMetered(authorised=told)
            | SessionStopped(authorised=told)
            | SessionStopRepeated(authorised=told)
            | SessionEventConflicted(authorised=told)
        ) if told is not None:
            return _to_event(told.status, told.parent)
        case _:
            return EMPTY


def _to_event(status: TokenStatus | None, parent: str | None) -> str:
    """IdTokenInfo is there exactly when an idToken came."""
    return EMPTY if status is None else _text({"idTokenInfo": _id_token_info(status, parent)})


def to_start(fact: SessionStarted) -> str:
    information = _token_information(fact.status or TokenStatus.INVALID, fact.parent)
    return _text({"idTagInfo": information, "transactionId": fact.transaction_id})


def to_authorize(version: OcppVersion, status: TokenStatus, parent: str | None) -> str:
    if version is OcppVersion.V16:
        return _text({"idTagInfo": _token_information(status, parent)})
    return _text({"idTokenInfo": _id_token_info(status, parent)})


def to_authorize_without_storage(version: OcppVersion, at_ms: int) -> str:
    expiry, status = utc_text(at_ms + REFUSAL_KEPT_MS), TokenStatus.INVALID.value
    if version is OcppVersion.V16:
        return _text({"idTagInfo": {"status": status, "expiryDate": expiry}})
    return _text({"idTokenInfo": {"status": status, "cacheExpiryDateTime": expiry}})


def to_opaque(action: str) -> str:
    """Taken note of; nothing is said about what it means."""
    return _TAKEN.get(action, EMPTY)


_TAKEN = {"NotifyEVChargingSchedule": '{"status":"Accepted"}'}
"""Accepted means here that it was received, and no more (2.x, K17)."""


def to_boot(at_ms: int, interval_s: int, status: str = "Accepted") -> str:
    return _text({"status": status, "currentTime": utc_text(at_ms), "interval": interval_s})


def to_heartbeat(at_ms: int) -> str:
    return _text({"currentTime": utc_text(at_ms)})


def _token_information(status: TokenStatus, parent: str | None) -> dict[str, str]:
    # OCPP 1.6 has 20 characters for a group; a longer one would make the whole answer unreadable.
    group = {"parentIdTag": parent} if parent and len(parent) <= 20 else {}
    return {"status": status.value, **group}


def _id_token_info(status: TokenStatus, parent: str | None) -> dict[str, object]:
    # The site knows the group's name, not its type; 36 characters are what 2.0.1 has for it.
    is_sayable = parent is not None and 0 < len(parent) <= 36
    group = {"groupIdToken": {"idToken": parent, "type": "Central"}} if is_sayable else {}
    return {"status": status.value, **group}


def _text(payload: dict[str, object]) -> str:
    return json.dumps(payload, separators=(",", ":"))
