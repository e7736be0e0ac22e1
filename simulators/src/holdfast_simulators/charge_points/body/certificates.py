"""Certificates as every version keeps them.

None is verified: a real device's checks are stood for by the form alone.
"""

from __future__ import annotations

import hashlib
from typing import Any

from holdfast_simulators.charge_points.body.reply import Reply, Situation, status

KEPT_MAX = 20
PEM = "-----BEGIN CERTIFICATE-----"


def certificate_signed(_: Situation[Any], payload: dict[str, Any]) -> Reply:
    return status("Accepted" if PEM in str(payload["certificateChain"]) else "Rejected")


def installed(situation: Situation[Any], kind: str, certificate: str) -> Reply | None:
    """None: there is no room for one more."""
    kept = {**situation.device.memory.certificates, serial_of(certificate): kind}
    return None if len(kept) > KEPT_MAX else status("Accepted", situation.kept(certificates=kept))


def delete_certificate(situation: Situation[Any], payload: dict[str, Any]) -> Reply:
    kept = situation.device.memory.certificates
    serial = str(payload["certificateHashData"]["serialNumber"])
    if serial not in kept:
        return status("NotFound")
    left = {one: kind for one, kind in kept.items() if one != serial}
    return status("Accepted", situation.kept(certificates=left))


def serial_of(certificate: str) -> str:
    """A simulated one: what is the same text is the same certificate."""
    return hashlib.sha256(certificate.encode()).hexdigest()[:16]


def hash_data(serial: str) -> dict[str, str]:
    digest = hashlib.sha256(serial.encode()).hexdigest()
    return {
        "hashAlgorithm": "SHA256",
        "issuerNameHash": digest,
        "issuerKeyHash": digest,
        "serialNumber": serial,
    }
