"""Goal: each way of cutting the link does to bytes what it says, and heals without a hole in a stream.

Method: the shipped process between plain TCP sockets, which see every byte, reset and refusal.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

PATIENCE_S = 60


class Side:
    """One end of a connection."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hears(self, data: bytes) -> None:
        async with asyncio.timeout(PATIENCE_S):
            assert await self.reader.readexactly(len(data)) == data

    async def hears_nothing(self, for_s: float = 0.3) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(for_s):
                await self.reader.read(1)

    async def is_reset(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(ConnectionResetError):
                await self.reader.read(1)


@pytest.fixture
def link(start):
    """A function that starts the relay between two sides of the test, `near` and `far`."""

    @asynccontextmanager
    async def linking():
        arrived: asyncio.Queue[Side] = asyncio.Queue()
        server = await asyncio.start_server(
            lambda reader, writer: arrived.put_nowait(Side(reader, writer)), "127.0.0.1", 0
        )
        port = server.sockets[0].getsockname()[1]
        sides = []
        to = f"127.0.0.1:{port}"
        async with start("wan", "--listen", "127.0.0.1:0", "--to", to) as program:
            door = await program.event("listening")

            async def near():
                side = Side(*await asyncio.open_connection("127.0.0.1", door["port"]))
                sides.append(side)
                return side

            async def far():
                async with asyncio.timeout(PATIENCE_S):
                    side = await arrived.get()
                sides.append(side)
                return side

            yield program, near, far
            for side in sides:
                side.writer.transport.abort()
        server.close()

    return linking


async def connected(near, far):
    return await near(), await far()


async def told(program, do, **fields):
    return await program.ask(do, "weather", **fields)


async def until_lost(program, direction, count):
    await program.until_status("weather", lambda said: said["lost_bytes"][direction] >= count)


async def test_in_good_weather_bytes_and_ends_pass(link):
    async with link() as (_, near, far):
        leaf, cloud = await connected(near, far)
        await leaf.say(b"up")
        await cloud.hears(b"up")
        leaf.writer.write_eof()
        assert await cloud.reader.read() == b""
        await cloud.say(b"still down")
        await leaf.hears(b"still down")


async def test_a_reset_ends_connections_and_refuses_new_ones_until_healed(link):
    async with link() as (program, near, far):
        leaf, cloud = await connected(near, far)
        await leaf.say(b"up")
        await cloud.hears(b"up")
        await told(program, "cut", how="reset")
        await leaf.is_reset()
        await cloud.is_reset()
        with pytest.raises(ConnectionRefusedError):
            await near()
        await told(program, "heal")
        leaf, cloud = await connected(near, far)
        await cloud.say(b"again")
        await leaf.hears(b"again")


async def test_a_black_hole_passes_nothing_and_on_heal_what_was_held_back(link):
    async with link() as (program, near, far):
        leaf, cloud = await connected(near, far)
        await leaf.say(b"1")
        await cloud.hears(b"1")
        await told(program, "cut", how="black-hole")
        await leaf.say(b"2")
        await cloud.say(b"3")
        late = await near()
        await late.say(b"4")
        await cloud.hears_nothing()
        await leaf.hears_nothing()
        await program.until_status("weather", lambda said: said["connections"] == 2)
        await told(program, "heal")
        await cloud.hears(b"2")
        await leaf.hears(b"3")
        await (await far()).hears(b"4")


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_one_way_loses_one_direction_and_heals_by_reset(link, direction):
    async with link() as (program, near, far):
        leaf, cloud = await connected(near, far)
        unhurt, unhurt_cloud = await connected(near, far)
        deaf, mute = (cloud, leaf) if direction == "up" else (leaf, cloud)
        await told(program, "cut", how="one-way", direction=direction)
        await mute.say(b"lost")
        await deaf.hears_nothing()
        await deaf.say(b"heard")
        await mute.hears(b"heard")
        await until_lost(program, direction, 4)
        assert (await told(program, "status"))["lost_bytes"][direction] == 4
        await told(program, "heal")
        await leaf.is_reset()
        await cloud.is_reset()
        await unhurt.say(b"whole")
        await unhurt_cloud.hears(b"whole")


async def test_a_new_connection_in_a_one_way_cut_is_held(link):
    async with link() as (program, near, far):
        await told(program, "cut", how="one-way", direction="down")
        leaf = await near()
        await leaf.say(b"hello")
        await leaf.hears_nothing()
        await told(program, "heal")
        await (await far()).hears(b"hello")


async def test_from_one_way_into_a_black_hole_the_torn_connection_is_reset(link):
    async with link() as (program, near, far):
        leaf, cloud = await connected(near, far)
        await told(program, "cut", how="one-way", direction="up")
        await leaf.say(b"lost")
        await cloud.hears_nothing()
        await until_lost(program, "up", 4)
        await told(program, "cut", how="black-hole")
        await cloud.is_reset()


async def test_delay_holds_every_byte_back(link):
    async with link() as (program, near, far):
        leaf, cloud = await connected(near, far)
        await told(program, "delay", ms=300)
        begun_s = time.monotonic()
        for n in range(10):
            await leaf.say(b"%d" % n)
        await cloud.hears(b"0123456789")
        assert time.monotonic() - begun_s >= 0.3


async def test_a_rate_slows_and_the_sender_feels_it(link):
    async with link() as (program, near, far):
        leaf, cloud = await connected(near, far)
        await told(program, "rate", bytes_per_s=20_000)
        begun_s = time.monotonic()
        await leaf.say(b"x" * 10_000)
        await cloud.hears(b"x" * 10_000)
        assert time.monotonic() - begun_s >= 0.3
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await leaf.say(b"y" * 50_000_000)
        await told(program, "rate", bytes_per_s=None)
        await cloud.hears(b"y" * 1_000_000)


async def test_flapping_cuts_and_heals_until_healed(link):
    async with link() as (program, near, far):
        await program.tell("flap", up_s=0.05, down_s=0.05, how="black-hole")
        for _ in range(3):
            await program.event("weather", did="flap", cut="black-hole")
            await program.event("weather", did="flap", cut="none")
        await told(program, "heal")
        leaf, cloud = await connected(near, far)
        await leaf.say(b"calm")
        await cloud.hears(b"calm")


async def test_a_target_that_is_not_there_breaks_the_connection(start):
    to = "127.0.0.1:1"
    async with start("wan", "--listen", "127.0.0.1:0", "--to", to) as program:
        door = await program.event("listening")
        leaf = Side(*await asyncio.open_connection("127.0.0.1", door["port"]))
        await leaf.is_reset()
        leaf.writer.transport.abort()
        await program.tell("quit")
        await program.event("stopped")
        assert await program.process.wait() == 0


async def test_bad_commands_change_nothing(link):
    async with link() as (program, *_):
        for fields in ({"how": "axe"}, {"how": "one-way"}, {}):
            await program.tell("cut", **fields)
            await program.event("error")
        await program.tell("rate", bytes_per_s=-1)
        await program.event("error")
        assert (await told(program, "status"))["cut"] == "none"
