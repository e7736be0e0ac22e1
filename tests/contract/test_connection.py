"""Goal: a service says at once and in one line why its nats-server can't be used, and waits out what passes."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from holdfast.bus import StreamSpec
from holdfast.clock import SystemClock
from holdfast.health import Health
from holdfast.nats_bus import NatsBus, ServerUnusable, open_bus
from holdfast.nats_bus.connection import Connection, Target
from holdfast.settings import ServiceConfig
from holdfast_testkit.eventually import eventually
from holdfast_testkit.nats_server import SECRET, RealServer, single_server
from holdfast_testkit.tcp_relay import TcpRelay


@asynccontextmanager
async def server_of_version(
    version: str, heard: Callable[[list[bytes]], None] = lambda words: None
) -> AsyncIterator[int]:
    """Speaks as much of the protocol as a client's first connection needs, and answers every request with `{}`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = {"server_id": "X", "version": version, "max_payload": 1 << 20, "headers": True}
        writer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
        inbox = b""
        while words := (await reader.readline()).split():
            heard(words)
            match words:
                case [b"PING"]:
                    writer.write(b"PONG\r\n")
                case [b"SUB", subject, number] if subject.endswith(b".*"):
                    inbox = number
                case [b"PUB", _, reply, size]:
                    await reader.readexactly(int(size) + 2)
                    writer.write(b"MSG %b %b 2\r\n{}\r\n" % (reply, inbox))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def config_of(server: RealServer, folder: Path, url: str) -> ServiceConfig:
    (folder / "password").write_text(SECRET)
    return ServiceConfig(
        scope="cloud",
        nats_url=url,
        nats_user=server.user,
        nats_password_file=folder / "password",
        data_dir=folder,
    )


async def test_a_server_below_the_floor_is_refused() -> None:
    async with server_of_version("2.10.27") as port:
        with pytest.raises(ServerUnusable, match=r"is 2\.10\.27: use 2\.14 or newer"):
            async with open_bus(f"nats://127.0.0.1:{port}", user="x", password="y", name="test"):
                pass


async def test_what_the_server_was_asked_last_was_sent_behind_the_subscription() -> None:
    said: list[bytes] = []

    async def ignore(_: Msg) -> None:
        pass

    async with server_of_version("2.15.1", lambda words: said.append(b" ".join(words[:2]))) as port:
        target = Target(
            url=f"nats://127.0.0.1:{port}",
            user="x",
            password="y",
            ca=None,
            inbox_prefix="_INBOX.cp",
            name="test",
        )
        connection = Connection(target, clock=SystemClock(), rng=random.Random(), health=None)
        await connection.open()
        try:
            await connection.client.subscribe("hf.berlin01.rpc.x", cb=ignore)
            await connection.heard()
            assert said[-1] == b"PUB $JS.API.INFO"
            assert b"SUB hf.berlin01.rpc.x" in said
        finally:
            await connection.close()


@pytest.mark.nats
async def test_a_server_that_comes_back_below_the_floor_ends_the_service(tmp_path: Path) -> None:
    async with (
        single_server(tmp_path) as server,
        server_of_version("2.10.27") as old_port,
        TcpRelay("127.0.0.1", int(server.url.rpartition(":")[2])).running() as relay,
    ):
        url = f"nats://127.0.0.1:{relay.port}"

        async def service() -> None:
            async with open_bus(url, user=server.user, password=SECRET, name="test"):
                relay.lead_to("127.0.0.1", old_port)
                await asyncio.sleep(60)

        with pytest.raises(ServerUnusable, match=r"2\.10\.27"):
            await service()


@pytest.mark.nats
async def test_health_follows_the_connection(tmp_path: Path) -> None:
    async with single_server(tmp_path) as server:
        health = Health("test")
        config = config_of(server, tmp_path, server.url)
        async with NatsBus.connect(config, name="test", clock=SystemClock(), health=health) as bus:
            assert health.report() == {"service": "test", "ok": True, "conditions": {"nats": "ok"}}
            await server.kill()
            await eventually(lambda: not health.is_ok)
            await server.start()
            await eventually(lambda: health.is_ok)
            spec = StreamSpec(name="S", subjects=("s",), bytes_max=1 << 20, when_full="refuse")
            assert await bus.ensure_stream(spec)


@pytest.mark.nats
async def test_what_the_block_raises_comes_out_as_it_is(tmp_path: Path) -> None:
    async with single_server(tmp_path) as server:
        with pytest.raises(KeyError):
            async with server.connect():
                raise KeyError("mine")


@pytest.mark.nats
async def test_a_black_hole_to_the_own_server_is_noticed(tmp_path: Path) -> None:
    async with (
        single_server(tmp_path) as server,
        TcpRelay("127.0.0.1", int(server.url.rpartition(":")[2])).running() as relay,
    ):
        health = Health("test")
        config = config_of(server, tmp_path, f"nats://127.0.0.1:{relay.port}")
        async with NatsBus.connect(config, name="test", clock=SystemClock(), health=health):
            relay.cut()
            await eventually(lambda: not health.is_ok, within_s=30)
            relay.heal()
            await eventually(lambda: health.is_ok, within_s=30)
