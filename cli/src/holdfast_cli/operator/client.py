"""The monitor's API, asked over HTTP: where it is, with what credential, and what its refusals mean.

--api URL, --credential-file FILE       else HOLDFAST_API, HOLDFAST_CREDENTIAL_FILE
--world DIR [--at SITE]                 both found in a provisioned world; the default is build/up, if it is there
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from holdfast_cli.operator.output import clean, duration
from holdfast_cli.operator.problem import CANNOT, NO, UNCERTAIN, OperatorError
from holdfast_cli.provision.layout import CLOUD, load_world

Document = dict[str, Any]

TIMEOUT_S = 15.0
"""Above what the monitor itself waits for another service (5 s)."""
ROLLOUT_TIMEOUT_S = 80.0
"""Likewise: for hundreds of sites the monitor waits for over a minute."""
ANSWER_BYTES_MAX = 16 * 1024 * 1024
AT_ONCE_MAX = 16
PAGE = 500
PAGES_MAX = 100_000
CREDENTIAL_BYTES_MAX = 4096
DEFAULT_WORLD = Path("build/up")
API, CREDENTIAL_FILE = "HOLDFAST_API", "HOLDFAST_CREDENTIAL_FILE"


@dataclass(frozen=True, slots=True)
class Monitor:
    """Which one is asked."""

    url: str
    credential: str | None
    site: str | None = None
    """The site whose own monitor this is, where that is known."""
    credential_from: str = "none was given"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which monitor, and how the answer is shown: the same for every verb."""
    group = parser.add_argument_group("which monitor")
    group.add_argument("--api", metavar="URL", help=f"the monitor's address (or ${API})")
    group.add_argument(
        "--credential-file", type=Path, metavar="FILE",
        help=f"holds the credential (or ${CREDENTIAL_FILE})",
    )  # fmt: skip
    group.add_argument(
        "--world", type=Path, metavar="DIR",
        help=f"find both in this provisioned world (default: {DEFAULT_WORLD}, if it is there)",
    )  # fmt: skip
    group.add_argument(
        "--at", metavar="SITE", help="in a world: ask this site's own monitor, not the cloud's"
    )
    parser.add_argument("--json", action="store_true", help="the API's answer as it is")


