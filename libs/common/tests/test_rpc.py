"""Goal: a request ends in a typed reply or in one of a few typed failures, whatever the other side does."""

import asyncio

import pytest

from holdfast import subjects
from holdfast.bus import BusError, NoResponder, Request, RequestFailed, RequestTimedOut
from holdfast.contracts.envelope import Contract, ContractError
from holdfast.contracts.journal import CopiesRequest, Gaps
from holdfast.contracts.mode import Head
from holdfast.contracts.rpc import Empty
from holdfast.rpc import Refused, call, serve
from holdfast_testkit.sim_bus import SimBus
from holdfast_testkit.sim_clock import SimClock, virtual_time

SUBJECT = subjects.cloud_rpc("gaps")


@virtual_time
async def test_a_call_gets_its_typed_reply() -> None:
    bus = SimBus(SimClock())
    asked: list[tuple[str | None, str]] = []

    async def gaps(request: CopiesRequest, subject: str) -> Contract:
        asked.append((request.site, subject))
        return Gaps(gaps=())

    await serve(bus, SUBJECT, CopiesRequest, gaps)
    reply = await call(bus, SUBJECT, CopiesRequest(site="berlin01"), Gaps, timeout_ms=100)
    assert reply == Gaps(gaps=())
    assert asked == [("berlin01", SUBJECT)]


@virtual_time
async def test_what_the_responder_can_not_do_is_refused_with_its_reason() -> None:
    bus = SimBus(SimClock())
    reasons: list[Exception] = [
        ContractError("no site of that name"),
        BusError("the journal is full"),
        KeyError("a fault of ours"),
    ]

    async def fail(_: CopiesRequest, __: str) -> Contract:
        raise reasons[0]

    await serve(bus, SUBJECT, CopiesRequest, fail)
    for retry in (False, True, True):
        with pytest.raises(Refused) as refused:
            await call(bus, SUBJECT, CopiesRequest(), Gaps, timeout_ms=100)
        assert refused.value.failure.retry is retry
        assert str(reasons.pop(0)) in refused.value.failure.error


@virtual_time
async def test_a_request_that_is_none_is_refused_by_name() -> None:
    bus = SimBus(SimClock())

    async def never(_: Head, __: str) -> Contract:
        raise AssertionError

    await serve(bus, SUBJECT, Head, never)
    with pytest.raises(Refused, match="not a Head: incarnation"):
        await call(bus, SUBJECT, Empty(), Gaps, timeout_ms=100)


@virtual_time
async def test_a_reply_of_another_kind_is_a_failed_request() -> None:
    bus = SimBus(SimClock())

    async def nonsense(_: Request) -> bytes:
        return b'{"entries": 3}'

    await bus.respond(SUBJECT, nonsense)
    with pytest.raises(RequestFailed, match="not a Gaps"):
        await call(bus, SUBJECT, Empty(), Gaps, timeout_ms=100)


@virtual_time
async def test_nobody_and_nothing_in_time_are_told_apart() -> None:
    bus = SimBus(SimClock())
    with pytest.raises(NoResponder):
        await call(bus, SUBJECT, Empty(), Gaps, timeout_ms=100)

    async def late(_: Empty, __: str) -> Contract:
        await asyncio.sleep(1)
        return Gaps(gaps=())

    await serve(bus, SUBJECT, Empty, late)
    with pytest.raises(RequestTimedOut):
        await call(bus, SUBJECT, Empty(), Gaps, timeout_ms=100)
