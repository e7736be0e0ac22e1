"""Messages that the site does not interpret: what becomes of them is their class's, by the table of actions.

T, G -> Kept        L -> Latest, or Kept where it ends something or stands until the next one        R -> Relay
"""

from __future__ import annotations

import json
from typing import Any

from holdfast.ocpp.actions import ActionRow, Class
from holdfast.ocpp.versions import OcppVersion
from ocpp_edge.domain import calls, calls_2x
from ocpp_edge.domain.calls import Kept, Latest, Payload, Relay, Request
from ocpp_edge.domain.dedupe import digest
from ocpp_edge.domain.text import number_is_sound

ENDS = frozenset(
    {
        # firmware
        "Installed",
        "InstallationFailed",
        "InstallVerificationFailed",
        "DownloadFailed",
        "InvalidSignature",
        "Published",
        "PublishFailed",
        "InvalidChecksum",
        # diagnostics and logs
        "Uploaded",
        "UploadFailed",
        "UploadFailure",
        "BadMessage",
        "NotSupportedOperation",
        "PermissionDenied",
        "AcceptedCanceled",
    }
)
"""Of progress that is told by `status`: how it ended."""
TOLD_AFTERWARDS = frozenset(
    {
        "NotifyChargingLimit",
        "ClearedChargingLimit",
        "NotifyEVChargingSchedule",
        "NotifyPriorityCharging",
        "ClosePeriodicEventStream",
    }
)
"""Of class L, rare, and standing until the next one: stored before it is answered."""
CRITICAL = 3
"""Severities of 2.1: 0 danger, 1 hardware failure, 2 system failure, 3 critical."""


def request_of(row: ActionRow, version: OcppVersion, payload: Payload, raw: str) -> Request:
    """Raise Unsound."""
    makers = calls if version is OcppVersion.V16 else calls_2x
    return makers.request_of(row.action, payload) or _by_class(row, payload, raw)


def _by_class(row: ActionRow, payload: Payload, raw: str) -> Request:
    match row.kind:
        case Class.RELAYED:
            return Relay()
        case Class.LATEST if not (_ends(row, payload) or row.action in TOLD_AFTERWARDS):
            return Latest(connector=_connector(payload), key=key_of(row, payload, raw))
        case kind if row.action == "NotifyEvent" and not _is_alert(payload):
            return Latest(connector=None, key=digest(row.action, *_variables(payload)))
        case kind:
            return Kept(kind=kind, key=key_of(row, payload, raw))


def key_of(row: ActionRow, payload: Payload, raw: str) -> str:
    """What tells a repeat; or, of class L, what the newest takes the place of."""
    if not row.key and row.kind is Class.LATEST:
        return digest(row.action)
    parts = [_at(payload, path) for path in row.key] if row.key else [raw]
    return digest(row.action, *parts)


def _variables(payload: Payload) -> list[str]:
    """What the events are about."""
    about = (
        json.dumps([one.get("component"), one.get("variable")], sort_keys=True)
        for one in payload["eventData"]
    )
    return sorted(set(about))


def _at(payload: Payload, path: str) -> str:
    found: Any = payload
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return json.dumps(found, sort_keys=True)


def _ends(row: ActionRow, payload: Payload) -> bool:
    return row.action.endswith("StatusNotification") and payload.get("status") in ENDS


def _is_alert(payload: Payload) -> bool:
    return any(
        one.get("trigger") == "Alerting" or one.get("severity", CRITICAL + 1) <= CRITICAL
        for one in payload["eventData"]
    )


def _connector(payload: Payload) -> int | None:
    """Of one place, or of one stream: periodic ones are thinned by it."""
    for name in ("evseId", "id"):
        found = payload.get(name)
        if isinstance(found, int) and number_is_sound(found):
            return found
    return None
