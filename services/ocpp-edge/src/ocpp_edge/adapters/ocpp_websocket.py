"""Charge points over WebSocket: who may come in, and the connection they get.

    GET <prefix>/<identity, percent-encoded>   subprotocol ocpp1.6   Basic <identity>:<password>

Without compression: it triples the memory of an idle connection and OCPP frames are small.
"""

from __future__ import annotations

import asyncio
import binascii
import logging
from base64 import b64decode
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from holdfast import subjects
from holdfast.ocpp.websocket import REASON_CHARACTERS_MAX, FrameSocket, quiet
from holdfast.settings import ConfigError
from ocpp_edge.adapters.connection import PROTOCOL, Reception
from ocpp_edge.config import Config
from ocpp_edge.metrics import Metrics
from ocpp_edge.registry import Registry, TooManyWaiting

log = logging.getLogger(__name__)

CLOSE_S = 5
FRAMES_AHEAD_MAX = 16
"""Frames read ahead of the one being served; then TCP makes the charge point wait."""


class WebSocketConnection(FrameSocket[ServerConnection]):
    async def answers_ping(self, within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                await (await self._socket.ping())
        except (TimeoutError, ConnectionClosed):
            return False
        return True

    async def close(self, code: int, reason: str) -> None:
        await self._socket.close(code, reason[:REASON_CHARACTERS_MAX])


async def listen(
    config: Config, registry: Registry, metrics: Metrics, reception: Reception
) -> None:
    """Take connections until cancelled. Raise ConfigError when the address can't be had."""
    door = Door(config, registry, metrics, reception)

    async def handle(socket: ServerConnection) -> None:
        assert socket.request is not None
        identity = door.identity_of(socket.request.path)
        assert identity is not None
        with metrics.connections.track_inprogress():
            await reception.serve(identity, WebSocketConnection(socket), _remote(socket))

    try:
        server = await serve(
            handle,
            config.host,
            config.port,
            subprotocols=[Subprotocol(PROTOCOL)],
            process_request=door.process_request,
            compression=None,
            max_size=config.frame_bytes_max,
            max_queue=FRAMES_AHEAD_MAX,
            open_timeout=config.handshake_s,
            ping_interval=config.ping_interval_s,
            ping_timeout=config.ping_timeout_s,
            close_timeout=CLOSE_S,
            server_header=None,
            logger=quiet,
        )
    except OSError as error:
        raise ConfigError(
            f"{config.host}:{config.port}: can't listen ({error.strerror}): correct host and port"
        ) from error
    door.server = server
    async with server:
        ports = [socket.getsockname()[1] for socket in server.sockets]
        log.info("listening", extra={"host": config.host, "port": ports[0]})
        await asyncio.get_running_loop().create_future()


class Door:
    """Decides about handshakes. Whoever is refused learns no more than that."""

    def __init__(
        self, config: Config, registry: Registry, metrics: Metrics, reception: Reception
    ) -> None:
        self._prefix = config.path_prefix + "/"
        self._connections_max = config.connections_max
        self._registry = registry
        self._failures = metrics.auth_failures
        self._reception = reception
        self.server: Server | None = None

    def identity_of(self, path: str) -> str | None:
        """The identity that stands in the path; None where it is no charge point's path."""
        path, _, _ = path.partition("?")
        rest = path.removeprefix(self._prefix)
        if not path.startswith(self._prefix) or not rest or "/" in rest:
            return None
        data = unquote_to_bytes(rest)
        try:
            identity = data.decode("utf-8")
        except UnicodeDecodeError:
            return None
        return identity if 0 < len(data) <= subjects.IDENTITY_BYTES_MAX else None

    async def process_request(self, socket: ServerConnection, request: Request) -> Response | None:
        identity = self.identity_of(request.path)
        if identity is None:
            return self._refuse(socket, HTTPStatus.NOT_FOUND, "no such path")
        offered = ",".join(request.headers.get_all("Sec-WebSocket-Protocol")).split(",")
        if PROTOCOL not in {one.strip() for one in offered}:
            return self._refuse(socket, HTTPStatus.BAD_REQUEST, "subprotocol")
        if self._reception.turns_away:
            return self._refuse(socket, HTTPStatus.SERVICE_UNAVAILABLE, "turned away")
        if self.server and len(self.server.connections) > self._connections_max:
            return self._refuse(socket, HTTPStatus.SERVICE_UNAVAILABLE, "too many connections")
        try:
            refusal = await self._refusal(identity, request)
        except TooManyWaiting:
            return self._refuse(socket, HTTPStatus.SERVICE_UNAVAILABLE, "too many handshakes")
        if refusal:
            return self._refuse(socket, HTTPStatus.UNAUTHORIZED, refusal)
        return None

    async def _refusal(self, identity: str, request: Request) -> str | None:
        given = request.headers.get_all("Authorization")
        password = _password(identity, given[0]) if len(given) == 1 else None
        if password is None:
            return "credentials"
        if await self._registry.is_right(identity, password):
            return None
        return "password" if identity in self._registry else "unknown"

    def _refuse(self, socket: ServerConnection, status: HTTPStatus, reason: str) -> Response:
        self._failures.labels(reason=reason).inc()
        response = socket.respond(status, f"{status.phrase}\n")
        if status is HTTPStatus.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = 'Basic realm="ocpp", charset="UTF-8"'
        elif status is HTTPStatus.SERVICE_UNAVAILABLE:
            response.headers["Retry-After"] = "5"
        return response


def _password(identity: str, header: str) -> str | None:
    """None unless the user is the charge point itself."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        credentials = b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    user = identity + ":"
    return credentials.removeprefix(user) if credentials.startswith(user) else None


def _remote(socket: ServerConnection) -> str:
    address = socket.remote_address
    return f"{address[0]}:{address[1]}" if address else "unknown"
