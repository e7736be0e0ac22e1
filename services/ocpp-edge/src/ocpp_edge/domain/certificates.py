"""Whether an InstallCertificate and a DeleteCertificate are about the same certificate.

By serial number and issuer, as certificateHashData names it; an issuer gives a number once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cryptography import x509

ALGORITHMS = {"SHA256": hashlib.sha256, "SHA384": hashlib.sha384, "SHA512": hashlib.sha512}


def is_named_by(install: Mapping[str, Any], delete: Mapping[str, Any]) -> bool:
    """What can't be read is no certificate that anybody names."""
    named, text = delete.get("certificateHashData"), install.get("certificate")
    found = _serial_and_issuer(text) if isinstance(text, str) else None
    if not isinstance(named, Mapping) or found is None:
        return False
    serial, issuer = found
    algorithm = ALGORITHMS.get(str(named.get("hashAlgorithm")))
    if algorithm is None or _number(named.get("serialNumber")) != serial:
        return False
    return algorithm(issuer).hexdigest() == str(named.get("issuerNameHash")).casefold()


@lru_cache(maxsize=64)
def _serial_and_issuer(pem: str) -> tuple[int, bytes] | None:
    """Looked at again with every command that waits."""
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        return certificate.serial_number, certificate.issuer.public_bytes()
    except ValueError:
        return None


def _number(text: object) -> int | None:
    try:
        return int(str(text), 16)
    except ValueError:
        return None
