"""Goal: durable copies between a site and the cloud, simulated and real alike, with production's permissions.

Permission faults stall only beyond 1,000 messages, so the first test uses more than 5,000.
"""

import asyncio
import json
from dataclasses import replace

import pytest

from holdfast import subjects
from holdfast.bus import (
    CopySpec,
    NoResponder,
    Request,
    RequestFailed,
    ServerBus,
    StreamGone,
    StreamSpec,
    StreamState,
)
from holdfast_testkit.both import OTHER_SITE, SITE, Pair, on_both_links
from holdfast_testkit.eventually import eventually

FIRST, SECOND = "aaaaaaaa", "bbbbbbbb"
DOMAIN = subjects.domain(SITE)
WITHIN_S = 60
PATIENT_MS = 20_000


def journal(incarnation: str) -> StreamSpec:
    return StreamSpec(
        name=subjects.journal_stream(SITE, incarnation),
        subjects=(subjects.journal_all(SITE),),
        bytes_max=1 << 26,
        when_full="refuse",
        atomic=True,
    )


def journal_copy(incarnation: str) -> CopySpec:
    name = subjects.journal_stream(SITE, incarnation)
    return CopySpec(
        name=name,
        origin_domain=DOMAIN,
        consumer=subjects.up_consumer(SITE),
        deliver=subjects.up_deliver(SITE, name),
    )


DOWNLINK = StreamSpec(
    name=subjects.DOWNLINK,
    subjects=(subjects.DOWNLINK_SUBJECTS,),
    bytes_max=1 << 26,
    when_full="refuse",
    per_subject_max=1,
    ttl=True,
)
DOWNLINK_COPY = CopySpec(
    name=subjects.DOWNLINK,
    origin_domain=subjects.CLOUD,
    consumer=subjects.down_consumer(SITE),
    deliver=subjects.down_deliver(SITE),
    per_subject_max=1,
    ttl=True,
)


async def open_journal(site: ServerBus, incarnation: str) -> None:
    await site.ensure_stream(journal(incarnation))
    copy = journal_copy(incarnation)
    await site.bind_consumer(copy.name, copy.consumer, copy.deliver, subjects.journal_all(SITE))


async def link_is_up(site: ServerBus, cloud: ServerBus) -> None:
    """As a site knows it: by an answer of the cloud. A copy begun earlier may stay empty."""

    async def answer(_: Request) -> bytes:
        return b"here"

    await cloud.respond(subjects.up_from_any("pulse"), answer)
    pulse = subjects.up(SITE, "pulse")
    await eventually(lambda: site.request(pulse, b"", timeout_ms=1_000), within_s=WITHIN_S)


async def copy_journal(cloud: ServerBus, incarnation: str) -> bool:
    """As the cloud does: once the consumer is seen over the link."""
    copy = journal_copy(incarnation)
    await eventually(
        lambda: cloud.has_consumer(copy.name, copy.consumer, domain=DOMAIN), within_s=WITHIN_S
    )
    return await cloud.ensure_copy(copy)


async def bind_downlink(cloud: ServerBus, site: ServerBus) -> None:
    """As the cloud does when a site asks for it, over a link that is there."""
    await link_is_up(site, cloud)
    copy = DOWNLINK_COPY
    await cloud.bind_consumer(copy.name, copy.consumer, copy.deliver, subjects.down_all(SITE))


async def write(site: ServerBus, incarnation: str, count: int, begin: int = 1) -> None:
    stream = subjects.journal_stream(SITE, incarnation)
    subject = subjects.journal(SITE, "session", "metered", "CP-01")
    for first in range(begin, begin + count, 200):
        names = [
            f"{incarnation} {number}" for number in range(first, min(first + 200, begin + count))
        ]
        await asyncio.gather(
            *(
                site.append(stream, subject, name.encode(), id=name.replace(" ", "-"))
                for name in names
            )
        )


async def send(cloud: ServerBus, *commands: str, ttl_s: int | None = None) -> None:
    for command in commands:
        subject = subjects.down_command(SITE, command)
        await cloud.append(subjects.DOWNLINK, subject, b"{}", id=command, ttl_s=ttl_s)


async def arrived(bus: ServerBus, stream: str, last_seq: int) -> StreamState:
    async def look() -> StreamState | None:
        state = await bus.state(stream)
        return state if state.last_seq >= last_seq else None

    return await eventually(look, within_s=WITHIN_S)


async def commands_at(site: ServerBus, count: int) -> StreamState:
    async def look() -> StreamState | None:
        state = await site.state(subjects.DOWNLINK)
        return state if state.messages == count else None

    return await eventually(look, within_s=WITHIN_S)


