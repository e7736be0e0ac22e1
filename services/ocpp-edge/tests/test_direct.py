"""Goal: frames that are taken by hand are the frames the library would have given, however they are cut into pieces."""

import asyncio
import os
import random
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from holdfast.ocpp.websocket import quiet
from ocpp_edge.adapters.direct import FRAGMENTS_MAX, FRAMES_AHEAD_MAX, DirectSocket, keep_alive
from ocpp_edge.adapters.watched import watched

LARGEST = 4_096


class Plain(ServerConnection):
    """The library's own way."""

    def next_frame(self):
        return self.recv()


@asynccontextmanager
async def listening(kind, handle):
    async with serve(
        handle, "127.0.0.1", 0, create_connection=kind, compression=None, max_size=LARGEST
    ) as server:
        yield server.sockets[0].getsockname()[1]


async def heard(kind, pieces, wanted):
    """What a server of this kind hears of the pieces, written one after the other, and how it ends."""
    frames, ended = [], asyncio.get_running_loop().create_future()

    async def handle(socket):
        try:
            while True:
                frames.append(await socket.next_frame())
        except ConnectionClosed as closed:
            sent = closed.sent
            ended.set_result((sent.code, sent.reason) if sent else None)

    async with listening(kind, handle) as port:
        async with connect(f"ws://127.0.0.1:{port}", compression=None, proxy=None) as client:
            for piece in pieces:
                if ended.done() or client.transport.is_closing() or client.transport._eof:
                    break
                client.transport.write(piece)
                await asyncio.sleep(0.002)
            async with asyncio.timeout(10):
                while len(frames) < wanted and not ended.done():
                    await asyncio.sleep(0.005)
            client.transport.close()
        async with asyncio.timeout(10):
            return frames, await ended


def frame(opcode, data, fin=True, mask=True):
    return Frame(opcode, data, fin).serialize(mask=mask)


TEXT, BINARY, CONT, PING, CLOSE = (
    Opcode.TEXT, Opcode.BINARY, Opcode.CONT, Opcode.PING, Opcode.CLOSE,
)  # fmt: skip
CASES = {
    "lengths": ([frame(TEXT, b"x" * n) for n in (0, 1, 125, 126, 127, 255, 256, LARGEST)], 8),
    "not ascii": ([frame(TEXT, "grün ⚡".encode())], 1),
    "binary": ([frame(BINARY, b"\xff\x00"), frame(TEXT, b"after")], 2),
    "ping between": ([frame(TEXT, b"a"), frame(PING, b"p"), frame(TEXT, b"b")], 2),
    "fragments": (
        [frame(TEXT, b"a", fin=False), frame(CONT, "ü".encode()[:1], fin=False),
         frame(PING, b""), frame(CONT, "ü".encode()[1:]), frame(TEXT, b"b")], 2,
    ),
    "not utf-8": ([frame(TEXT, b"ok"), frame(TEXT, b"\xff"), frame(TEXT, b"never")], 9),
    "too big": ([frame(TEXT, b"ok"), frame(TEXT, b"x" * (LARGEST + 1))], 9),
    "not masked": ([frame(TEXT, b"ok"), frame(TEXT, b"naked", mask=False)], 9),
    "reserved bit": ([frame(TEXT, b"ok"), b"\xc1" + frame(TEXT, b"bad")[1:]], 9),
    "text inside fragments": ([frame(TEXT, b"a", fin=False), frame(TEXT, b"b")], 9),
    "closed": ([frame(TEXT, b"ok"), frame(CLOSE, b"\x03\xe8bye"), frame(TEXT, b"never")], 9),
}  # fmt: skip


@pytest.mark.parametrize("cut", ["frames", "one piece", "bytes"])
@pytest.mark.parametrize("case", CASES)
def test_it_hears_what_the_library_hears_and_ends_as_it_does(case, cut):
    frames, wanted = CASES[case]
    whole = b"".join(frames)
    if cut == "bytes" and len(whole) > 400:
        pieces = [whole[at : at + 97] for at in range(0, len(whole), 97)]
    else:
        pieces = {
            "frames": frames,
            "one piece": [whole],
            "bytes": [whole[at : at + 1] for at in range(len(whole))],
        }[cut]

    async def both():
        assert await heard(DirectSocket, pieces, wanted) == await heard(Plain, pieces, wanted)

    asyncio.run(both())


def test_a_length_of_64_bits_is_no_length_of_127():
    whole = frame(TEXT, b"x" * 65_536)
    pieces = [frame(TEXT, b"ok"), whole[:133], whole[133:]]

    async def both():
        assert await heard(DirectSocket, pieces, 9) == await heard(Plain, pieces, 9)

    asyncio.run(both())


def test_any_texts_in_any_pieces_come_whole_and_in_order():
    rng = random.Random(5)
    texts = ["é" * rng.choice((0, 1, 60, 63, 64, 200, 700)) + str(n) for n in range(200)]
    whole = b"".join(frame(TEXT, text.encode()) for text in texts)
    pieces, at = [], 0
    while at < len(whole):
        size = rng.choice((1, 2, 5, 60, 500, 3_000))
        pieces.append(whole[at : at + size])
        at += size
    frames, _ = asyncio.run(heard(DirectSocket, pieces, len(texts)))
    assert frames == texts


