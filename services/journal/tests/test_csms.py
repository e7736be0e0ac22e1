"""Goal: a site is told how its CSMS is: as its bridge says while that lives, down when nobody speaks for it,
none when nobody ever did.

Method: the pure judgement as a table; the follower on a simulated bus and on a real server; and a pulse through the
whole service.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from holdfast import subjects
from holdfast.bus import StreamSpec
from holdfast.clock import SystemClock
from holdfast.contracts.csms import InstanceAlive, SiteOwned
from holdfast.contracts.mode import CsmsState
from holdfast_testkit.eventually import eventually
from holdfast_testkit.nats_server import single_server
from holdfast_testkit.sim_bus import SimBus
from holdfast_testkit.sim_clock import SimClock, virtual_time
from journal.cloud_scope import csms as csms_watch
from journal.cloud_scope.csms import INSTANCES_MAX, CsmsWatch
from journal.domain import csms as judgement
from journal.domain.csms import BEAT_MS_MAX, Beat, Ownership, csms_of, heard, owned

SITE = "berlin01"
NONE, UP, DOWN = CsmsState.NONE, CsmsState.UP, CsmsState.DOWN
BUCKET = StreamSpec(
    name=subjects.UPSTREAM_KV,
    subjects=(subjects.UPSTREAM_KV_SUBJECTS,),
    bytes_max=1 << 20,
    when_full="refuse",
    per_subject_max=1,
)


def record(owner: str | None = "b1", csms: CsmsState = UP, epoch: int = 1) -> SiteOwned:
    return SiteOwned(site=SITE, owner=owner, epoch=epoch, csms=csms)


# --- the judgement ---


@pytest.mark.parametrize(
    ("ownership", "beat", "state"),
    [
        (None, None, NONE),
        (None, Beat(1, 99_000), NONE),
        (Ownership(record(), 0), Beat(7, 99_000), UP),
        (Ownership(record(csms=DOWN), 0), Beat(7, 99_000), DOWN),
        (Ownership(record(csms=NONE), 0), Beat(7, 99_000), NONE),
        (Ownership(record(), 0), Beat(7, 90_001), UP),
        (Ownership(record(), 0), Beat(7, 90_000), DOWN),
        (Ownership(record(), 90_001), None, UP),
        (Ownership(record(), 90_000), None, DOWN),
        (Ownership(record(), 95_000), Beat(7, 1_000), UP),
        (Ownership(record(owner=None), 99_000), Beat(7, 99_000), DOWN),
    ],
)
def test_the_record_counts_while_its_owner_lives(
    ownership: Ownership | None, beat: Beat | None, state: CsmsState
) -> None:
    assert csms_of(ownership, beat, 100_000) is state


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20_000)), min_size=1))
def test_a_beat_is_as_old_as_its_first_reading(readings: list[tuple[int, int]]) -> None:
    beat, mono_ms, since_ms, last = None, 0, 0, None
    for number, passed_ms in readings:
        mono_ms += passed_ms
        if number != last:
            last, since_ms = number, mono_ms
        beat = heard(beat, InstanceAlive(instance="b1", beat=number), mono_ms)
        assert beat == Beat(number, since_ms)


def test_a_new_owner_is_given_its_time_and_a_new_word_of_the_old_one_is_not() -> None:
    first = owned(None, record(), 1_000)
    assert owned(first, record(csms=DOWN), 5_000).named_mono_ms == 1_000
    assert owned(first, record("b2", epoch=2), 5_000).named_mono_ms == 5_000
    assert owned(first, record(epoch=2), 5_000).named_mono_ms == 5_000


# --- the follower ---


class Bucket:
    """The cloud's server, what a bridge writes there, and the follower."""

    def __init__(self) -> None:
        self.clock = SimClock()
        self.bus = SimBus(self.clock)
        self.registry = CollectorRegistry()
        self.watch = CsmsWatch(self.bus.client("journal"), self.clock, self.registry)
        self._ids = iter(range(1_000_000))

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[CsmsWatch]:
        task = asyncio.get_running_loop().create_task(self.watch.follow())
        try:
            yield self.watch
        finally:
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

    async def put(self, subject: str, data: bytes) -> None:
        await self.bus.append(subjects.UPSTREAM_KV, subject, data, id=f"id-{next(self._ids)}")

    async def own(self, owner: str | None = "b1", csms: CsmsState = UP, epoch: int = 1) -> None:
        await self.put(subjects.upstream_site(SITE), record(owner, csms, epoch).to_bytes())

    async def beat(self, beat: int, instance: str = "b1") -> None:
        alive = InstanceAlive(instance=instance, beat=beat)
        await self.put(subjects.upstream_instance(instance), alive.to_bytes())

    async def beats(self, seconds: int, begin: int = 0) -> None:
        for number in range(seconds):
            await self.beat(begin + number)
            await self.clock.sleep_ms(1_000)

    async def becomes(self, state: CsmsState) -> None:
        await eventually(lambda: self.watch.state(SITE) is state, within_s=5)


