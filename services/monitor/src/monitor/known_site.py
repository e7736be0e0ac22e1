"""The site that a request is about."""

from __future__ import annotations

from starlette.requests import Request

from holdfast import subjects
from monitor.answering import Problem
from monitor.watching import Watch


def site_asked_for(request: Request, watch: Watch) -> str:
    """Raise Problem."""
    site: str = request.path_params["site"]
    if not subjects.SITE_NAME.match(site):
        raise Problem(404, f"{site[:40]!r} can't be a site's name")
    if site not in watch.sites:
        raise Problem(404, f"site {site!r} is not known here: /api/sites has those that are")
    return site
