"""Goal: the journal service of a site and of the cloud, together, on simulated servers and a link that fails:
the cloud ends with what the site has, verified and republished in order, or names what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from holdfast import rpc, subjects
from holdfast.contracts.journal import GapCause, StorageLevel, StorageStatus
from holdfast.contracts.mode import Mode, Pulse, PulseReply
from holdfast.contracts.rpc import Empty
from holdfast.contracts.rules import RulesActivated
from holdfast.store import open_store, sqlite_url
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_clock import virtual_time
from holdfast_testkit.sim_options import SimOptions
from journal.site_scope.store import SiteStore

SITE = "berlin01"
Worlds = Callable[..., Any]


@virtual_time
async def test_what_a_site_records_is_verified_archived_and_republished_in_order(
    world: Worlds,
) -> None:
    async with world() as it:
        await it.record(25)
        head = await it.in_sync()
        stored = it.stored(head.incarnation)
        assert len(stored) >= 26
        assert await it.pages(it.cloud, subjects.cloud_rpc("entries")) == stored[: head.seq]
        await eventually(lambda: it.published() == stored[: head.seq])
        assert await it.pages(it.site, subjects.rpc(SITE, "entries")) == it.stored(head.incarnation)
        (copy,) = await it.copies()
        assert (copy.watermark, copy.chain_verified, copy.retired) == (head.seq, True, False)
        assert (await it.gaps()).gaps == ()
        assert it.at_site.ends == it.in_cloud.ends == []


@virtual_time
async def test_the_republished_bytes_are_the_stored_bytes(world: Worlds) -> None:
    async with world() as it:
        await it.record(3)
        head = await it.in_sync()
        await eventually(lambda: len(it.published()) >= head.seq)
        mine = it.site.disk.streams[subjects.journal_stream(SITE, head.incarnation)].messages
        theirs = it.cloud.disk.streams[subjects.CLOUD_JOURNAL].messages
        for message in theirs.values():
            seq = int(message.headers["Hf-Seq"])
            assert message.data == mine[seq].data
            assert message.id == f"{SITE}.{head.incarnation}.{seq}"
            assert message.subject == subjects.cloud_journal(SITE, mine[seq].subject)


@virtual_time
async def test_a_long_cut_is_caught_up_and_nothing_is_missing(world: Worlds) -> None:
    async with world() as it:
        await it.record(5)
        await it.in_sync()
        it.link.cut()
        await it.record(2_500)
        await it.clock.sleep_ms(600_000)
        it.link.heal()
        head = await it.in_sync()
        assert head.seq >= 2_500
        await eventually(lambda: it.published() == it.stored(head.incarnation)[: head.seq])
        assert (await it.gaps()).gaps == ()


@virtual_time
async def test_holes_in_the_copy_are_fetched_again_from_the_site(world: Worlds) -> None:
    async with world() as it:
        it.link.options = SimOptions(copy_loss_ratio=0.2)
        await it.record(200)
        it.link.options = SimOptions()
        await it.record(1)
        head = await it.in_sync()
        assert (
            await it.pages(it.cloud, subjects.cloud_rpc("entries"), 100)
            == (it.stored(head.incarnation)[: head.seq])
        )
        assert (await it.gaps()).gaps == ()


@virtual_time
async def test_an_entry_that_the_site_lost_is_a_named_gap_and_the_chain_goes_on(
    world: Worlds,
) -> None:
    async with world() as it:
        await it.record(5)
        await it.in_sync()
        it.link.cut()
        await it.record(5)
        head = await it.head()
        stream = it.site.disk.streams[subjects.journal_stream(SITE, head.incarnation)]
        stream.remove(8)
        stream.remove(9)
        it.link.heal()
        await it.record(5)
        await it.in_sync()
        (gap,) = (await it.gaps()).gaps
        assert (gap.from_seq, gap.to_seq, gap.cause) == (8, 9, GapCause.NOT_AT_ORIGIN)
        (copy,) = await it.copies()
        assert not copy.chain_verified


@virtual_time
async def test_a_new_disk_is_a_new_incarnation_and_what_is_lost_is_named(world: Worlds) -> None:
    async with world() as it:
        await it.record(10)
        old = await it.in_sync()
        it.link.cut()
        await it.record(4)  # nobody will ever see these again
        await it.lose_disk()
        it.link.heal()
        await it.record(6)
        new = await it.in_sync()
        assert new.incarnation != old.incarnation

        async def named() -> bool:
            return len((await it.gaps()).gaps) == 1

        await eventually(named)
        (gap,) = (await it.gaps()).gaps
        assert (gap.incarnation, gap.from_seq, gap.to_seq) == (old.incarnation, old.seq + 1, None)
        assert gap.cause is GapCause.DISK_LOST
        assert gap.from_ms <= gap.to_ms
        first, second = await it.copies()
        assert (first.incarnation, first.retired) == (old.incarnation, True)
        assert (second.incarnation, second.retired) == (new.incarnation, False)
        expected = [(old.incarnation, seq) for seq in range(1, old.seq + 1)]
        expected += it.stored(new.incarnation)[: new.seq]
        await eventually(lambda: it.published() == expected)
        assert await it.pages(it.cloud, subjects.cloud_rpc("entries")) == expected


@virtual_time
async def test_the_downlink_of_a_rebuilt_site_is_filled_again(world: Worlds) -> None:
    async with world() as it:
        await it.record(1)
        await it.in_sync()
        await it.cloud.append(subjects.DOWNLINK, subjects.down_rules(SITE), b"rules", id="rules-1")

        async def has_rules() -> bool:
            return await it.site.last(subjects.DOWNLINK, subjects.down_rules(SITE)) is not None

        await eventually(has_rules)
        await it.lose_disk()
        await it.record(1)
        await it.in_sync()
        await eventually(has_rules)


@virtual_time
async def test_an_old_disk_put_back_opens_a_new_incarnation(world: Worlds) -> None:
    async with world() as it:
        await it.record(10)
        old = await it.in_sync()
        stream = it.site.disk.streams[subjects.journal_stream(SITE, old.incarnation)]
        for seq in range(6, old.seq + 1):  # the disk as it was at 5
            stream.remove(seq)
        stream.last_seq = 5
        it.lives += 1  # its store is of then, too
        await it.at_site.restart()

        async def anew() -> bool:
            return (await it.head()).incarnation != old.incarnation

        await eventually(anew, within_s=60)
        assert "IncarnationChanged" in it.at_site.ends[0]
        new = await it.in_sync()
        assert new.incarnation != old.incarnation
        first = it.stored(new.incarnation)[0]
        message = it.site.disk.streams[subjects.journal_stream(SITE, new.incarnation)].messages[1]
        assert first == (new.incarnation, 1)
        assert b'"cause":"fork"' in message.data
        assert old.incarnation.encode() in message.data


@virtual_time
async def test_a_stream_older_than_its_own_snapshot_is_a_fork_even_without_a_cloud(
    world: Worlds,
) -> None:
    async with world() as it:
        it.link.cut()
        await it.record(10)
        old = await it.head()
        await it.clock.sleep_ms(70_000)  # a checkpoint, and with it a snapshot
        stream = it.site.disk.streams[subjects.journal_stream(SITE, old.incarnation)]
        last = stream.last_seq
        for seq in range(6, last + 1):
            stream.remove(seq)
        stream.last_seq = 5
        await it.at_site.restart()

        async def anew() -> bool:
            return (await it.head()).incarnation != old.incarnation

        await eventually(anew, within_s=60)


@virtual_time
async def test_a_pulse_that_is_merely_late_is_no_fork(world: Worlds) -> None:
    async with world() as it:
        await it.record(5)
        early = await it.head()
        sent = it.clock.now_ms()
        await it.record(5)
        await it.in_sync()
        late = Pulse(at_ms=sent, mode=Mode.CONNECTED, head=early, rules_version=0, backlog=0)
        reply = await rpc.call(
            it.site, subjects.up(SITE, "pulse"), late, PulseReply, timeout_ms=1_000
        )
        assert not reply.fork
        again = Pulse(
            at_ms=it.clock.now_ms() + 1, mode=Mode.CONNECTED, head=early, rules_version=0, backlog=0
        )
        reply = await rpc.call(
            it.site, subjects.up(SITE, "pulse"), again, PulseReply, timeout_ms=1_000
        )
        assert reply.fork


@virtual_time
async def test_a_pulse_is_answered_at_once_though_the_site_cannot_be_reached(
    world: Worlds,
) -> None:
    """The link is cut right behind the pulse: copies can't be made now, and are at a later pulse."""
    async with world() as it:
        await it.record(3)
        head = await it.head()
        it.link.cut()
        pulse = Pulse(
            at_ms=it.clock.now_ms(), mode=Mode.CONNECTED, head=head, rules_version=0, backlog=0
        )
        subject = subjects.up(SITE, "pulse")
        asked_ms = it.clock.monotonic_ms()
        reply = await rpc.call(it.cloud, subject, pulse, PulseReply, timeout_ms=1_000)
        assert it.clock.monotonic_ms() - asked_ms < 10
        assert (reply.incarnation, reply.watermark, reply.fork) == (None, 0, False)
        await it.clock.sleep_ms(30_000)
        assert await it.copies() == []
        it.link.heal()
        await it.in_sync()


