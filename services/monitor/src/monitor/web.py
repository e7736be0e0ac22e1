"""Pages, API, health and metrics as one ASGI application behind one guard."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from holdfast.service import Context
from holdfast.settings import read_secret
from monitor.answering import Problem, refuse
from monitor.api import Api
from monitor.changes import Changes
from monitor.config import Config
from monitor.console import Console
from monitor.domain.paging import BadRequest
from monitor.guard import Guard
from monitor.local_states import LocalStates
from monitor.metrics import SiteMetrics
from monitor.pages.problem_page import problem_page
from monitor.registering import Registering
from monitor.site_rules import SiteRules
from monitor.watching import Watch

log = logging.getLogger(__name__)


def make_web(context: Context[Config], watch: Watch) -> Starlette:
    """Raise ConfigError when the credential can't be read."""
    path = context.config.credential_file
    credential = read_secret(path) if path is not None else None
    context.health.registry.register(SiteMetrics(watch))
    return Starlette(
        routes=[
            *Api(context, watch).routes(),
            *Changes(context, watch).routes(),
            *Registering(context, watch).routes(),
            *SiteRules(context, watch).routes(),
            *LocalStates(watch).routes(),
            *Console(context, watch).routes(),
            *context.health.routes(),
        ],
        exception_handlers={
            Problem: _problem,
            BadRequest: _bad_request,
            HTTPException: _http,
            Exception: _fault,
        },
        middleware=[Middleware(Guard, credential=credential)],
    )


def _told(
    request: Request, status: int, sentence: str, headers: Mapping[str, str] | None = None
) -> Response:
    """A person gets a page, a program JSON: a browser that opens an address asks for text/html."""
    if "text/html" not in request.headers.get("accept", "").lower():
        return refuse(status, sentence, headers)
    return Response(
        problem_page(status, sentence), status, headers, media_type="text/html; charset=utf-8"
    )


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return _told(request, error.status, error.sentence)


async def _bad_request(request: Request, error: Exception) -> Response:
    return _told(request, 400, str(error))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentence = {
        404: f"there is nothing at {request.url.path[:80]!r}",
        405: f"{request.method} is not possible here",
    }.get(error.status_code, HTTPStatus(error.status_code).phrase.lower())
    return _told(request, error.status_code, sentence, error.headers)


async def _fault(request: Request, error: Exception) -> Response:
    log.error("a fault of ours", exc_info=error, extra={"path": request.url.path})
    return _told(request, 500, "a fault of the monitor's: it is in its log")
