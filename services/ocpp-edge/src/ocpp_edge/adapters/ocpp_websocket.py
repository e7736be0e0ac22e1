"""Charge points over WebSocket: who may come in, and the connection they get.

    GET <prefix>/<identity, percent-encoded>   subprotocol ocpp1.6, ocpp2.0.1 or ocpp2.1   Basic <identity>:<password>

One listener without TLS for security profiles 0 and 1, one with it for 2 and 3.

Without compression: it triples the memory of an idle connection and OCPP frames are small.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from http import HTTPStatus
from random import Random
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from holdfast.ocpp.versions import OcppVersion, version_of
from holdfast.ocpp.websocket import (
    REASON_CHARACTERS_MAX,
    ConnectionEnded,
    FrameSocket,
    how_it_ended,
    quiet,
)
from holdfast.settings import ConfigError
from ocpp_edge.adapters.connection import Reception, version_offered
from ocpp_edge.adapters.direct import DirectSocket, keep_alive
from ocpp_edge.adapters.tls import Tls, TlsProblem, client_certificate
from ocpp_edge.adapters.tls_handshakes import Handshakes
from ocpp_edge.adapters.watched import (
    HalfOpen,
    Inside,
    a_few_at_a_time,
    cut_slow_frames,
    watched,
)
from ocpp_edge.admission import Admission
from ocpp_edge.config import Config
from ocpp_edge.domain.door import Offer, Revocations, identity_in, password_in
from ocpp_edge.gate import Gate, Refused

log = logging.getLogger(__name__)

CLOSE_S = 5
WAITS = 0.8
"""Of the time for a handshake: what may be spent on waiting for one's turn."""
BACKLOG = 1_024
"""Connections the system holds for us; beyond it a storm loses packets, and whole seconds with them."""


class Socket(DirectSocket):
    """Knows as whom the gate let it in."""

    __slots__ = ("identity", "is_pending", "security_profile")

    def __init__(self, protocol: ServerProtocol, *arguments: Any, **options: Any) -> None:
        super().__init__(protocol, *arguments, **options)
        self.identity = ""
        self.security_profile = 0
        self.is_pending = False
        # Not by `serve`, which makes three functions for each connection of it.
        protocol.select_subprotocol = _agreed  # type: ignore[assignment, method-assign]


