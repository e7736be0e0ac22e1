"""A simulated nats-server: it is up or down, has a disk, answers its clients, and hangs on links.

The clients' side is `sim_bus.py`; the link between a site's and the cloud's is `sim_link.py`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from holdfast.bus import (
    AdminRefused,
    CopySpec,
    Handler,
    NoResponder,
    Request,
    RequestTimedOut,
    StreamGone,
    StreamSpec,
)
from holdfast.clock import Clock
from holdfast_testkit.sim_disk import SimConsumer, SimDisk, SimStream, collide, matches
from holdfast_testkit.sim_options import SimOptions

if TYPE_CHECKING:
    from holdfast_testkit.sim_bus import SimBus

API_MS = 5_000
"""How long a call waits for a server that is down, or for an answer through a link."""


class Effect(NamedTuple):
    """Something lasting that a client did; told before the client itself knows that it is done."""

    client: SimBus
    verb: str
    """append, ack, ensure, bind, retire, delete, trim, pause"""
    stream: str
    seq: int = 0


class Link(Protocol):
    """What a server sees of a link."""

    def carries(self, server: SimServer, subject: str) -> bool: ...
    async def forward(self, server: SimServer, request: Request) -> bytes: ...
    async def reach(self, server: SimServer, domain: str) -> SimServer | None: ...
    def wake(self) -> None: ...


class SimServer:
    def __init__(
        self,
        clock: Clock,
        *,
        domain: str = "",
        disk: SimDisk | None = None,
        options: SimOptions | None = None,
        rng: random.Random | None = None,
        trace: list[str] | None = None,
    ) -> None:
        self.clock = clock
        self.domain = domain
        self.disk = disk or SimDisk()
        self.options = options or SimOptions()
        self.rng = rng or self.options.chance()
        self.trace = trace
        self.is_up = True
        self.life = 1
        """Counts starts: what was in flight in an earlier life is lost."""
        self.links: list[Link] = []
        self.after_effect: Callable[[Effect], None] | None = None
        """A simulation may close the client in here: it dies between its effect and knowing of it."""
        self._responders: list[tuple[str, SimBus, Handler]] = []
        # Not a set: its order would be that of memory addresses, another one in each run.
        self._waiting: dict[asyncio.Future[None], None] = {}

    def note(self, what: str) -> None:
        if self.trace is not None:
            self.trace.append(f"{self.clock.monotonic_ms()} {self.domain} {what}")

    def did(self, client: SimBus, verb: str, stream: str, seq: int = 0) -> None:
        if self.after_effect is not None:
            self.after_effect(Effect(client, verb, stream, seq))

    def chance(self, ratio: float) -> bool:
        """Draws only where the fault is on, so that options do not shift each other's luck."""
        return ratio > 0 and self.rng.random() < ratio

    # --- life ---

    def crash(self) -> None:
        """As SIGKILL: what was acknowledged is on disk, what was in flight is lost."""
        self.is_up = False
        self.note("crash")
        self.changed()

    def start(self) -> None:
        if self.is_up:
            return
        self.is_up = True
        self.life += 1
        self.note("start")
        self.changed()

    # --- waiting for a change ---

    def changed(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for future in waiting:
            if not future.done():
                future.set_result(None)
        for link in self.links:
            link.wake()

    async def change(self, within_ms: int | None = None) -> None:
        """Return when something changed, or after the time."""
        future = asyncio.get_running_loop().create_future()
        self._waiting[future] = None
        try:
            if within_ms is None:
                await future
            else:
                await asyncio.wait([future], timeout=within_ms / 1000)
        finally:
            self._waiting.pop(future, None)

    async def until_up(self, within_ms: int | None, client: SimBus) -> bool:
        """False when the time is over first. One turn of the loop passes in any case."""
        await asyncio.sleep(0)
        ends_ms = None if within_ms is None else self.clock.monotonic_ms() + within_ms
        while True:
            client.check_open()
            if self.is_up:
                return True
            left_ms = None if ends_ms is None else ends_ms - self.clock.monotonic_ms()
            if left_ms is not None and left_ms <= 0:
                return False
            await self.change(left_ms)

    async def reach(self, client: SimBus, domain: str | None = None) -> SimServer:
        """The server that answers for this domain; raise RequestFailed when it can't be reached."""
        if not await self.until_up(API_MS, client):
            raise RequestTimedOut(f"no answer from the server in {API_MS} ms")
        if domain is None or domain == self.domain:
            return self
        try:
            async with asyncio.timeout(API_MS / 1000):
                for link in self.links:
                    found = await link.reach(self, domain)
                    if found:
                        return found
        except TimeoutError:
            raise RequestTimedOut(f"no answer from domain {domain} in {API_MS} ms") from None
        raise NoResponder(f"no link to domain {domain}")

    # --- requests ---

    def listen(self, pattern: str, client: SimBus, handler: Handler) -> None:
        self._responders.append((pattern, client, handler))

    def forget(self, client: SimBus) -> None:
        self._responders = [entry for entry in self._responders if entry[1] is not client]
        self.changed()

    def responder(self, subject: str) -> Callable[[Request], asyncio.Future[bytes]] | None:
        for pattern, client, handler in self._responders:
            if matches(pattern, subject):
                return lambda request: client.answer(handler, request)
        return None

    async def ask(self, request: Request) -> bytes:
        """From here, or through a link. Waits for ever where an answer got lost: the caller has a timeout."""
        responder = self.responder(request.subject)
        if responder:
            return await responder(request)
        for link in self.links:
            if link.carries(self, request.subject):
                return await link.forward(self, request)
        raise NoResponder(f"nobody answers {request.subject}")

    # --- streams ---

    def stream(self, name: str) -> SimStream:
        found = self.disk.streams.get(name)
        if found is None:
            raise StreamGone(f"there is no stream {name}")
        found.expire(self.clock.now_ms())
        return found

    def stream_of(self, subject: str) -> SimStream | None:
        for stream in self.disk.streams.values():
            if any(collide(bound, subject) for bound in stream.subjects):
                return stream
        return None

    def ensure(self, spec: StreamSpec | CopySpec) -> bool:
        if self.disk.refuse_writes:
            raise AdminRefused(f"{spec.name}: the disk refuses")
        found = self.disk.streams.get(spec.name)
        if found is None:
            for subject in spec.subjects if isinstance(spec, StreamSpec) else ():
                other = self.stream_of(subject)
                if other:
                    raise AdminRefused(f"{spec.name}: subjects overlap with stream {other.name}")
            self.disk.make(spec)
        elif found.spec == spec:
            return False
        elif isinstance(found.spec, CopySpec) != isinstance(spec, CopySpec):
            raise AdminRefused(f"{spec.name}: a copy can't become a stream, nor a stream a copy")
        else:
            found.spec = spec
            found.subjects = spec.subjects if isinstance(spec, StreamSpec) else ()
        self.note(f"ensure {spec.name}")
        self.changed()
        return True

    def bind_consumer(self, stream: str, consumer: str, deliver: str, subject: str) -> None:
        """Made anew: it forgets what it saw acknowledged."""
        self.stream(stream).consumers[consumer] = SimConsumer(
            name=consumer, subjects=(subject,), deliver=deliver
        )
        self.note(f"bind {stream} {consumer}")
        self.changed()