def monitor_of(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Monitor:
    """What is said on the command line goes before the environment, and that before the default. Raise
    OperatorError or ProvisionError.
    """
    api, file = arguments.api, arguments.credential_file
    if arguments.world is None and arguments.at is None:
        api = api or environment.get(API)
        named = environment.get(CREDENTIAL_FILE)
        file = file or (Path(named) if named else None)
    elif api:
        raise OperatorError("--api and --world (or --at) both say which monitor: give one of them")
    if api:
        return Monitor(_address(api), _credential(file), credential_from=_from(file))
    world_folder = arguments.world or DEFAULT_WORLD
    if not (world_folder / "world.json").exists():
        raise OperatorError(
            f"which monitor? {world_folder} is no provisioned world: give --api URL and "
            f"--credential-file FILE, set {API} and {CREDENTIAL_FILE}, or give --world DIR"
        )
    world = load_world(world_folder.resolve())
    scope = arguments.at or CLOUD
    if scope not in world.scopes:
        raise OperatorError(
            f"{world_folder} has no site {scope!r}: it has {', '.join(world.plan.sites)}"
        )
    file = file or world.secrets / f"{scope}.api-credential"
    return Monitor(world.api(scope), _credential(file), arguments.at, _from(file))


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        named = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        named = False
    if not named:
        raise OperatorError(f"{url!r} is no address of a monitor: give one like http://host:8080")
    return url.rstrip("/")


def _credential(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        with file.open("rb") as opened:
            data = opened.read(CREDENTIAL_BYTES_MAX + 1)
        text = data.decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "it is no plain text"
        raise OperatorError(
            f"the credential can't be read from {file} ({what}): give --credential-file FILE"
        ) from error
    if not text or len(data) > CREDENTIAL_BYTES_MAX or not text.isprintable():
        raise OperatorError(f"{file} holds no credential: one line of plain text is expected")
    return text


def _from(file: Path | None) -> str:
    return "none was given" if file is None else f"it was read from {file}"


def path_of(*parts: str) -> str:
    """`/api/...`, with each part quoted: what a person typed stays one part."""
    return "/api/" + "/".join(quote(part, safe="") for part in parts)


class Client:
    def __init__(self, monitor: Monitor, http: httpx.AsyncClient) -> None:
        self.monitor = monitor
        self._http = http
        self._answered = False
        self._changed = False

    async def get(self, *parts: str, **query: str | int) -> Document:
        """Raise OperatorError."""
        return await self._ask("GET", path_of(*parts), params=query)

    async def post(
        self,
        *parts: str,
        body: Mapping[str, Any],
        timeout_s: float = TIMEOUT_S,
        method: str = "POST",
    ) -> Document:
        """Raise OperatorError."""
        try:
            text = json.dumps(dict(body), allow_nan=False, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:  # of what was typed: no monitor has seen it
            raise OperatorError(
                f"what was given can't be sent as JSON ({str(error)[:200]}): nothing was sent"
            ) from error
        headers = {"content-type": "application/json"}
        path = path_of(*parts)
        answer = await self._ask(method, path, content=text, headers=headers, timeout=timeout_s)
        self._changed = True
        return answer

    def gave_up(self, error: Exception) -> OperatorError:
        """What a defect means for whoever runs the command: whose it may be, and what may have changed."""
        said = f"{type(error).__name__}: {str(error)[:200]}"
        if not self._answered:
            return OperatorError(
                f"this command failed by itself, before {self.monitor.url} answered anything ({said}): "
                "a defect of holdfast, or of what was given to it; nothing was changed"
            )
        defect = (
            f"{self.monitor.url} answers otherwise than this command can read ({said}): are both of the same "
            "version? If they are, it is a defect of holdfast"
        )
        if self._changed:
            return OperatorError(f"{defect}. {_LOOK[0].upper()}{_LOOK[1:]}", UNCERTAIN)
        return OperatorError(defect)

    async def pages(self, *parts: str, limit: int = PAGE) -> AsyncIterator[Document]:
        """Every page of a list, oldest first."""
        query: dict[str, str | int] = {"limit": limit}
        for _ in range(PAGES_MAX):
            page = await self.get(*parts, **query)
            yield page
            following = page.get("next")
            if not following:
                return
            if following == query.get("after"):
                raise OperatorError(f"{path_of(*parts)} goes round in a circle at {following!r}")
            query["after"] = str(following)
        raise OperatorError(f"{path_of(*parts)} has more than {PAGES_MAX} pages")

    async def all(self, name: str, *before: str) -> list[Document]:
        """Every row of the list `name`."""
        rows, _ = await self.all_told(name, *before)
        return rows

    async def all_told(self, name: str, *before: str) -> tuple[list[Document], str]:
        """With a line that says how old they are, where they are not fresh; else it is empty."""
        rows: list[Document] = []
        page: Document = {}
        async for page in self.pages(*before, name):
            rows += page[name]
        if page.get("known", True):
            return rows, ""
        age_ms = page.get("age_ms")
        age = "" if age_ms is None else f", as of {duration(age_ms)} ago"
        return rows, f"not fresh{age}: {clean(page.get('problem') or 'not heard')}"

    async def of_each(self, sites: Sequence[str], *rest: str) -> list[Document]:
        """The same question about many sites, a few at a time: one that is cut off takes seconds to be known so."""
        few = asyncio.Semaphore(AT_ONCE_MAX)

        async def one(site: str) -> Document:
            async with few:
                return await self.get("sites", site, *rest)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(site)) for site in sites]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        return [task.result() for task in tasks]

    async def site(self, named: str | None) -> str:
        """The one that is meant: as named, or the only one there is."""
        wanted = named or self.monitor.site
        if wanted:
            return wanted
        sites = await self.sites()
        if len(sites) == 1:
            return sites[0]
        known = f"this monitor knows {', '.join(sites)}" if sites else "this monitor knows none yet"
        raise OperatorError(f"which site? {known}: name one")

    async def sites(self) -> list[str]:
        return [str(row["site"]) for row in await self.all("sites")]

    async def _ask(self, method: str, path: str, **content: Any) -> Document:
        url = f"{self.monitor.url}{path}"
        try:
            async with self._http.stream(method, url, **content) as response:
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > ANSWER_BYTES_MAX:
                        raise OperatorError(
                            f"{url} answers with over {ANSWER_BYTES_MAX} bytes: not read"
                        )
        except httpx.TimeoutException as error:
            code, now = (CANNOT, "try again shortly") if method == "GET" else (UNCERTAIN, _LOOK)
            raise OperatorError(
                f"{url} gave no answer in {content.get('timeout', TIMEOUT_S):.0f} s: {now}", code
            ) from error
        except httpx.ConnectError as error:
            raise OperatorError(
                f"no monitor answers at {self.monitor.url} ({error}): is it running (`holdfast up`), "
                "and is that its address (--api, --world)?"
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            code, now = (CANNOT, "try again") if method == "GET" else (UNCERTAIN, _LOOK)
            raise OperatorError(f"{url}: {error or type(error).__name__}: {now}", code) from error
        return self._read(response, bytes(body), changes=method != "GET")

    def _read(self, response: httpx.Response, body: bytes, *, changes: bool) -> Document:
        document = _document(body)
        if response.is_success and document is not None:
            self._answered = True
            return document
        status, said = response.status_code, document and document.get("error")
        match status:
            case 401:
                raise OperatorError(
                    f"{self.monitor.url} does not let you in with this credential "
                    f"({self.monitor.credential_from}): give --credential-file FILE"
                )
            case _ if not isinstance(said, str):
                raise OperatorError(
                    f"{self.monitor.url} answered {status} and nothing a monitor says: "
                    "is that a monitor's address?"
                )
            case 409:
                raise OperatorError(said, NO)
            case 504:  # of a question nothing is uncertain
                raise OperatorError(said, UNCERTAIN if changes else CANNOT)
            case _:
                raise OperatorError(said, is_missing=status == 404)


_LOOK = "it may or may not have been taken; look before you do it again"


def _document(body: bytes) -> Document | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


@asynccontextmanager
async def client_of(arguments: argparse.Namespace) -> AsyncIterator[Client]:
    monitor = monitor_of(arguments, os.environ)
    loopback = urlsplit(monitor.url).hostname in ("localhost", "127.0.0.1", "::1")
    headers = {"accept": "application/json"}
    if monitor.credential and not loopback and monitor.url.startswith("http:"):
        print(
            f"holdfast: the credential goes to {monitor.url} in clear: use https", file=sys.stderr
        )
    if monitor.credential:
        headers["authorization"] = f"Bearer {monitor.credential}"
    # A proxy of the environment can't reach a monitor on this machine.
    async with httpx.AsyncClient(
        headers=headers, timeout=TIMEOUT_S, trust_env=not loopback
    ) as http:
        yield Client(monitor, http)
