"""Goal: checks S3 and S4: of two connections under one identity the living one stays, and neither harms the other.

Method: the whole service on real sockets; a dead connection is one whose other end answers no ping.
"""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.exceptions import ConnectionClosed

from holdfast.contracts.charge_point import ChargePointConnected, ChargePointDisconnected
from holdfast.contracts.registry import EntryProblem, EntryRefused
from holdfast.ocpp.versions import OcppVersion
from holdfast_simulators.hostile import frames
from holdfast_simulators.hostile.forms import FORMS
from holdfast_testkit.eventually import eventually


@pytest.fixture(autouse=True, params=list(OcppVersion), ids=str)
def of_each_version(request, doors):
    doors.version = request.param


def form_of(client):
    return FORMS[client.subprotocol.removeprefix("ocpp")]


async def says(client, said, number):
    """The payload of the answer. `number`: of the event in its transaction, in 2.x."""
    frame = frames.call(said, "m").replace('"$SEQ"', str(number)).replace("$NEW", "T-1")
    await client.send(frame)
    kind, _, payload = json.loads(await client.recv())
    assert kind == 3
    return payload


async def starts(client):
    """The id of the transaction: given, or its own."""
    return (await says(client, form_of(client).begins(), 0)).get("transactionId", "T-1")


async def stops(client, transaction):
    assert await says(client, form_of(client).ends(of=str(transaction)), 1) == {}


async def closed(client):
    """How the other end closed it."""
    with pytest.raises(ConnectionClosed) as how:
        await client.recv()
    return how.value.rcvd


async def half_open(doors, identity="CP-1"):
    """A connection whose charge point has lost its power: the socket is there, nobody answers."""
    client = await doors.dial(identity)
    client.transport.pause_reading()
    return client


async def test_s3_while_the_first_is_alive_a_second_one_is_refused_and_told(doors, call):
    await doors.open()
    async with doors.dial() as first:
        assert (await call(first))[0] == 3
        async with doors.dial(local="127.0.0.2") as second:
            how = await closed(second)
            assert (how.code, how.reason) == (1008, "this identity is connected already")
        assert await starts(first)
        await eventually(lambda: doors.place.facts(EntryRefused))
        (fact,) = doors.place.facts(EntryRefused)
        assert (fact.problem, fact.claimed, fact.address) == (
            EntryProblem.DUPLICATE_IDENTITY, "CP-1", "127.0.0.2",
        )  # fmt: skip
        assert "127.0.0.1" in fact.detail
        assert doors.counted("duplicate_connections_total", result="refused") == 1
        assert len(doors.place.facts(ChargePointConnected)) == 1
        assert not doors.place.facts(ChargePointDisconnected)


async def test_s3_a_dead_first_one_is_replaced_after_a_ping(doors, call):
    await doors.open()
    first = await half_open(doors)
    await eventually(lambda: doors.place.facts(ChargePointConnected))
    async with doors.dial() as second:
        async with asyncio.timeout(5):
            assert (await call(second))[0] == 3
        old, new = doors.place.facts(ChargePointConnected)
        assert (new.replaced, new.replaced_answered) == (old.connection, False)
        assert not doors.place.facts(EntryRefused)
        first.transport.abort()


async def test_s3_a_first_one_that_only_answers_pings_is_dead_after_a_while(doors, call):
    await doors.open(alive_for_s=1)
    async with doors.dial() as shell:
        await asyncio.sleep(1.2)
        async with doors.dial() as second:
            assert (await call(second))[0] == 3
            assert (await closed(shell)).code == 1001
            # What says something is no shell.
            async with doors.dial() as third:
                assert (await closed(third)).code == 1008


async def test_s3_many_second_ones_are_no_flood_of_pings_for_the_first(doors, call):
    await doors.open()
    pings = 0
    async with doors.dial() as first:
        assert (await call(first))[0] == 3
        answer = first.protocol.recv_frame

        def counting(frame):
            nonlocal pings
            pings += frame.opcode == 9
            return answer(frame)

        first.protocol.recv_frame = counting
        for _ in range(20):
            async with doors.dial() as second:
                await closed(second)
        assert (await call(first))[0] == 3
    assert pings == 1


async def test_s3_a_site_may_have_the_newest_one_win(doors, call):
    await doors.open(second_connection="replace")
    async with doors.dial() as first:
        assert (await call(first))[0] == 3
        async with doors.dial() as second:
            assert (await call(second))[0] == 3
            assert "replaced" in (await closed(first)).reason
            old, new = doors.place.facts(ChargePointConnected)
            assert (new.replaced, new.replaced_answered) == (old.connection, True)
            await eventually(lambda: doors.place.facts(EntryRefused))
            assert doors.place.facts(EntryRefused)[0].detail.startswith("replaced")
    assert doors.counted("duplicate_connections_total", result="replaced") == 1


async def test_s4_a_late_close_of_the_old_one_does_not_touch_the_new_one(doors):
    await doors.open()
    first = await half_open(doors)
    await eventually(lambda: doors.place.facts(ChargePointConnected))
    async with doors.dial() as second:
        transaction = await starts(second)
        first.transport.resume_reading()
        await first.close()
        await stops(second, transaction)
        assert not doors.place.facts(ChargePointDisconnected)
    await eventually(lambda: doors.place.facts(ChargePointDisconnected))
    _, new = doors.place.facts(ChargePointConnected)
    assert [it.connection for it in doors.place.facts(ChargePointDisconnected)] == [new.connection]


async def test_s4_the_close_of_a_refused_one_does_not_touch_the_first(doors, call):
    await doors.open()
    async with doors.dial() as first:
        assert (await call(first))[0] == 3
        for _ in range(3):
            second = await doors.dial()
            await closed(second)
        assert await starts(first)
        assert not doors.place.facts(ChargePointDisconnected)


async def test_after_the_first_has_ended_the_next_one_comes_in_at_once(doors, call):
    await doors.open()
    async with doors.dial() as first:
        assert (await call(first))[0] == 3
        async with doors.dial() as second:
            await closed(second)
    await eventually(lambda: doors.place.facts(ChargePointDisconnected))
    async with doors.dial() as third:
        assert (await call(third))[0] == 3
