"""A change that somebody asked for, passed on to the service that may make it: validated here, decided there, logged
with the name of who asked.
"""

from __future__ import annotations

import logging
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from holdfast.bus import NoResponder, RequestFailed, RequestTimedOut
from holdfast.contracts.envelope import Contract, first_problem, problem_field
from holdfast.rpc import call
from holdfast.service import Context
from monitor.answering import Problem, problem_of, read_body
from monitor.config import Config

log = logging.getLogger(__name__)

TIMEOUT_MS = 5_000
BODY_BYTES_MAX = 16 * 1024

Reply = TypeVar("Reply", bound=Contract)
Body = TypeVar("Body", bound="Asked")


class Asked(BaseModel):
    """What a caller sends; a field that is not known is refused, it might have meant something."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: str = Field(min_length=1, max_length=100)
    """In whose name."""


async def read(request: Request, kind: type[Body], bytes_max: int = BODY_BYTES_MAX) -> Body:
    """Raise Problem."""
    body = await read_body(request, bytes_max)
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise Problem(400, f"not what is expected here: {_problem(kind, error)}") from None


def _problem(kind: type[Body], error: ValidationError) -> str:
    """Without what was given, where that may be a secret."""
    if not kind.model_config.get("hide_input_in_errors"):
        return first_problem(error)
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{problem_field(problem)}: {problem['msg']}"


async def pass_on(
    context: Context[Config],
    subject: str,
    asked: Contract,
    reply: type[Reply],
    *,
    who: str,
    by: str,
    timeout_ms: int = TIMEOUT_MS,
) -> Reply:
    """Raise Problem, which says whether anything may have changed."""
    try:
        answer = await call(context.bus, subject, asked, reply, timeout_ms=timeout_ms)
    except NoResponder as error:
        raise Problem(503, f"{who} is not there: nothing was changed, try again shortly") from error
    except RequestTimedOut as error:
        raise Problem(
            504,
            f"{who} gave no answer in time: it may or may not have been taken; look before you ask again",
        ) from error
    except RequestFailed as error:
        raise problem_of(error, who) from error
    log.info("passed on", extra={"subject": subject, "by": by, "what": type(asked).__name__})
    return answer
