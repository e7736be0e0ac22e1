"""Sockets that are watched: none may hold a handshake or a frame open for as long as it likes.

half open    no whole request yet, or no TLS: bounded in number, the one that waits longest makes room
slow         a message begun and not whole in time: cut. An idle connection has begun none
let in       a few at a time, see `admission.py`; the permit is given back with the first answer
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any

from prometheus_client import Counter
from websockets.asyncio.server import Server, ServerConnection
from websockets.frames import DATA_OPCODES, CloseCode, Frame
from websockets.http11 import Request, Response
from websockets.protocol import CLOSED, CONNECTING, OPEN

from ocpp_edge.adapters.tls_handshakes import Handshakes
from ocpp_edge.admission import HOLD_S, Admission, Permit
from ocpp_edge.metrics import Metrics

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
TOO_SLOW = "frame too slow"


Judge = Callable[[ServerConnection, Request], Awaitable[Response | None]]
"""What decides about a handshake: None lets it in."""


class HalfOpen:
    """Connections that have not said what they want. The handshake's own time-out ends each; this bounds them all."""

    def __init__(self, limit: int, failures: Counter) -> None:
        self._limit = limit
        self._failures = failures
        self._waiting: dict[WatchedSocket, asyncio.WriteTransport] = {}

    def begins(self, socket: WatchedSocket, transport: asyncio.WriteTransport) -> None:
        """Again, where TLS was first: it keeps its place."""
        self._waiting[socket] = transport
        if len(self._waiting) > self._limit:
            oldest = next(iter(self._waiting))
            self._waiting.pop(oldest).abort()
            self._failures.labels(reason="half open").inc()

    def ends(self, socket: WatchedSocket) -> None:
        self._waiting.pop(socket, None)

    def abort(self) -> None:
        """The door closes: nobody waits for them to end by themselves."""
        while self._waiting:
            _, transport = self._waiting.popitem()
            transport.abort()


