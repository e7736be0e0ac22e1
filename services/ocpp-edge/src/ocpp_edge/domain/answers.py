"""The payloads of our CALLRESULTs, as JSON text. A stored fact is enough to make its answer again."""

from __future__ import annotations

import json

from holdfast.contracts.envelope import Fact
from holdfast.contracts.rules import TokenStatus
from holdfast.contracts.session import SessionStarted
from ocpp_edge.domain.text import utc_text

EMPTY = "{}"
REFUSAL_KEPT_MS = 60_000
"""A refusal for lack of storage must not stay in the charge point's own cache of driver tokens."""


def to_fact(fact: Fact) -> str:
    """What the CALL behind this stored fact is answered."""
    match fact:
        case SessionStarted():
            return to_start(fact)
        case _:
            return EMPTY


def to_start(fact: SessionStarted) -> str:
    information = _token_information(fact.status or TokenStatus.INVALID, fact.parent)
    return _text({"idTagInfo": information, "transactionId": fact.transaction_id})


def to_authorize(status: TokenStatus, parent: str | None) -> str:
    return _text({"idTagInfo": _token_information(status, parent)})


def to_authorize_without_storage(at_ms: int) -> str:
    expiry = utc_text(at_ms + REFUSAL_KEPT_MS)
    return _text({"idTagInfo": {"status": TokenStatus.INVALID.value, "expiryDate": expiry}})


def to_boot(at_ms: int, heartbeat_s: int) -> str:
    return _text({"status": "Accepted", "currentTime": utc_text(at_ms), "interval": heartbeat_s})


def to_heartbeat(at_ms: int) -> str:
    return _text({"currentTime": utc_text(at_ms)})


def to_data() -> str:
    """No rule knows a vendor yet."""
    return _text({"status": "UnknownVendorId"})


def _token_information(status: TokenStatus, parent: str | None) -> dict[str, str]:
    # OCPP 1.6 has 20 characters for a group; a longer one would make the whole answer unreadable.
    group = {"parentIdTag": parent} if parent and len(parent) <= 20 else {}
    return {"status": status.value, **group}


def _text(payload: dict[str, object]) -> str:
    return json.dumps(payload, separators=(",", ":"))
