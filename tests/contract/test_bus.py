"""Goal: services may believe the simulated bus, because it passes the same suite as a real nats-server.

Each test runs on both. Here: writing, limits, requests, the life of streams; reading is in test_reading.py.
"""

import asyncio

import pytest

from contract.one_stream import SUBJECTS, A, B, S, fill, pulled, read_on, seqs, spec, take
from holdfast import subjects
from holdfast.bus import (
    AdminRefused,
    BusClosed,
    Conflict,
    NoResponder,
    Request,
    RequestTimedOut,
    ServerBus,
    Stored,
    StreamFull,
    StreamGone,
    StreamSpec,
    WrongStream,
)
from holdfast.contracts.rpc import Failure
from holdfast_testkit.both import Server, on_both_buses
from holdfast_testkit.eventually import eventually

PATIENT_MS = 20_000


async def write_200_bytes_each(bus: ServerBus, count: int) -> None:
    for number in range(1, count + 1):
        await bus.append(S, A, bytes(200), id=f"id-{number}")


# --- append ---


@on_both_buses
async def test_an_append_says_where_it_went(server: Server) -> None:
    async with server.connect() as bus:
        await bus.ensure_stream(spec(atomic=True))
        stored = await bus.append(S, A, b"one", id="id-1", headers={"Hf-Site": "berlin01"})
        assert stored == (S, 1, False)
        message = await bus.get(S, 1)
        assert message is not None
        assert (message.subject, message.id, message.data) == (A, "id-1", b"one")
        assert message.headers == {"Hf-Site": "berlin01"}


@on_both_buses
async def test_the_same_id_is_stored_once_inside_the_window(server: Server) -> None:
    async with server.connect() as bus:
        await bus.ensure_stream(spec())
        await fill(bus, 2)
        assert await bus.append(S, B, b"again", id="id-1") == (S, 1, True)
        await bus.delete_stream(S)
        await bus.ensure_stream(spec(duplicate_window_s=1))
        await fill(bus, 2)

        async def stored_again() -> Stored | None:
            stored = await bus.append(S, B, b"again", id="id-1")
            return None if stored.duplicate else stored

        assert await eventually(stored_again) == (S, 3, False)


@on_both_buses
async def test_an_append_to_another_streams_subject_is_refused(server: Server) -> None:
    async with server.connect() as bus:
        await bus.ensure_stream(spec())
        await bus.ensure_stream(spec(name="OTHER", subjects=("hf.berlin01.telemetry.>",)))
        with pytest.raises(WrongStream):
            await bus.append(S, "hf.berlin01.telemetry.a", b"", id="id-1")
        assert (await bus.state("OTHER")).messages == 0


@on_both_buses
async def test_an_append_that_no_stream_takes_says_that_the_stream_is_gone(server: Server) -> None:
    async with server.connect() as bus:
        with pytest.raises(StreamGone):
            await bus.append(S, A, b"", id="id-1")


@on_both_buses
async def test_a_full_stream_refuses_and_keeps_what_it_has(server: Server) -> None:
    async with server.connect() as bus:
        await bus.ensure_stream(spec(bytes_max=4_000))
        with pytest.raises(StreamFull):
            await write_200_bytes_each(bus, 39)
        state = await bus.state(S)
        assert (state.first_seq, state.messages) == (1, state.last_seq)
        # What is there is known to be there, full or not.
        assert (await bus.append(S, A, bytes(200), id="id-1")).duplicate
        assert await bus.ensure_stream(spec(bytes_max=100_000))
        await bus.append(S, A, bytes(200), id="more room")


@on_both_buses
async def test_a_stream_that_drops_the_oldest_takes_everything(server: Server) -> None:
    async with server.connect() as bus:
        await bus.ensure_stream(spec(bytes_max=4_000, when_full="drop-oldest"))
        await write_200_bytes_each(bus, 39)
        state = await bus.state(S)
        assert state.last_seq == 39
        assert 1 < state.first_seq < 39
        assert state.bytes <= 4_000
        assert await bus.get(S, 1) is None


@on_both_buses
async def test_many_appends_at_once_all_arrive_once(server: Server) -> None:
    async with server.connect() as bus:
        await bus.ensure_stream(spec())
        stored = await asyncio.gather(
            *(bus.append(S, A, b"", id=f"id-{number % 300}") for number in range(600))
        )
        assert sorted({one.seq for one in stored}) == list(range(1, 301))


# --- limits ---


@on_both_buses
async def test_one_message_per_subject_and_the_newest_wins(server: Server) -> None:
    async with server.connect() as bus:
        await bus.ensure_stream(spec(per_subject_max=1))
        await fill(bus, 6, (A, B))
        state = await bus.state(S)
        assert (state.messages, state.first_seq, state.last_seq) == (2, 5, 6)
        assert seqs(await take(bus.follow(S), 2)) == [5, 6]


