"""Upstream connections over WebSockets: the charge point's own identity and version, the bridge's own credentials."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from pathlib import Path
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from csms_bridge.adapters.backends import Backend, Certificate, password_of
from csms_bridge.adapters.upstream import NotReached, Upstream
from csms_bridge.config import Config
from holdfast.ocpp.versions import OcppVersion
from holdfast.ocpp.websocket import REASON_CHARACTERS_MAX, FrameSocket, quiet
from holdfast.settings import ConfigError

FRAME_BYTES_MAX = 512 * 1024
"""A CSMS may send a local list; a larger frame closes the connection."""
FRAMES_AHEAD_MAX = 16
CLOSE_S = 2
CONNECTS_MAX = 50
"""Handshakes under way at once: a CSMS that comes back is not met by everybody in one instant."""


class WebSocketUpstream(FrameSocket[ClientConnection]):
    async def close(self, reason: str) -> None:
        try:
            await self._socket.close(1000, reason[:REASON_CHARACTERS_MAX])
        except asyncio.CancelledError:
            # Half closed it would stay until a silent CSMS reads of it, beside the next owner's.
            self._socket.transport.abort()
            raise


class WebSocketDial:
    def __init__(self, config: Config) -> None:
        self._config = config
        self._base = config.backends_file.parent
        self._room = asyncio.Semaphore(CONNECTS_MAX)

    async def __call__(self, backend: Backend, charge_point: str, version: OcppVersion) -> Upstream:
        if version not in backend.versions:
            spoken = ", ".join(backend.versions)
            why = f"backend {backend.name} speaks OCPP {spoken}, this charge point {version.value}"
            raise NotReached(why, refused=True, local=True)
        try:
            password = password_of(backend, self._base, charge_point)
            context = _tls(backend, self._base)
        except ConfigError as error:
            # As good as refused: no CSMS that comes back mends it, and nobody's recovery waits for it.
            raise NotReached(str(error), refused=True, local=True) from error
        headers = {}
        if password is not None:
            user = f"{charge_point}:{password}".encode()
            headers["Authorization"] = f"Basic {b64encode(user).decode()}"
        try:
            async with self._room:
                socket = await connect(
                    f"{backend.url.rstrip('/')}/{quote(charge_point, safe='')}",
                    subprotocols=[Subprotocol(version.subprotocol)],
                    additional_headers=headers,
                    ssl=context,
                    compression=None,
                    max_size=FRAME_BYTES_MAX,
                    max_queue=FRAMES_AHEAD_MAX,
                    open_timeout=self._config.connect_s,
                    ping_interval=self._config.ping_interval_s,
                    ping_timeout=self._config.ping_timeout_s,
                    close_timeout=CLOSE_S,
                    user_agent_header=None,
                    proxy=None,
                    logger=quiet,
                )
        except InvalidStatus as error:
            status = error.response.status_code
            # 5xx says that the CSMS can't just now, 4xx that it won't have this charge point.
            raise NotReached(f"handshake answered {status}", refused=400 <= status < 500) from None
        except (OSError, TimeoutError, WebSocketException) as error:
            why = f"{type(error).__name__}: {error}"[:160]
            raise NotReached(f"no connection to {backend.url}: {why}", refused=False) from None
        if socket.subprotocol != version.subprotocol:
            await socket.close(1002, "subprotocol")
            raise NotReached(f"the CSMS does not speak {version.subprotocol}", refused=True)
        return WebSocketUpstream(socket)


def _tls(backend: Backend, base: Path) -> ssl.SSLContext | None:
    """Raise ConfigError."""
    if not backend.url.startswith("wss:"):
        return None
    try:
        context = ssl.create_default_context(
            cafile=None if backend.ca_file is None else str(base / backend.ca_file)
        )
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if isinstance(backend.auth, Certificate):
            context.load_cert_chain(
                base / backend.auth.certificate_file, base / backend.auth.key_file
            )
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"backend {backend.name}: its certificates can't be read ({error})"
        ) from error
    return context
