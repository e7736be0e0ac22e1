"""Driver tokens as this service keeps them: by keyed hash only, so that nothing at rest or in a log names one.

OCPP compares driver tokens without regard to case, so the hash does too. Each type has a key of its own, so that
the same characters under two types have nothing in common; an idTag of OCPP 1.6 has the site's.
"""

from __future__ import annotations

import hmac

from holdfast.contracts.driver_tokens import TokenType

HASH_BYTES = 16


def same(driver_token: str) -> str:
    """What two spellings of one driver token have in common."""
    return driver_token.casefold()


def keyed_hash(key: bytes, driver_token: str, token_type: TokenType = TokenType.ID_TAG) -> str:
    if token_type is not TokenType.ID_TAG:
        key = hmac.digest(key, f"driver tokens of type {token_type}".encode(), "sha256")
    digest = hmac.digest(key, same(driver_token).encode("utf-8", "surrogatepass"), "sha256")
    return digest[:HASH_BYTES].hex()
