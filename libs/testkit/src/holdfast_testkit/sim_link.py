"""The leaf connection between a site's simulated server and the cloud's, with everything a WAN does to it.

    async with SimLink(site_bus, cloud_bus, site="berlin01") as link:
        link.cut()                       a black hole both ways; link.cut("up") only site to cloud
        link.cut(silent=False)           both ends see it close: requests fail at once
        link.heal()

Requests: `hf.<site>.up.>` go up, `hf.<site>.rpc.>` go down, nothing else crosses. Streams: a copy at one
end receives what the consumer at the other end sends on the copy's deliver subject. The consumer is
durable: what it saw acknowledged it never sends again, until `bind_consumer` makes it anew; and a copy
takes over the consumer's position, so one made over a used consumer is spoiled (see `bus.CopySpec`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType
from typing import Literal, Self

from holdfast import subjects
from holdfast.bus import CopySpec, Message, NoResponder, Request
from holdfast_testkit.sim_bus import SimBus
from holdfast_testkit.sim_disk import SimConsumer, SimStream, wanted
from holdfast_testkit.sim_options import SimOptions
from holdfast_testkit.sim_server import SimServer

Way = Literal["up", "down"]

HEARTBEAT_MS = 5_000
"""Idle heartbeat of an origin's consumer: why a silent copy's `silent_ms` stays below it while all is well."""
WINDOW = 1_000
"""Messages sent and not yet acknowledged by the copy (max_ack_pending)."""


class SimLink:
    def __init__(
        self,
        site_bus: SimBus,
        cloud_bus: SimBus,
        *,
        site: str,
        options: SimOptions | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.site = site
        self.options = options or site_bus.server.options
        """May be replaced while running, e.g. to end all faults."""
        self._site, self._cloud = site_bus.server, cloud_bus.server
        self._rng = rng or site_bus.server.rng
        self._closed: set[Way] = set()
        self._silent = True
        self._woken = asyncio.Event()
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._site.links.append(self)
        self._cloud.links.append(self)
        self._tasks = [self._group.create_task(work()) for work in (self._pump, self._weather)]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        self._site.links.remove(self)
        self._cloud.links.remove(self)
        await self._group.__aexit__(kind, error, traceback)

    # --- cuts ---

    @property
    def is_open(self) -> bool:
        return not self._closed

    def cut(self, way: Literal["up", "down", "both"] = "both", *, silent: bool = True) -> None:
        """A connection that both ends see close is closed both ways."""
        self._closed = {"up", "down"} if way == "both" or not silent else {way}
        self._silent = silent
        self._site.note(f"cut {'+'.join(sorted(self._closed))} silent={silent}")

    def heal(self) -> None:
        self._closed = set()
        self._site.note("heal")
        self.wake()

    async def _weather(self) -> None:
        """Cuts of itself, where the options ask for them."""
        while self.options.cut_every_ms:
            options = self.options
            await self._sleep_ms(round(self._rng.expovariate(1 / options.cut_every_ms)))
            if not self.is_open:
                continue
            if self._rng.random() < options.cut_one_way_ratio:
                self.cut(self._rng.choice(("up", "down")))
            else:
                self.cut(silent=self._rng.random() < options.cut_silent_ratio)
            await self._sleep_ms(self._rng.randint(0, options.cut_ms_max))
            self.heal()

    # --- requests: what a server asks of its links ---

    def carries(self, server: SimServer, subject: str) -> bool:
        build = subjects.up if server is self._site else subjects.rpc
        return subject.startswith(build(self.site, ""))

    async def forward(self, server: SimServer, request: Request) -> bytes:
        going, coming = self._ways(server)
        self._refuse_when_known_closed(request.subject)
        await self._travel(going, len(request.data), loses=True)
        responder = self._other(server).responder(request.subject)
        if responder is None:
            raise NoResponder(f"nobody answers {request.subject}")
        reply = await responder(request)
        await self._travel(coming, len(reply), loses=True)
        return reply

    async def reach(self, server: SimServer, domain: str) -> SimServer | None:
        """The cloud asks a site's JetStream; a site may not ask the cloud's."""
        if server is not self._cloud or domain != self._site.domain:
            return None
        self._refuse_when_known_closed(domain)
        await self._travel("down", 200, loses=False)
        await self._travel("up", 200, loses=False)
        return self._site

    def wake(self) -> None:
        self._woken.set()

    def _refuse_when_known_closed(self, what: str) -> None:
        if self._closed and not self._silent:
            raise NoResponder(f"{what}: the link is closed")

    async def _travel(self, way: Way, size: int, *, loses: bool) -> None:
        """Never returns when lost: whoever waits has a time limit."""
        await self._delay(size)
        ratio = self.options.request_loss_ratio if loses else 0
        lost = ratio > 0 and self._rng.random() < ratio
        if lost or way in self._closed or not (self._site.is_up and self._cloud.is_up):
            self._site.note(f"lost {way}")
            await asyncio.get_running_loop().create_future()

    async def _delay(self, size: int) -> None:
        options = self.options
        delay_ms = 0
        if options.delay_ms_max:
            delay_ms = self._rng.randint(options.delay_ms_min, options.delay_ms_max)
        if options.bytes_per_s:
            delay_ms += size * 1000 // options.bytes_per_s
        await asyncio.sleep(delay_ms / 1000)

    async def _sleep_ms(self, duration_ms: int) -> None:
        await self._site.clock.sleep_ms(duration_ms)

    def _ways(self, server: SimServer) -> tuple[Way, Way]:
        return ("up", "down") if server is self._site else ("down", "up")

    def _other(self, server: SimServer) -> SimServer:
        return self._cloud if server is self._site else self._site

    # --- copies ---

    async def _pump(self) -> None:
        while True:
            moved = [await self._copy(*pair) for pair in list(self._pairs())]
            if not any(moved):
                await self._idle()

    async def _idle(self) -> None:
        self._woken.clear()
        try:
            async with asyncio.timeout(HEARTBEAT_MS / 1000):
                await self._woken.wait()
        except TimeoutError:
            pass

    def _pairs(self) -> Iterator[tuple[SimServer, SimStream, SimConsumer, SimServer, SimStream]]:
        """Each sending consumer with each copy that listens on its deliver subject."""
        for origin in (self._site, self._cloud):
            target = self._other(origin)
            if not (origin.is_up and target.is_up):
                continue
            for stream in list(origin.disk.streams.values()):
                for consumer in list(stream.consumers.values()):
                    for copy in list(target.disk.streams.values()):
                        if _listens(copy, origin.domain, consumer):
                            yield origin, stream, consumer, target, copy

    async def _copy(
        self,
        origin: SimServer,
        stream: SimStream,
        consumer: SimConsumer,
        target: SimServer,
        copy: SimStream,
    ) -> bool:
        """Send one window and take its acknowledgement; True when something moved."""
        going, coming = self._ways(origin)
        if going in self._closed or origin.clock.now_ms() < consumer.paused_until_ms:
            return False
        if not target.disk.refuse_writes:
            copy.heard_at_ms = target.clock.monotonic_ms()
            if copy.name == stream.name:
                # It believes the consumer: what that saw acknowledged is never asked for again.
                copy.skip_to(consumer.floor)
        window = _window(stream, consumer)
        if not window or target.disk.refuse_writes:
            return False
        lives = origin.life, target.life
        await self._delay(sum(len(message.data) for message in window))
        still = (
            (origin.life, target.life) == lives
            and origin.disk.streams.get(stream.name) is stream
            and stream.consumers.get(consumer.name) is consumer
            and target.disk.streams.get(copy.name) is copy
            and _listens(copy, origin.domain, consumer)
        )
        if going in self._closed or not still or not (origin.is_up and target.is_up):
            return False
        received = self._receive(copy, window, going)
        if received:
            target.note(f"copied {copy.name} to {copy.last_seq}")
            target.changed()
        if coming in self._closed:
            return received > 0
        consumer.floor = consumer.delivered = window[-1].seq
        return True

    def _receive(self, copy: SimStream, window: list[Message], way: Way) -> int:
        received = 0
        options = self.options
        lost = options.copy_loss_ratio if way == "up" else options.down_copy_loss_ratio
        for message in window:
            if message.seq <= copy.last_seq:
                continue  # seen already
            if lost > 0 and self._rng.random() < lost:
                self._site.note(f"hole {copy.name} {message.seq}")
                continue
            # Batch headers do not cross (nats.md 5); the rest does.
            headers = {
                key: value
                for key, value in message.headers.items()
                if not key.startswith("Nats-Batch-")
            }
            copy.put(replace(message, headers=headers))
            received += 1
        return received


def _listens(copy: SimStream, origin_domain: str, consumer: SimConsumer) -> bool:
    """By deliver subject and consumer, not by stream: a dead copy on a live deliver subject takes its messages."""
    spec = copy.spec
    wants = (origin_domain, consumer.name, consumer.deliver)
    return (
        isinstance(spec, CopySpec)
        and bool(consumer.deliver)
        and (spec.origin_domain, spec.consumer, spec.deliver) == wants
    )


def _window(stream: SimStream, consumer: SimConsumer) -> list[Message]:
    """The next messages that the copy has not acknowledged."""
    window: list[Message] = []
    for seq in range(max(consumer.floor + 1, stream.first_seq), stream.last_seq + 1):
        message = stream.messages.get(seq)
        if message and wanted(consumer.subjects, message.subject):
            window.append(message)
            if len(window) == WINDOW:
                break
    return window
