"""One word when a site is cut off, one when it is back and complete. At least once, by a stable id."""

from __future__ import annotations

import logging

import httpx

from holdfast.clock import Clock, iso

log = logging.getLogger(__name__)

TIMEOUT_S = 5.0
AGAIN_MS = 5_000


class Webhook:
    def __init__(self, clock: Clock, url: str, secret: str) -> None:
        self._clock = clock
        self._url = url
        self._headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        self._not_before_ms: dict[str, int] = {}

    async def announced(
        self, before: str | None, site: str, *, reachable: bool, complete: bool
    ) -> str | None:
        """What is announced now: the moment it was called away, or None. Unchanged until the word was taken."""
        if not self._url or self._clock.monotonic_ms() < self._not_before_ms.get(site, 0):
            return before
        if before is None and not reachable:
            at = iso(self._clock.now_ms())
            document = {
                "event": "site-autonomous",
                "site": site,
                "since": at,
                "dispatch": False,
                "message": f"Site {site} is cut off and carries on by itself: do not dispatch.",
            }
            return at if await self._said(site, f"{site}/{at}/away", document) else None
        if before is not None and reachable and complete:
            document = {
                "event": "site-back",
                "site": site,
                "since": before,
                "dispatch": True,
                "complete": True,
                "message": f"Site {site} is back, and everything it recorded has been delivered.",
            }
            return None if await self._said(site, f"{site}/{before}/back", document) else before
        return before

    async def _said(self, site: str, key: str, document: dict[str, object]) -> bool:
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
        self._not_before_ms[site] = self._clock.monotonic_ms() + AGAIN_MS
        return False
