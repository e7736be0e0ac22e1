"""The security whitepaper of OCPP 1.6: certificates, logs, signed firmware.

CertificateSigned, InstallCertificate, DeleteCertificate, GetInstalledCertificateIds, GetLog, SignedUpdateFirmware

No certificate and no signature is verified: a real device's checks are stood for by the form alone. Firmware whose
signature is `invalid` is found out after the download, as a device would.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from holdfast_simulators.charge_points.body.moments import moment_ms
from holdfast_simulators.charge_points.v16.events import Remembered
from holdfast_simulators.charge_points.v16.memory import Update
from holdfast_simulators.charge_points.v16.reply import Reply, Situation, answer, status

CERTIFICATES_MAX = 20
PEM = "-----BEGIN CERTIFICATE-----"
CSR = "-----BEGIN CERTIFICATE REQUEST-----\nsimulated\n-----END CERTIFICATE REQUEST-----"
LOG_NAME = "log.zip"
KINDS = ("CentralSystemRootCertificate", "ManufacturerRootCertificate")


def certificate_signed(_: Situation, payload: dict[str, Any]) -> Reply:
    return status("Accepted" if PEM in str(payload["certificateChain"]) else "Rejected")


def install_certificate(situation: Situation, payload: dict[str, Any]) -> Reply:
    kind, certificate = str(payload["certificateType"]), str(payload["certificate"])
    if kind not in KINDS or PEM not in certificate:
        return status("Rejected")
    installed = {**situation.device.memory.certificates, serial_of(certificate): kind}
    if len(installed) > CERTIFICATES_MAX:
        return status("Failed")
    return status("Accepted", _with(situation, installed))


def delete_certificate(situation: Situation, payload: dict[str, Any]) -> Reply:
    installed = situation.device.memory.certificates
    serial = str(payload["certificateHashData"]["serialNumber"])
    if serial not in installed:
        return Reply(payload={"status": "NotFound"}, executed=False)
    return status(
        "Accepted", _with(situation, {one: of for one, of in installed.items() if one != serial})
    )


def get_installed_certificate_ids(situation: Situation, payload: dict[str, Any]) -> Reply:
    wanted = str(payload["certificateType"])
    found = [
        _hash(serial)
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
        upload_to=str(payload["log"]["remoteLocation"]),
        upload_request=int(payload["requestId"]),
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
    memory = replace(memory, firmware=replace(memory.firmware, update=update))
    kept = Remembered(at=situation.at, memory=memory)
    return status("Accepted" if before is None else "AcceptedCanceled", kept)


def serial_of(certificate: str) -> str:
    """A simulated one: what is the same text is the same certificate."""
    return hashlib.sha256(certificate.encode()).hexdigest()[:16]


def _hash(serial: str) -> dict[str, str]:
    digest = hashlib.sha256(serial.encode()).hexdigest()
    return {
        "hashAlgorithm": "SHA256",
        "issuerNameHash": digest,
        "issuerKeyHash": digest,
        "serialNumber": serial,
    }


def _with(situation: Situation, certificates: dict[str, str]) -> Remembered:
    memory = replace(situation.device.memory, certificates=certificates)
    return Remembered(at=situation.at, memory=memory)