async def known_to_origin(cloud: ServerBus, seq: int) -> None:
    """The consumer in the cloud has heard that the site's copy holds everything up to `seq`."""
    subject = f"$JS.API.CONSUMER.INFO.{subjects.DOWNLINK}.{DOWNLINK_COPY.consumer}"

    async def look() -> bool:
        try:
            info = json.loads(await cloud.request(subject, b"", timeout_ms=PATIENT_MS))
        except NoResponder:
            await asyncio.sleep(3)  # the simulated one has no such subject, and is that quick
            return True
        return bool(info["ack_floor"]["stream_seq"] >= seq)

    await eventually(look, within_s=WITHIN_S)


async def rules_at(site: ServerBus, version: bytes) -> bool:
    rules = await site.last(subjects.DOWNLINK, subjects.down_rules(SITE))
    return rules is not None and rules.data == version


@on_both_links
async def test_a_journal_is_copied_whole_over_cuts(pair: Pair) -> None:
    name = subjects.journal_stream(SITE, FIRST)
    async with pair.site.connect() as site, pair.cloud.connect() as cloud:
        await open_journal(site, FIRST)
        assert await copy_journal(cloud, FIRST)
        assert not await cloud.ensure_copy(journal_copy(FIRST))
        await write(site, FIRST, 5_500)
        await arrived(cloud, name, 5_500)

        pair.cut(silent=False)
        await write(site, FIRST, 1_200, begin=5_501)
        await asyncio.sleep(2)
        pair.heal()
        await arrived(cloud, name, 6_700)

        pair.cut()
        await write(site, FIRST, 300, begin=6_701)
        await asyncio.sleep(1)
        pair.heal()
        state = await arrived(cloud, name, 7_000)

        assert (state.first_seq, state.messages) == (1, 7_000)
        assert state.silent_ms is not None
        for seq in (1, 5_501, 7_000):
            here, there = await site.get(name, seq), await cloud.get(name, seq)
            assert here is not None
            assert there is not None
            assert there == replace(here, pending=there.pending)
            assert await cloud.fetch(name, seq, domain=DOMAIN) == here
        assert await cloud.fetch(name, 7_001, domain=DOMAIN) is None


@on_both_links
async def test_a_wiped_site_goes_on_as_a_new_incarnation_beside_its_old_copy(pair: Pair) -> None:
    old, new = (subjects.journal_stream(SITE, one) for one in (FIRST, SECOND))
    async with pair.cloud.connect() as cloud:
        async with pair.site.connect() as site:
            await open_journal(site, FIRST)
            await copy_journal(cloud, FIRST)
            await write(site, FIRST, 800)
            await arrived(cloud, old, 800)
        await pair.site.kill(wipe=True)
        await pair.site.start()
        async with pair.site.connect() as site:
            await open_journal(site, SECOND)
            await write(site, SECOND, 1_000)
            await copy_journal(cloud, SECOND)
            state = await arrived(cloud, new, 1_000)
        assert (state.first_seq, state.messages) == (1, 1_000)
        before = await cloud.state(old)
        assert (before.last_seq, before.messages) == (800, 800)
        last = await cloud.get(old, 800)
        assert last is not None
        assert last.data == f"{FIRST} 800".encode()

        await cloud.retire_copy(old, subjects.retired(SITE, FIRST, "journal"))
        retired = await cloud.state(old)
        assert (retired.messages, retired.silent_ms) == (800, None)
        assert retired.subjects == (subjects.retired(SITE, FIRST, "journal"),)


@on_both_links
async def test_an_incarnation_on_the_same_disk_takes_the_subjects_over(pair: Pair) -> None:
    new = subjects.journal_stream(SITE, SECOND)
    async with pair.site.connect() as site, pair.cloud.connect() as cloud:
        await open_journal(site, FIRST)
        await copy_journal(cloud, FIRST)
        await write(site, FIRST, 10)
        await arrived(cloud, journal(FIRST).name, 10)
        await site.release_subjects(journal(FIRST).name, subjects.retired(SITE, FIRST, "journal"))
        await open_journal(site, SECOND)
        await copy_journal(cloud, SECOND)
        await write(site, SECOND, 10)
        assert (await arrived(cloud, new, 10)).messages == 10
        assert (await cloud.state(journal(FIRST).name)).messages == 10


@on_both_links
async def test_a_lost_cloud_copy_is_filled_again_when_bound_before_it_is_made(pair: Pair) -> None:
    copy = journal_copy(FIRST)
    async with pair.site.connect() as site, pair.cloud.connect() as cloud:
        await open_journal(site, FIRST)
        await copy_journal(cloud, FIRST)
        await write(site, FIRST, 300)
        await arrived(cloud, copy.name, 300)
        await cloud.delete_stream(copy.name)
        await cloud.bind_consumer(
            copy.name, copy.consumer, copy.deliver, subjects.journal_all(SITE), domain=DOMAIN
        )
        await cloud.ensure_copy(copy)
        assert (await arrived(cloud, copy.name, 300)).messages == 300


