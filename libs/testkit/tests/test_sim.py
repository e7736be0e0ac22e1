"""Goal: the simulation itself can be trusted: time is virtual, chance is seeded, faults do what they say.

What the simulated bus shares with a real server is tested in tests/contract; here is what only it has.
"""

import asyncio
import itertools

import pytest

from holdfast.bus import CopySpec, NoResponder, NotAcknowledged, RequestTimedOut, StreamSpec
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_bus import SimBus
from holdfast_testkit.sim_clock import SimClock, run_virtual, virtual_time
from holdfast_testkit.sim_link import SimLink
from holdfast_testkit.sim_options import SimOptions

SITE = "berlin01"
JOURNAL = f"JOURNAL_{SITE}_aaaaaaaa"


def journal_spec() -> StreamSpec:
    return StreamSpec(
        name=JOURNAL,
        subjects=(f"hf.{SITE}.journal.>",),
        bytes_max=1 << 24,
        when_full="refuse",
    )


def copy_spec() -> CopySpec:
    return CopySpec(
        name=JOURNAL,
        origin_domain=f"site-{SITE}",
        consumer=f"up_{SITE}",
        deliver=f"sync.up.{SITE}.{JOURNAL}",
    )


async def copied_world(
    options: SimOptions, trace: list[str] | None = None
) -> tuple[SimBus, SimBus, SimLink]:
    clock, rng = SimClock(), options.chance()
    site = SimBus(clock, domain=f"site-{SITE}", options=options, rng=rng, trace=trace)
    cloud = SimBus(clock, domain="cloud", options=options, rng=rng, trace=trace)
    await site.ensure_stream(journal_spec())
    spec = copy_spec()
    await site.bind_consumer(JOURNAL, spec.consumer, spec.deliver, f"hf.{SITE}.journal.>")
    await cloud.ensure_copy(spec)
    return site, cloud, SimLink(site, cloud, site=SITE)


async def write(bus: SimBus, count: int, prefix: str = "m") -> None:
    for number in range(count):
        while True:
            try:
                await bus.append(JOURNAL, f"hf.{SITE}.journal.x", b"data", id=f"{prefix}-{number}")
                break
            except NotAcknowledged:
                continue


async def settled(cloud: SimBus, seq: int) -> None:
    async def there() -> bool:
        return (await cloud.state(JOURNAL)).last_seq >= seq

    await eventually(there, within_s=600)


@virtual_time
async def test_days_pass_at_once_and_the_wall_clock_can_be_stepped() -> None:
    clock = SimClock()
    before = clock.now_ms()
    await clock.sleep_ms(3 * 86_400_000)
    clock.step_ms(-1_000)
    assert clock.now_ms() - before == 3 * 86_400_000 - 1_000
    assert clock.monotonic_ms() == 3 * 86_400_000


def test_a_run_that_does_not_end_is_ended() -> None:
    async def forever() -> None:
        for _ in itertools.count():
            await asyncio.sleep(1)

    with pytest.raises(TimeoutError):
        run_virtual(forever(), within_ms=60_000)


def _run(seed: int) -> list[str]:
    trace: list[str] = []

    async def main() -> None:
        options = SimOptions(
            seed=seed,
            append_ms_max=20,
            ack_loss_ratio=0.05,
            delay_ms_max=200,
            cut_every_ms=20_000,
            copy_loss_ratio=0.02,
        )
        site, _, link = await copied_world(options, trace)
        async with link:
            await write(site, 200)
            await asyncio.sleep(60)
            site.crash()
            await asyncio.sleep(1)
            site.start()
            await write(site, 50, "later")
            await asyncio.sleep(120)

    run_virtual(main())
    return trace


def test_the_same_seed_gives_the_same_trace() -> None:
    assert _run(3) == _run(3)
    assert _run(3) != _run(4)


@virtual_time
async def test_a_copy_resumes_after_cuts_and_loses_nothing() -> None:
    site, cloud, link = await copied_world(SimOptions(seed=1, delay_ms_max=50))
    async with link:
        await write(site, 100)
        await settled(cloud, 100)
        for way in ("both", "up", "down"):
            link.cut(way)
            await write(site, 1500, way)
            await asyncio.sleep(30)
            link.heal()
            await settled(cloud, (await site.state(JOURNAL)).last_seq)
        state = await cloud.state(JOURNAL)
        assert (state.messages, state.first_seq) == (4600, 1)


@virtual_time
async def test_a_lost_copy_message_is_a_hole_that_the_origin_still_has() -> None:
    site, cloud, link = await copied_world(SimOptions(seed=5, copy_loss_ratio=0.1))
    async with link:
        await write(site, 100)
        await asyncio.sleep(1)
        holes = [seq for seq in range(1, 100) if await cloud.get(JOURNAL, seq) is None]
        assert holes
        again = await cloud.fetch(JOURNAL, holes[0], domain=f"site-{SITE}")
        assert again is not None
        assert again.seq == holes[0]


@virtual_time
async def test_a_black_hole_times_out_and_a_closed_link_fails_at_once() -> None:
    site, cloud, link = await copied_world(SimOptions(delay_ms_min=5, delay_ms_max=5))
    clock = SimClock()

    async def pulse(_: object) -> bytes:
        return b"beat"

    async with link:
        await cloud.client("journal").respond("hf.*.up.pulse", pulse)
        assert await site.request(f"hf.{SITE}.up.pulse", b"", timeout_ms=1000) == b"beat"
        for way in ("both", "up", "down"):
            link.cut(way)
            before = clock.monotonic_ms()
            with pytest.raises(RequestTimedOut):
                await site.request(f"hf.{SITE}.up.pulse", b"", timeout_ms=1000)
            assert clock.monotonic_ms() - before == 1000
        link.cut(silent=False)
        with pytest.raises(NoResponder):
            await site.request(f"hf.{SITE}.up.pulse", b"", timeout_ms=1000)
        link.heal()
        assert await site.request(f"hf.{SITE}.up.pulse", b"", timeout_ms=1000) == b"beat"
        with pytest.raises(NoResponder):
            await site.request("hf.munich01.up.pulse", b"", timeout_ms=1000)
        assert (await cloud.state(JOURNAL)).silent_ms is not None


@virtual_time
async def test_everything_acknowledged_survives_a_crash_of_the_server() -> None:
    site = SimBus(SimClock(), domain="site", options=SimOptions(seed=2, append_ms_max=50))
    await site.ensure_stream(journal_spec())
    acknowledged: list[int] = []

    async def writer() -> None:
        for number in range(200):
            while True:
                try:
                    stored = await site.append(
                        JOURNAL, f"hf.{SITE}.journal.x", b"", id=f"m-{number}"
                    )
                    break
                except NotAcknowledged:
                    continue
            acknowledged.append(stored.seq)

    async with asyncio.TaskGroup() as group:
        group.create_task(writer())
        for _ in range(5):
            await asyncio.sleep(0.7)
            site.crash()
            await asyncio.sleep(0.3)
            site.start()
    assert acknowledged == list(range(1, 201))
