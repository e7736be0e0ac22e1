"""Answers of the API: a document, or {"error": sentence} with the status that says whose turn it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from holdfast.bus import NoResponder, RequestFailed, RequestTimedOut
from holdfast.rpc import Refused
from monitor.views import to_json


class Problem(Exception):
    """Ends a request: status and sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


def answer(document: Mapping[str, Any], status: int = 200) -> Response:
    return Response(to_json(document), status, media_type="application/json")


def refuse(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        to_json({"error": sentence}),
        status,
        headers=dict(headers) if headers else None,
        media_type="application/json",
    )


async def read_body(request: Request, bytes_max: int) -> bytes:
    """Raise Problem before more than that is held."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise Problem(413, f"a body of over {bytes_max} bytes is not taken")
    return bytes(body)


def problem_of(error: RequestFailed, who: str) -> Problem:
    """What a failed request to another service means for the one who asked us."""
    match error:
        case Refused():
            return Problem(503 if error.failure.retry else 400, error.failure.error)
        case NoResponder():
            return Problem(503, f"{who} is not there: try again shortly")
        case RequestTimedOut():
            return Problem(504, f"{who} gave no answer in time: try again shortly")
        case _:
            return Problem(502, f"{who} answered what can't be read: {error}")