@on_both_links
async def test_a_paused_consumer_holds_its_copy_back(pair: Pair) -> None:
    copy = journal_copy(FIRST)
    async with pair.site.connect() as site, pair.cloud.connect() as cloud:
        await open_journal(site, FIRST)
        await copy_journal(cloud, FIRST)
        await write(site, FIRST, 10)
        await arrived(cloud, copy.name, 10)
        message = await site.get(copy.name, 10)
        assert message is not None
        await site.pause_consumer(copy.name, copy.consumer, message.stored_at_ms + 600_000)
        await write(site, FIRST, 10, begin=11)
        await asyncio.sleep(2)
        assert (await cloud.state(copy.name)).last_seq == 10
        await site.pause_consumer(copy.name, copy.consumer, None)
        assert (await arrived(cloud, copy.name, 20)).messages == 20


# --- downlink: the order of binding and copying ---


@on_both_links
async def test_a_downlink_copy_holds_the_newest_of_each_subject_and_nothing_expired(
    pair: Pair,
) -> None:
    async with pair.site.connect() as site, pair.cloud.connect() as cloud:
        await cloud.ensure_stream(DOWNLINK)
        await send(cloud, *(f"c{number}" for number in range(1_500)))
        await cloud.append(
            subjects.DOWNLINK, subjects.down_command(OTHER_SITE, "x"), b"{}", id="other"
        )
        await bind_downlink(cloud, site)
        await site.ensure_copy(DOWNLINK_COPY)
        await commands_at(site, 1_500)
        for version in (b"1", b"2"):
            subject = subjects.down_rules(SITE)
            await cloud.append(subjects.DOWNLINK, subject, version, id=f"rules {version!r}")
        await eventually(lambda: rules_at(site, b"2"), within_s=WITHIN_S)
        await commands_at(site, 1_501)  # the older rules made room for the newer
        await send(cloud, "short", ttl_s=10)
        await commands_at(site, 1_502)
        pair.cut(silent=False)
        await commands_at(site, 1_501)  # it expired here, though the cloud can't say so


@on_both_links
async def test_a_wiped_site_gets_its_downlink_back_when_bound_before_it_copies(pair: Pair) -> None:
    async with pair.cloud.connect() as cloud:
        await cloud.ensure_stream(DOWNLINK)
        await send(cloud, "c1", "c2", "c3")
        async with pair.site.connect() as site:
            await bind_downlink(cloud, site)
            await site.ensure_copy(DOWNLINK_COPY)
            await commands_at(site, 3)
            await known_to_origin(cloud, 3)
        await pair.site.kill(wipe=True)
        await pair.site.start()
        async with pair.site.connect() as site:
            await bind_downlink(cloud, site)
            await site.ensure_copy(DOWNLINK_COPY)
            await commands_at(site, 3)


@on_both_links
async def test_a_downlink_copy_made_over_a_used_consumer_is_spoiled_until_it_is_made_again(
    pair: Pair,
) -> None:
    async with pair.cloud.connect() as cloud:
        await cloud.ensure_stream(DOWNLINK)
        await send(cloud, "c1", "c2", "c3")
        async with pair.site.connect() as site:
            await bind_downlink(cloud, site)
            await site.ensure_copy(DOWNLINK_COPY)
            await commands_at(site, 3)
            await known_to_origin(cloud, 3)
        await pair.site.kill(wipe=True)
        await pair.site.start()
        async with pair.site.connect() as site:
            await link_is_up(site, cloud)
            await site.ensure_copy(DOWNLINK_COPY)
            spoiled = await arrived(site, subjects.DOWNLINK, 3)
            assert (spoiled.first_seq, spoiled.messages) == (4, 0)
            await bind_downlink(cloud, site)
            await send(cloud, "c4")
            state = await arrived(site, subjects.DOWNLINK, 4)
            assert (state.first_seq, state.messages) == (4, 1)

            await site.delete_stream(subjects.DOWNLINK)
            await bind_downlink(cloud, site)
            await site.ensure_copy(DOWNLINK_COPY)
            await commands_at(site, 4)


@on_both_links
async def test_a_site_cut_off_since_its_first_day_gets_its_downlink_once_bound(pair: Pair) -> None:
    async with pair.site.connect() as site, pair.cloud.connect() as cloud:
        await cloud.ensure_stream(DOWNLINK)
        await send(cloud, "c1", "c2", "c3")
        pair.cut(silent=False)
        with pytest.raises(StreamGone):
            await site.state(subjects.DOWNLINK)
        await asyncio.sleep(2)
        pair.heal()
        await bind_downlink(cloud, site)
        await site.ensure_copy(DOWNLINK_COPY)
        await commands_at(site, 3)