@virtual_time
async def test_a_head_signed_by_another_key_makes_no_copy(world: Worlds) -> None:
    async with world() as it:
        await it.record(1)
        head = await it.head()
        forged = head.model_copy(update={"incarnation": "zzzzzzzz"})
        reply = await it.pulse(forged)
        assert (reply.incarnation, reply.fork) == (None, False)
        await it.clock.sleep_ms(10_000)
        assert "zzzzzzzz" not in {copy.incarnation for copy in await it.copies()}


@virtual_time
async def test_a_copy_that_gets_nothing_while_the_head_grows_is_bound_anew(world: Worlds) -> None:
    """As when the cloud's NATS was put back: its origin believes it had everything."""
    async with world() as it:
        await it.record(5)
        head = await it.in_sync()
        name = subjects.journal_stream(SITE, head.incarnation)
        consumer = it.site.disk.streams[name].consumers[subjects.up_consumer(SITE)]
        consumer.floor = consumer.delivered = head.seq + 10
        await it.record(20)
        await it.in_sync(within_s=120)


@virtual_time
async def test_a_deleted_copy_is_made_again(world: Worlds) -> None:
    async with world() as it:
        await it.record(5)
        head = await it.in_sync()
        await it.cloud.delete_stream(subjects.journal_stream(SITE, head.incarnation))
        await it.record(5)
        head = await it.in_sync(within_s=120)
        assert (await it.gaps()).gaps == ()
        await eventually(lambda: it.published() == it.stored(head.incarnation)[: head.seq])


