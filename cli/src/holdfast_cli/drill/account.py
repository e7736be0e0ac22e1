"""What the product says of a site, over the operators' API that everybody uses."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx

from holdfast.contracts.envelope import Envelope
from holdfast_cli.provision.layout import World

PAGES_MAX = 10_000
POLL_S = 0.25
PATIENCE_S = 30.0


class AccountError(Exception):
    """The API did not answer as it should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a drill looks at; None: the product says that it does not know."""

    mode: str | None
    watermark: int | None
    head: int | None
    open_points: list[Any] | None
    quarantined: int
    csms_instance: str | None
    """Which csms-bridge speaks for the site; only the cloud can tell."""


class Account:
    def __init__(self, world: World, scope: str, site: str) -> None:
        credential = (world.secrets / f"{scope}.api-credential").read_text().strip()
        self._name = site
        self._site = f"{world.api(scope)}/api/sites/{site}"
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {credential}"},
            timeout=10,
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def status(self) -> Status:
        document = await self._get("", {})
        sync = document["sync"]["value"] or {}
        return Status(
            mode=(document["mode"]["value"] or {}).get("mode"),
            watermark=sync.get("watermark"),
            head=sync.get("head_seq"),
            open_points=document["open_points"]["value"],
            quarantined=document["quarantined"],
            csms_instance=(document["csms"]["value"] or {}).get("instance"),
        )

    async def all(self, name: str) -> list[dict[str, Any]]:
        """Every row of a list, page after page."""
        rows: list[dict[str, Any]] = []
        after = ""
        for _ in range(PAGES_MAX):
            page = await self._get(
                f"/{name}", {"after": after, "limit": "500"} if after else {"limit": "500"}
            )
            rows.extend(page[name])
            after = page.get("next") or ""
            if not after:
                return rows
        raise AccountError(f"{name}: more than {PAGES_MAX} pages")

    async def journal(self) -> list[Envelope]:
        """Every entry, in order of the disk's lives and of their sequences."""
        fields = ("id", "type", "at_ms", "incarnation", "source", "cause", "body")
        return [
            Envelope(site=self._name, **{field: row[field] for field in fields})
            for row in await self.all("events")
        ]

    async def command(self, document: dict[str, Any]) -> dict[str, Any]:
        """Idempotent by the command's id, so asking again is safe."""
        return await self._patiently("POST", "/commands", json=document)

    async def command_word(self, command: str, word: str, by: str) -> dict[str, Any]:
        """Idempotent, as a word is said once."""
        return await self._patiently("POST", f"/commands/{command}/{word}", json={"by": by})

    async def _get(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        return await self._patiently("GET", path, params=query)

    async def _patiently(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        """A service that was just killed answers again in a moment: a refusal by the API itself is final,
        anything else is tried again within a bound. Raise AccountError.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_S
        while True:
            try:
                response = await self._client.request(method, f"{self._site}{path}", **content)
                if response.is_success:
                    document: dict[str, Any] = response.json()
                    return document
                why = f"{response.status_code} {response.text[:200]}"
                final = response.is_client_error
            except httpx.HTTPError as error:
                why, final = repr(error), False
            if final or loop.time() > deadline:
                raise AccountError(f"{method} {self._site}{path}: {why}")
            await asyncio.sleep(POLL_S)

    async def until_served(self, within_s: float) -> None:
        """Until a csms-bridge speaks for the site: its lease takes seconds. Raise AccountError."""
        try:
            async with asyncio.timeout(within_s):
                status = await self.status()
                while status.csms_instance is None:
                    await asyncio.sleep(POLL_S)
                    status = await self.status()
        except TimeoutError:
            raise AccountError(
                f"no csms-bridge spoke for the site within {within_s:.0f} s: look into its log"
            ) from None

    async def until_delivered(self, within_s: float) -> None:
        """Until the CSMS has everything that the csms-bridge knows of. Raise AccountError."""
        waiting: dict[str, int] = {}
        try:
            async with asyncio.timeout(within_s):
                while True:
                    rows = await self.all("upstream")
                    waiting = {
                        row["charge_point"]: row["waiting"] for row in rows if row["waiting"]
                    }
                    if rows and not waiting:
                        return
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            named = ", ".join(f"{count} of {name}" for name, count in waiting.items())
            raise AccountError(
                f"the CSMS has not everything after {within_s:.0f} s: {named or 'nothing is known'}"
            ) from None

    async def until_mode(self, mode: str, within_s: float) -> None:
        """Raise AccountError when it takes too long."""
        status: Status | None = None
        try:
            async with asyncio.timeout(within_s):
                while status is None or status.mode != mode:
                    status = await self.status()
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            now = status.mode if status else "not known"
            raise AccountError(
                f"the site was not {mode} within {within_s:.0f} s: it is {now}"
            ) from None
