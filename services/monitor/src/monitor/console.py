"""The pages for people and their two static files."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from holdfast import subjects
from holdfast.bus import RequestFailed
from holdfast.contracts.session import Sessions, SessionsRequest, SessionView
from holdfast.rpc import call
from holdfast.service import Context
from monitor.answering import Problem
from monitor.config import Config
from monitor.pages.site_lists import ROWS
from monitor.pages.site_page import site_page
from monitor.pages.sites_page import sites_page
from monitor.watching import Watch

TIMEOUT_MS = 1_000
STATIC = {"style.css": "text/css; charset=utf-8", "refresh.js": "text/javascript; charset=utf-8"}


class Console:
    def __init__(self, context: Context[Config], watch: Watch) -> None:
        self._context = context
        self._watch = watch
        self._scope = context.config.scope
        folder = files("monitor") / "static"
        self._static = {name: (folder / name).read_bytes() for name in STATIC}

    def routes(self) -> list[Route]:
        shown = [Route("/", self.home), Route("/static/{name}", self.static)]
        if self._scope == "cloud":
            shown.append(Route("/sites/{site}", self.site))
        return shown

    async def home(self, _: Request) -> Response:
        if self._scope == "site":
            return await self._page(self._context.config.site)
        statuses = [self._watch.status(site) for site in self._watch.sites]
        return _html(sites_page(statuses, self._context.clock.now_ms()))

    async def site(self, request: Request) -> Response:
        site = request.path_params["site"]
        if site not in self._watch.sites:
            raise Problem(404, f"site {site[:40]!r} is not known here: / has those that are")
        return await self._page(site)

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._static:
            raise Problem(404, "there is no such file")
        return Response(self._static[name], headers={"content-type": STATIC[name]})

    async def _page(self, site: str) -> Response:
        sessions = await self._sessions(site)
        return _html(site_page(self._watch.status(site), sessions, home=self._scope == "cloud"))

    async def _sessions(self, site: str) -> Sequence[SessionView] | str:
        """A page that lacks its sessions is still a page."""
        asked = SessionsRequest(site=site, limit=ROWS, newest_first=True)
        subject = (
            subjects.cloud_rpc("sessions")
            if self._scope == "cloud"
            else subjects.rpc(site, "sessions")
        )
        try:
            page = await call(self._context.bus, subject, asked, Sessions, timeout_ms=TIMEOUT_MS)
        except RequestFailed:
            return "The reconciler gives no answer: sessions can't be shown just now."
        return page.sessions


def _html(page: bytes) -> Response:
    return Response(page, media_type="text/html; charset=utf-8")
