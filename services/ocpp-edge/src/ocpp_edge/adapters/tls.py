"""TLS at the door: which versions and suites, which client certificates, and files that change under way.

TLS 1.2 and 1.3; ECDHE with AES-GCM; no compression, no renegotiation, no tickets. What TLS 1.2 resumes by its
session's id has the certificate of the first time, and is judged by it at the door all the same; not beyond a change
of the files.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from holdfast.contracts.registry import EntryProblem
from ocpp_edge.adapters.revocations import CrlProblem, read_crl
from ocpp_edge.config import Config
from ocpp_edge.domain.door import ClientCertificate, Revocations
from ocpp_edge.gate import Gate

log = logging.getLogger(__name__)

SUITES = (
    "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384",
)  # fmt: skip
"""Of TLS 1.2; those of 1.3 are OpenSSL's, all of them with forward secrecy."""
RSA_KEY_EXCHANGE = ("AES128-GCM-SHA256", "AES256-GCM-SHA384")
"""Without forward secrecy. The OCPP whitepaper lets a charge point have no others."""
LOOK_EVERY_MS = 2_000
CONDITION = "certificates"
CRL = "client CRL"
"""Ends when its issuer said that there is a newer one."""
DAY_MS = 86_400_000
WARN_MS, WRONG_MS = 30 * DAY_MS, 7 * DAY_MS


class TlsProblem(Exception):
    """Files that no handshake can be made with; says which and why."""


@dataclass(frozen=True, slots=True)
class Loaded:
    context: ssl.SSLContext
    ends_ms: dict[str, int]
    """When each stops being valid: `server`, the earliest of `client CA`, and of `client CRL`."""
    revocations: Revocations | None


def load(config: Config, refused: Callable[[str], None]) -> Loaded:
    """A context of the files as they are now. Raise TlsProblem."""
    revocations: Revocations | None = None
    assert config.certificate_file
    assert config.key_file
    context = _context(config, refused)
    try:
        context.load_cert_chain(config.certificate_file, config.key_file, password=_no_password)
    except (OSError, ValueError) as error:
        raise TlsProblem(
            f"{config.certificate_file}, {config.key_file}: {_sentence(error)}: "
            "a PEM certificate with its chain, and its unencrypted key"
        ) from None
    ends_ms = {"server": _ms(_certificates(config.certificate_file)[0].not_valid_after_utc)}
    if config.client_ca_file:
        cas = _certificates(config.client_ca_file)
        ends_ms["client CA"] = min(_ms(one.not_valid_after_utc) for one in cas)
        if config.client_crl_file:
            try:
                crl = read_crl(config.client_crl_file, cas)
            except CrlProblem as problem:
                raise TlsProblem(str(problem)) from None
            revocations = crl.revocations
            if crl.ends_ms is not None:
                ends_ms[CRL] = crl.ends_ms
        try:
            context.load_verify_locations(config.client_ca_file)
        except (OSError, ValueError) as error:
            raise TlsProblem(f"{config.client_ca_file}: {_sentence(error)}") from None
        # Optional, since profiles 2 and 3 come through one door; one that is shown must be sound.
        context.verify_mode = ssl.CERT_OPTIONAL
        # What stands in that file is trusted, not the root above it: that one signs for other sites, too.
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    return Loaded(context, ends_ms, revocations)


