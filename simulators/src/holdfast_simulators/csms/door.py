"""Who comes in: the listening socket, TLS, the handshake with identity and password.

open() -> listening    close() -> every socket closed, new ones refused    open() -> the same port again
"""

from __future__ import annotations

import base64
import binascii
import logging
import ssl
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import NegotiationError
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from holdfast_simulators.control import CannotStart
from holdfast_simulators.csms.config import Tls
from holdfast_simulators.csms.connection import Connection
from holdfast_simulators.csms.house import House
from holdfast_simulators.csms.quirks import EVERY

FRAME_BYTES_MAX = 1024 * 1024
BACKLOG = 512
CLOSE_TIMEOUT_S = 1.0
Address = tuple[str, int]

LOG = logging.getLogger(__name__)
SILENT = logging.getLogger("holdfast_simulators.csms.websockets")
SILENT.setLevel(logging.CRITICAL + 1)
"""A client that leaves in the middle of a handshake is daily business here."""


class Door:
    def __init__(self, listen: Address, house: House) -> None:
        self.listening_on = listen
        self._house = house
        self._tls = None if house.config.tls is None else _context(house.config.tls)
        self._spoken = tuple(Subprotocol(f"ocpp{one}") for one in house.config.versions)
        self._server: Server | None = None
        self._held: set[ServerConnection] = set()
        """Accepted in a black hole; they wait for the answer to their handshake."""

    @property
    def is_open(self) -> bool:
        return self._server is not None

    async def open(self) -> None:
        host, port = self.listening_on
        try:
            self._server = await serve(
                self._serve,
                host,
                port,
                ssl=self._tls,
                subprotocols=list(self._spoken),
                select_subprotocol=self._subprotocol,
                process_request=self._admit,
                compression=None,
                open_timeout=None,
                ping_interval=None,
                close_timeout=CLOSE_TIMEOUT_S,
                max_size=FRAME_BYTES_MAX,
                logger=SILENT,
                backlog=BACKLOG,
            )
        except OSError as error:
            raise CannotStart(f"cannot listen on {host}:{port}: {error.strerror}") from error
        # Port 0 is chosen once: whoever was told it comes back to it.
        self.listening_on = self._server.sockets[0].getsockname()[:2]

    async def close(self) -> None:
        if self._server is None:
            return
        server, self._server = self._server, None
        for one in self._held:
            one.transport.abort()
        with self._house.lifted():
            server.close()
            await server.wait_closed()

    # --- the handshake

    async def _admit(self, socket: ServerConnection, request: Request) -> Response | None:
        self._held.add(socket)
        try:
            await self._house.clear_air()
        finally:
            self._held.discard(socket)
        charge_point = _identity(request)
        refused = self._house.quirks.refuse_handshake
        code = refused.get(charge_point, refused.get(EVERY))
        if code is None and not charge_point:
            code = HTTPStatus.NOT_FOUND
        if code is None and not self._is_authentic(charge_point, request):
            code = HTTPStatus.UNAUTHORIZED
        if code is None:
            return None
        response = socket.respond(code, f"{HTTPStatus(code).phrase}\n")
        if code == HTTPStatus.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = 'Basic realm="ocpp", charset="UTF-8"'
        return response

    def _is_authentic(self, charge_point: str, request: Request) -> bool:
        passwords = self._house.config.passwords
        if passwords is None:
            return True
        password = passwords.get(charge_point)
        return password is not None and _credentials(request) == f"{charge_point}:{password}"

    def _subprotocol(self, _socket: ServerConnection, offered: object) -> Subprotocol | None:
        """The first of the client's that is spoken here."""
        if isinstance(offered, list | tuple):
            for one in offered:
                if one in self._spoken:
                    return Subprotocol(one)
        if self._house.quirks.any_subprotocol:
            return None
        raise NegotiationError(f"offer a subprotocol of {', '.join(self._spoken)}")

    async def _serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None, "a connection is served after its handshake"
        identity = _identity(socket.request)
        version = (socket.subprotocol or "ocpp1.6").removeprefix("ocpp")
        number = self._house.next_connection()
        connection = Connection(socket, identity, number, self._house, version)
        self._house.enter(connection)
        try:
            await connection.run()
        except Exception:
            LOG.exception("connection %s of %r failed", connection.number, identity)
        finally:
            self._house.leave(connection)


def _identity(request: Request) -> str:
    return unquote(urlsplit(request.path).path.rpartition("/")[2])


def _credentials(request: Request) -> str | None:
    scheme, _, word = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(word.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.cert_file, tls.key_file)
        if tls.client_ca_file is not None:
            context.load_verify_locations(tls.client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:
        raise CannotStart(f"tls: {error}; name PEM files that belong together") from error
    return context
