"""Goal: S18 and its kin: who floods slows itself down and nobody else, transactional messages are never refused, it is
counted and told, and neither memory nor the time of others grows with it.

Method: the whole service on real sockets; flooding charge points beside an honest one whose answers are timed.
"""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc

from websockets.exceptions import ConnectionClosed

from holdfast.contracts.charge_point import ChargePointThrottled
from holdfast.contracts.session import SessionStarted
from holdfast.entries import read
from holdfast.ocpp.versions import OcppVersion
from holdfast_simulators.hostile.forms import FORMS, authorize
from holdfast_simulators.hostile.frames import call, floods
from holdfast_testkit.eventually import eventually

OURS = tuple(
    tracemalloc.Filter(False, f"*{name}*")
    for name in ("holdfast_testkit", "checks/", "tracemalloc", "client.py", "/logging/", "_pytest")
)
"""The simulated world remembers ids, this test its own frames, its runner what was logged: nothing of it is the
service's.
"""


def throttled(place):
    name = next(name for name in place.bus.disk.streams if "TELEMETRY" in name.upper())
    messages = place.bus.disk.streams[name].messages.values()
    found = [read(message).fact for message in messages]
    return [fact for fact in found if isinstance(fact, ChargePointThrottled)]


async def flooded(client, frame, count):
    """Sent without waiting; what is answered is read and counted."""
    answered = 0

    async def reads():
        nonlocal answered
        while True:
            await client.recv()
            answered += 1

    reading = asyncio.get_running_loop().create_task(reads())
    try:
        for number in range(count):
            await client.send(frame.replace("$ID", f"f{number}"))
            if number % 50 == 0:
                await asyncio.sleep(0)
    except ConnectionClosed:
        pass
    return reading, lambda: answered


async def slowest(honest, count):
    loop, worst = asyncio.get_running_loop(), 0.0
    for _ in range(count):
        begun_s = loop.time()
        assert await honest.is_served()
        worst = max(worst, loop.time() - begun_s)
        await asyncio.sleep(0.02)
    return worst


async def test_s18_who_floods_is_slowed_down_alone(opened, hard, version):
    place = await opened(frames_per_s=50, frames_burst=50, authorize_per_min=60, authorize_burst=10)
    (authorize, _, _), (heartbeat, _, _) = floods(version)
    async with (
        hard.honest(place, version=version) as honest,
        hard.honest(place, "CP-2", version=version) as hostile,
    ):
        reading, answered = await flooded(hostile.client, authorize, 1_000)
        await eventually(lambda: answered() >= 10)
        before = answered()
        await slowest(honest, 50)  # takes a second and more
        # Sixty a minute: about one a second, whatever the machine does meanwhile; ten came at once.
        assert answered() - before < 20
        assert len(place.asked) < 40
        assert hard.counted(place, "throttled_frames", because="Authorize") >= 1
        (told, *_) = throttled(place)
        assert (told.charge_point, told.authorize) == ("CP-2", True)
        assert len(throttled(place)) == 1  # coalesced
        assert {fact.charge_point for fact in throttled(place)} == {"CP-2"}
        reading.cancel()
    async with hard.honest(place, "CP-2", version=version) as again:
        reading, answered = await flooded(again.client, heartbeat, 500)
        await asyncio.sleep(1)
        assert answered() < 500
        reading.cancel()


async def test_s18_transactional_messages_are_slowed_and_never_refused(opened, hard, version):
    place = await opened(frames_per_s=5, frames_burst=10)
    async with hard.honest(place, version=version) as honest:
        given = [await honest.start(reads=number) for number in range(20)]
    assert len(set(given)) == len(place.facts(SessionStarted)) == 20
    assert hard.counted(place, "throttled_frames", because="frames") >= 5


async def test_s18_a_new_connection_is_no_new_burst(opened, hard, version):
    place = await opened(frames_per_s=1, frames_burst=5)
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    for _ in range(4):
        async with hard.honest(place, version=version) as honest:
            for _ in range(2):
                assert await honest.is_served()
    assert loop.time() - begun_s > 1.5


async def test_huge_frames_of_one_do_not_hold_up_the_others(opened, hard, version):
    place = await opened(frames_per_s=1_000_000, frames_burst=1_000_000)
    values = [
        {
            "timestamp": "2025-06-15T15:00:00Z",
            "sampledValue": [{"value": str(number) if version is OcppVersion.V16 else number}],
        }
        for number in range(850)
    ]
    huge = call(FORMS[version].array(json.dumps(values)))
    assert 50_000 < len(huge) < 64 * 1024
    async with (
        hard.honest(place, version=version) as honest,
        hard.honest(place, "CP-2", version=version) as hostile,
    ):
        reading, answered = await flooded(hostile.client, huge, 20)
        meanwhile = []
        while answered() < 20 and len(meanwhile) < 50:
            before = answered()
            assert await honest.is_served()
            meanwhile.append(answered() - before)
        reading.cancel()
    # Whatever the machine's pace: a few of them may be ahead of an honest one, not all that have come.
    assert max(meanwhile) <= 8, meanwhile


async def at_rest(place):
    """What waits to be written is bounded elsewhere: here it may get through."""
    seen = -1
    while seen != (seen := sum(len(one.messages) for one in place.bus.disk.streams.values())):
        await asyncio.sleep(0.3)


async def drained(hostile):
    await hostile.client.send('[2,"end","Heartbeat",{}]')
    while (await hostile.answer())[1] != "end":
        pass


async def test_a_flood_leaves_no_memory_behind(opened, hard, version):
    """Counted by Python itself, which knows every object, and not what the allocator keeps for later."""
    place = await opened(frames_per_s=1_000_000, authorize_per_min=1_000_000)
    wrong = call(authorize(FORMS[version], "x" * 2_000))
    unknown = '[2,"$ID","Fly$ID",{}]'
    unread = '[3,"$ID",{}]'

    async def rounds(count):
        async with hard.honest(place, "CP-2", version=version) as hostile:
            for number in range(count):
                for frame in (wrong, unknown, unread, "not json"):
                    await hostile.client.send(frame.replace("$ID", f"f{number}"))
                if number % 20 == 0:
                    assert await hostile.said('[2,"last","Heartbeat",{}]') is not None
                    await drained(hostile)
            await drained(hostile)

    async def kept():
        await at_rest(place)
        for stream in place.bus.disk.streams.values():
            stream.messages.clear()
        gc.collect()
        return tracemalloc.take_snapshot().filter_traces(OURS)

    await rounds(200)  # what the first ones bring: compiled schemas, full memories
    tracemalloc.start()
    try:
        await rounds(200)
        before = await kept()
        await rounds(600)
        grown = (await kept()).compare_to(before, "lineno")
    finally:
        tracemalloc.stop()
    assert sum(one.size_diff for one in grown) < 256 * 1024, grown[:5]