@on_both_links
async def test_binding_again_under_a_live_copy_does_no_harm(pair: Pair) -> None:
    async with pair.site.connect() as site, pair.cloud.connect() as cloud:
        await cloud.ensure_stream(DOWNLINK)
        await send(cloud, "c1", "c2", "c3")
        await bind_downlink(cloud, site)
        await site.ensure_copy(DOWNLINK_COPY)
        await commands_at(site, 3)
        await bind_downlink(cloud, site)
        await bind_downlink(cloud, site)
        await send(cloud, "c4")
        await commands_at(site, 4)


# --- what may cross ---


@on_both_links
async def test_the_cloud_reads_a_journal_and_can_not_cut_it(pair: Pair) -> None:
    name = subjects.journal_stream(SITE, FIRST)
    async with pair.site.connect() as site, pair.cloud.connect() as cloud:
        await open_journal(site, FIRST)
        await write(site, FIRST, 5)
        await eventually(
            lambda: cloud.has_consumer(name, "up_" + SITE, domain=DOMAIN), within_s=WITHIN_S
        )
        for verb in ("PURGE", "DELETE", "UPDATE", "MSG.DELETE"):
            with pytest.raises(RequestFailed):
                await cloud.request(
                    f"$JS.{DOMAIN}.API.STREAM.{verb}.{name}", b'{"seq":1}', timeout_ms=1_000
                )
        assert (await site.state(name)).messages == 5
        with pytest.raises(StreamGone):
            await cloud.fetch("JOURNAL_none", 1, domain=DOMAIN)


@on_both_links
async def test_a_site_speaks_for_itself_only(pair: Pair) -> None:
    async with pair.site.connect("edge") as site, pair.cloud.connect("journal") as cloud:
        asked: list[str] = []

        async def answer(request: Request) -> bytes:
            asked.append(request.subject)
            return request.subject.encode()

        await cloud.respond(subjects.up_from_any("pulse"), answer)
        await cloud.respond(subjects.cloud_rpc("command"), answer)
        await cloud.respond(subjects.cloud_rpc("rollout"), answer)
        await cloud.respond(subjects.published_rules(SITE), answer)
        await site.respond(subjects.rpc(SITE, "mode"), answer)
        own, other = subjects.up(SITE, "pulse"), subjects.up(OTHER_SITE, "pulse")
        reply = await eventually(
            lambda: site.request(own, b"", timeout_ms=1_000), within_s=WITHIN_S
        )
        assert reply == own.encode()
        mode = subjects.rpc(SITE, "mode")
        # Over the leaf a subscription is known a little later, and each way for itself.
        reply = await eventually(
            lambda: cloud.request(mode, b"", timeout_ms=1_000), within_s=WITHIN_S
        )
        assert reply == mode.encode()
        for forbidden in (
            other,
            subjects.cloud_rpc("command"),
            subjects.cloud_rpc("rollout"),
            subjects.published_rules(SITE),
            subjects.rpc(OTHER_SITE, "mode"),
        ):
            with pytest.raises(RequestFailed):
                await site.request(forbidden, b"", timeout_ms=1_000)
        # Nothing of it cost the site its own uplink, and nothing of it came before this.
        assert await site.request(own, b"", timeout_ms=PATIENT_MS) == own.encode()
        assert set(asked) == {own, mode}


@on_both_links
async def test_a_closed_link_is_known_at_once(pair: Pair) -> None:
    async with pair.site.connect() as site, pair.cloud.connect() as cloud:

        async def answer(_: Request) -> bytes:
            return b"beat"

        await cloud.respond(subjects.up_from_any("pulse"), answer)
        own = subjects.up(SITE, "pulse")
        await eventually(lambda: site.request(own, b"", timeout_ms=1_000), within_s=WITHIN_S)
        pair.cut()
        with pytest.raises(RequestFailed):
            await site.request(own, b"", timeout_ms=1_000)
        pair.heal()
        await eventually(lambda: site.request(own, b"", timeout_ms=1_000), within_s=WITHIN_S)
        pair.cut(silent=False)

        async def refused() -> bool:
            try:
                await site.request(own, b"", timeout_ms=1_000)
            except NoResponder:
                return True
            return False

        await eventually(refused, within_s=WITHIN_S)


@on_both_links
async def test_nobody_but_the_local_stream_acknowledges(pair: Pair) -> None:
    """A stream of the cloud that binds the site's subjects never sees what the site's services write."""
    async with pair.site.connect() as site, pair.cloud.connect() as cloud:
        greedy = replace(journal(FIRST), name="GREEDY", atomic=False)
        await cloud.ensure_stream(greedy)
        await asyncio.sleep(2)
        with pytest.raises(StreamGone):
            await site.append(journal(FIRST).name, subjects.journal(SITE, "x"), b"", id="1")
        assert (await cloud.state("GREEDY")).messages == 0
