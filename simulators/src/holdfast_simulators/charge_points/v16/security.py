"""The security whitepaper of OCPP 1.6: certificates, logs, signed firmware.

CertificateSigned, InstallCertificate, DeleteCertificate, GetInstalledCertificateIds, GetLog, SignedUpdateFirmware

No certificate and no signature is verified: a real device's checks are stood for by the form alone. Firmware whose
signature is `invalid` is found out after the download, as a device would.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from holdfast_simulators.charge_points.body.certificates import PEM, hash_data, installed
from holdfast_simulators.charge_points.body.moments import moment_ms
from holdfast_simulators.charge_points.body.reply import Reply, Upload, answer, status
from holdfast_simulators.charge_points.v16.device import Situation
from holdfast_simulators.charge_points.v16.memory import Update

CSR = "-----BEGIN CERTIFICATE REQUEST-----\nsimulated\n-----END CERTIFICATE REQUEST-----"
LOG_NAME = "log.zip"
KINDS = ("CentralSystemRootCertificate", "ManufacturerRootCertificate")


def install_certificate(situation: Situation, payload: dict[str, Any]) -> Reply:
    kind, certificate = str(payload["certificateType"]), str(payload["certificate"])
    if kind not in KINDS or PEM not in certificate:
        return status("Rejected")
    return installed(situation, kind, certificate) or status("Failed")


def get_installed_certificate_ids(situation: Situation, payload: dict[str, Any]) -> Reply:
    wanted = str(payload["certificateType"])
    found = [
        hash_data(serial)
        for serial, kind in situation.device.memory.certificates.items()
        if kind == wanted
    ]
    if not found:
        return answer({"status": "NotFound"})
    return answer({"status": "Accepted", "certificateHashData": found})


def get_log(_: Situation, payload: dict[str, Any]) -> Reply:
    if payload["logType"] not in ("DiagnosticsLog", "SecurityLog"):
        raise ValueError(payload["logType"])
    return Reply(
        payload={"status": "Accepted", "filename": LOG_NAME},
        executed=True,
        upload=Upload(
            location=str(payload["log"]["remoteLocation"]), request_id=int(payload["requestId"])
        ),
    )


def signed_update_firmware(situation: Situation, payload: dict[str, Any]) -> Reply:
    firmware, memory = payload["firmware"], situation.device.memory
    if PEM not in str(firmware["signingCertificate"]):
        return Reply(payload={"status": "InvalidCertificate"}, executed=False)
    before = memory.firmware.update
    update = Update(
        location=str(firmware["location"]),
        at_ms=moment_ms(firmware["retrieveDateTime"]),
        request=int(payload["requestId"]),
        is_genuine=str(firmware["signature"]) not in ("", "invalid"),
    )
    kept = situation.kept(firmware=replace(memory.firmware, update=update))
    return status("Accepted" if before is None else "AcceptedCanceled", kept)
