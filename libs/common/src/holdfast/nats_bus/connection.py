"""One connection to nats-server that comes back for ever, and says what can't be waited for.

`epoch` counts connections: whatever was in flight in an earlier one is lost, so readers and appends of
an earlier epoch begin anew.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats.errors
from nats.aio.client import Client, Server
from nats.aio.msg import Msg

from holdfast.bus import BusClosed, BusError, NoResponder, RequestFailed, RequestTimedOut
from holdfast.clock import Clock
from holdfast.health import Health

log = logging.getLogger(__name__)

FLOOR = (2, 14)
"""Below it leaf permissions are not enforced and unknown stream settings are ignored in silence."""
CONNECT_MS = 10_000
"""How long the first connection may take; a server that restarts is back in about a second."""
ATTEMPT_S = 2
RECONNECT_MS_MAX = 2_000
PING_S = 5
HEARD_MS = 5_000
CONDITION = "nats"
API = "$JS.API"


class ServerUnusable(BusError):
    """Not there, too old (floor 2.14), or it refuses the credentials: one line says which and what now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where to connect, and as whom."""

    url: str
    user: str
    password: str
    ca: Path | None
    inbox_prefix: str
    name: str

    @property
    def urls(self) -> list[str]:
        return [url.strip() for url in self.url.split(",")]

    def tls(self) -> ssl.SSLContext | None:
        if self.ca is None and not any(url.startswith("tls:") for url in self.urls):
            return None
        try:
            return ssl.create_default_context(cafile=str(self.ca) if self.ca else None)
        except (OSError, ssl.SSLError) as error:
            raise ServerUnusable(f"{self.ca}: the CA can't be read ({error})") from error


Taker = Callable[[bytes, bytes, bytes], None]
"""Subject, data, header block: of one message, in the moment it is read."""


class DirectClient(Client):
    """Hands the messages of chosen subscriptions out as they are read: no queue, no task, no `Msg`. Nine of ten
    messages a busy process reads are acknowledgements, and they cost a third so.
    """

    def __init__(self) -> None:
        super().__init__()
        self.takers: dict[int, Taker] = {}
        self._leaves_soon = False
        """What is pending goes out at the end of this turn of the loop."""

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes
    ) -> None:
        take = self.takers.get(sid)
        if take is None:
            await super()._process_msg(sid, subject, reply, data, headers)
        else:
            take(subject, data, headers or b"")

    def write(self, command: bytes) -> None:
        """One whole protocol command, with what else is written in this turn of the loop."""
        self._pending.append(command)
        self._pending_data_size += len(command)
        if not self._leaves_soon:
            self._leaves_soon = True
            asyncio.get_running_loop().call_soon(self._leave)

    def _leave(self) -> None:
        """As the client's own flusher, which is a task to be woken; without a connection that is what it waits for."""
        self._leaves_soon = False
        if not self._pending or not self.is_connected or self._transport is None:
            return
        pending, self._pending, self._pending_data_size = self._pending, [], 0
        self._transport.writelines(pending)


