"""Driver tokens as this service keeps them: by keyed hash only, so that nothing at rest or in a log names one.

OCPP compares idTags without regard to case, so the hash does too.
"""

from __future__ import annotations

import hmac
from hashlib import sha256

HASH_BYTES = 16


def same(driver_token: str) -> str:
    """What two spellings of one driver token have in common."""
    return driver_token.casefold()


def keyed_hash(key: bytes, driver_token: str) -> str:
    digest = hmac.new(key, same(driver_token).encode("utf-8", "surrogatepass"), sha256).digest()
    return digest[:HASH_BYTES].hex()
