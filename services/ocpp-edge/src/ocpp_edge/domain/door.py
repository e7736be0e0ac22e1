"""Who may come in: what a handshake shows, what the registry asks for, what becomes of it.

    ws  + nothing         profile 0        wss + password             profile 2
    ws  + password        profile 1        wss + client certificate   profile 3

Whoever is refused learns no more than that: unknown, wrong password and wrong profile look alike.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote_to_bytes

from holdfast import subjects

BASIC, TLS, MUTUAL = 1, 2, 3
"""Security profiles of OCPP; 0 is none of them."""

IDENTITY_CHARACTERS_MAX = 48
"""Of a charging station in OCPP 2.x (SecurityCtrlr.Identity)."""
PLAIN_IDENTITY = re.compile(
    rf"(?!.{{{IDENTITY_CHARACTERS_MAX + 1}}})[A-Za-z0-9](?:[A-Za-z0-9*=+|@._-]*[A-Za-z0-9])?"
)
"""OCPP's identifierString, but for the colon that Basic ends a user's name at; so `.`, `..`, `*` and `>` are none."""


def identity_in(path: str, prefix: str, *, any_characters: bool) -> str | None:
    """The identity that stands in the path; None where it is no charge point's path."""
    path, _, _ = path.partition("?")
    rest = path.removeprefix(prefix + "/")
    if rest == path or "/" in rest:
        return None
    data = unquote_to_bytes(rest)
    if not 0 < len(data) <= subjects.IDENTITY_BYTES_MAX:
        return None
    try:
        identity = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return identity if any_characters or PLAIN_IDENTITY.fullmatch(identity) else None


def password_in(identity: str, headers: list[str]) -> bytes | None:
    """Any bytes: OCPP 1.6 makes of an AuthorizationKey a password that is no text. None unless the user is the
    charge point itself.
    """
    if len(headers) != 1:
        return None
    scheme, _, encoded = headers[0].partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        credentials = b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    user = identity.encode() + b":"
    return credentials.removeprefix(user) if credentials.startswith(user) else None


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """What a verified client certificate says of its holder."""

    common_name: str | None
    """None: none, or several."""
    organisation: str | None
    valid_from_ms: int
    valid_until_ms: int
    issuer: bytes
    """Its name, as it stands in the certificate."""
    serial: int


@dataclass(frozen=True, slots=True)
class Revocations:
    """What the CRLs of the site's client CAs say."""

    by_issuer: Mapping[bytes, frozenset[int]]
    """Serial numbers of what each took back."""

    def problem(self, certificate: ClientCertificate) -> str | None:
        serials = self.by_issuer.get(certificate.issuer)
        if serials is None:
            return "certificate of an issuer without CRL"
        return "certificate revoked" if certificate.serial in serials else None


@dataclass(frozen=True, slots=True)
class Offer:
    """What a handshake shows of who comes."""

    identity: str
    address: str
    """Without the port."""
    encrypted: bool
    certificate: ClientCertificate | None
    """Issued by the site's CA: TLS saw to that."""
    password: bytes | None


class Registered(Protocol):
    @property
    def security_profile(self) -> int: ...
    @property
    def next_security_profile(self) -> int | None: ...
    @property
    def certificate_cn(self) -> str | None: ...


def profile_of(offer: Offer, registered: Registered) -> int | None:
    """By which of its profiles a registered charge point comes; None: by another one (A00.FR.002). Shown more than
    the profile asks for is no other profile.
    """
    for profile in (registered.next_security_profile, registered.security_profile):
        if profile is not None and _is_of(profile, offer):
            return profile
    return None


def shown_by(offer: Offer) -> int:
    """The profile that this is."""
    if offer.encrypted:
        return MUTUAL if offer.certificate else TLS
    return 0 if offer.password is None else BASIC


def _is_of(profile: int, offer: Offer) -> bool:
    if profile <= BASIC:
        return not offer.encrypted
    return offer.encrypted and (profile == TLS or offer.certificate is not None)


def certificate_problem(
    offer: Offer, registered: Registered | None, organisation: str | None, now_ms: int
) -> str | None:
    """Why this certificate is not the one of the charge point that it claims to be; None when it is."""
    certificate = offer.certificate
    if certificate is None:
        return "no certificate"
    wanted = registered and registered.certificate_cn
    if certificate.common_name != (wanted or offer.identity):
        return "certificate of another"
    if organisation is not None and certificate.organisation != organisation:
        return "certificate of another organisation"
    if not certificate.valid_from_ms <= now_ms <= certificate.valid_until_ms:
        return "certificate not valid now"
    return None
