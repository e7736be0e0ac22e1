"""Who may ask, and what a browser may do with the answer. Stands before every route.

With a credential: bearer token, or Basic with the credential as password (any user), so that a browser can
ask for it. Without: loopback only, and only under a loopback name, or a web page elsewhere could reach this
one through a name of its own.
"""

from __future__ import annotations

import hmac
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.answering import refuse
from monitor.config import is_loopback

OPEN_TO_ALL = frozenset({"/health"})
"""Says only whether this service's own conditions hold: what a supervisor must be able to ask."""

SECURITY: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "img-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class Guard:
    def __init__(self, app: ASGIApp, credential: str | None) -> None:
        self._app = app
        self._credential = credential

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_security(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY.items():
                    headers[name] = value
            await send(message)

        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is None:
            await self._app(scope, receive, with_security)
            return
        status, sentence = refusal
        extra = {"www-authenticate": 'Basic realm="Holdfast", charset="UTF-8"'}
        response = refuse(status, sentence, extra if status == 401 else None)
        await response(scope, receive, with_security)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        if scope["path"] in OPEN_TO_ALL:
            return None
        if self._credential is None:
            if not is_loopback(_host_name(headers.get("host", ""))):
                return 403, "without a credential this page answers under a loopback name only"
        elif not self._is_known(headers.get("authorization", "")):
            return 401, "show the credential as bearer token, or as password of any user"
        if scope["method"] not in ("GET", "HEAD"):
            return _of_another_page(headers)
        return None

    def _is_known(self, authorization: str) -> bool:
        assert self._credential is not None
        kind, _, rest = authorization.partition(" ")
        shown = rest.strip()
        if kind.lower() == "basic":
            try:
                shown = b64decode(shown, validate=True).decode().partition(":")[2]
            except (Base64Error, UnicodeDecodeError):
                shown = ""
        elif kind.lower() != "bearer":
            shown = ""
        return hmac.compare_digest(shown.encode(), self._credential.encode())


def _of_another_page(headers: Headers) -> tuple[int, str] | None:
    """A browser shows its credential by itself: a change must come from this page or from no page."""
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return 403, "a change is not taken from another page"
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return 415, "send JSON with content-type application/json"
    return None


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] or host
