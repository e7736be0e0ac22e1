"""Goal: TLS handshakes, however many come and however they are sent, hold up nobody; bounded in number and time.

Method: the whole service on real sockets; a client's end of TLS in memory, so that its bytes are sent as a test likes.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack

import pytest

from holdfast_testkit.eventually import eventually
from ocpp_edge.adapters.tls_handshakes import STEPS_AT_ONCE

UPGRADE = (
    b"GET /ocpp/CP-1 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: ocpp1.6\r\n\r\n"
)
STORM = 300


class Client:
    """A charge point's end of TLS, apart from any socket."""

    def __init__(self, context):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def is_through(self):
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def hello(self):
        assert not self.is_through()
        return self.outgoing.read()


@pytest.fixture
async def connected(doors):
    """Opens sockets to the TLS listener."""
    async with AsyncExitStack() as stack:

        async def connect():
            reader, writer = await asyncio.open_connection("127.0.0.1", doors.tls_port)
            stack.callback(writer.close)
            return reader, writer

        yield connect


@pytest.fixture
def steps(monkeypatch):
    """Of the server's handshakes, so far."""
    taken, step = [], ssl.SSLObject.do_handshake

    def counted(tls):
        if tls.server_side:
            taken.append(tls)
        return step(tls)

    monkeypatch.setattr(ssl.SSLObject, "do_handshake", counted)
    return taken


async def test_a_storm_of_handshakes_leaves_a_turn_to_everybody_else(doors, connected, steps, call):
    doors.register(CP_1={}, CP_2={"security_profile": 2})
    await doors.open()
    hello = Client(doors.client_tls()).hello()
    async with doors.dial() as honest, doors.dial("CP-2", tls=doors.client_tls()) as encrypted:
        sockets = [await connected() for _ in range(STORM)]
        steps.clear()
        for _, writer in sockets:
            writer.write(hello)
        between = []
        while len(steps) < STORM:
            before = len(steps)
            assert (await call(honest))[0] == 3
            assert (await call(encrypted))[0] == 3
            between.append(len(steps) - before)
    # Some turns of the loop for a question and its answer, four handshakes in each; never all that have come.
    assert max(between) <= 25 * STEPS_AT_ONCE, between
    assert len(between) > 3
    async with doors.dial("CP-2", tls=doors.client_tls()) as newcomer:
        assert (await call(newcomer))[0] == 3


@pytest.mark.parametrize("piece", [1, 7, 100_000])
async def test_a_request_right_behind_the_handshake_arrives_however_it_is_cut(
    doors, connected, piece
):
    doors.register(CP_1={"security_profile": 3})
    await doors.open()
    client = Client(doors.client_tls(doors.ca.client("CP-1")))
    reader, writer = await connected()
    out, through = client.hello(), False
    while True:
        for at in range(0, len(out), piece):
            writer.write(out[at : at + piece])
            await writer.drain()
            await asyncio.sleep(0)
        if through:
            break
        async with asyncio.timeout(10):
            client.incoming.write(await reader.read(4096))
        through = client.is_through()
        if through:
            client.tls.write(UPGRADE)  # in one flight with the certificate
        out = client.outgoing.read()
    answer = b""
    while b"\r\n" not in answer:
        async with asyncio.timeout(10):
            client.incoming.write(await reader.read(4096))
        try:
            answer += client.tls.read(4096)
        except ssl.SSLWantReadError:
            continue
    assert answer.startswith(b"HTTP/1.1 101")


async def test_who_connects_and_says_nothing_keeps_nobody_out_and_makes_room(
    doors, connected, call
):
    doors.register(CP_1={"security_profile": 2})
    await doors.open(half_open_max=100)
    hello = Client(doors.client_tls()).hello()
    for number in range(200):
        _, writer = await connected()
        writer.write(hello[: number % len(hello)])
    async with doors.dial(tls=doors.client_tls()) as client:
        assert (await call(client))[0] == 3
    await eventually(lambda: doors.failures("half open") >= 95)


@pytest.mark.parametrize("where", ["in TLS", "behind TLS"])
async def test_s10_tls_and_request_together_have_the_time_of_one_handshake(doors, connected, where):
    await doors.open(handshake_s=2)
    client = Client(doors.client_tls())
    reader, writer = await connected()
    if where == "in TLS":
        pieces = client.hello()
    else:
        await asyncio.sleep(1)
        writer.write(client.hello())
        while not client.is_through():
            client.incoming.write(await reader.read(4096))
        writer.write(client.outgoing.read())
        client.tls.write(UPGRADE)
        pieces = client.outgoing.read()[:-1]
    cut, sent = asyncio.get_running_loop().create_task(closed(reader)), 0
    for byte in pieces:
        if cut.done():
            break
        writer.write(bytes([byte]))
        sent += 1
        await asyncio.sleep(0.1)
    await cut
    # Counted, for a machine that stands still stops this clock, too. Of two seconds TLS has taken one.
    assert sent < (30 if where == "in TLS" else 15)


async def closed(reader):
    """Raise TimeoutError."""
    try:
        async with asyncio.timeout(10):
            while await reader.read(4096):
                pass
    except ConnectionError:
        pass


async def test_what_is_no_tls_is_closed_and_leaves_nothing_behind(doors, connected):
    await doors.open()
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(70_000), b"\x00" * 10):
        reader, writer = await connected()
        writer.write(data)
        await closed(reader)
    assert doors.counted("tls_failures_total", reason="other") + doors.counted(
        "tls_failures_total", reason="version"
    )
    assert (await doors.refused("CP-9")).status_code == 401