@virtual_time
async def test_what_the_bridge_says_of_a_site_is_told_and_followed() -> None:
    bucket = Bucket()
    await bucket.bus.ensure_stream(BUCKET)
    async with bucket.followed() as watch:
        assert watch.state(SITE) is NONE
        await bucket.own()
        await bucket.beat(1)
        await bucket.becomes(UP)
        await bucket.own(csms=DOWN)
        await bucket.becomes(DOWN)
        await bucket.own(csms=UP)
        await bucket.becomes(UP)
        assert watch.state("munich01") is NONE
        await bucket.own(owner=None)
        await bucket.becomes(DOWN)


@virtual_time
async def test_a_bridge_that_dies_leaves_its_csms_down_until_another_takes_over() -> None:
    bucket = Bucket()
    await bucket.bus.ensure_stream(BUCKET)
    async with bucket.followed() as watch:
        await bucket.own()
        await bucket.beats(30)
        assert watch.state(SITE) is UP
        await bucket.clock.sleep_ms(BEAT_MS_MAX - 2_000)
        assert watch.state(SITE) is UP
        await bucket.clock.sleep_ms(2_000)
        assert watch.state(SITE) is DOWN
        await bucket.own("b2", epoch=2)
        await bucket.becomes(UP)
        await bucket.clock.sleep_ms(BEAT_MS_MAX)
        assert watch.state(SITE) is DOWN, "it was named and never heard"


@virtual_time
async def test_an_old_record_read_at_a_start_counts_from_when_it_was_read() -> None:
    bucket = Bucket()
    await bucket.bus.ensure_stream(BUCKET)
    await bucket.own()
    await bucket.beat(41)
    await bucket.clock.sleep_ms(3_600_000)
    async with bucket.followed() as watch:
        await watch.until_read()
        assert watch.state(SITE) is UP
        await bucket.clock.sleep_ms(BEAT_MS_MAX)
        assert watch.state(SITE) is DOWN


@virtual_time
async def test_the_same_beat_read_again_after_the_server_was_away_is_no_sign_of_life() -> None:
    bucket = Bucket()
    await bucket.bus.ensure_stream(BUCKET)
    await bucket.own()
    await bucket.beat(41)
    async with bucket.followed() as watch:
        await bucket.becomes(UP)
        for _ in range(3):
            await bucket.clock.sleep_ms(3_000)
            bucket.bus.crash()
            bucket.bus.start()
        await bucket.clock.sleep_ms(2_000)
        assert watch.state(SITE) is DOWN


@virtual_time
async def test_without_a_bucket_no_site_has_a_csms_until_there_is_one() -> None:
    bucket = Bucket()
    async with bucket.followed() as watch:
        begun_ms = bucket.clock.monotonic_ms()
        await watch.until_read()
        assert bucket.clock.monotonic_ms() - begun_ms < 100
        await bucket.clock.sleep_ms(60_000)
        assert watch.state(SITE) is NONE
        await bucket.bus.ensure_stream(BUCKET)
        await bucket.own()
        await bucket.becomes(UP)
        await bucket.bus.delete_stream(subjects.UPSTREAM_KV)
        await bucket.clock.sleep_ms(20_000)
        assert watch.state(SITE) is DOWN


