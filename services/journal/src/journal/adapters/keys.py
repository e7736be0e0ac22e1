"""Ed25519: the site signs statements, the cloud checks them against the keys it was given. Nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from holdfast import chain
from holdfast.bus import Message
from holdfast.contracts.envelope import ContractError
from holdfast.contracts.journal import Checkpoint, Trimmed
from holdfast.contracts.mode import Head
from holdfast.entries import read
from holdfast.settings import ConfigError, read_secret
from journal.domain.statement import Statement, Stored


class SiteKey:
    """The private key of a site."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private

    @classmethod
    def load(cls, path: Path) -> Self:
        """PEM (PKCS 8), or the 32 bytes as hex. Raise ConfigError."""
        text = read_secret(path)
        try:
            if text.startswith("-----BEGIN"):
                key = serialization.load_pem_private_key(text.encode(), password=None)
            else:
                key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text))
        except ValueError as error:
            raise ConfigError(
                f"{path}: is no Ed25519 private key ({error}): run `holdfast provision`"
            ) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigError(f"{path}: is a {type(key).__name__}, not an Ed25519 private key")
        return cls(key)

    @property
    def public(self) -> SitePublicKey:
        return SitePublicKey(self._private.public_key())

    def sign(self, site: str, incarnation: str, statement: Statement) -> str:
        """The signature, hex. The same statement always gets the same one."""
        return self._private.sign(
            chain.statement(site, incarnation, statement.seq, statement.hash)
        ).hex()


class SitePublicKey:
    def __init__(self, public: Ed25519PublicKey) -> None:
        self._public = public

    @classmethod
    def of_hex(cls, site: str, text: str) -> Self:
        """Raise ConfigError."""
        try:
            return cls(Ed25519PublicKey.from_public_bytes(bytes.fromhex(text)))
        except ValueError as error:
            raise ConfigError(
                f"site_keys.{site}: {error}: give the 32 bytes of its public key as hex"
            ) from error

    def hex(self) -> str:
        raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
        return self._public.public_bytes(*raw).hex()

    def statement(
        self, site: str, incarnation: str, said: Checkpoint | Trimmed | Head
    ) -> Statement | None:
        """None when it is malformed, or not signed by this key for this journal."""
        try:
            digest, signature = bytes.fromhex(said.hash), bytes.fromhex(said.signature)
        except ValueError:
            return None
        if len(digest) != chain.HASH_BYTES or not 0 <= said.seq < 1 << 63:
            return None
        try:
            self._public.verify(signature, chain.statement(site, incarnation, said.seq, digest))
        except InvalidSignature:
            return None
        return Statement(said.seq, digest)


def stored_of(message: Message) -> Stored:
    return Stored(
        seq=message.seq,
        subject=message.subject,
        id=message.id,
        data=message.data,
        at_ms=message.stored_at_ms,
    )


def statement_in(
    key: SitePublicKey, site: str, incarnation: str, message: Message
) -> Statement | None:
    """What a checkpoint or an anchor states; None for every other message."""
    if ".journal.journal." not in message.subject:
        return None  # read no envelope for nothing: most messages state nothing
    try:
        fact = read(message).fact
    except ContractError:
        return None
    if not isinstance(fact, Checkpoint | Trimmed):
        return None
    return key.statement(site, incarnation, fact)