@on_both_buses
async def test_a_message_with_a_time_to_live_goes_when_it_is_over(server: Server) -> None:
    async with server.connect() as bus:
        await bus.ensure_stream(spec(ttl=True, per_subject_max=1))
        await bus.append(S, A, b"short", id="id-1", ttl_s=1)
        await bus.append(S, B, b"for ever", id="id-2")
        await bus.append(S, "hf.berlin01.journal.c", b"long", id="id-3", ttl_s=3_600)

        async def gone() -> bool:
            return await bus.last(S, A) is None

        await eventually(gone, within_s=5)
        assert seqs(await take(bus.follow(S), 2)) == [2, 3]


@on_both_buses
async def test_trimming_removes_below_and_never_moves_the_end(server: Server) -> None:
    async with server.connect() as bus:
        await bus.ensure_stream(spec())
        await fill(bus, 10)
        await bus.trim(S, 4)
        state = await bus.state(S)
        assert (state.first_seq, state.last_seq, state.messages) == (4, 10, 7)
        assert await bus.get(S, 3) is None
        assert seqs(await take(bus.follow(S, start=1), 2)) == [4, 5]
        await bus.trim(S, 999)
        assert ((await bus.state(S)).first_seq, (await bus.state(S)).messages) == (11, 0)
        assert (await bus.append(S, A, b"", id="next")).seq == 11


@on_both_buses
async def test_the_fold_floor_is_what_the_slowest_fold_has_acknowledged(server: Server) -> None:
    async with server.connect() as bus:
        await bus.ensure_stream(spec())
        await fill(bus, 10)
        assert await bus.fold_floor(S) is None
        await pulled(bus.pull(S, "reader_x"), 10)
        assert await bus.fold_floor(S) is None
        await pulled(bus.pull(S, "fold_a"), 8)
        await pulled(bus.pull(S, "fold_b"), 3, ack=False)
        assert await bus.fold_floor(S) == 0
        await pulled(bus.pull(S, "fold_b"), 5)

        async def floor_is_five() -> bool:
            return await bus.fold_floor(S) == 5  # acknowledgements are sent, not confirmed

        await eventually(floor_is_five)


@on_both_buses
async def test_a_fold_with_a_snapshot_moves_the_floor_without_reading(server: Server) -> None:
    async with server.connect() as bus:
        await bus.ensure_stream(spec())
        await fill(bus, 10)
        await bus.folded(S, "fold_a", 0)
        assert await bus.fold_floor(S) == 0
        await bus.folded(S, "fold_a", 7)
        assert await bus.fold_floor(S) == 7
        await fill(bus, 2, begin=11)
        await bus.folded(S, "fold_a", 12)
        assert await bus.fold_floor(S) == 12
        with pytest.raises(StreamGone):
            await bus.folded("JOURNAL_berlin01_bbbbbbbb", "fold_a", 1)


# --- requests ---


@on_both_buses
async def test_a_request_is_answered_refused_at_once_or_timed_out(server: Server) -> None:
    async with server.connect("asker") as asker, server.connect("answerer") as answerer:

        async def echo(request: Request) -> bytes:
            return request.subject.encode() + b" " + request.data

        async def too_slow(_: Request) -> bytes:
            await asyncio.sleep(60)
            return b""

        async def broken(_: Request) -> bytes:
            raise ValueError("no such thing")

        await answerer.respond("hf.*.up.echo", echo)
        await answerer.respond("hf.berlin01.rpc.slow", too_slow)
        await answerer.respond("hf.berlin01.rpc.broken", broken)
        answer = await asker.request("hf.berlin01.up.echo", b"hi", timeout_ms=PATIENT_MS)
        assert answer == b"hf.berlin01.up.echo hi"

        with pytest.raises(NoResponder):
            await asker.request("hf.berlin01.rpc.nobody", b"", timeout_ms=PATIENT_MS)
        with pytest.raises(RequestTimedOut):
            await asker.request("hf.berlin01.rpc.slow", b"", timeout_ms=300)
        reply = await asker.request("hf.berlin01.rpc.broken", b"", timeout_ms=PATIENT_MS)
        assert "no such thing" in Failure.from_bytes(reply).error


@on_both_buses
async def test_a_slow_answer_does_not_hold_up_the_others(server: Server) -> None:
    async with server.connect("asker") as asker, server.connect("answerer") as answerer:
        release = asyncio.Event()

        async def wait(request: Request) -> bytes:
            if request.data == b"release":
                release.set()
            await release.wait()
            return request.data

        await answerer.respond("hf.berlin01.rpc.wait", wait)
        async with asyncio.TaskGroup() as group:
            slow = [
                group.create_task(
                    asker.request("hf.berlin01.rpc.wait", b"w", timeout_ms=PATIENT_MS)
                )
                for _ in range(20)
            ]
            await asker.request("hf.berlin01.rpc.wait", b"release", timeout_ms=PATIENT_MS)
        assert [task.result() for task in slow] == [b"w"] * 20


