"""Lists of driver tokens: what identifies an entry, the hash of a list, and the list that changes lead to.

    list_hash = sum over all entries of SHA-256(canonical entry), mod 2^256

A sum does not depend on order, and can be taken over entries that are kept one by one. When something was said
(`as_of_ms`) is no part of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256

from holdfast.contracts.driver_tokens import (
    TOKENS_MAX,
    DriverTokenChanges,
    DriverTokenList,
    ListedToken,
    TokenIdentity,
    TokenType,
)
from rule_service.domain.driver_tokens import same

DIGEST_BYTES = 32
_MODULUS = 1 << (8 * DIGEST_BYTES)

Identity = tuple[TokenType, str]


class ListRefused(Exception):
    """A list, or changes to one, that can't be taken. The sentence is for the operator."""


def identity(token: TokenIdentity) -> Identity:
    return token.token_type, same(token.driver_token)


def distinct(tokens: Iterable[ListedToken]) -> dict[Identity, ListedToken]:
    """A driver token listed twice counts as it was listed last."""
    return {identity(token): token for token in tokens}


def entry_digest(token: ListedToken) -> bytes:
    said = (
        token.token_type.value,
        same(token.driver_token),
        token.status.value,
        token.parent,
        token.valid_from_ms,
        token.valid_until_ms,
        token.whitelist.value if token.whitelist else None,
    )
    return sha256(json.dumps(said, separators=(",", ":")).encode()).digest()


def sum_of(digests: Iterable[bytes]) -> str:
    total = sum(int.from_bytes(digest, "big") for digest in digests) % _MODULUS
    return f"{total:064x}"


def list_hash(tokens: Iterable[ListedToken]) -> str:
    return sum_of(entry_digest(token) for token in distinct(tokens).values())


def checked(tokens: DriverTokenList) -> DriverTokenList:
    """Raise ListRefused when it is not the list that its hash was made of."""
    if tokens.hash and list_hash(tokens.tokens) != tokens.hash:
        raise ListRefused(altered(tokens))
    return tokens


def altered(tokens: DriverTokenList) -> str:
    return f"list {tokens.version} does not have the hash it names: it was altered"


def changed(base: DriverTokenList, changes: DriverTokenChanges) -> DriverTokenList:
    """The list that results, each entry with the time it was said. Raise ListRefused."""
    if changes.base_version != base.version:
        raise ListRefused(
            f"the changes to version {changes.version} are to version {changes.base_version}, "
            f"and {base.version} is the newest: make them anew"
        )
    if changes.version <= base.version:
        raise ListRefused(f"version {changes.version} is not newer than {base.version}")
    entries = {key: _dated(token, base.as_of_ms) for key, token in distinct(base.tokens).items()}
    for gone in changes.removed:
        entries.pop(identity(gone), None)
    for key, token in distinct(changes.changed).items():
        entries[key] = _dated(token, changes.as_of_ms)
    if len(entries) > TOKENS_MAX:
        raise ListRefused(
            f"{len(entries)} driver tokens would be on the list, {TOKENS_MAX} are the most"
        )
    result = list_hash(entries.values())
    if changes.hash and changes.hash != result:
        raise ListRefused(
            f"the changes to version {changes.version} do not lead to the list that they name"
        )
    return DriverTokenList(
        version=changes.version,
        tokens=tuple(entries.values()),
        as_of_ms=changes.as_of_ms,
        hash=result,
    )


def _dated(token: ListedToken, as_of_ms: int | None) -> ListedToken:
    return token if token.as_of_ms is not None else token.model_copy(update={"as_of_ms": as_of_ms})