class Inside:
    """How many were let in and are still here: asking the library walks through all of them, for each that comes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._number = 0

    def has_room(self) -> bool:
        return self._number < self._limit

    def comes(self, socket: WatchedSocket) -> None:
        if not socket.is_inside and socket.protocol.state is not CLOSED:
            socket.is_inside = True
            self._number += 1

    def goes(self, socket: WatchedSocket) -> None:
        if socket.is_inside:
            socket.is_inside = False
            self._number -= 1


class WatchedSocket(ServerConnection):
    """Its own attributes are slots, as those of its subclasses: with over 30 of them in the library's dictionary
    Python no longer shares the keys among instances, and that dictionary is 1.3 KB larger.
    """

    __slots__ = ("is_inside", "made_s", "messages", "permit")

    half_open: HalfOpen | None = None
    inside: Inside | None = None
    handshakes: Handshakes | None = None
    """Of a listener with TLS: they come first."""
    handshake_s: float = 0.0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.is_inside = False
        self.permit: Permit | None = None
        """To be let in: given back when it is lost, too."""
        self.made_s = 0.0
        """When it connected, by the loop's time."""
        self.messages = 0
        """Whole ones, so far."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """With TLS twice: as it comes, and when it is encrypted."""
        assert isinstance(transport, asyncio.Transport)
        if self.half_open:
            self.half_open.begins(self, transport)
        self.made_s = self.made_s or self.loop.time()
        if self.handshakes and not transport.get_extra_info("ssl_object"):
            self.handshakes.begin(self, transport)
            return
        super().connection_made(transport)
        if self.handshakes:  # the library begins to count only now
            self.loop.call_at(self.made_s + self.handshake_s, self._end_unless_open)

    def never_made(self) -> None:
        if self.half_open:
            self.half_open.ends(self)

    def _goes_on(self) -> None:
        """The handshake, which may have been given up."""
        if not self.request_rcvd.done():
            self.request_rcvd.set_result(None)

    def _end_unless_open(self) -> None:
        if self.protocol.state is CONNECTING:
            self.transport.abort()

    async def handshake(
        self,
        process_request: Callable[..., Any] | None = None,
        process_response: Callable[..., Any] | None = None,
        server_header: str | None = None,
    ) -> None:
        """As the library's, for a door that has no more than a judge: without waiting for two things at a time, and
        without a context in which a short answer is sent.
        """
        if process_request is None or process_response is not None:
            await super().handshake(process_request, process_response, server_header)
            return
        await self.request_rcvd
        if self.request is None:  # lost before it said what it wants
            return
        try:
            response = await process_request(self, self.request)
        except Exception as error:
            self.protocol.handshake_exc = error
            log.exception("a fault of ours")
            response = self.respond(HTTPStatus.INTERNAL_SERVER_ERROR, "")
        response = response or self.protocol.accept(self.request)
        is_in = response.status_code == HTTPStatus.SWITCHING_PROTOCOLS
        if is_in and not self.server.is_serving():
            is_in, response = False, self.respond(HTTPStatus.SERVICE_UNAVAILABLE, "")
        if server_header is not None:
            response.headers["Server"] = server_header
        self.response = response
        if self.protocol.state is not CONNECTING:  # lost meanwhile
            return
        if is_in:
            self.protocol.send_response(response)
            self.send_data()
            return
        async with self.send_context(expected_state=CONNECTING):
            self.protocol.send_response(response)

    def process_event(self, event: Any) -> None:
        if isinstance(event, Request):
            if self.half_open:
                self.half_open.ends(self)
            self.request = event
            self._goes_on()
            return
        if isinstance(event, Frame) and event.fin and event.opcode in DATA_OPCODES:
            self.messages += 1
        super().process_event(event)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.half_open:
            self.half_open.ends(self)
        if self.inside:
            self.inside.goes(self)
        if self.permit:
            self.permit.leave()
        super().connection_lost(exc)
        if self.request is None:
            self._goes_on()

    @property
    def is_receiving(self) -> bool:
        """Part of a message is here, the rest is not, and we would read it."""
        if self.protocol.state is not OPEN or not self.transport.is_reading():
            return False
        return self.protocol.current_size is not None or not self._is_between_frames()

    def _is_between_frames(self) -> bool:
        """There the parser waits for the end of the stream, or for more of it: nothing else tells."""
        step: Any = self.protocol.parser
        while step is not None:
            if step.gi_code.co_name == "at_eof":
                return True
            step = step.gi_yieldfrom
        return False

    def cut(self) -> None:
        self.protocol.fail(CloseCode.POLICY_VIOLATION, TOO_SLOW)
        self.send_data()
        self.transport.abort()


def watched(
    kind: type[WatchedSocket],
    half_open: HalfOpen | None,
    inside: Inside | None = None,
    handshakes: Handshakes | None = None,
    handshake_s: float = 0.0,
) -> type[WatchedSocket]:
    """The sockets of one listener."""
    of_it = {
        "half_open": half_open, "inside": inside, "handshakes": handshakes, "handshake_s": handshake_s,
    }  # fmt: skip
    return type(kind.__name__, (kind,), of_it)


def a_few_at_a_time(admission: Admission, judge: Judge, failures: Counter) -> Judge:
    """The same judgement, for those whose turn it is."""

    async def judged(socket: ServerConnection, request: Request) -> Response | None:
        assert isinstance(socket, WatchedSocket)
        permit = await admission.enter(socket.loop.time() - socket.made_s)
        if isinstance(permit, int):
            failures.labels(reason="too many handshakes").inc()
            status = HTTPStatus.SERVICE_UNAVAILABLE
            response = socket.respond(status, f"{status.phrase}\n")
            response.headers["Retry-After"] = str(permit)
            return response
        socket.permit = permit
        if (
            socket.protocol.state is CLOSED
        ):  # while it waited: nothing is looked at, and nobody hears the answer
            permit.leave()
            return socket.respond(HTTPStatus.SERVICE_UNAVAILABLE, "")
        refusal = await judge(socket, request)
        if refusal is not None:
            permit.leave()
        else:
            asyncio.get_running_loop().call_later(HOLD_S, permit.leave)
        return refusal

    return judged


async def cut_slow_frames(servers: Sequence[Server], within_s: float, metrics: Metrics) -> None:
    """Look every second, until cancelled."""
    loop = asyncio.get_running_loop()
    begun: dict[WatchedSocket, tuple[int, float]] = {}
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        now_s, before, begun = loop.time(), begun, {}
        for server in servers:
            for socket in list(server.all_connections):
                if not isinstance(socket, WatchedSocket) or not socket.is_receiving:
                    continue
                count, since_s = before.get(socket, (-1, now_s))
                if count != socket.messages:
                    since_s = now_s
                if now_s - since_s < within_s - LOOK_EVERY_S:
                    begun[socket] = (socket.messages, since_s)
                    continue
                metrics.refused_frames.labels(reason="too slow").inc()
                log.warning("frame too slow", extra={"within_s": within_s})
                socket.cut()
