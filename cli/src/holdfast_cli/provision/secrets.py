"""Keys and passwords of a world: made once, kept, readable by their owner only."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def write_private(path: Path, data: bytes) -> None:
    """Never readable by others, not even for a moment; its folder neither."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    write_whole(path, data, mode=0o600)


def write_whole(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """All of it or nothing, whenever the machine stops: under another name first, synced, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def password(path: Path) -> tuple[str, bool]:
    """The password in the file; made when missing (then True)."""
    if path.exists():
        return path.read_text().strip(), False
    made = secrets.token_urlsafe(24)
    write_private(path, made.encode() + b"\n")
    return made, True


def random_key(path: Path) -> bool:
    """32 random bytes, hex. True when made."""
    if path.exists():
        return False
    write_private(path, secrets.token_hex(32).encode() + b"\n")
    return True


def signing_key(path: Path) -> tuple[str, bool]:
    """An Ed25519 key, PEM; returns its public half as hex, and True when made."""
    made = not path.exists()
    if made:
        pem = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        write_private(path, pem)
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    assert isinstance(key, Ed25519PrivateKey)
    public = key.public_key().public_bytes(
        serialization.Encoding.Raw, serialization.PublicFormat.Raw
    )
    return public.hex(), made
