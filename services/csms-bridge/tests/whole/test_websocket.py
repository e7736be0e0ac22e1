"""Goal: over real sockets a CSMS sees the charge point's own identity, version and credentials, and no more.

A websockets server stands for the CSMS; TLS with certificates made here.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import websockets
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from csms_bridge.adapters.backends import Backend
from csms_bridge.adapters.upstream import NotReached
from csms_bridge.adapters.upstream_websocket import WebSocketDial
from csms_bridge.config import Config
from holdfast.clock import SystemClock
from holdfast.ocpp.versions import OcppVersion
from holdfast.ocpp.websocket import ConnectionEnded
from holdfast_cli.provision.certificates import Issued, make_ca, make_server

OCPP = [Subprotocol("ocpp1.6")]
V16, V201, V21 = OcppVersion


def dial_with(folder: Path, **changes: Any) -> WebSocketDial:
    return WebSocketDial(
        Config(
            scope="cloud",
            nats_url="nats://unused",
            nats_user="unused",
            nats_password_file=folder / "unused",
            data_dir=folder,
            instance="bridge-1",
            backends_file=folder / "backends.yaml",
            **{"connect_s": 60, **changes},
        )
    )


async def echo(socket: ServerConnection) -> None:
    async for frame in socket:
        await socket.send(frame)


@asynccontextmanager
async def csms(
    handler: Callable[[ServerConnection], Any] = echo, **options: Any
) -> AsyncIterator[str]:
    """Its url."""
    options = {"subprotocols": OCPP, **options}
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        port = server.sockets[0].getsockname()[1]
        scheme = "wss" if options.get("ssl") else "ws"
        yield f"{scheme}://127.0.0.1:{port}/ocpp/"


async def test_the_csms_sees_identity_version_and_basic_credentials(tmp_path: Path):
    seen: list[Request] = []

    def look(_: ServerConnection, request: Request) -> Response | None:
        seen.append(request)
        return None

    (tmp_path / "passwords.json").write_text(json.dumps({"CP/ä 3": "secret"}))
    async with csms(process_request=look) as url:
        backend = Backend(
            name="main", url=url, auth={"kind": "basic", "passwords_file": "passwords.json"}
        )
        upstream = await dial_with(tmp_path)(backend, "CP/ä 3", V16)
        await upstream.send("[2]")
        assert await upstream.receive() == "[2]"
        await upstream.close("done")
    (request,) = seen
    assert request.path == "/ocpp/CP%2F%C3%A4%203"
    assert request.headers["Sec-WebSocket-Protocol"] == "ocpp1.6"
    assert (
        request.headers["Authorization"] == "Basic " + b64encode("CP/ä 3:secret".encode()).decode()
    )
    assert "Sec-WebSocket-Extensions" not in request.headers


@pytest.mark.parametrize("version", list(OcppVersion))
async def test_the_connection_is_of_the_version_that_was_asked_for(
    tmp_path: Path, version: OcppVersion
):
    spoken = [Subprotocol(one.subprotocol) for one in OcppVersion]
    async with csms(subprotocols=spoken) as url:
        upstream = await dial_with(tmp_path)(Backend(name="main", url=url), "CP-1", version)
        assert upstream._socket.subprotocol == version.subprotocol
        await upstream.close("done")


async def test_a_csms_that_does_not_speak_the_version_is_not_spoken_to(tmp_path: Path):
    async with csms() as url:
        with pytest.raises(NotReached) as caught:
            await dial_with(tmp_path)(Backend(name="main", url=url), "CP-1", V201)
    assert caught.value.refused, "no CSMS that comes back mends it"


async def test_a_backend_that_is_said_to_speak_1_6_only_is_not_even_asked(tmp_path: Path):
    old = Backend(name="old", url="ws://127.0.0.1:1/ocpp", versions=["1.6"])
    why = r"backend old speaks OCPP 1.6, this charge point 2.1"
    with pytest.raises(NotReached, match=why) as caught:
        await dial_with(tmp_path)(old, "CP-1", V21)
    assert (caught.value.refused, caught.value.local) == (True, True)


async def test_no_password_for_a_charge_point_is_said_and_nothing_is_sent(tmp_path: Path):
    (tmp_path / "passwords.json").write_text("{}")
    backend = Backend(
        name="main",
        url="ws://127.0.0.1:1/ocpp",
        auth={"kind": "basic", "passwords_file": "passwords.json"},
    )
    with pytest.raises(NotReached, match="no password for charge point 'CP-1'") as caught:
        await dial_with(tmp_path)(backend, "CP-1", V16)
    assert caught.value.refused, "no CSMS that comes back mends it"


@pytest.mark.parametrize(
    ("status", "refused"),
    [
        (HTTPStatus.UNAUTHORIZED, True),
        (HTTPStatus.NOT_FOUND, True),
        (HTTPStatus.SERVICE_UNAVAILABLE, False),
    ],
)
async def test_a_refused_handshake_is_told_from_a_csms_that_can_not_just_now(
    tmp_path: Path, status: HTTPStatus, refused: bool
):
    def refuse(socket: ServerConnection, _: Request) -> Response:
        return socket.respond(status, "no\n")

    async with csms(process_request=refuse) as url:
        with pytest.raises(NotReached, match=str(status.value)) as caught:
            await dial_with(tmp_path)(Backend(name="main", url=url), "CP-1", V16)
    assert caught.value.refused is refused


async def test_a_csms_that_speaks_another_version_is_refused(tmp_path: Path):
    async with csms(subprotocols=None) as url:
        with pytest.raises(NotReached, match=r"does not speak ocpp1\.6"):
            await dial_with(tmp_path)(Backend(name="main", url=url), "CP-1", V16)


async def test_nobody_there_is_not_reached(tmp_path: Path):
    with pytest.raises(NotReached, match="no connection") as caught:
        await dial_with(tmp_path)(Backend(name="main", url="ws://127.0.0.1:1/ocpp"), "CP-1", V16)
    assert not caught.value.refused


async def test_a_csms_that_accepts_and_says_nothing_is_given_up(tmp_path: Path):
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        backend = Backend(name="main", url=f"ws://127.0.0.1:{port}/ocpp")
        with pytest.raises(NotReached, match="no connection"):
            await dial_with(tmp_path, connect_s=0.2)(backend, "CP-1", V16)


async def test_a_black_hole_is_noticed_by_its_pings(tmp_path: Path):
    over = asyncio.Event()

    async def deaf(socket: ServerConnection) -> None:
        socket.transport.pause_reading()
        await over.wait()
        socket.transport.abort()

    async with csms(deaf, close_timeout=0.1) as url:
        dial = dial_with(tmp_path, ping_interval_s=0.1, ping_timeout_s=0.1)
        upstream = await dial(Backend(name="main", url=url), "CP-1", V16)
        async with asyncio.timeout(30):
            with pytest.raises(ConnectionEnded):
                await upstream.receive()
        over.set()


async def test_a_frame_beyond_all_measure_ends_the_connection_and_nothing_else(tmp_path: Path):
    async def flood(socket: ServerConnection) -> None:
        await socket.send("x" * (1 << 20))

    async with csms(flood) as url:
        upstream = await dial_with(tmp_path)(Backend(name="main", url=url), "CP-1", V16)
        with pytest.raises(ConnectionEnded, match="1009"):
            await upstream.receive()


def certificates(folder: Path) -> None:
    now_ms = SystemClock().now_ms()
    ca = make_ca("test ca", now_ms=now_ms)
    ca.write(folder / "ca.pem", folder / "ca.key")
    make_server(ca, "csms", now_ms=now_ms).write(folder / "csms.pem", folder / "csms.key")
    other = make_ca("another", now_ms=now_ms)
    other.write(folder / "other.pem", folder / "other.key")


async def test_tls_is_verified_against_the_ca_that_was_named(tmp_path: Path):
    certificates(tmp_path)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(tmp_path / "csms.pem", tmp_path / "csms.key")
    async with csms(ssl=server) as url:
        upstream = await dial_with(tmp_path)(
            Backend(name="m", url=url, ca_file="ca.pem"), "CP-1", V16
        )
        await upstream.send("hello")
        assert await upstream.receive() == "hello"
        await upstream.close("done")
        with pytest.raises(NotReached, match="certificate"):
            await dial_with(tmp_path)(Backend(name="m", url=url, ca_file="other.pem"), "CP-1", V16)


async def test_closing_twice_is_once_and_sending_afterwards_says_how_it_ended(tmp_path: Path):
    async with csms() as url:
        upstream = await dial_with(tmp_path)(Backend(name="main", url=url), "CP-1", V16)
        await upstream.close("one")
        await upstream.close("two")
        with pytest.raises(ConnectionEnded, match="1000"):
            await upstream.send("late")


def test_the_library_is_the_one_whose_proxy_is_switched_off():
    """A proxy of the machine must not stand between a bridge and its CSMS: `proxy=None` came with 15."""
    assert int(websockets.__version__.split(".")[0]) >= 15


async def test_a_csms_that_asks_for_a_certificate_gets_the_bridges_own(tmp_path: Path):
    certificates(tmp_path)
    now_ms = SystemClock().now_ms()
    bridges = make_ca("bridges", now_ms=now_ms)
    bridges.write(tmp_path / "bridges.pem", tmp_path / "bridges.key")
    make_client(bridges, now_ms=now_ms).write(tmp_path / "bridge.pem", tmp_path / "bridge.key")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tmp_path / "bridges.pem")
    server.load_cert_chain(tmp_path / "csms.pem", tmp_path / "csms.key")
    server.verify_mode = ssl.CERT_REQUIRED
    auth = {"kind": "certificate", "certificate_file": "bridge.pem", "key_file": "bridge.key"}
    async with csms(ssl=server) as url:
        known = Backend(name="m", url=url, ca_file="ca.pem", auth=auth)
        upstream = await dial_with(tmp_path)(known, "CP-1", V16)
        await upstream.send("hello")
        assert await upstream.receive() == "hello"
        await upstream.close("done")
        with pytest.raises((NotReached, ConnectionEnded)):
            await first_frame(tmp_path, Backend(name="m", url=url, ca_file="ca.pem"))
        missing = {**auth, "key_file": "none.key"}
        with pytest.raises(NotReached, match="certificates can't be read"):
            await dial_with(tmp_path)(
                Backend(name="m", url=url, ca_file="ca.pem", auth=missing), "CP-1", V16
            )


async def first_frame(folder: Path, backend: Backend) -> str | bytes:
    """With TLS 1.3 a client learns that it was refused only when it reads."""
    upstream = await dial_with(folder)(backend, "CP-1", V16)
    return await upstream.receive()


def make_client(ca: Issued, *, now_ms: int) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bridge-1")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(ca.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(ca.key, hashes.SHA256())
    )
    return Issued(certificate, key)
