"""Goal: what a reader gets, in which order, and again after which trouble, is the same simulated and real.

Times are short enough for the real one; where only waiting shows a property (acknowledgement time-out), one
test waits for all of it.
"""

import asyncio
from contextlib import aclosing

import pytest

from contract.one_stream import PATIENCE_S, SUBJECTS, A, B, S, fill, pulled, seqs, spec, take
from holdfast.bus import Delivery, NotAcknowledged, ServerBus, StreamGone
from holdfast_testkit.both import Server, on_both_buses
from holdfast_testkit.eventually import eventually


async def acknowledged(bus: ServerBus, seq: int) -> None:
    """Acknowledgements are sent, not confirmed: until the server has taken in that of `seq`, the only fold's."""

    async def known() -> bool:
        return await bus.fold_floor(S) == seq

    await eventually(known)


# --- pull ---


@on_both_buses
async def test_a_pull_hands_out_in_order_and_goes_on_where_it_was(server: Server) -> None:
    async with server.connect() as bus:
        await bus.ensure_stream(spec())
        await fill(bus, 250)
        first = await pulled(bus.pull(S, "fold_x", batch=50), 120)
        await acknowledged(bus, 120)
        second = await pulled(bus.pull(S, "fold_x", batch=50), 130)
        assert seqs(first + second) == list(range(1, 251))
        assert second[-1].pending == 0
        assert first[0].pending > 0


@on_both_buses
async def test_what_a_dead_process_had_in_hand_comes_again_at_once_and_in_order(
    server: Server,
) -> None:
    async with server.connect() as writer:
        await writer.ensure_stream(spec())
        await fill(writer, 30)
        async with server.connect("first life") as bus:
            assert seqs(await pulled(bus.pull(S, "fold_x", batch=20), 3)) == [1, 2, 3]
            await acknowledged(bus, 3)
            await pulled(bus.pull(S, "fold_x", batch=20), 5, ack=False)
        async with server.connect("second life") as bus:
            again = await pulled(bus.pull(S, "fold_x", batch=20), 27)
        assert seqs(again) == list(range(4, 31))


@on_both_buses
async def test_a_message_given_back_comes_again_after_its_delay(server: Server) -> None:
    async with server.connect() as bus:
        await bus.ensure_stream(spec())
        await fill(bus, 2)
        seen: list[tuple[int, int]] = []
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(PATIENCE_S), aclosing(bus.pull(S, "reader_x")) as deliveries:
            async for delivery in deliveries:
                seen.append((delivery.message.seq, delivery.attempts))
                if len(seen) == 1:
                    given_back_at = loop.time()
                    await delivery.again(700)
                else:
                    await delivery.ack()
                if len(seen) == 3:
                    break
        assert seen == [(1, 1), (2, 1), (1, 2)]
        assert loop.time() - given_back_at >= 0.65


@on_both_buses
async def test_the_acknowledgement_time_counts_only_what_the_reader_left_behind(
    server: Server,
) -> None:
    """Working long on one message does not bring it again; walking past one does, after 30 s."""
    async with server.connect() as bus:
        await bus.ensure_stream(spec())
        await fill(bus, 3)
        seen: list[int] = []
        async with asyncio.timeout(100), aclosing(bus.pull(S, "reader_x")) as deliveries:
            async for delivery in deliveries:
                seen.append(delivery.message.seq)
                if len(seen) == 1:
                    await asyncio.sleep(33)  # longer than the server waits
                if len(seen) != 2:
                    await delivery.ack()
                if len(seen) == 4:
                    break
        assert seen == [1, 2, 3, 2]


@on_both_buses
async def test_at_most_a_batch_is_out_without_acknowledgement(server: Server) -> None:
    async with server.connect() as bus:
        await bus.ensure_stream(spec())
        await fill(bus, 5)
        held: asyncio.Queue[Delivery] = asyncio.Queue()

        async def read() -> None:
            async for delivery in bus.pull(S, "reader_x", batch=2):
                held.put_nowait(delivery)

        async with asyncio.TaskGroup() as group:
            reading = group.create_task(read())
            first = await held.get()
            await held.get()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(held.get(), 0.5)
            await first.ack()
            assert (await asyncio.wait_for(held.get(), PATIENCE_S)).message.seq == 3
            reading.cancel()


@on_both_buses
async def test_a_pull_and_a_follow_see_only_what_they_ask_for(server: Server) -> None:
    async with server.connect() as bus:
        await bus.ensure_stream(spec())
        await fill(bus, 9, (A, B, "hf.berlin01.journal.c"))
        wanted = ("hf.berlin01.journal.a.>", "hf.berlin01.journal.c")
        assert seqs(await pulled(bus.pull(S, "reader_x", subjects=wanted), 6)) == [1, 3, 4, 6, 7, 9]
        assert seqs(await take(bus.follow(S, subjects=wanted), 6)) == [1, 3, 4, 6, 7, 9]