@on_both_buses
async def test_responders_are_back_when_the_server_is(server: Server) -> None:
    async with server.connect("asker") as asker, server.connect("answerer") as answerer:

        async def echo(request: Request) -> bytes:
            return request.data

        await answerer.respond("hf.berlin01.rpc.echo", echo)
        await server.kill()
        with pytest.raises(RequestTimedOut):
            await asker.request("hf.berlin01.rpc.echo", b"?", timeout_ms=500)
        await server.start()
        subject = "hf.berlin01.rpc.echo"
        assert await eventually(lambda: asker.request(subject, b"!", timeout_ms=500)) == b"!"


# --- life ---


@on_both_buses
async def test_readers_and_writers_learn_that_the_disk_is_lost(server: Server) -> None:
    async with server.connect() as bus:
        await bus.ensure_stream(spec())
        await fill(bus, 5)
        pull, follow = bus.pull(S, "reader_x"), bus.follow(S)
        for source in (pull, follow):
            await anext(source)
        await server.kill(wipe=True)
        await server.start()
        for source in (pull, follow):
            with pytest.raises(StreamGone):
                await read_on(source)
        with pytest.raises(StreamGone):
            await bus.state(S)
        with pytest.raises(StreamGone):
            await pulled(bus.pull(S, "reader_x"), 1)


@on_both_buses
async def test_a_stream_made_anew_under_its_old_name_is_not_the_old_one(server: Server) -> None:
    async with server.connect() as bus:
        await bus.ensure_stream(spec())
        await fill(bus, 5)
        follow = bus.follow(S)
        await anext(follow)
        await bus.delete_stream(S)
        await bus.delete_stream(S)  # gone is gone
        await bus.ensure_stream(spec())
        await fill(bus, 3, begin=100)
        with pytest.raises(StreamGone):
            await read_on(follow)


@on_both_buses
async def test_making_a_stream_twice_changes_nothing(server: Server) -> None:
    async with server.connect() as bus:
        full = spec(atomic=True, ttl=True, per_subject_max=3, age_max_s=60)
        assert await bus.ensure_stream(full)
        assert not await bus.ensure_stream(full)
        assert await bus.ensure_stream(spec(atomic=True, ttl=True, bytes_max=1 << 25))
        assert (await bus.state(S)).bytes_max == 1 << 25
        with pytest.raises(AdminRefused):
            await bus.ensure_stream(spec(name="OTHER"))


@on_both_buses
async def test_a_stream_that_gives_up_its_subjects_keeps_its_content(server: Server) -> None:
    async with server.connect() as bus:
        await bus.ensure_stream(spec())
        await fill(bus, 3)
        await bus.release_subjects(S, "hf.retired.berlin01.aaaaaaaa.journal")
        assert await bus.ensure_stream(spec(name="JOURNAL_berlin01_bbbbbbbb"))
        assert await bus.stream_of(SUBJECTS) == "JOURNAL_berlin01_bbbbbbbb"
        assert (await bus.state(S)).messages == 3
        with pytest.raises(WrongStream):
            await bus.append(S, A, b"", id="late")


@on_both_buses
async def test_a_closed_connection_says_so(server: Server) -> None:
    async with server.connect() as bus:
        await bus.ensure_stream(spec())
    with pytest.raises(BusClosed):
        await bus.append(S, A, b"", id="id-1")
    with pytest.raises(BusClosed):
        await bus.state(S)
    with pytest.raises(BusClosed):
        await anext(bus.pull(S, "reader_x"))


# --- a key-value bucket: the newest of each key, written only by who has read it ---

KV = StreamSpec(
    name=subjects.UPSTREAM_KV,
    subjects=(subjects.UPSTREAM_KV_SUBJECTS,),
    bytes_max=1 << 24,
    when_full="refuse",
    per_subject_max=1,
)


@on_both_buses
async def test_a_key_is_written_only_by_who_has_read_its_newest(server: Server) -> None:
    one, other = subjects.upstream_site("berlin01"), subjects.upstream_site("munich01")
    async with server.connect() as bus:
        await bus.ensure_stream(KV)
        first = await bus.append(KV.name, one, b"1", id="1", last_seq=0)
        with pytest.raises(Conflict):
            await bus.append(KV.name, one, b"late", id="2", last_seq=0)
        await bus.append(KV.name, other, b"x", id="3", last_seq=0)
        second = await bus.append(KV.name, one, b"2", id="4", last_seq=first.seq)
        with pytest.raises(Conflict):
            await bus.append(KV.name, one, b"stale", id="5", last_seq=first.seq)
        newest = await bus.last(KV.name, one)
        assert newest is not None
        assert (newest.data, newest.seq) == (b"2", second.seq)
        assert await bus.held(KV.name, subjects.UPSTREAM_KV_SUBJECTS) == 2


@on_both_buses
async def test_a_write_whose_acknowledgement_was_lost_is_known_by_its_id(server: Server) -> None:
    key = subjects.upstream_site("berlin01")
    async with server.connect() as bus:
        await bus.ensure_stream(KV)
        await bus.append(KV.name, key, b"1", id="1", last_seq=0)
        with pytest.raises(Conflict):
            await bus.append(KV.name, key, b"1", id="1", last_seq=0)
        newest = await bus.last(KV.name, key)
        assert newest is not None
        assert newest.id == "1"