def test_a_message_in_too_many_fragments_is_refused():
    pieces = [frame(TEXT, b"", fin=False)] + [frame(CONT, b"", fin=False)] * FRAGMENTS_MAX
    frames, ended = asyncio.run(heard(DirectSocket, [b"".join(pieces)], 1))
    assert (frames, ended) == ([], (1009, "too many fragments"))


def test_who_is_not_read_is_held_and_read_on_later():
    async def run():
        socket_of, go_on = asyncio.get_running_loop().create_future(), asyncio.Event()
        frames = []

        async def handle(socket):
            socket_of.set_result(socket)
            await go_on.wait()
            while len(frames) < 200:
                frames.append(await socket.next_frame())
            await socket.wait_closed()

        async with (
            listening(DirectSocket, handle) as port,
            connect(f"ws://127.0.0.1:{port}", compression=None, proxy=None) as client,
        ):
            socket = await socket_of
            for number in range(200):
                await client.send(str(number))
                await asyncio.sleep(0)
            async with asyncio.timeout(10):
                while socket.transport.is_reading():
                    await asyncio.sleep(0.005)
            assert len(socket._arrived) > FRAMES_AHEAD_MAX
            go_on.set()
            async with asyncio.timeout(10):
                while len(frames) < 200:
                    await asyncio.sleep(0.005)
            assert frames == [str(number) for number in range(200)]
            assert socket.transport.is_reading()

    asyncio.run(run())


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_what_it_sends_at_once_arrives(size):
    async def run():
        text = os.urandom(size // 2 + 1).hex()[:size]

        async def handle(socket):
            assert socket.send_now(text)
            await socket.wait_closed()

        async with (
            listening(watched(DirectSocket, None, None), handle) as port,
            connect(f"ws://127.0.0.1:{port}", compression=None, proxy=None) as client,
            asyncio.timeout(10),
        ):
            assert await client.recv() == text

    asyncio.run(run())


def test_who_does_not_read_is_not_sent_more():
    async def run():
        refused = asyncio.get_running_loop().create_future()

        async def handle(socket):
            sent = 0
            while socket.send_now("x" * 10_000):
                sent += 1
                await asyncio.sleep(0)
                assert sent < 10_000
            refused.set_result(sent)
            await socket.wait_closed()

        async with listening(DirectSocket, handle) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            writer.write(
                b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            reader._transport.pause_reading()
            async with asyncio.timeout(20):
                assert await refused > 0
            writer.transport.abort()

    asyncio.run(run())


@pytest.mark.parametrize("answers", [True, False])
def test_who_answers_no_ping_is_closed_and_who_does_is_not(answers):
    async def run():
        ended = asyncio.get_running_loop().create_future()

        async def handle(socket):
            try:
                await socket.next_frame()
            except ConnectionClosed as closed:
                ended.set_result(closed.sent.code if closed.sent else None)

        async with serve(
            handle,
            "127.0.0.1",
            0,
            create_connection=DirectSocket,
            compression=None,
            ping_interval=None,
        ) as server:
            port = server.sockets[0].getsockname()[1]
            alive = asyncio.create_task(keep_alive([server], 0.1, 0.3))
            async with connect(f"ws://127.0.0.1:{port}", compression=None, proxy=None) as client:
                if not answers:
                    client.transport.pause_reading()
                done, _ = await asyncio.wait([ended], timeout=1.5 if answers else 20)
                assert bool(done) is not answers
                if done:
                    assert ended.result() == 1011
            alive.cancel()

    asyncio.run(run())


UPGRADE = (
    b"GET /x HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
REQUESTS = {
    "right": [UPGRADE],
    "in two pieces": [UPGRADE[:40], UPGRADE[40:]],
    "with a frame behind it": [UPGRADE + frame(TEXT, b"soon")],
    "no upgrade": [UPGRADE.replace(b"Connection: Upgrade", b"Connection: close")],
    "no http": [b"\x16\x03\x01\r\n\r\n"],
    "refused": [UPGRADE.replace(b"/x", b"/refused")],
    "the judge fails": [UPGRADE.replace(b"/x", b"/fails")],
    "half of it": [UPGRADE[:-4]],
    "nothing": [],
}


async def judge(socket, request):
    await asyncio.sleep(0)
    if request.path == "/fails":
        raise RuntimeError("a fault")
    return socket.respond(403, "no\n") if request.path == "/refused" else None


async def answered(kind, pieces):
    """The first line of what the server says, and what its handler hears, of a handshake in pieces."""
    heard = []

    async def handle(socket):
        heard.append(await socket.next_frame())

    async with serve(
        handle,
        "127.0.0.1",
        0,
        create_connection=kind,
        process_request=judge,
        compression=None,
        open_timeout=0.5,
        logger=quiet,
    ) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.05)
        async with asyncio.timeout(5):
            try:
                line = await reader.readline()
            except ConnectionError:
                line = b""
        writer.close()
    return line, heard


@pytest.mark.parametrize("case", REQUESTS)
async def test_a_handshake_ends_as_the_librarys_would(case, caplog):
    ours, librarys = (
        await answered(watched(DirectSocket, None), REQUESTS[case]),
        await answered(Plain, REQUESTS[case]),
    )
    assert ours == librarys
    assert not [one for one in caplog.records if one.name == "asyncio"]
