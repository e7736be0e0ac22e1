"""What a CSMS is told about a command that will not be carried out: the honest negative answer of each action.

Never "please retry", and never a yes that nobody can keep. Actions without a status in their answer, and queries, get a
CALLERROR. One row per action of OCPP 1.6 and its security whitepaper (docs/spec/csms.md gives the reasons).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from holdfast.ocpp import frames

CallErrorCode = Literal["GenericError", "NotSupported", "NotImplemented", "InternalError"]


@dataclass(frozen=True, slots=True)
class Negative:
    """Of one action."""

    status: str | None
    """None: its answer has no status that says so, so it is a CALLERROR."""
    kept: str | None = None
    """Desired state, kept for a site that is away: the answer that says so. Where OCPP has no such answer, desired
    state is not kept: a yes would say that it is done."""
    within_ms: int | None = None
    """Not begun any more after it; None: as long as the CSMS is kept waiting."""


AT_ONCE_MS = 10_000
"""What is asked or triggered is about now (rules 3.5: seconds). It leaves time for the answer to come back."""
REJECTED = Negative("Rejected")
NOW = Negative("Rejected", within_ms=AT_ONCE_MS)
NO_STATUS = Negative(None)
QUERY = Negative(None, within_ms=AT_ONCE_MS)
"""Its statuses, where it has any, would say something about the charge point, and nobody has asked it."""

NEGATIVES: dict[str, Negative] = {
    "CancelReservation": REJECTED,
    "CertificateSigned": REJECTED,
    "ChangeAvailability": Negative("Rejected", kept="Scheduled"),
    "ChangeConfiguration": REJECTED,
    "ClearCache": REJECTED,
    "ClearChargingProfile": Negative("Unknown"),
    "DataTransfer": NOW,
    "DeleteCertificate": Negative("Failed"),
    "ExtendedTriggerMessage": NOW,
    "GetCompositeSchedule": QUERY,
    "GetConfiguration": QUERY,
    "GetDiagnostics": NO_STATUS,
    "GetInstalledCertificateIds": QUERY,
    "GetLocalListVersion": QUERY,
    "GetLog": REJECTED,
    "InstallCertificate": REJECTED,
    "RemoteStartTransaction": REJECTED,
    "RemoteStopTransaction": REJECTED,
    "ReserveNow": REJECTED,
    "Reset": REJECTED,
    "SendLocalList": Negative("Failed"),
    "SetChargingProfile": REJECTED,
    "SignedUpdateFirmware": REJECTED,
    "TriggerMessage": NOW,
    "UnlockConnector": Negative("UnlockFailed"),
    "UpdateFirmware": NO_STATUS,
}


def negative(message_id: str, action: str, why: str) -> str:
    """The frame. An action that nobody knows is not implemented; one without a status is an error."""
    row = NEGATIVES.get(action)
    if row is None:
        return error(message_id, "NotImplemented", f"{action[:40]} is not known here")
    if row.status is None:
        return error(message_id, "GenericError", why)
    return frames.result(message_id, json.dumps({"status": row.status}, separators=(",", ":")))


def error(message_id: str, code: CallErrorCode, why: str) -> str:
    return json.dumps([4, message_id, code, why[:255], {}], separators=(",", ":"))
