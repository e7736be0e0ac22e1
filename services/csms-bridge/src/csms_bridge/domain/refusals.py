"""What a CSMS is told about a command that will not be carried out: the honest negative answer of each action.

Never "please retry", and never a yes that nobody can keep. Actions without a status in their answer, and queries, get a
CALLERROR. One row per action of OCPP 1.6 and its security whitepaper, and per action of 2.0.1 and 2.1
(docs/spec/csms.md gives the reasons).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from holdfast.ocpp import frames
from holdfast.ocpp.versions import OcppVersion

CallErrorCode = Literal["GenericError", "NotSupported", "NotImplemented", "InternalError"]
WHY_CHARACTERS_MAX = 255
REASON = "NotCarriedOut"
"""In the statusInfo of 2.x; beside it stands why."""


Answer = Callable[[str, Mapping[str, Any]], dict[str, Any]]
"""From the status and the CALL's payload; raise LookupError, TypeError where that is not as it should be."""


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
    answer: Answer | None = None
    """Of 2.x, where there is a status for each thing that was asked for."""


def _variables(status: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "setVariableResult": [
            {"attributeStatus": status, "component": one["component"], "variable": one["variable"]}
            for one in payload["setVariableData"]
        ]
    }


def _monitors(status: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    names = ("type", "severity", "component", "variable")
    return {
        "setMonitoringResult": [
            {"status": status} | {name: one[name] for name in names}
            for one in payload["setMonitoringData"]
        ]
    }


def _no_monitors(status: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    return {"clearMonitoringResult": [{"status": status, "id": one} for one in payload["id"]]}


def _no_tariffs(status: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    named = [{"status": status, "tariffId": one} for one in payload.get("tariffIds") or ()]
    return {"clearTariffsResult": named or [{"status": status}]}


AT_ONCE_MS = 10_000
"""What is asked or triggered is about now (rules 3.5: seconds). It leaves time for the answer to come back."""
REJECTED = Negative("Rejected")
NOW = Negative("Rejected", within_ms=AT_ONCE_MS)
FAILED = Negative("Failed")
UNLOCK_FAILED = Negative("UnlockFailed")
NO_STATUS = Negative(None)
QUERY = Negative(None, within_ms=AT_ONCE_MS)
"""Its statuses, where it has any, would say something about the charge point, and nobody has asked it."""
SCHEDULED = Negative("Rejected", kept="Scheduled")

NEGATIVES: dict[str, Negative] = {
    "CancelReservation": REJECTED,
    "CertificateSigned": REJECTED,
    "ChangeAvailability": SCHEDULED,
    "ChangeConfiguration": REJECTED,
    "ClearCache": REJECTED,
    "ClearChargingProfile": Negative("Unknown"),
    "DataTransfer": NOW,
    "DeleteCertificate": FAILED,
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
    "SendLocalList": FAILED,
    "SetChargingProfile": REJECTED,
    "SignedUpdateFirmware": REJECTED,
    "TriggerMessage": NOW,
    "UnlockConnector": UNLOCK_FAILED,
    "UpdateFirmware": NO_STATUS,
}
NEGATIVES_201: dict[str, Negative] = {
    "CancelReservation": REJECTED,
    "CertificateSigned": REJECTED,
    "ChangeAvailability": SCHEDULED,
    "ClearCache": REJECTED,
    "ClearChargingProfile": Negative("Unknown"),
    "ClearDisplayMessage": NO_STATUS,
    "ClearVariableMonitoring": Negative("Rejected", answer=_no_monitors),
    "CostUpdated": NO_STATUS,
    "CustomerInformation": REJECTED,
    "DataTransfer": NOW,
    "DeleteCertificate": FAILED,
    "GetBaseReport": NOW,
    "GetChargingProfiles": QUERY,
    "GetCompositeSchedule": NOW,
    "GetDisplayMessages": QUERY,
    "GetInstalledCertificateIds": QUERY,
    "GetLocalListVersion": QUERY,
    "GetLog": REJECTED,
    "GetMonitoringReport": NOW,
    "GetReport": NOW,
    "GetTransactionStatus": QUERY,
    "GetVariables": QUERY,
    "InstallCertificate": REJECTED,
    "PublishFirmware": REJECTED,
    "RequestStartTransaction": REJECTED,
    "RequestStopTransaction": REJECTED,
    "ReserveNow": REJECTED,
    "Reset": REJECTED,
    "SendLocalList": FAILED,
    "SetChargingProfile": REJECTED,
    "SetDisplayMessage": REJECTED,
    "SetMonitoringBase": REJECTED,
    "SetMonitoringLevel": REJECTED,
    "SetNetworkProfile": REJECTED,
    "SetVariableMonitoring": Negative("Rejected", answer=_monitors),
    "SetVariables": Negative("Rejected", answer=_variables),
    "TriggerMessage": NOW,
    "UnlockConnector": UNLOCK_FAILED,
    "UnpublishFirmware": NO_STATUS,
    "UpdateFirmware": REJECTED,
}
NEGATIVES_21: dict[str, Negative] = {
    **NEGATIVES_201,
    "AFRRSignal": NOW,
    "AdjustPeriodicEventStream": REJECTED,
    "ChangeTransactionTariff": REJECTED,
    "ClearDERControl": REJECTED,
    "ClearDisplayMessage": REJECTED,
    "ClearTariffs": Negative("Rejected", answer=_no_tariffs),
    "GetDERControl": NOW,
    "GetPeriodicEventStream": QUERY,
    "GetTariffs": NOW,
    "NotifyAllowedEnergyTransfer": REJECTED,
    "NotifyWebPaymentStarted": NO_STATUS,
    "RequestBatterySwap": REJECTED,
    "SetDERControl": REJECTED,
    "SetDefaultTariff": REJECTED,
    "UpdateDynamicSchedule": NOW,
    "UsePriorityCharging": REJECTED,
}
_OF = {
    OcppVersion.V16: NEGATIVES,
    OcppVersion.V201: NEGATIVES_201,
    OcppVersion.V21: NEGATIVES_21,
}


def of(version: OcppVersion) -> dict[str, Negative]:
    return _OF[version]


def negative(
    version: OcppVersion, message_id: str, action: str, payload: Mapping[str, Any], why: str
) -> str:
    """The frame. An action that nobody knows is not implemented; one without a status is an error."""
    row = of(version).get(action)
    if row is None:
        return error(message_id, "NotImplemented", f"{action[:40]} is not known here")
    if row.status is None:
        return error(message_id, "GenericError", why)
    try:
        said = _answer(version, row, row.status, payload, why)
    except (LookupError, TypeError, AttributeError):
        return error(message_id, "GenericError", f"{why}; nor can its payload be read")
    return frames.result(message_id, json.dumps(said, separators=(",", ":")))


def _answer(
    version: OcppVersion, row: Negative, status: str, payload: Mapping[str, Any], why: str
) -> dict[str, Any]:
    if row.answer is not None:
        return row.answer(status, payload)
    if version is OcppVersion.V16:
        return {"status": status}
    info = {"reasonCode": REASON, "additionalInfo": (why or REASON)[:WHY_CHARACTERS_MAX]}
    return {"status": status, "statusInfo": info}


def completed(answer: str, payload: Mapping[str, Any], why: str) -> str:
    """Of a SetVariables that was sent in part: each variable that was asked for has its result."""
    try:
        said: dict[str, Any] = json.loads(answer)
        results = list(said["setVariableResult"])
        known = [_variable(one) for one in results]
        info = {"reasonCode": REASON, "additionalInfo": why[:WHY_CHARACTERS_MAX]}
        for one in payload["setVariableData"]:
            if _variable(one) not in known:
                named = {name: one[name] for name in _NAMES if name in one}
                results.append(
                    {**named, "attributeStatus": "Rejected", "attributeStatusInfo": info}
                )
    except (ValueError, LookupError, TypeError, AttributeError):
        return answer
    return json.dumps({**said, "setVariableResult": results}, separators=(",", ":"))


_NAMES = ("component", "variable", "attributeType")


def _variable(one: Mapping[str, Any]) -> tuple[Any, ...]:
    return one["component"], one["variable"], one.get("attributeType", "Actual")


def error(message_id: str, code: CallErrorCode, why: str) -> str:
    said = [4, message_id, code, why[:WHY_CHARACTERS_MAX], {}]
    return json.dumps(said, separators=(",", ":"))
