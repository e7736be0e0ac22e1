"""Goal: S9 and S10: what comes to the door, and what takes its time there, harms nobody.

Method: the whole service on real sockets, bytes written by hand, an honest charge point beside them.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from random import Random

import pytest

from holdfast.contracts.charge_point import ChargePointConnected
from holdfast_testkit.eventually import eventually
from ocpp_edge.admission import Admission, Permit

IDENTITIES = (
    "../x",
    "..%2fx",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "a/b",
    "a%2Fb",
    "CP-1%00",
    "%00",
    "x" * 300,
    "CР-1",  # a Cyrillic letter that looks like one of ours
    "CP%E2%80%901",
    "*",
    ">",
    ".",
    "%2A",
    "%3E",
    "hf.berlin01.journal.%3E",
    "CP-1%20",
    "%20",
    "%FF%FE",
    "%",
    "CP-1%0d%0aX:%20y",
)


async def test_s9_an_identity_that_is_none_gets_nowhere(opened, hard, tmp_path, version):
    place = await opened()
    files_before = {path.name for path in tmp_path.rglob("*")}
    async with hard.honest(place, version=version) as honest:
        for identity in IDENTITIES:
            async with hard.raw(place) as raw:
                await raw.sends(hard.request("CP-1", path=f"/ocpp/{identity}", version=version))
                async with asyncio.timeout(5):
                    status = await raw.reader.readline()
                # No answer at all: the request is not HTTP.
                refused = not status or status.split()[1] in (b"400", b"401", b"404")
                assert refused, (identity, status)
        assert await honest.is_served()
    assert {one.charge_point for one in place.facts(ChargePointConnected)} == {"CP-1"}
    subjects = [one.subject for one in place.bus.disk.streams[place.journal].messages.values()]
    assert all(subject.startswith("hf.berlin01.journal.") for subject in subjects)
    assert {path.name for path in tmp_path.rglob("*")} <= files_before | {
        "ocpp-edge.sqlite",
        "ocpp-edge.sqlite-wal",
        "ocpp-edge.sqlite-shm",
    }


async def dripped(writer, pieces, closed, *, pause_s):
    """One after the other until the other side has closed: how many were sent."""
    for sent, piece in enumerate(pieces):
        if closed.done():
            return sent
        writer.write(piece)
        await asyncio.sleep(pause_s)
    return len(pieces)


async def test_s10_a_handshake_of_one_byte_a_second_is_cut(opened, hard):
    place = await opened(handshake_s=2)
    async with hard.raw(place) as raw, hard.honest(place) as honest:
        closed = asyncio.get_running_loop().create_task(raw.closed_within(30))
        pieces = [bytes([byte]) for byte in hard.request("CP-2")]
        # Counted, for a machine that stands still stops this clock, too.
        assert 5 <= await dripped(raw.writer, pieces, closed, pause_s=0.2) < 20
        assert await closed is not None
        assert await honest.is_served()


@pytest.mark.parametrize("how", ["payload", "header", "fragments", "ping"])
async def test_s10_a_frame_of_one_byte_at_a_time_is_cut(opened, hard, how, version):
    place = await opened(frame_s=2)
    async with (
        hard.raw(place, "CP-2", version=version) as raw,
        hard.honest(place, version=version) as honest,
    ):
        text = json.dumps([2, "m", "Heartbeat", {}]).encode()
        match how:
            case "payload":
                pieces = [bytes([byte]) for byte in raw.frame(text)]
            case "header":
                pieces = [raw.frame(text)[:2]]
            case "fragments":
                pieces = [raw.frame(b"[", fin=False)] + [raw.frame(b" ", 0, fin=False)] * 30
            case _:
                pieces = [bytes([byte]) for byte in raw.frame(b"p" * 100, 9)]
        closed = asyncio.get_running_loop().create_task(raw.closed_within(30))
        sent = await dripped(raw.writer, pieces, closed, pause_s=0.3)
        assert await closed is not None
        assert sent == 1 if how == "header" else sent < 17
        assert hard.counted(place, "refused_frames", reason="too slow") == 1
        assert await honest.is_served()


async def test_s10_an_idle_connection_and_a_slow_but_steady_one_stay(opened, hard, version):
    place = await opened(frame_s=2)
    async with (
        hard.honest(place, version=version) as idle,
        hard.raw(place, "CP-2", version=version) as steady,
    ):
        frame = steady.frame(json.dumps([2, "m", "Heartbeat", {}]).encode())
        for _ in range(4):
            middle = len(frame) // 2
            await steady.sends(frame[:middle])
            await asyncio.sleep(1.0)
            await steady.sends(frame[middle:])
        assert await idle.is_served()
        assert hard.counted(place, "refused_frames", reason="too slow") == 0


async def test_s10_five_hundred_half_open_sockets_stop_nobody(opened, hard):
    place = await opened(half_open_max=300)
    async with AsyncExitStack() as stack:
        for number in range(500):
            raw = await stack.enter_async_context(hard.raw(place))
            raw.writer.write(hard.request("CP-2")[: number % 100])
        async with hard.honest(place) as honest:
            assert await honest.is_served()
            assert not raw.reader.at_eof()  # it waited for none of them to end
        # The oldest made room: the bound holds.
        await eventually(lambda: hard.counted(place, "auth_failures", reason="half open") >= 190)


async def test_a_storm_is_let_in_a_few_at_a_time_and_in_order():
    admission = Admission(2, 3, 5.0, Random(1))
    held = [await admission.enter() for _ in range(2)]
    waiting = [asyncio.ensure_future(admission.enter()) for _ in range(3)]
    await asyncio.sleep(0)
    assert isinstance(await admission.enter(), int)  # beyond the bound: come again
    held[0].leave()
    held[0].leave()  # once
    await asyncio.sleep(0)
    assert [one.done() for one in waiting] == [True, False, False]
    waiting[1].cancel()  # it hung up
    held[1].leave()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert isinstance(await waiting[2], Permit)
    waiting[0].result().leave()
    waiting[2].result().leave()
    assert isinstance(await admission.enter(), Permit)
    assert isinstance(await admission.enter(), Permit)


async def test_whose_turn_would_come_too_late_is_told_so_at_once():
    loop, admission = asyncio.get_running_loop(), Admission(1, 1_000, 1.0, Random(1))
    held = await admission.enter()
    assert isinstance(await admission.enter(waited_s=1.5), int)  # no patience is left
    waiting = [loop.create_task(admission.enter()) for _ in range(500)]
    await asyncio.sleep(0)
    assert isinstance(await admission.enter(), int)  # 400 a second are let in, as far as is known
    assert sum(not one.done() for one in waiting) >= 300  # those before it wait still
    told = await asyncio.gather(*waiting)
    assert sum(isinstance(one, int) for one in told) == 500
    held.leave()


async def test_a_storm_after_a_quiet_time_is_not_sent_away_for_the_quiet():
    loop, admission = asyncio.get_running_loop(), Admission(1, 2_000, 1.0, Random(1))
    for _ in range(200):  # one now and then: nobody waits
        permit = await admission.enter()
        permit.leave()
    await asyncio.sleep(0.5)

    async def comes() -> bool:
        permit = await admission.enter()
        if isinstance(permit, int):
            return False
        loop.call_soon(permit.leave)
        return True

    assert all(await asyncio.gather(*(comes() for _ in range(350))))


def number_inside(place):
    return place.health.registry.get_sample_value("holdfast_ocpp_connections")


async def test_who_is_inside_counts_once_and_until_it_has_gone(opened, hard):
    place = await opened(connections_max=2)
    async with hard.honest(place) as honest:
        for _ in range(3):
            async with hard.raw(place, "CP-2"):
                assert await honest.is_served()
                async with hard.raw(place) as third:
                    await third.sends(hard.request("CP-3"))
                    assert b" 503 " in await third.reader.readline()
            await eventually(lambda: number_inside(place) == 1)


async def test_who_waits_too_long_is_told_to_come_again_at_different_times():
    admission = Admission(1, 1_000, 0.5, Random(1))
    permit = await admission.enter()
    told = await asyncio.gather(*(admission.enter() for _ in range(500)))
    assert all(isinstance(one, int) and one >= 3 for one in told)
    assert len(set(told)) >= 3
    permit.leave()
    assert isinstance(await admission.enter(), Permit)
