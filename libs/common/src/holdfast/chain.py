"""The hash chain over a site's stored journal.

    genesis = SHA-256("holdfast" || len(site) site || len(incarnation) incarnation)
    h(n)    = SHA-256(h(n-1) || n || len(subject) subject || len(id) id || len(data) data)

Numbers and lengths are 8 bytes, big-endian. Other headers stay out: a copied stream strips some.
"""

from __future__ import annotations

from hashlib import sha256

HASH_BYTES = 32


def _counted(data: bytes) -> bytes:
    return len(data).to_bytes(8, "big") + data


def genesis(site: str, incarnation: str) -> bytes:
    return sha256(b"holdfast" + _counted(site.encode()) + _counted(incarnation.encode())).digest()


def link(previous: bytes, seq: int, subject: str, message_id: str, data: bytes) -> bytes:
    """The chain hash at `seq`, given the one before it."""
    assert len(previous) == HASH_BYTES
    return sha256(
        previous
        + seq.to_bytes(8, "big")
        + _counted(subject.encode())
        + _counted(message_id.encode())
        + _counted(data)
    ).digest()


def statement(site: str, incarnation: str, seq: int, digest: bytes) -> bytes:
    """The bytes a checkpoint's signature is over."""
    return (
        b"holdfast checkpoint\n"
        + _counted(site.encode())
        + _counted(incarnation.encode())
        + seq.to_bytes(8, "big")
        + digest
    )
