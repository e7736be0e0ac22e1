"""Keys, the provisioned bundle and driver-token lists, as files."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from holdfast.contracts.driver_tokens import DriverTokenList
from holdfast.contracts.envelope import ContractError
from holdfast.contracts.rules import SignedRules
from holdfast.settings import ConfigError, read_secret

SECRET_BYTES_MIN = 16
FILE_BYTES_MAX = 64 << 20
"""A full list of 100,000 driver tokens is far smaller."""


def signing_key(path: Path) -> Ed25519PrivateKey:
    """PEM (PKCS 8, unencrypted), or 32 bytes as hex. Raise ConfigError."""
    text = read_secret(path)
    try:
        if not text.startswith("-----"):
            return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text))
        key = load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path}: is neither PEM nor 32 bytes as hex: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path}: holds another kind of key, Ed25519 is needed")
    return key


def hash_key(path: Path) -> bytes:
    """Raise ConfigError."""
    key = read_secret(path).encode()
    if len(key) < SECRET_BYTES_MIN:
        raise ConfigError(
            f"{path}: {len(key)} bytes are too few for a secret, {SECRET_BYTES_MIN} needed"
        )
    return key


def provisioned_rules(path: Path) -> SignedRules:
    """Raise ContractError."""
    return SignedRules.from_bytes(_read(path))


def driver_token_list(path: Path) -> DriverTokenList:
    """Raise ContractError."""
    return DriverTokenList.from_bytes(_read(path))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ContractError(f"{path}: can't be read ({error.strerror})") from error
    if len(data) > FILE_BYTES_MAX:
        raise ContractError(f"{path}: over {FILE_BYTES_MAX} bytes are not read")
    return data
