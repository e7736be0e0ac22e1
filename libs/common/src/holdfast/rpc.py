"""Typed request and reply over the bus: `call` asks, `serve` answers."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from holdfast.bus import Bus, BusError, Request, RequestFailed
from holdfast.contracts.envelope import Contract, ContractError
from holdfast.contracts.rpc import Failure

log = logging.getLogger(__name__)

Asked = TypeVar("Asked", bound=Contract)
Reply = TypeVar("Reply", bound=Contract)


class Refused(RequestFailed):
    """The responder answered that it can't; `retry` says whether it may later."""

    def __init__(self, subject: str, failure: Failure) -> None:
        self.failure = failure
        super().__init__(f"{subject}: {failure.error}")


async def call(
    bus: Bus, subject: str, request: Contract, reply: type[Reply], *, timeout_ms: int
) -> Reply:
    """Raise RequestFailed: NoResponder, RequestTimedOut or Refused."""
    data = await bus.request(subject, request.to_bytes(), timeout_ms=timeout_ms)
    if data.startswith(b'{"failure":true'):
        raise Refused(subject, Failure.from_bytes(data))
    try:
        return reply.from_bytes(data)
    except ContractError as error:
        raise RequestFailed(f"{subject}: the reply is {error}") from error


async def serve(
    bus: Bus,
    subject: str,
    kind: type[Asked],
    handler: Callable[[Asked, str], Awaitable[Contract]],
) -> None:
    """Answer every request on `subject` (wildcards allowed; the handler gets the concrete one)."""

    async def answer(request: Request) -> bytes:
        try:
            asked = kind.from_bytes(request.data)
        except ContractError as error:
            return Failure(error=str(error), retry=False).to_bytes()
        try:
            return (await handler(asked, request.subject)).to_bytes()
        except ContractError as error:
            return Failure(error=str(error), retry=False).to_bytes()
        except BusError as error:
            log.warning("request failed", extra={"subject": request.subject, "why": str(error)})
            return Failure(error=str(error), retry=True).to_bytes()

    await bus.respond(subject, answer)
