"""Client certificates that were taken back, out of the CRLs of the site's own client CAs.

A file may have several, one for each CA: PEM one after the other, or one in DER. Each must be signed by a CA of
`client_ca_file`, and each CA there must have one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from ocpp_edge.domain.door import Revocations

CRL_BYTES_MAX = 4 * 1024 * 1024
"""About 100,000 certificates."""
_PEM = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)


class CrlProblem(Exception):
    """A file that says for sure of no certificate whether it was taken back; says why."""


@dataclass(frozen=True, slots=True)
class Crl:
    revocations: Revocations
    ends_ms: int | None
    """When the first of them says that a newer one is there. None: no one says."""


def read_crl(path: Path, cas: Sequence[x509.Certificate]) -> Crl:
    """Raise CrlProblem."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CrlProblem(f"{path}: {error.strerror}") from None
    if len(data) > CRL_BYTES_MAX:
        raise CrlProblem(f"{path}: has over {CRL_BYTES_MAX} bytes: is it the right file?")
    try:
        lists = _lists(data)
        by_issuer: dict[bytes, frozenset[int]] = {}
        for crl in lists:
            _check(crl, cas)
            issuer = crl.issuer.public_bytes()
            serials = frozenset(revoked.serial_number for revoked in crl)
            by_issuer[issuer] = by_issuer.get(issuer, frozenset()) | serials
    except (ValueError, TypeError, x509.DuplicateExtension, UnsupportedAlgorithm) as error:
        raise CrlProblem(f"{path}: {str(error)[:200] or 'can not be read'}") from None
    for ca in cas:
        if ca.subject.public_bytes() not in by_issuer:
            raise CrlProblem(f"{path}: has no CRL of {ca.subject.rfc4514_string()[:100]}")
    ends = [_ms(crl.next_update_utc) for crl in lists if crl.next_update_utc]
    return Crl(Revocations(by_issuer), min(ends, default=None))


def _lists(data: bytes) -> list[x509.CertificateRevocationList]:
    """Raise ValueError."""
    found = [x509.load_pem_x509_crl(block) for block in _PEM.findall(data)]
    if not found and b"-----BEGIN" in data:
        raise ValueError("has no CRL in it")
    return found or [x509.load_der_x509_crl(data)]


def _check(crl: x509.CertificateRevocationList, cas: Sequence[x509.Certificate]) -> None:
    """It is of one of them, and about all of its certificates. Raise ValueError."""
    signers = [ca for ca in cas if ca.subject == crl.issuer]
    if not any(_signed(crl, ca) for ca in signers):
        raise ValueError("is not signed by a CA of client_ca_file")
    for extension in crl.extensions:
        if not extension.critical:
            continue
        part = extension.value
        whole = isinstance(part, x509.IssuingDistributionPoint) and not (
            part.indirect_crl
            or part.only_contains_ca_certs
            or part.only_contains_attribute_certs
            or part.only_some_reasons
        )
        if not whole:
            raise ValueError("is a CRL of some of the certificates only (a delta, say)")


def _signed(crl: x509.CertificateRevocationList, ca: x509.Certificate) -> bool:
    try:
        return crl.is_signature_valid(ca.public_key())  # type: ignore[arg-type]
    except InvalidSignature:
        return False


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
