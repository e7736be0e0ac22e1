"""Goal: killed after any lasting effect (an append, a stream made, a consumer bound, a copy retired, a batch
committed), the journal service takes up exactly what is left to do: one incarnation, one archive, no loss.

Method: the process is closed inside its nth effect, before it knows of it; its supervisor starts it again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, event

from holdfast import subjects
from holdfast.contracts.journal import GapCause
from holdfast.contracts.rules import RulesActivated
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_clock import virtual_time
from holdfast_testkit.sim_options import SimOptions
from holdfast_testkit.sim_server import Effect

SITE = "berlin01"
Worlds = Callable[..., Any]


def kill_after(it: Any, process: Any, server: Any, count: int) -> None:
    """The service dies inside its `count`th effect from now on; once."""
    left = [count]

    def after(effect: Effect) -> None:
        if effect.client.name != "journal":
            return
        left[0] -= 1
        if left[0] == 0:
            process.bus.close()

    server.server.after_effect = after


@pytest.mark.parametrize("count", range(1, 9))
@virtual_time
async def test_a_site_killed_while_it_opens_its_life_opens_exactly_one(
    world: Worlds, count: int
) -> None:
    async with world() as it:
        kill_after(it, it.at_site, it.site, count)
        await it.record(3)
        head = await it.in_sync()
        journals = [name for name in it.site.disk.streams if name.startswith("JOURNAL_")]
        assert journals == [subjects.journal_stream(SITE, head.incarnation)]
        messages = it.site.disk.streams[journals[0]].messages.values()
        assert sum(b"incarnation-opened" in one.data for one in messages) == 1
        telemetry = it.site.disk.streams[subjects.telemetry_stream(SITE, head.incarnation)]
        assert subjects.up_consumer(SITE) in telemetry.consumers


@pytest.mark.parametrize("count", range(1, 12))
@virtual_time
async def test_a_site_killed_while_it_ends_a_forked_life_opens_exactly_one_more(
    world: Worlds, count: int
) -> None:
    async with world() as it:
        await it.record(10)
        old = await it.in_sync()
        stream = it.site.disk.streams[subjects.journal_stream(SITE, old.incarnation)]
        for seq in range(6, stream.last_seq + 1):
            stream.remove(seq)
        stream.last_seq = 5
        it.lives += 1
        kill_after(it, it.at_site, it.site, count)
        await it.at_site.restart()

        async def anew() -> bool:
            return (await it.head()).incarnation != old.incarnation

        await eventually(anew, within_s=90)
        await it.record(2)
        await it.in_sync()
        assert len([name for name in it.site.disk.streams if name.startswith("JOURNAL_")]) == 2


@pytest.mark.parametrize("count", range(1, 14))
@virtual_time
async def test_a_cloud_killed_after_any_effect_republishes_everything_once_and_in_order(
    world: Worlds, count: int
) -> None:
    async with world() as it:
        kill_after(it, it.in_cloud, it.cloud, count)
        await it.record(8)
        old = await it.in_sync()
        await it.lose_disk()
        kill_after(it, it.in_cloud, it.cloud, count)
        await it.record(4)
        new = await it.in_sync()
        expected = [(old.incarnation, seq) for seq in range(1, old.seq + 1)]
        expected += it.stored(new.incarnation)[: new.seq]
        await eventually(lambda: it.published() == expected, within_s=30)
        assert len((await it.gaps()).gaps) == 1


@pytest.mark.parametrize("count", range(1, 10))
@pytest.mark.parametrize("moment", ["begin", "commit"])
@virtual_time
async def test_a_cloud_killed_around_any_transaction_ends_with_the_same_archive(
    world: Worlds, moment: str, count: int
) -> None:
    left = [count]

    async with world() as it:

        def die(*_: object) -> None:
            left[0] -= 1
            if left[0] == 0:
                it.in_cloud.bus.close()
                raise OSError("killed")

        event.listen(Engine, moment, die)
        try:
            await it.record(8)
            head = await it.in_sync()
            assert (
                await it.pages(it.cloud, subjects.cloud_rpc("entries"))
                == (it.stored(head.incarnation)[: head.seq])
            )
            await eventually(
                lambda: it.published() == it.stored(head.incarnation)[: head.seq], within_s=30
            )
        finally:
            event.remove(Engine, moment, die)


@pytest.mark.parametrize("seed", range(12))
@virtual_time
async def test_killed_again_and_again_both_ends_finish_with_the_same_journal(
    world: Worlds, seed: int
) -> None:
    options = SimOptions(
        seed=seed,
        ack_loss_ratio=0.02,
        duplicate_ratio=0.1,
        delay_ms_max=40,
        append_ms_max=5,
        copy_loss_ratio=0.01,
        request_loss_ratio=0.05,
    )
    async with world(options) as it:
        for _ in range(15):
            await it.record_through(it.rng.randint(1, 30))
            await it.try_pulse()
            await it.clock.sleep_ms(it.rng.randint(1, 3_000))
            await misfortune(it)
        it.link.heal()
        it.link.options = it.site.server.options = it.cloud.server.options = SimOptions()
        await it.record(1)
        head = await it.in_sync()
        stored = it.stored(head.incarnation)[: head.seq]
        assert stored == [(head.incarnation, seq) for seq in range(1, head.seq + 1)]
        await eventually(lambda: it.published() == stored, within_s=60)
        assert (await it.gaps()).gaps == ()
        (copy,) = await it.copies()
        assert copy.chain_verified


async def misfortune(it: Any) -> None:
    match it.rng.randint(0, 5):
        case 0:
            await it.at_site.restart()
        case 1:
            await it.in_cloud.restart()
        case 2:
            it.link.cut(silent=it.rng.random() < 0.5)
        case 3:
            it.link.heal()
        case 4:
            it.site.crash()
            await it.clock.sleep_ms(500)
            it.site.start()
        case 5:
            it.cloud.crash()
            await it.clock.sleep_ms(500)
            it.cloud.start()


@pytest.mark.parametrize("count", [1, 3, 6])
@virtual_time
async def test_what_was_published_before_a_long_death_is_not_published_again(
    world: Worlds, count: int
) -> None:
    """Beyond the dedupe window only CLOUD_JOURNAL itself can tell how far it was."""
    async with world() as it:
        left = [count]

        def after(effect: Effect) -> None:
            if (effect.verb, effect.stream) == ("append", subjects.CLOUD_JOURNAL):
                left[0] -= 1
                if left[0] == 0:
                    it.in_cloud.bus.close()

        it.cloud.server.after_effect = after
        await it.record(8)

        async def is_dead() -> bool:
            await it.try_pulse()
            return left[0] <= 0

        await eventually(is_dead)
        await it.in_cloud.kill()
        assert len(it.published()) == count
        await it.clock.sleep_ms(2 * 3_600_000)
        it.in_cloud.start()
        head = await it.in_sync()
        stored = it.stored(head.incarnation)[: head.seq]
        await eventually(lambda: it.published() == stored, within_s=30)


@pytest.mark.parametrize("verb", ["append", "trim"])
@virtual_time
async def test_a_site_killed_while_it_trims_has_its_anchor_even_without_its_own_store(
    world: Worlds, verb: str
) -> None:
    async with world() as it:
        recorder = await it.recorder("rule-service")
        text = "version: 1\nstorage: {retention_ms: 30000}"
        await recorder.record(RulesActivated(version=1, hash="h", text=text, previous_version=0))
        for _ in range(3):
            await it.record(600)
            await it.clock.sleep_ms(2_000)
        head = await it.in_sync()
        stream = it.site.disk.streams[subjects.journal_stream(SITE, head.incarnation)]
        died: list[int] = []

        def after(effect: Effect) -> None:
            trims = effect.verb == "trim"
            anchors = effect.verb == "append" and b"journal.trimmed" in _data(stream, effect.seq)
            if not died and (trims if verb == "trim" else anchors):
                died.append(effect.seq)
                it.lives += 1  # its store dies with it
                it.at_site.bus.close()

        it.site.server.after_effect = after
        await eventually(lambda: died, within_s=300)
        await it.at_site.restart()
        await it.record(3)
        await it.in_sync()
        assert stream.first_seq > 1
        assert (await it.gaps()).gaps == ()
        (copy,) = await it.copies()
        assert copy.chain_verified


def _data(stream: Any, seq: int) -> bytes:
    message = stream.messages.get(seq)
    return message.data if message else b""


@virtual_time
async def test_what_the_copy_of_a_lost_disk_still_holds_is_read_before_the_loss_is_named(
    world: Worlds,
) -> None:
    async with world() as it:
        await it.record(5)
        old = await it.in_sync()
        await it.in_cloud.kill()
        await it.record(40)  # the servers copy on by themselves
        last = it.stored(old.incarnation)[-1][1]
        copied = it.cloud.disk.streams[subjects.journal_stream(SITE, old.incarnation)]
        await eventually(lambda: copied.last_seq == last)
        await it.lose_disk()
        it.in_cloud.start()
        await it.record(3)
        new = await it.in_sync()

        async def named() -> bool:
            return bool((await it.gaps()).gaps)

        await eventually(named)
        (gap,) = (await it.gaps()).gaps
        assert (gap.from_seq, gap.to_seq, gap.cause) == (last + 1, None, GapCause.DISK_LOST)
        expected = [(old.incarnation, seq) for seq in range(1, last + 1)]
        expected += it.stored(new.incarnation)[: new.seq]
        await eventually(lambda: it.published() == expected, within_s=30)


@virtual_time
async def test_a_lost_cloud_journal_is_filled_again_from_the_archive_of_every_life(
    world: Worlds,
) -> None:
    async with world() as it:
        await it.record(10)
        await it.in_sync()
        await it.lose_disk()
        await it.record(6)
        await it.in_sync()

        async def all_of_it() -> bool:
            return it.published() == await it.pages(it.cloud, subjects.cloud_rpc("entries"))

        await eventually(all_of_it)
        before = it.published()
        assert len({incarnation for incarnation, _ in before}) == 2
        await it.in_cloud.kill()
        await it.cloud.delete_stream(subjects.CLOUD_JOURNAL)
        await it.make_cloud_streams()
        # Killed while it fills: what is filled already says where to go on, in the older life and the newer.
        for _ in before:
            kill_after(it, it.in_cloud, it.cloud, 3)
            it.in_cloud.start()
            await it.clock.sleep_ms(5_000)
            await it.in_cloud.kill()
        it.cloud.server.after_effect = None
        it.in_cloud.start()
        await it.in_sync()
        await eventually(all_of_it)
        assert it.published()[: len(before)] == before