def _context(config: Config, refused: Callable[[str], None]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    more = RSA_KEY_EXCHANGE if config.tls_rsa_key_exchange else ()
    context.set_ciphers(":".join((*SUITES, *more)))
    context.options |= (
        ssl.OP_NO_COMPRESSION
        | ssl.OP_NO_RENEGOTIATION
        | ssl.OP_NO_TICKET
        | ssl.OP_CIPHER_SERVER_PREFERENCE
        | ssl.OP_SINGLE_ECDH_USE
    )
    context.num_tickets = 0

    class Watched(ssl.SSLObject):
        """Tells of a handshake that fails: asyncio ends it without a word."""

        def do_handshake(self) -> None:
            try:
                super().do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError as error:
                refused(_sentence(error))
                raise

    context.sslobject_class = Watched
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted")  # never ask the terminal


def _certificates(path: Path) -> list[x509.Certificate]:
    """Raise TlsProblem."""
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise TlsProblem(f"{path}: {_sentence(error)}") from None


def _sentence(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)[:200]


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def client_certificate(tls: ssl.SSLObject | None) -> ClientCertificate | None:
    """What the other end showed, if it did. Raise ValueError when it can't be read."""
    data = tls.getpeercert(binary_form=True) if tls else None
    if not data:
        return None
    certificate = x509.load_der_x509_certificate(data)
    return ClientCertificate(
        common_name=_only(certificate, NameOID.COMMON_NAME),
        organisation=_only(certificate, NameOID.ORGANIZATION_NAME),
        valid_from_ms=_ms(certificate.not_valid_before_utc),
        valid_until_ms=_ms(certificate.not_valid_after_utc),
        issuer=certificate.issuer.public_bytes(),
        serial=certificate.serial_number,
    )


def _only(certificate: x509.Certificate, name: x509.ObjectIdentifier) -> str | None:
    found = certificate.subject.get_attributes_for_oid(name)
    return str(found[0].value) if len(found) == 1 else None


class Reloading(ssl.SSLContext):
    """What the listener holds: each new handshake is made with the newest sound context."""

    current: ssl.SSLContext

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        return self.current.wrap_bio(*arguments, **named)


class Tls:
    """The door's certificates, key, CA and CRL, looked at every two seconds."""

    def __init__(
        self, config: Config, gate: Gate, turn_out: Callable[[Revocations], Awaitable[None]]
    ) -> None:
        """Raise TlsProblem: a service does not begin with files that it can't use. It does with a CRL that is out of
        date: what that took back stays so, and who may come in still may, though the site has been cut off for weeks.
        """
        self._config, self._gate, self._turn_out = config, gate, turn_out
        self._metrics, self._notices = gate.metrics, gate.notices
        self._conditions, self._clock = gate.conditions, gate.clock
        self._stood_as: object = None
        self._broken: str | None = None
        self._ends_ms: dict[str, int] = {}
        self.context = Reloading(ssl.PROTOCOL_TLS_SERVER)
        self._take(at_first=True)
        self._judge()

    async def run(self) -> None:
        while True:
            await self._clock.sleep_ms(LOOK_EVERY_MS)
            before = self._gate.revocations
            self.look()
            stand = self._gate.revocations
            if stand and stand != before:
                await self._turn_out(stand)

    def look(self) -> None:
        """Take over changed files; broken ones change nothing but health and log."""
        if self._files() != self._stood_as:
            try:
                self._take()
                log.info("certificates taken over")
            except TlsProblem as problem:
                self._broken = str(problem)
            if self._broken:
                names = {"why": self._broken}
                log.error("certificates not taken over: the old ones stand", extra=names)
        self._judge()

    def _take(self, *, at_first: bool = False) -> None:
        self._stood_as = (
            self._files()
        )  # before their content: what changes in between is read again
        loaded = load(self._config, self._refused)
        crl_ends_ms = loaded.ends_ms.get(CRL)
        if crl_ends_ms is not None and crl_ends_ms <= self._clock.now_ms() and not at_first:
            raise TlsProblem(f"{self._config.client_crl_file}: the CRL is out of date already")
        self.context.current, self._ends_ms = loaded.context, loaded.ends_ms
        self._gate.revocations = loaded.revocations
        self._broken = None

    def _files(self) -> object:
        config = self._config
        return tuple(
            _stands_as(path)
            for path in (
                config.certificate_file,
                config.key_file,
                config.client_ca_file,
                config.client_crl_file,
            )
        )

    def _judge(self) -> None:
        now_ms = self._clock.now_ms()
        for name, ends_ms in self._ends_ms.items():
            self._metrics.certificate_ends.labels(certificate=name).set(ends_ms / 1000)
        certificates = {name: at_ms for name, at_ms in self._ends_ms.items() if name != CRL}
        soonest, ends_ms = min(certificates.items(), key=lambda it: it[1])
        left_ms = ends_ms - now_ms
        days = f"the certificate of {soonest} ends in {left_ms // DAY_MS} days"
        day = datetime.fromtimestamp(ends_ms // 1000, UTC).date()
        told = f"the certificate of {soonest} ends on {day}: put a new one in its place"
        if left_ms <= 0:
            days = f"the certificate of {soonest} has ended"
            told = f"{days}: put a new one in its place"
        if self._broken:
            self._conditions.wrong(CONDITION, f"new files are not usable: {self._broken}")
        elif self._ends_ms.get(CRL, now_ms + 1) <= now_ms:
            self._conditions.wrong(
                CONDITION,
                "the CRL of client certificates is out of date: what it took back stays so, what was taken back "
                "since is not known: put a new one in its place",
            )
        elif left_ms <= WRONG_MS:
            self._conditions.wrong(CONDITION, f"{days}: put a new one in its place", told)
        elif left_ms <= WARN_MS:
            self._conditions.warn(CONDITION, f"{days}: put a new one in its place", told)
        else:
            self._conditions.ok(CONDITION)

    def _refused(self, why: str) -> None:
        self._metrics.tls_failures.labels(reason=_kind(why)).inc()
        if "certificate" in _kind(why):  # not of every scanner that comes along
            self._notices.noticed(EntryProblem.CERTIFICATE, None, None, why)


KINDS = (
    ("expired", "certificate expired"),
    ("not yet valid", "certificate not yet valid"),
    ("certificate", "certificate"),
    ("issuer", "certificate"),
    ("self-signed", "certificate"),
    ("protocol", "version"),
    ("version", "version"),
    ("cipher", "suite"),
)


def _kind(why: str) -> str:
    """A closed set of labels, whatever OpenSSL says."""
    return next((kind for word, kind in KINDS if word in why), "other")


def _stands_as(path: Path | None) -> tuple[int, ...] | None:
    try:
        status = path.stat() if path else None
    except OSError:
        return ()
    return (status.st_mtime_ns, status.st_size, status.st_ino) if status else None