@virtual_time
async def test_an_unreadable_message_is_chained_archived_and_quarantined_once(
    world: Worlds,
) -> None:
    async with world() as it:
        await it.record(2)
        head = await it.head()
        stream = subjects.journal_stream(SITE, head.incarnation)
        await it.site.append(stream, subjects.journal(SITE, "mode", "changed"), b"{", id="bad")
        await it.record(2)
        await it.at_site.restart()
        await it.clock.sleep_ms(3_700_000)  # beyond the dedupe window
        await it.at_site.restart()
        await it.record(1)
        await it.in_sync()
        messages = it.site.disk.streams[stream].messages.values()
        quarantined = [one for one in messages if b"journal.message-quarantined" in one.data]
        assert len(quarantined) == 1
        assert (await it.gaps()).gaps == ()


@virtual_time
async def test_an_unreadable_message_that_left_the_disk_is_named_and_places_are_kept_again(
    world: Worlds,
) -> None:
    async with world() as it:
        await it.record(2)
        name = (await it.head()).incarnation
        stream = it.site.disk.streams[subjects.journal_stream(SITE, name)]
        topic = subjects.journal(SITE, "mode", "changed")
        stored = await it.site.append(subjects.journal_stream(SITE, name), topic, b"{", id="bad")
        bad = stored.seq
        it.site.disk.refuse_writes = True  # it is chained, and no fact of it can be written

        async def is_chained() -> bool:
            return (await it.head()).seq >= bad

        await eventually(is_chained)
        stream.remove(bad)
        it.site.disk.refuse_writes = False
        await it.record(2)
        await it.clock.sleep_ms(70_000)  # a checkpoint
        (fact,) = [
            json.loads(one.data)["body"]
            for one in stream.messages.values()
            if b"journal.message-quarantined" in one.data
        ]
        assert (fact["seq"], fact["subject"], fact["data_base64"]) == (bad, topic, "")
        assert "left this disk" in fact["reason"]
        kept = SiteStore(open_store(sqlite_url(it.folder / "site-0", "journal"))).load(name)
        assert kept is not None
        assert kept.seq > bad


