"""What the product says, read over its HTTP API page by page and checked before it is believed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

PAGES_MAX = 100_000
TIMEOUT_S = 30.0


class CannotJudge(Exception):
    """No verdict is possible; the sentence says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSession:
    site: str
    charge_point: str
    connector: int | None
    transaction_id: int | str | None
    """In 2.x the station's own, a text."""
    state: str
    meter_start_wh: int | None
    meter_stop_wh: int | None
    energy_wh: int | None
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedFact:
    site: str
    incarnation: str
    seq: int
    id: str
    type: str
    at_ms: int
    body: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.type} {self.site}/{self.incarnation}/{self.seq}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedGap:
    incarnation: str
    from_seq: int
    to_seq: int | None
    from_ms: int
    to_ms: int | None
    cause: str

    def covers_ms(self, at_ms: int) -> bool:
        return self.from_ms <= at_ms and (self.to_ms is None or at_ms <= self.to_ms)

    def covers_seq(self, incarnation: str, seq: int) -> bool:
        is_before_end = self.to_seq is None or seq <= self.to_seq
        return incarnation == self.incarnation and self.from_seq <= seq and is_before_end


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    sessions: tuple[RecordedSession, ...]
    facts: tuple[RecordedFact, ...]
    gaps: tuple[NamedGap, ...]


def read(api: str, sites: list[str] | None, credential_file: Path | None) -> Account:
    """Raise CannotJudge when the account cannot be read in full."""
    headers = {"Accept": "application/json"}
    if credential_file is not None:
        try:
            headers["Authorization"] = f"Bearer {credential_file.read_text().strip()}"
        except OSError as error:
            raise CannotJudge(f"--credential {credential_file}: {error.strerror}") from error
    # trust_env is off: a proxy of the machine must not stand between judge and judged.
    with httpx.Client(headers=headers, timeout=TIMEOUT_S, trust_env=False) as client:
        pages = _Pages(client, api.rstrip("/"))
        names = sites if sites else list(pages.sites())
        return Account(
            sessions=tuple(one for site in names for one in pages.sessions(site)),
            facts=tuple(one for site in names for one in pages.facts(site)),
            gaps=tuple(one for site in names for one in pages.gaps(site)),
        )


class _Pages:
    def __init__(self, client: httpx.Client, api: str) -> None:
        self._client = client
        self._api = api

    def sites(self) -> Iterator[str]:
        for one in self._all("/api/sites", "sites"):
            yield str(one["site"]) if isinstance(one, dict) and "site" in one else str(one)

    def sessions(self, site: str) -> Iterator[RecordedSession]:
        for one in self._all(f"/api/sites/{quote(site, safe='')}/sessions", "sessions"):
            try:
                yield RecordedSession(
                    site=site,
                    charge_point=str(one["charge_point"]),
                    connector=_whole(one.get("connector")),
                    transaction_id=_transaction(one["transaction_id"]),
                    state=str(one["state"]),
                    meter_start_wh=_whole(one["meter_start_wh"]),
                    meter_stop_wh=_whole(one["meter_stop_wh"]),
                    energy_wh=_whole(one["energy_wh"]),
                    name=f"{site}: {one['session']}",
                )
            except (KeyError, TypeError, ValueError) as error:
                raise CannotJudge(f"sessions of {site}: not as agreed: {error!r}") from error

    def facts(self, site: str) -> Iterator[RecordedFact]:
        for one in self._all(f"/api/sites/{quote(site, safe='')}/events", "events"):
            try:
                yield RecordedFact(
                    site=site,
                    incarnation=str(one["incarnation"]),
                    seq=int(one["seq"]),
                    id=str(one["id"]),
                    type=str(one["type"]),
                    at_ms=int(one["at_ms"]),
                    body=dict(one["body"]),
                )
            except (KeyError, TypeError, ValueError) as error:
                raise CannotJudge(f"events of {site}: not as agreed: {error!r}") from error

    def gaps(self, site: str) -> Iterator[NamedGap]:
        for one in self._all(f"/api/sites/{quote(site, safe='')}/gaps", "gaps"):
            try:
                yield NamedGap(
                    incarnation=str(one["incarnation"]),
                    from_seq=int(one["from_seq"]),
                    to_seq=_whole(one["to_seq"]),
                    from_ms=int(one["from_ms"]),
                    to_ms=_whole(one["to_ms"]),
                    cause=str(one["cause"]),
                )
            except (KeyError, TypeError, ValueError) as error:
                raise CannotJudge(f"gaps of {site}: not as agreed: {error!r}") from error

    def _all(self, path: str, field: str) -> Iterator[Any]:
        after: str | None = None
        for _ in range(PAGES_MAX):
            page = self._get(path, after)
            entries = page.get(field)
            if not isinstance(entries, list):
                raise CannotJudge(f"{path}: the answer has no list {field!r}")
            yield from entries
            following = page.get("next")
            if following is None:
                return
            if following == after:
                raise CannotJudge(f"{path}: 'next' is {following!r} twice; this would never end")
            after = str(following)
        raise CannotJudge(f"{path}: more than {PAGES_MAX} pages")

    def _get(self, path: str, after: str | None) -> dict[str, Any]:
        try:
            parameters = {} if after is None else {"after": after}
            answer = self._client.get(f"{self._api}{path}", params=parameters)
            answer.raise_for_status()
            page = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise CannotJudge(f"{self._api}{path}: {error}") from error
        if not isinstance(page, dict):
            raise CannotJudge(f"{path}: the answer is no JSON object")
        return page


def _transaction(value: Any) -> int | str | None:
    return value if isinstance(value, str) else _whole(value)


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)