@virtual_time
async def test_a_site_whose_key_is_deleted_has_no_csms() -> None:
    bucket = Bucket()
    await bucket.bus.ensure_stream(BUCKET)
    async with bucket.followed():
        await bucket.own()
        await bucket.becomes(UP)
        await bucket.put(subjects.upstream_site(SITE), b"")
        await bucket.becomes(NONE)


@virtual_time
async def test_unreadable_records_are_counted_and_what_stood_before_goes_on_standing() -> None:
    bucket = Bucket()
    await bucket.bus.ensure_stream(BUCKET)
    async with bucket.followed() as watch:
        await bucket.own()
        await bucket.beat(1)
        await bucket.becomes(UP)
        await bucket.put(subjects.upstream_site(SITE), b"{")
        await bucket.put(subjects.upstream_instance("b1"), b'{"instance":"b1"}')
        await bucket.put(subjects.upstream_site("%FF"), record().to_bytes())
        await bucket.put(subjects.upstream_charge_point("main", SITE, "CP-01"), b"not ours")
        await bucket.clock.sleep_ms(1_000)
        assert watch.state(SITE) is UP
        name = "holdfast_journal_upstream_records_unreadable_total"
        assert bucket.registry.get_sample_value(name) == 3


@virtual_time
async def test_instances_that_came_and_went_are_forgotten_and_the_one_that_lives_is_not() -> None:
    bucket = Bucket()
    await bucket.bus.ensure_stream(BUCKET)
    async with bucket.followed() as watch:
        await bucket.own()
        for number in range(INSTANCES_MAX + 50):
            await bucket.beat(1, instance=f"gone-{number}")
            if number % 100 == 0:
                await bucket.beat(number)
        await bucket.clock.sleep_ms(100)
        assert watch.state(SITE) is UP
        assert len(watch._beats) == INSTANCES_MAX


# --- the whole service ---


@virtual_time
async def test_a_pulse_is_answered_with_how_the_csms_is(world: Callable[..., Any]) -> None:
    async with world() as it:
        assert (await it.pulse()).csms is NONE
        await it.cloud.ensure_stream(BUCKET)
        owned_by_b1 = record().to_bytes()
        await it.cloud.append(
            subjects.UPSTREAM_KV, subjects.upstream_site(SITE), owned_by_b1, id="1"
        )

        async def told(state: CsmsState) -> bool:
            return (await it.pulse()).csms is state

        await eventually(lambda: told(UP), within_s=5)
        await eventually(lambda: told(DOWN), within_s=15)
        await it.in_cloud.restart()
        await eventually(lambda: told(UP), within_s=5)
        assert it.in_cloud.ends == []


# --- a real server ---


@pytest.mark.nats
async def test_on_a_real_server_the_bucket_is_followed_from_before_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csms_watch, "FIRST_READ_S", 60)
    monkeypatch.setattr(judgement, "BEAT_MS_MAX", 60_000)
    async with single_server(tmp_path) as server, server.connect() as bus:
        watch = CsmsWatch(bus, SystemClock(), CollectorRegistry())
        task = asyncio.get_running_loop().create_task(watch.follow())
        await watch.until_read()
        assert watch.state(SITE) is NONE
        await bus.ensure_stream(BUCKET)
        subject = subjects.upstream_site(SITE)
        for number, state in enumerate((UP, DOWN, UP)):
            data = record(csms=state).to_bytes()
            await bus.append(subjects.UPSTREAM_KV, subject, data, id=f"s{number}")
            alive = InstanceAlive(instance="b1", beat=number).to_bytes()
            beat = subjects.upstream_instance("b1")
            await bus.append(subjects.UPSTREAM_KV, beat, alive, id=f"b{number}")
            await eventually(lambda state=state: watch.state(SITE) is state)
        again = CsmsWatch(bus, SystemClock(), CollectorRegistry())
        other = asyncio.get_running_loop().create_task(again.follow())
        await again.until_read()
        assert again.state(SITE) is UP
        for one in (task, other):
            one.cancel()
        await asyncio.wait([task, other])