@on_both_buses
async def test_a_pull_and_a_follow_go_on_when_the_server_was_killed(server: Server) -> None:
    async with server.connect() as bus:
        await bus.ensure_stream(spec())
        await fill(bus, 20)
        pulled_seqs: list[int] = []
        followed: list[int] = []

        async def pull() -> None:
            async for delivery in bus.pull(S, "reader_x", batch=7):
                pulled_seqs.append(delivery.message.seq)
                await delivery.ack()

        async def follow() -> None:
            async for message in bus.follow(S):
                followed.append(message.seq)  # noqa: PERF401  looked at while it grows

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(pull()), group.create_task(follow())]
            await eventually(lambda: len(followed) == 20 and len(set(pulled_seqs)) == 20)
            await server.kill()
            with pytest.raises(NotAcknowledged):
                await bus.append(S, A, b"", id="while it is away")
            await server.start()
            await fill(bus, 20, begin=101)
            last_seq = (await bus.state(S)).last_seq
            whole = list(range(1, last_seq + 1))
            await eventually(lambda: sorted(set(pulled_seqs)) == whole and last_seq in followed)
            for task in tasks:
                task.cancel()
        assert followed == whole
        assert set(pulled_seqs) == set(whole)


@on_both_buses
async def test_nothing_acknowledged_is_lost_over_kills_under_load(server: Server) -> None:
    async with server.connect("writer") as writer, server.connect("reader") as reader:
        await writer.ensure_stream(spec())
        acknowledged: dict[str, int] = {}
        read: dict[int, str] = {}

        async def write(lane: int) -> None:
            for number in range(150):
                message_id = f"{lane}-{number}"
                while message_id not in acknowledged:
                    try:
                        stored = await writer.append(S, A, message_id.encode(), id=message_id)
                        acknowledged[message_id] = stored.seq
                    except NotAcknowledged:
                        await asyncio.sleep(0.01)
                await asyncio.sleep(0.005)

        async def pull() -> None:
            async for delivery in reader.pull(S, "reader_x", batch=20):
                read[delivery.message.seq] = delivery.message.data.decode()
                await delivery.ack()

        async with asyncio.TaskGroup() as group:
            pulling = group.create_task(pull())
            writing = [group.create_task(write(lane)) for lane in range(8)]
            for _ in range(3):
                await asyncio.sleep(0.3)
                await server.kill()
                await server.start()
            await asyncio.wait(writing)
            last_seq = (await writer.state(S)).last_seq
            # Not in order: what a killed server had sent and did not know of comes again later.
            await eventually(lambda: len(read) >= last_seq, within_s=60)
            pulling.cancel()
        assert len(acknowledged) == 8 * 150
        assert {message_id: seq for seq, message_id in read.items()} == acknowledged
        assert sorted(read) == list(range(1, last_seq + 1))


# --- follow, last, get, state ---


@on_both_buses
async def test_a_follow_begins_where_it_is_told(server: Server) -> None:
    async with server.connect() as bus:
        await bus.ensure_stream(spec())
        await fill(bus, 10, (A, B))
        whole = await take(bus.follow(S), 10)
        assert seqs(whole) == list(range(1, 11))
        assert [message.pending for message in whole] == list(range(9, -1, -1))
        assert seqs(await take(bus.follow(S, start=8), 3)) == [8, 9, 10]
        latest = await take(bus.follow(S, start="last-per-subject"), 2)
        assert seqs(latest) == [9, 10]
        assert latest[-1].pending == 0
        filtered = await take(bus.follow(S, subjects=(A,), start="last-per-subject"), 1)
        assert (filtered[0].seq, filtered[0].pending) == (9, 0)

        new = bus.follow(S, start="new")
        async with asyncio.TaskGroup() as group:
            arriving = group.create_task(take(new, 3))
            written = 10
            # Nobody says when it has begun: written on until it has what it waits for.
            while not arriving.done():
                written += 1
                await fill(bus, 1, begin=written)
                await asyncio.sleep(0.1)
        first, *others = seqs(arriving.result())
        assert 11 <= first <= written
        assert others == [first + 1, first + 2]


@on_both_buses
async def test_last_get_and_state_tell_what_is_there(server: Server) -> None:
    async with server.connect() as bus:
        await bus.ensure_stream(spec())
        empty = await bus.state(S)
        assert (empty.first_seq, empty.last_seq, empty.messages) == (1, 0, 0)
        assert (empty.subjects, empty.bytes_max, empty.silent_ms) == ((SUBJECTS,), 1 << 24, None)
        await fill(bus, 4, (A, B))
        last = await bus.last(S, A)
        assert last is not None
        assert (last.seq, last.data) == (3, b"3")
        wide = await bus.last(S, "hf.berlin01.journal.*.y")
        assert wide is not None
        assert wide.seq == 4
        assert await bus.last(S, "hf.berlin01.journal.none") is None
        assert await bus.get(S, 5) is None
        assert [one.name for one in await bus.streams("JOURNAL_")] == [S]
        for question in (bus.state("NONE"), bus.last("NONE", A), bus.get("NONE", 1)):
            with pytest.raises(StreamGone):
                await question


@on_both_buses
async def test_a_subject_leads_to_the_stream_that_binds_it(server: Server) -> None:
    async with server.connect() as bus:
        assert await bus.stream_of(SUBJECTS) is None
        await bus.ensure_stream(spec())
        assert await bus.stream_of(SUBJECTS) == S
        assert await bus.stream_of(A) == S
        assert await bus.stream_of("hf.munich01.journal.>") is None


@on_both_buses
async def test_a_stream_counts_what_it_holds_under_a_subject(server: Server) -> None:
    async with server.connect() as bus:
        with pytest.raises(StreamGone):
            await bus.held(S, SUBJECTS)
        await bus.ensure_stream(spec())
        assert await bus.held(S, SUBJECTS) == 0
        await fill(bus, 10, (A, A, B))
        await bus.trim(S, 2)
        assert await bus.held(S, SUBJECTS) == 9
        assert await bus.held(S, A) == 6
        assert await bus.held(S, "hf.munich01.journal.>") == 0
