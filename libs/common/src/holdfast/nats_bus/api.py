"""JetStream's JSON interface, as requests; its errors as types. nats-py has no helper for half of what we use."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

from holdfast.bus import AdminRefused, Message, RequestFailed, StreamGone
from holdfast.nats_bus.connection import API, Connection

API_MS = 5_000
CODES_TO_RETRY = range(500, 600)
"""The server can't now: no leader, starting, shutting down."""

ID = "Nats-Msg-Id"
EXPECTED_STREAM = "Nats-Expected-Stream"
BATCH_ID, BATCH_SEQUENCE, BATCH_COMMIT = "Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit"
_OWN_HEADERS = frozenset({ID, EXPECTED_STREAM, BATCH_ID, BATCH_SEQUENCE, BATCH_COMMIT})
"""Of the way into the stream: nobody's business afterwards, and a copy has lost some of them."""

Document = dict[str, Any]


class NotFound(RequestFailed):
    """The consumer or message asked for is not there."""


async def call(
    connection: Connection, verb: str, body: Document | None = None, *, domain: str | None = None
) -> Document:
    """Raise StreamGone, NotFound, AdminRefused or RequestFailed."""
    prefix = f"$JS.{domain}.API" if domain else API
    request = json.dumps(body).encode() if body else b""
    reply = await connection.request(f"{prefix}.{verb}", request, timeout_ms=API_MS)
    document: Document = json.loads(reply.data)
    error = document.get("error")
    if not error:
        return document
    sentence = f"{verb}: {error.get('description', 'refused')} ({error.get('err_code')})"
    match error.get("err_code"):
        case 10059:  # stream not found
            raise StreamGone(sentence)
        case 10014 | 10037:  # consumer not found, no message found
            raise NotFound(sentence)
    if error.get("code") in CODES_TO_RETRY:
        raise RequestFailed(sentence)
    raise AdminRefused(sentence)


def stored_message(stream: str, document: Document) -> Message:
    """Out of a STREAM.MSG.GET reply."""
    found = document["message"]
    headers = _parse_headers(b64decode(found["hdrs"])) if found.get("hdrs") else {}
    return Message(
        stream=stream,
        seq=found["seq"],
        subject=found["subject"],
        id=headers.get(ID, ""),
        data=b64decode(found.get("data", "")),
        stored_at_ms=moment_ms(found["time"]),
        headers=without_own(headers),
    )


def _parse_headers(block: bytes) -> dict[str, str]:
    _, _, lines = block.partition(b"\r\n")  # the first line is the protocol's version
    return Client._parse_header_lines(lines)


def without_own(headers: Mapping[str, str] | None) -> dict[str, str]:
    return {name: value for name, value in (headers or {}).items() if name not in _OWN_HEADERS}


def moment_ms(text: str) -> int:
    """RFC 3339 with up to nine digits of a second, which datetime reads six of."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    moment = datetime.fromisoformat(f"{whole}+00:00")
    return int(moment.timestamp()) * 1000 + int((fraction + "000")[:3])


class Delivered:
    """What the reply subject of a message tells, in the forms with and without a domain.

    $JS.ACK[.<domain>.<account>].<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<ns>.<pending>
    """

    PLAIN_TOKENS = 9

    def __init__(self, reply: str) -> None:
        tokens = reply.split(".")
        at = 2 if len(tokens) == self.PLAIN_TOKENS else 4
        self.attempts = int(tokens[at + 2])
        self.seq = int(tokens[at + 3])
        self.stored_at_ms = int(tokens[at + 5]) // 1_000_000
        self.pending = int(tokens[at + 6])


def delivered_message(stream: str, raw: Msg, delivered: Delivered) -> Message:
    return Message(
        stream=stream,
        seq=delivered.seq,
        subject=raw.subject,
        id=(raw.headers or {}).get(ID, ""),
        data=raw.data,
        stored_at_ms=delivered.stored_at_ms,
        headers=without_own(raw.headers),
        pending=delivered.pending,
    )
