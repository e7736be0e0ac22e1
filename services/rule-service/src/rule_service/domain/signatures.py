"""Ed25519 over the exact text of a bundle: what was read by people is what was signed."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from holdfast.contracts.rules import SignedRules


def sign(key: Ed25519PrivateKey, version: int, text: str) -> SignedRules:
    return SignedRules(
        version=version,
        text=text,
        key=public_hex(key),
        signature=key.sign(text.encode()).hex(),
    )


def public_hex(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def is_signed(signed: SignedRules) -> bool:
    """By the key it names; whether that key is trusted is another question."""
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signed.key))
        key.verify(bytes.fromhex(signed.signature), signed.text.encode())
    except (ValueError, InvalidSignature):
        return False
    return True