@virtual_time
async def test_a_full_disk_is_the_hard_level_and_it_heals_when_there_is_room(
    world: Worlds,
) -> None:
    async with world() as it:
        await it.record(5)
        await it.head()

        async def level() -> StorageLevel:
            status = await rpc.call(
                it.site, subjects.rpc(SITE, "storage"), Empty(), StorageStatus, timeout_ms=1_000
            )
            return status.level

        it.site.disk.refuse_writes = True

        async def is_hard() -> bool:
            return await level() is StorageLevel.HARD

        async def is_ok() -> bool:
            return await level() is StorageLevel.OK

        await eventually(is_hard, within_s=120)
        it.site.disk.refuse_writes = False
        await eventually(is_ok, within_s=30)
        await it.in_sync()


@virtual_time
async def test_a_small_journal_says_soft_before_it_is_full(world: Worlds) -> None:
    async with world(journal_bytes_max=1 << 17) as it:
        await it.record(300)
        head = await it.head()
        await it.clock.sleep_ms(5_000)
        stream = it.site.disk.streams[subjects.journal_stream(SITE, head.incarnation)]
        levels = [
            one.data for one in stream.messages.values() if b"storage-level-changed" in one.data
        ]
        assert any(b'"soft"' in one for one in levels)


@virtual_time
async def test_a_journal_is_trimmed_below_the_watermark_with_an_anchor_and_still_verifies(
    world: Worlds,
) -> None:
    async with world() as it:
        recorder = await it.recorder("rule-service")
        text = "version: 1\nstorage: {retention_ms: 30000}"
        await recorder.record(RulesActivated(version=1, hash="h", text=text, previous_version=0))
        for _ in range(5):
            await it.record(500)
            await it.clock.sleep_ms(2_000)
        head = await it.in_sync()
        name = subjects.journal_stream(SITE, head.incarnation)
        await it.clock.sleep_ms(120_000)
        stream = it.site.disk.streams[name]
        await it.record(3)
        head = await it.in_sync()
        assert stream.first_seq > 1_000
        await it.at_site.restart()
        await it.record(3)
        head = await it.in_sync()
        assert (await it.gaps()).gaps == ()
        (copy,) = await it.copies()
        assert copy.chain_verified
        # The site's own store is lost: the chain begins at the anchor, and is the same.
        it.lives += 1
        await it.at_site.restart()
        await it.record(3)
        await it.in_sync()
        assert len(await it.copies()) == 1
