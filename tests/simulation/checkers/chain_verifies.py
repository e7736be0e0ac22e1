"""I10: from genesis to the last signed checkpoint, the archive's chain meets every statement the site signed.

Over a named gap the chain can't be computed: it goes on from the first statement behind the gap.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from holdfast import chain
from holdfast.contracts.journal import Checkpoint, Trimmed
from simulation.evidence import Evidence, Written


def check(evidence: Evidence) -> list[str]:
    found: list[str] = []
    for incarnation in dict.fromkeys(entry.incarnation for entry in evidence.archive):
        life = [entry for entry in evidence.archive if entry.incarnation == incarnation]
        found += _of_life(evidence, incarnation, life)
    return found


def _of_life(evidence: Evidence, incarnation: str, life: list[Written]) -> list[str]:
    site, key = evidence.site, Ed25519PublicKey.from_public_bytes(bytes.fromhex(evidence.site_key))
    found = []
    digests: dict[int, bytes] = {}
    digest: bytes | None = chain.genesis(site, incarnation)
    before = 0
    for entry in life:
        if entry.seq != before + 1:
            digest = None  # a gap, which another checker asks about
        before = entry.seq
        said = entry.fact
        if isinstance(said, Checkpoint | Trimmed):
            where = f"{incarnation}:{entry.seq}"
            stated = bytes.fromhex(said.hash)
            statement = chain.statement(site, incarnation, said.seq, stated)
            try:
                key.verify(bytes.fromhex(said.signature), statement)
            except InvalidSignature:
                found.append(f"{where} is not signed by the site")
                continue
            if said.seq in digests and digests[said.seq] != stated:
                found.append(f"{where}: the chain at {said.seq} is not what the site signed")
            if digest is None and said.seq == before - 1:
                digest = stated
        if digest is not None:
            digest = chain.link(digest, entry.seq, entry.subject, entry.id, entry.data)
            digests[entry.seq] = digest
    return found
