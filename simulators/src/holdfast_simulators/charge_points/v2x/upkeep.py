"""Firmware, logs, reports, certificates, customer data, monitors: what a station is asked besides charging.

Nothing is fetched or sent and no certificate is verified: a real device's checks are stood for by the form alone.
"""

from __future__ import annotations

from typing import Any

from holdfast_simulators.charge_points.body.certificates import PEM, hash_data, installed
from holdfast_simulators.charge_points.body.moments import moment_ms, timestamp
from holdfast_simulators.charge_points.body.reply import Reply, Upload, answer, status
from holdfast_simulators.charge_points.v2x import variables
from holdfast_simulators.charge_points.v2x.device import Situation
from holdfast_simulators.charge_points.v2x.memory import Memory, Update


def get_log(situation: Situation, payload: dict[str, Any]) -> Reply:
    location, request_id = str(payload["log"]["remoteLocation"]), int(payload["requestId"])
    kind = str(payload["logType"])
    oldest = payload["log"].get("oldestTimestamp")
    if oldest is not None and moment_ms(oldest) > situation.at.device_ms:
        # Nothing is recorded of the future.
        return status("Rejected", reason="NoLog")
    return Reply(
        payload={"status": "Accepted", "filename": f"{kind}-{request_id}.zip"},
        executed=True,
        upload=Upload(location=location, request_id=request_id),
    )


def update_firmware(situation: Situation, payload: dict[str, Any]) -> Reply:
    firmware = payload["firmware"]
    update = Update(
        location=str(firmware["location"]),
        request_id=int(payload["requestId"]),
        at_ms=moment_ms(firmware["retrieveDateTime"]),
    )
    certificate = firmware.get("signingCertificate")
    if certificate is not None and PEM not in str(certificate):
        return status("InvalidCertificate")
    is_replaced = situation.device.memory.update is not None
    word = "AcceptedCanceled" if is_replaced else "Accepted"
    return status(word, situation.kept(update=update))


def get_base_report(situation: Situation, payload: dict[str, Any]) -> Reply:
    base = str(payload["reportBase"])
    if base not in ("ConfigurationInventory", "FullInventory", "SummaryInventory"):
        raise ValueError(base)
    if base == "SummaryInventory":
        return status("NotSupported")
    return _report(situation, int(payload["requestId"]), list(variables.VARIABLES))


def get_report(situation: Situation, payload: dict[str, Any]) -> Reply:
    wanted = payload.get("componentVariable")
    if payload.get("componentCriteria") and wanted is None:
        return status("NotSupported")
    names = [
        name
        for name in variables.VARIABLES
        if wanted is None or any(_is_asked(name, one) for one in wanted)
    ]
    return _report(situation, int(payload["requestId"]), names)


def _is_asked(name: str, one: dict[str, Any]) -> bool:
    component, variable = name.split(".")
    asked = one.get("variable")
    is_variable = asked is None or asked["name"] == variable
    return bool(one["component"]["name"] == component and is_variable)


def _report(situation: Situation, request_id: int, names: list[str]) -> Reply:
    if not names:
        return status("EmptyResultSet")
    at = timestamp(situation.at.device_ms)
    notices = tuple(variables.reports(situation, request_id, names, at))
    return Reply(payload={"status": "Accepted"}, executed=True, notices=notices)


def customer_information(situation: Situation, payload: dict[str, Any]) -> Reply:
    """Nothing is kept of customers but tokens in lists: there is nothing to tell, and nothing to forget."""
    request_id = int(payload["requestId"])
    if not payload["report"]:
        return status("Accepted")
    told = {
        "data": "",
        "seqNo": 0,
        "generatedAt": timestamp(situation.at.device_ms),
        "requestId": request_id,
    }
    notices = (("NotifyCustomerInformation", told),)
    return Reply(payload={"status": "Accepted"}, executed=True, notices=notices)


# --- certificates


def install_certificate(situation: Situation, payload: dict[str, Any]) -> Reply:
    kind, certificate = str(payload["certificateType"]), str(payload["certificate"])
    if PEM not in certificate:
        return status("Rejected", reason="InvalidCertificate")
    done = installed(situation, kind, certificate)
    return status("Failed", reason="OutOfMemory") if done is None else done


def get_installed_certificate_ids(situation: Situation, payload: dict[str, Any]) -> Reply:
    wanted = payload.get("certificateType")
    chain = [
        {"certificateType": kind, "certificateHashData": hash_data(serial)}
        for serial, kind in situation.device.memory.certificates.items()
        if wanted is None or kind in wanted
    ]
    if not chain:
        return status("NotFound")
    return answer({"status": "Accepted", "certificateHashDataChain": chain})


# --- what it does not have


def set_variable_monitoring(_: Situation, payload: dict[str, Any]) -> Reply:
    results = [
        {
            "status": "UnsupportedMonitorType",
            "type": one["type"],
            "severity": one["severity"],
            "component": one["component"],
            "variable": one["variable"],
        }
        for one in payload["setMonitoringData"]
    ]
    return Reply(payload={"setMonitoringResult": results}, executed=False)


def clear_variable_monitoring(_: Situation, payload: dict[str, Any]) -> Reply:
    results = [{"status": "NotFound", "id": int(one)} for one in payload["id"]]
    return Reply(payload={"clearMonitoringResult": results}, executed=False)


def data_transfer(_: Situation, payload: dict[str, Any]) -> Reply:
    """No vendor's messages are known here."""
    str(payload["vendorId"])
    return status("UnknownVendorId")


# --- 2.1: one periodic event stream


def adjust_stream(situation: Situation, payload: dict[str, Any]) -> Reply:
    interval = payload["params"].get("interval")
    if situation.behaviour.stream_s is None or interval is None or int(interval) <= 0:
        return status("Rejected")
    return status("Accepted", situation.kept(stream_s=float(interval)))


def get_stream(situation: Situation, _: dict[str, Any]) -> Reply:
    if situation.behaviour.stream_s is None:
        return answer({})
    return answer(
        {"constantStreamData": [stream(situation.behaviour.stream_s, situation.device.memory)]}
    )


def stream(by_behaviour_s: float, memory: Memory) -> dict[str, Any]:
    interval_s = memory.stream_s or by_behaviour_s
    return {"id": 1, "params": {"interval": max(1, round(interval_s))}, "variableMonitoringId": 1}