class WebSocketConnection(FrameSocket[Socket]):
    @property
    def version(self) -> OcppVersion:
        found = version_of(self._socket.subprotocol or "")
        assert found is not None, "the door lets nobody in without"
        return found

    async def answers_ping(self, within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                await (await self._socket.ping())
        except (TimeoutError, ConnectionClosed):
            return False
        return True

    async def receive(self) -> str | bytes:
        try:
            return await self._socket.next_frame()
        except ConnectionClosed as closed:
            raise ConnectionEnded(how_it_ended(closed)) from None

    def offer_to(self, taker: Callable[[str | bytes], bool]) -> None:
        self._socket.taker = taker

    def send_now(self, frame: str) -> bool:
        sent = self._socket.send_now(frame)
        if sent and self._socket.permit:
            self._socket.permit.leave()
        return sent

    async def send(self, frame: str) -> None:
        await super().send(frame)
        if self._socket.permit:
            self._socket.permit.leave()

    async def close(self, code: int, reason: str) -> None:
        await self._socket.close(code, reason[:REASON_CHARACTERS_MAX])


def _agreed(offered: Sequence[Subprotocol]) -> Subprotocol | None:
    version = version_offered(offered)
    return Subprotocol(version.subprotocol) if version else None


async def listen(config: Config, gate: Gate, reception: Reception) -> None:
    """Take connections until cancelled. Raise ConfigError when the address can't be had, or a certificate not used."""
    door = Door(config, gate, reception)
    async with AsyncExitStack() as stack:
        if config.serve_without_tls:
            await _open(stack, config, door, config.port, None)
        if not config.tls_port:
            await _watch(door, config)
            return
        try:
            tls = Tls(config, gate, door.turn_out)
        except TlsProblem as error:
            raise ConfigError(str(error)) from None
        handshaking = await stack.enter_async_context(asyncio.TaskGroup())
        handshakes = Handshakes(tls.context, handshaking, config.handshake_s)
        await _open(stack, config, door, config.tls_port, handshakes)
        stack.callback(door.half_open.abort)
        async with asyncio.TaskGroup() as group:
            group.create_task(tls.run())
            group.create_task(_watch(door, config))


async def _watch(door: Door, config: Config) -> None:
    """Every connection there is, for ever."""
    async with asyncio.TaskGroup() as group:
        group.create_task(cut_slow_frames(door.servers, config.frame_s, door.metrics))
        group.create_task(keep_alive(door.servers, config.ping_interval_s, config.ping_timeout_s))


async def _open(
    stack: AsyncExitStack, config: Config, door: Door, port: int, handshakes: Handshakes | None
) -> None:
    try:
        server = await serve(
            door.handle,
            config.host,
            port,
            create_connection=watched(
                Socket, door.half_open, door.inside, handshakes, config.handshake_s
            ),
            backlog=BACKLOG,
            subprotocols=[Subprotocol(one.subprotocol) for one in OcppVersion],
            process_request=a_few_at_a_time(door.admission, door.process_request, door.failures),
            compression=None,
            max_size=config.frame_bytes_max,
            open_timeout=config.handshake_s,
            ping_interval=None,  # see `keep_alive`
            close_timeout=CLOSE_S,
            server_header=None,
            logger=quiet,
        )
    except OSError as error:
        raise ConfigError(
            f"{config.host}:{port}: can't listen ({error.strerror}): correct host and port"
        ) from error
    door.servers.append(await stack.enter_async_context(server))
    ports = [socket.getsockname()[1] for socket in server.sockets]
    log.info(
        "listening", extra={"host": config.host, "port": ports[0], "tls": handshakes is not None}
    )


class Door:
    """Takes handshakes to the gate. Whoever is refused learns no more than that."""

    def __init__(self, config: Config, gate: Gate, reception: Reception) -> None:
        self._config = config
        self._gate = gate
        self.metrics = gate.metrics
        self.failures = gate.metrics.auth_failures
        self._reception = reception
        self.servers: list[Server] = []
        self.half_open = HalfOpen(config.half_open_max, self.failures)
        self.inside = Inside(config.connections_max)
        self.admission = Admission(
            config.handshakes_at_once,
            config.handshakes_waiting_max,
            config.handshake_s * WAITS,
            Random(),
        )

    async def handle(self, socket: ServerConnection) -> None:
        assert isinstance(socket, Socket)
        socket.forget_handshake()
        if socket.is_pending:
            await self._gate.onboarding.serve(socket.identity, WebSocketConnection(socket))
            return
        inside = self._gate.metrics.connections
        inside.inc()
        try:
            await self._reception.serve(
                socket.identity,
                WebSocketConnection(socket),
                _remote(socket),
                socket.security_profile,
            )
        finally:
            inside.dec()

    async def turn_out(self, revocations: Revocations) -> None:
        """Who came by a certificate that was taken back since."""
        closing = []
        for server in self.servers:
            for socket in server.connections:
                certificate = client_certificate(socket.transport.get_extra_info("ssl_object"))
                if certificate and revocations.problem(certificate):
                    names = {"charge_point": getattr(socket, "identity", "")}
                    log.warning("certificate revoked: connection closed", extra=names)
                    closing.append(socket.close(CloseCode.POLICY_VIOLATION, "certificate revoked"))
        await asyncio.gather(*closing, return_exceptions=True)

    async def process_request(self, socket: ServerConnection, request: Request) -> Response | None:
        assert isinstance(socket, Socket)
        config = self._config
        identity = identity_in(
            request.path, config.path_prefix, any_characters=config.identities == "any"
        )
        if identity is None:
            return self._refuse(socket, Refused(HTTPStatus.NOT_FOUND, "no such path"))
        offered = ",".join(request.headers.get_all("Sec-WebSocket-Protocol")).split(",")
        if version_offered(offered) is None:
            return self._refuse(socket, Refused(HTTPStatus.BAD_REQUEST, "subprotocol"))
        if self._reception.turns_away:
            return self._refuse(socket, _later("turned away"))
        if not self.inside.has_room():
            return self._refuse(socket, _later("too many connections"))
        try:
            offer = _offer(socket, request, identity)
        except ValueError:
            refused = Refused(HTTPStatus.UNAUTHORIZED, "certificate can't be read")
            return self._refuse(socket, refused)
        verdict = await self._gate.judge(offer)
        if isinstance(verdict, Refused):
            return self._refuse(socket, verdict)
        if not self.inside.has_room():  # others were let in meanwhile
            return self._refuse(socket, _later("too many connections"))
        socket.identity, socket.security_profile = identity, verdict.security_profile
        socket.is_pending = verdict.pending
        self.inside.comes(socket)
        return None

    def _refuse(self, socket: Socket, refused: Refused) -> Response:
        self.failures.labels(reason=refused.reason).inc()
        response = socket.respond(refused.status, f"{refused.status.phrase}\n")
        if refused.status is HTTPStatus.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = 'Basic realm="ocpp", charset="UTF-8"'
        if refused.retry_after_s is not None:
            response.headers["Retry-After"] = str(refused.retry_after_s)
        return response


def _later(reason: str) -> Refused:
    return Refused(HTTPStatus.SERVICE_UNAVAILABLE, reason, 5)


def _offer(socket: Socket, request: Request, identity: str) -> Offer:
    """Raise ValueError: it shows a certificate that can't be read."""
    tls: ssl.SSLObject | None = socket.transport.get_extra_info("ssl_object")
    return Offer(
        identity=identity,
        address=socket.remote_address[0] if socket.remote_address else "unknown",
        encrypted=tls is not None,
        certificate=client_certificate(tls),
        password=password_in(identity, request.headers.get_all("Authorization")),
    )


def _remote(socket: ServerConnection) -> str:
    address = socket.remote_address
    return f"{address[0]}:{address[1]}" if address else "unknown"
