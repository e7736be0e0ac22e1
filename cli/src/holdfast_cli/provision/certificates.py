"""Certificates: a CA of one's own, server certificates for the names a server is reached by, and charge points' own."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from holdfast.clock import SystemClock
from holdfast_cli.provision.secrets import write_private, write_whole

LOCAL_NAMES = ("127.0.0.1", "localhost")
CA_DAYS = 3650
LEAF_DAYS = 825
"""The longest that common TLS clients take."""
CRL_DAYS = 825
"""After so long it says that there is a newer one; provisioning makes that in time."""
RENEW_BEFORE = timedelta(days=60)
CLOCK_SKEW = timedelta(days=1)
"""A site whose clock is a little behind must still connect."""


Made = tuple[Path, bool]
"""A file, and whether it was made just now."""


@dataclass(frozen=True, slots=True)
class Issued:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def write(self, certificate: Path, key: Path) -> None:
        pem = self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        write_private(key, pem)
        write_whole(certificate, self.certificate.public_bytes(serialization.Encoding.PEM))


def ensure_ca(folder: Path, name: str = "Holdfast CA") -> list[Made]:
    """`ca.pem` and `ca.key`, kept when they are there: others pin this CA."""
    certificate, key = folder / "ca.pem", folder / "ca.key"
    made = not (certificate.exists() and key.exists())
    if made:
        make_ca(name, now_ms=SystemClock().now_ms()).write(certificate, key)
    return [(certificate, made), (key, made)]


def ensure_server_certificate(folder: Path, name: str, names: Sequence[str]) -> list[Made]:
    """`<name>.pem` and `<name>.key`; made anew when the names differ or its end is near."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    now_ms = SystemClock().now_ms()
    made = not (certificate.exists() and key.exists()) or not _serves(
        x509.load_pem_x509_certificate(certificate.read_bytes()), (name, *names), now_ms
    )
    if made:
        ca = _read(folder / "ca.pem", folder / "ca.key")
        make_server(ca, name, names=names, now_ms=now_ms).write(certificate, key)
    return [(certificate, made), (key, made)]


def ensure_client_certificate(folder: Path, name: str) -> list[Made]:
    """`<name>.pem` and `<name>.key` of a charge point that goes by that name; made anew when the end is near."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    now_ms = SystemClock().now_ms()
    made = not (certificate.exists() and key.exists()) or not _lasts(
        x509.load_pem_x509_certificate(certificate.read_bytes()), now_ms
    )
    if made:
        ca = _read(folder / "ca.pem", folder / "ca.key")
        make_client(ca, name, now_ms=now_ms).write(certificate, key)
    return [(certificate, made), (key, made)]


def ensure_crl(folder: Path) -> list[Made]:
    """`crl.pem`: which certificates the CA took back; made anew, with the same ones in it, when the end is near."""
    path = folder / "crl.pem"
    now_ms = SystemClock().now_ms()
    stands = x509.load_pem_x509_crl(path.read_bytes()) if path.exists() else None
    made = stands is None or not _is_current(stands, now_ms)
    if made:
        ca = _read(folder / "ca.pem", folder / "ca.key")
        write_whole(path, make_crl(ca, stands or (), now_ms=now_ms))
    return [(path, made)]


def revoke_client_certificate(folder: Path, name: str) -> bool:
    """Its certificate counts no more; another one is in its place. False: it has none here."""
    certificate, path = folder / f"{name}.pem", folder / "crl.pem"
    if not certificate.exists():
        return False
    ensure_crl(folder)
    now_ms = SystemClock().now_ms()
    ca = _read(folder / "ca.pem", folder / "ca.key")
    serial = x509.load_pem_x509_certificate(certificate.read_bytes()).serial_number
    moment = datetime.fromtimestamp(now_ms // 1000, UTC)
    revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(moment).build()
    stand = x509.load_pem_x509_crl(path.read_bytes())
    write_whole(path, make_crl(ca, [*stand, revoked], now_ms=now_ms))
    make_client(ca, name, now_ms=now_ms).write(certificate, folder / f"{name}.key")
    return True


def make_crl(ca: Issued, revoked: Iterable[x509.RevokedCertificate], *, now_ms: int) -> bytes:
    """PEM."""
    now = datetime.fromtimestamp(now_ms // 1000, UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.certificate.subject)
        .last_update(now - CLOCK_SKEW)
        .next_update(now + timedelta(days=CRL_DAYS))
    )
    for one in revoked:
        builder = builder.add_revoked_certificate(one)
    return builder.sign(ca.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _is_current(crl: x509.CertificateRevocationList, now_ms: int) -> bool:
    ends = crl.next_update_utc
    return ends is not None and ends > datetime.fromtimestamp(now_ms // 1000, UTC) + RENEW_BEFORE


def _lasts(certificate: x509.Certificate, now_ms: int) -> bool:
    lasts_until = datetime.fromtimestamp(now_ms // 1000, UTC) + RENEW_BEFORE
    return certificate.not_valid_after_utc > lasts_until


def _serves(certificate: x509.Certificate, names: Sequence[str], now_ms: int) -> bool:
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    held = set(extension.value)
    return _lasts(certificate, now_ms) and all(_alternative(name) in held for name in names)


def _read(certificate: Path, key: Path) -> Issued:
    loaded = serialization.load_pem_private_key(key.read_bytes(), password=None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    return Issued(x509.load_pem_x509_certificate(certificate.read_bytes()), loaded)


def make_ca(name: str, *, now_ms: int) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    certificate = (
        _builder(subject, subject, key, now_ms, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Issued(certificate, key)


def make_server(ca: Issued, name: str, *, names: Sequence[str] = (), now_ms: int) -> Issued:
    """For TLS servers reached as 127.0.0.1, localhost, `name` or any of `names` (hosts or addresses)."""
    alternatives = [_alternative(one) for one in dict.fromkeys((*LOCAL_NAMES, name, *names))]
    return _leaf(
        ca,
        name,
        ExtendedKeyUsageOID.SERVER_AUTH,
        now_ms,
        x509.SubjectAlternativeName(alternatives),
    )


def make_client(ca: Issued, name: str, *, now_ms: int) -> Issued:
    """For a charge point: its name is the common name."""
    return _leaf(ca, name, ExtendedKeyUsageOID.CLIENT_AUTH, now_ms)


def _leaf(
    ca: Issued,
    name: str,
    purpose: x509.ObjectIdentifier,
    now_ms: int,
    *more: x509.ExtensionType,
) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key())
    builder = (
        _builder(_name(name), ca.certificate.subject, key, now_ms, LEAF_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(authority, critical=False)
    )
    for extension in more:
        builder = builder.add_extension(extension, critical=False)
    return Issued(builder.sign(ca.key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now_ms: int,
    days: int,
) -> x509.CertificateBuilder:
    now = datetime.fromtimestamp(now_ms // 1000, UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
