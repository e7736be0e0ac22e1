"""Health and metrics of one service: named conditions, `/health` and `/metrics` on one small server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from prometheus_client import CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


class Health:
    """Conditions that must hold for the service to do its work; each is ok or says why not."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.registry = CollectorRegistry()
        self._wrong: dict[str, str] = {}
        self._warned: dict[str, str] = {}
        self._known: set[str] = set()

    def ok(self, condition: str) -> None:
        self._known.add(condition)
        self._wrong.pop(condition, None)
        self._warned.pop(condition, None)

    def warn(self, condition: str, why: str) -> None:
        """It holds, but not for long: somebody should know, and the service stays healthy."""
        self.ok(condition)
        self._warned[condition] = f"ok, but {why}"

    def wrong(self, condition: str, why: str) -> None:
        self._known.add(condition)
        self._wrong[condition] = why

    @property
    def is_ok(self) -> bool:
        return not self._wrong

    def report(self) -> dict[str, object]:
        return {
            "service": self.service,
            "ok": self.is_ok,
            "conditions": {
                name: self._wrong.get(name) or self._warned.get(name, "ok")
                for name in sorted(self._known)
            },
        }

    def routes(self) -> list[Route]:
        async def health(_: Request) -> Response:
            return Response(
                json.dumps(self.report()), 200 if self.is_ok else 503, media_type="application/json"
            )

        async def metrics(_: Request) -> Response:
            return Response(generate_latest(self.registry), media_type="text/plain; version=0.0.4")

        return [Route("/health", health), Route("/metrics", metrics)]


@contextmanager
def _keep_signals() -> Iterator[None]:
    yield


async def serve_http(app: Starlette, host: str, port: int) -> None:
    """Serve until cancelled."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    # uvicorn would take SIGTERM for itself: the service's own handler ends the task group instead.
    server.capture_signals = _keep_signals  # type: ignore[method-assign]
    try:
        await server.serve()
    except asyncio.CancelledError:
        server.should_exit = True
        raise
