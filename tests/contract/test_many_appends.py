"""Many appends at once: on a real server they go out as atomic batches, and each hears of itself alone."""

import asyncio

from contract.one_stream import A, B, S, fill, spec
from holdfast.bus import AppendRefused, Conflict, ServerBus, Stored, StreamFull
from holdfast_testkit.both import Server, on_both_buses

MANY = 400


async def appended(bus: ServerBus, count: int, size: int = 20) -> list[Stored | AppendRefused]:
    """All in the same moment."""
    outcomes = await asyncio.gather(
        *(bus.append(S, A, bytes(size), id=f"many-{number}") for number in range(count)),
        return_exceptions=True,
    )
    assert all(isinstance(one, Stored | AppendRefused) for one in outcomes), outcomes
    return outcomes  # type: ignore[return-value]


@on_both_buses
async def test_each_of_many_hears_its_own_place_in_the_order_they_were_appended(
    server: Server,
) -> None:
    async with server.connect() as bus:
        await bus.ensure_stream(spec(atomic=True))
        await in_order(bus)


@on_both_buses
async def test_so_it_is_where_the_stream_takes_no_batches(server: Server) -> None:
    async with server.connect() as bus:
        await bus.ensure_stream(spec())
        await in_order(bus)


async def in_order(bus: ServerBus) -> None:
    for round in (0, MANY):
        outcomes = await asyncio.gather(
            *(bus.append(S, A, b"", id=f"id-{round + number}") for number in range(MANY))
        )
        assert outcomes == [(S, round + number + 1, False) for number in range(MANY)]
    message = await bus.get(S, MANY // 2)
    assert message is not None
    assert (message.id, message.headers) == (f"id-{MANY // 2 - 1}", {})


@on_both_buses
async def test_what_was_stored_before_is_a_duplicate_and_harms_none_of_the_others(
    server: Server,
) -> None:
    async with server.connect() as bus:
        await bus.ensure_stream(spec(atomic=True))
        await bus.append(S, A, b"", id="many-77")
        await bus.append(S, A, b"", id="many-78")
        outcomes = await appended(bus, MANY)
        assert outcomes[77:79] == [(S, 1, True), (S, 2, True)]
        fresh = [*outcomes[:77], *outcomes[79:]]
        assert sorted(one.seq for one in fresh) == list(range(3, MANY + 1))  # type: ignore[union-attr]
        assert (await bus.state(S)).messages == MANY


@on_both_buses
async def test_the_same_id_twice_among_many_is_stored_once(server: Server) -> None:
    async with server.connect() as bus:
        await bus.ensure_stream(spec(atomic=True))
        ids = [f"id-{number % (MANY // 2)}" for number in range(MANY)]
        outcomes = await asyncio.gather(*(bus.append(S, A, b"", id=id) for id in ids))
        assert [one.seq for one in outcomes[: MANY // 2]] == [
            one.seq for one in outcomes[MANY // 2 :]
        ]
        assert (await bus.state(S)).messages == MANY // 2


@on_both_buses
async def test_a_stream_that_fills_up_takes_what_fits_and_refuses_the_others(
    server: Server,
) -> None:
    async with server.connect() as bus:
        await bus.ensure_stream(spec(bytes_max=40_000, atomic=True))
        outcomes = await appended(bus, MANY, size=500)
        stored = [one for one in outcomes if isinstance(one, Stored)]
        refused = [one for one in outcomes if isinstance(one, StreamFull)]
        assert stored
        assert refused
        assert len(stored) + len(refused) == MANY
        assert (await bus.state(S)).messages == len(stored)


@on_both_buses
async def test_an_append_with_a_condition_goes_alone_and_keeps_its_place(server: Server) -> None:
    async with server.connect() as bus:
        await bus.ensure_stream(spec(atomic=True))
        await fill(bus, 1, (B,))
        first = [bus.append(S, A, b"", id=f"first-{number}") for number in range(100)]
        conditional = bus.append(S, B, b"", id="conditional", last_seq=1)
        wrong = bus.append(S, B, b"", id="wrong", last_seq=1)
        after = [bus.append(S, A, b"", id=f"after-{number}") for number in range(100)]
        outcomes = await asyncio.gather(*first, conditional, wrong, *after, return_exceptions=True)
        assert outcomes[:101] == [(S, 2 + number, False) for number in range(101)]
        assert isinstance(outcomes[101], Conflict)
        assert outcomes[102:] == [(S, 103 + number, False) for number in range(100)]
