"""One word when a site is cut off, one when it is back and complete. At least once, each under a stable key."""

from __future__ import annotations

import logging

import httpx

log = logging.getLogger(__name__)

TIMEOUT_S = 5.0


class Webhook:
    def __init__(self, url: str, secret: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {secret}"} if secret else {}

    @property
    def is_there(self) -> bool:
        return bool(self._url)

    async def tell_away(self, site: str, since: str) -> bool:
        """True once it was taken."""
        document = {
            "event": "site-autonomous",
            "site": site,
            "since": since,
            "dispatch": False,
            "message": f"Site {site} is cut off and carries on by itself: do not dispatch.",
        }
        return await self._told(site, f"{site}/{since}/away", document)

    async def tell_back(self, site: str, since: str) -> bool:
        document = {
            "event": "site-back",
            "site": site,
            "since": since,
            "dispatch": True,
            "complete": True,
            "message": f"Site {site} is back, and everything it recorded has been delivered.",
        }
        return await self._told(site, f"{site}/{since}/back", document)

    async def _told(self, site: str, key: str, document: dict[str, object]) -> bool:
        headers = {**self._headers, "Idempotency-Key": key}
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
                response = await client.post(self._url, json=document, headers=headers)
            if response.is_success:
                log.info("webhook told", extra={"site": site, "event": document["event"]})
                return True
            why = f"answered {response.status_code}"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = repr(error)
        log.warning("webhook not told", extra={"site": site, "why": why})
        return False
