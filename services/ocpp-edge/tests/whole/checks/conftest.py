"""A whole service on real sockets, a charge point that is honest, and bytes that no client library would send."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from websockets.asyncio.client import ClientConnection, connect

from holdfast.clock import SystemClock
from holdfast.ocpp.versions import OcppVersion
from holdfast_simulators.hostile.forms import FORMS, authorize
from holdfast_simulators.hostile.frames import call
from holdfast_testkit.eventually import eventually

PASSWORD = "secret"


@pytest.fixture(params=list(OcppVersion), ids=str)
def version(request: pytest.FixtureRequest) -> OcppVersion:
    """Whatever is due to a frame is due to it in every version."""
    found: OcppVersion = request.param
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _authorization(user: str) -> str:
    return "Basic " + b64encode(f"{user}:{PASSWORD}".encode()).decode()


@pytest.fixture
async def opened(new_place) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """Opens the place for charge points, configured as said."""
    places = []

    async def open_(**changes: Any) -> Any:
        place = await new_place(SystemClock())
        place.port = _free_port()
        place.begin(sockets=True, port=place.port, takeover_ping_s=1, **changes)
        places.append(place)

        async def is_listening() -> bool:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", place.port)
            except OSError:
                return False
            writer.close()
            return True

        await eventually(is_listening)
        return place

    yield open_
    for place in places:
        await place.kill()


class Honest:
    """A charge point that does as it should: one CALL at a time."""

    def __init__(self, client: ClientConnection, version: OcppVersion) -> None:
        self.client = client
        self.form = FORMS[version]
        self._ids = iter(range(1, 1_000_000))

    async def call(self, action: str, payload: dict[str, Any], message_id: str = "") -> Any:
        message_id = message_id or self._id()
        await self.client.send(json.dumps([2, message_id, action, payload]))
        return await self.answer()

    async def said(self, frame: str | bytes) -> Any:
        await self.client.send(frame)
        return await self.answer()

    async def answer(self) -> Any:
        async with asyncio.timeout(10):
            return json.loads(await self.client.recv())

    async def is_served(self) -> bool:
        return (await self.call("Heartbeat", {}))[0] == 3

    async def authorize(self, token: str) -> Any:
        return await self.said(call(authorize(self.form, token), self._id()))

    async def start(self, token: str = "TAG", *, reads: int = 0) -> Any:
        """A transaction's id: given, or of its own."""
        own = str(uuid4())
        begin = call(self.form.begins(token=token, reads=reads), self._id())
        answer = await self.said(begin.replace("$NEW", own).replace('"$SEQ"', "0"))
        assert answer[0] == 3, answer
        return answer[2].get("transactionId", own)

    async def stop(self, transaction: Any) -> Any:
        """Acknowledged by the kind of its answer."""
        end = call(self.form.ends(of=str(transaction)), self._id())
        return (await self.said(end.replace('"$SEQ"', "1")))[0]

    def _id(self) -> str:
        return f"h{next(self._ids)}"


@asynccontextmanager
async def _honest(
    place: Any, identity: str = "CP-1", *, version: OcppVersion = OcppVersion.V16
) -> AsyncIterator[Honest]:
    async with connect(
        f"ws://127.0.0.1:{place.port}/ocpp/{identity}",
        subprotocols=[f"ocpp{version}"],
        additional_headers={"Authorization": _authorization(identity)},
        compression=None,
        proxy=None,
        max_size=None,
    ) as client:
        yield Honest(client, version)


class Raw:
    """A socket on which anything is sent, after a right handshake or without one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def frame(self, payload: bytes, opcode: int = 1, *, fin: bool = True, says: int = -1) -> bytes:
        """Masked. `says`: the length in the header, where it is not the payload's."""
        length = len(payload) if says < 0 else says
        head = bytes([(0x80 if fin else 0) | opcode])
        if length < 126:
            head += bytes([0x80 | length])
        elif length < 1 << 16:
            head += bytes([0x80 | 126]) + length.to_bytes(2, "big")
        else:
            head += bytes([0x80 | 127]) + length.to_bytes(8, "big")
        mask = os.urandom(4)
        return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))

    async def sends(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def closed_within(self, seconds: float) -> float | None:
        """After how long the other side closed it; None: it is open still."""
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        try:
            async with asyncio.timeout(seconds):
                while await self.reader.read(4096):
                    pass
        except TimeoutError:
            return None
        except ConnectionError:
            pass
        return loop.time() - begun_s


def _request(
    identity: str,
    path: str | None = None,
    user: str | None = None,
    *,
    version: OcppVersion = OcppVersion.V16,
) -> bytes:
    lines = (
        f"GET {path or '/ocpp/' + identity} HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Protocol: ocpp{version}",
        f"Authorization: {_authorization(user or identity)}",
    )
    return "\r\n".join((*lines, "", "")).encode()


@asynccontextmanager
async def _raw(
    place: Any, identity: str | None = None, *, version: OcppVersion = OcppVersion.V16
) -> AsyncIterator[Raw]:
    """With an identity: after its handshake."""
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    raw = Raw(reader, writer)
    try:
        if identity:
            writer.write(_request(identity, version=version))
            answer = await reader.readuntil(b"\r\n\r\n")
            assert b" 101 " in answer, answer
        yield raw
    finally:
        writer.close()


def _counted(place: Any, name: str, **labels: str) -> float:
    return place.health.registry.get_sample_value(f"holdfast_ocpp_{name}_total", labels) or 0.0


@pytest.fixture
def hard() -> SimpleNamespace:
    """The ways to connect, and to count."""
    return SimpleNamespace(
        honest=_honest,
        raw=_raw,
        request=_request,
        counted=_counted,
        authorization=_authorization,
    )