class Connection:
    def __init__(
        self, target: Target, *, clock: Clock, rng: random.Random, health: Health | None
    ) -> None:
        self.target = target
        self.clock = clock
        self.rng = rng
        self.client = DirectClient()
        self.epoch = 0
        self._health = health
        self.is_up = False
        self._up = asyncio.Event()
        self._closing = False
        self._fatal: asyncio.Future[ServerUnusable] = asyncio.get_running_loop().create_future()
        self._watchers: set[Callable[[], None]] = set()
        self._first_error: Exception | None = None
        """What went wrong before the first connection stood."""
        self._last_error = ""

    # --- life ---

    async def open(self) -> None:
        """Raise ServerUnusable."""
        ends_ms = self.clock.monotonic_ms() + CONNECT_MS
        while True:
            try:
                await self._connect()
                break
            except (OSError, nats.errors.Error, TimeoutError) as error:
                why = self._first_error or error
                self._refuse_what_waiting_cannot_mend(why)
                if self.clock.monotonic_ms() >= ends_ms:
                    raise ServerUnusable(
                        f"no nats-server at {self.target.url}: start it, or correct nats_url ({why})"
                    ) from error
                await self.clock.sleep_ms(self.rng.randint(100, 300))
        # Only now: the first connection is tried here, so that what is wrong can be said.
        self.client.options |= {"allow_reconnect": True, "max_reconnect_attempts": -1}
        unusable = self._too_old()
        if unusable:
            await self.close()
            raise unusable
        self._connected()

    async def _connect(self) -> None:
        self.client = DirectClient()
        await self.client.connect(
            servers=self.target.urls,
            name=self.target.name,
            user=self.target.user,
            password=self.target.password,
            tls=self.target.tls(),
            inbox_prefix=self.target.inbox_prefix,
            connect_timeout=ATTEMPT_S,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            reconnect_to_server_handler=self._next_attempt,
            ping_interval=PING_S,
            max_outstanding_pings=2,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_reconnected,
            closed_cb=self._on_closed,
            error_cb=self._on_error,
        )

    async def close(self) -> None:
        self._closing = True
        self.is_up = False
        self._up.clear()
        await self.client.close()

    async def watch(self) -> None:
        """For ever; raise ServerUnusable when waiting for the server is of no use."""
        raise await self._fatal

    def _next_attempt(self, pool: list[Server], _: dict[str, Any]) -> tuple[Server | None, float]:
        """Any server, after a growing time with jitter: all services of a site reconnect at once."""
        chosen = self.rng.choice(pool)
        bound_ms = min(RECONNECT_MS_MAX, 50 * 2 ** min(chosen.reconnects, 10))
        return chosen, self.rng.uniform(0.5, 1.0) * bound_ms / 1000

    def _refuse_what_waiting_cannot_mend(self, error: Exception) -> None:
        if "authorization" in str(error).lower():
            raise ServerUnusable(
                f"nats-server at {self.target.url} refuses user {self.target.user!r}: "
                "correct nats_user and nats_password_file"
            ) from error
        if isinstance(error, ssl.SSLCertVerificationError):
            raise ServerUnusable(
                f"nats-server at {self.target.url} is not certified by {self.target.ca}: {error}"
            ) from error

    def _too_old(self) -> ServerUnusable | None:
        version = self.client.connected_server_version
        if (version.major, version.minor) >= FLOOR:
            return None
        return ServerUnusable(
            f"nats-server at {self.target.url} is {version.major}.{version.minor}.{version.patch}: "
            f"use {FLOOR[0]}.{FLOOR[1]} or newer"
        )

    # --- what the client tells ---

    def _connected(self) -> None:
        self.epoch += 1
        self.is_up = True
        self._up.set()
        if self._health:
            self._health.ok(CONDITION)
        self._tell()

    async def _on_reconnected(self) -> None:
        unusable = self._too_old()
        if unusable:
            self._fail(unusable)
            return
        log.info("reconnected", extra={"url": self.target.url})
        self._last_error = ""
        self._connected()

    async def _on_disconnected(self) -> None:
        self.is_up = False
        self._up.clear()
        if not self._closing:
            log.warning("connection to nats-server lost", extra={"url": self.target.url})
            if self._health:
                self._health.wrong(CONDITION, f"no connection to {self.target.url}: waiting for it")
        self._tell()

    async def _on_closed(self) -> None:
        if not self._closing and self.epoch:
            self._fail(ServerUnusable(f"nats-server at {self.target.url} closed the connection"))
        self._tell()

    async def _on_error(self, error: Exception) -> None:
        if not self.epoch:
            self._first_error = error
            return
        # The client repeats itself at every attempt: each new sentence is said once.
        if str(error) != self._last_error and not self._closing:
            self._last_error = str(error)
            log.warning("nats client", extra={"error": repr(error)})

    def _fail(self, unusable: ServerUnusable) -> None:
        if not self._fatal.done():
            self._fatal.set_result(unusable)

    # --- for those who use it ---

    def watch_changes(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back at every loss and return of the connection; the result takes it away again."""
        self._watchers.add(callback)
        return lambda: self._watchers.discard(callback)

    def _tell(self) -> None:
        for callback in list(self._watchers):
            callback()

    @property
    def is_open(self) -> bool:
        """False: for good."""
        return not self._closing and not self.client.is_closed

    def check_open(self) -> None:
        if not self.is_open:
            raise BusClosed(f"the connection of {self.target.name} is closed")

    async def ready(self) -> None:
        """Wait until connected. Raise BusClosed."""
        self.check_open()
        await self._up.wait()
        self.check_open()

    async def take_directly(self, subject: str, take: Taker) -> None:
        """Every message on the subject goes to `take`, which must not wait, nor raise."""
        subscription = await self.client.subscribe(subject, cb=_nothing)
        self.client.takers[subscription._id] = take

    def write(self, command: bytes) -> None:
        """A publish, put together by the caller."""
        self.client.write(command)

    async def heard(self) -> None:
        """Wait until the server has taken in what was sent so far, subscriptions above all.

        By a question of the ordinary kind, which goes behind them: the client's own ping overtakes its buffer, and
        the answer to one that nobody waits for any more ends the client's reading.
        A connection lost meanwhile is no matter: the client repeats its subscriptions by itself. Raise BusClosed.
        """
        with suppress(RequestFailed):
            await self.request(f"{API}.INFO", b"", timeout_ms=HEARD_MS)

    async def request(
        self,
        subject: str,
        data: bytes,
        *,
        timeout_ms: int,
        headers: Mapping[str, str] | None = None,
    ) -> Msg:
        """Never sent while disconnected: a request of a minute ago is of use to nobody.

        Raise NoResponder, RequestTimedOut.
        """
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await self.ready()
                return await self.client.request(
                    subject,
                    data,
                    timeout=timeout_ms / 1000 + 1,
                    headers=dict(headers) if headers else None,
                )
        except nats.errors.NoRespondersError:
            raise NoResponder(f"{subject}: nobody answers") from None
        except (TimeoutError, nats.errors.TimeoutError):
            raise RequestTimedOut(f"{subject}: no answer in {timeout_ms} ms") from None
        except nats.errors.MaxPayloadError:
            raise BusError(f"{subject}: {len(data)} bytes are over the server's limit") from None
        except nats.errors.Error as error:
            self.check_open()
            raise RequestTimedOut(f"{subject}: {error}") from error


async def _nothing(_: Msg) -> None:
    pass
