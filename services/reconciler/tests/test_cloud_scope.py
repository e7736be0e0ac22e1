"""The reconciler in the cloud, as it ships, on a simulated bus: any batching, redelivery and restart gives
the digest the site has; lives of a site are joined; and what CLOUD_JOURNAL no longer holds comes from the
archive.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from holdfast import subjects
from holdfast.bus import StreamSpec
from holdfast.contracts.decision import Basis
from holdfast.contracts.driver_tokens import TokenStatus
from holdfast.contracts.envelope import Contract, Entry, Envelope, Fact, body_of
from holdfast.contracts.journal import Copies, CopiesRequest, CopyStatus, Entries, EntriesRequest
from holdfast.contracts.recovery import Digest, DigestRequest
from holdfast.contracts.rules import RulesActivated, RulesRefused
from holdfast.contracts.session import Sessions, SessionsRequest, SessionStarted, SessionStopped
from holdfast.entries import Read
from holdfast.health import Health
from holdfast.rpc import call, serve
from holdfast.service import Context
from holdfast.store import open_store
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_bus import SimBus
from holdfast_testkit.sim_clock import SimClock, SimIds, run_virtual
from holdfast_testkit.sim_options import SimOptions
from reconciler import app
from reconciler.adapters.store import Life, ReadTo, SessionStore
from reconciler.config import Config
from reconciler.domain.sessions import FOLD_VERSION
from reconciler.folding import Placed, fold_batch

SITE = "berlin01"
OLD, NEW = Life(SITE, "aaaaaaaa"), Life(SITE, "bbbbbbbb")


def session_started(tx: int) -> SessionStarted:
    return SessionStarted(
        charge_point="CP-01",
        connector=1,
        session=f"CP-01/{tx}",
        transaction_id=tx,
        driver_token="TOKEN",
        meter_start_wh=1000,
        at="2026-01-01T10:00:00Z",
        status=TokenStatus.ACCEPTED,
        basis=Basis.LIST,
        flagged=False,
        decision="d",
        message_id="m",
        raw="{}",
    )


def session_stopped(tx: int) -> SessionStopped:
    return SessionStopped(
        charge_point="CP-01",
        session=f"CP-01/{tx}",
        transaction_id=tx,
        meter_stop_wh=3000,
        at="2026-01-01T11:00:00Z",
        reason="Local",
        message_id="m",
        raw="{}",
    )


def entry(life: Life, seq: int, fact: Fact) -> Entry:
    envelope = Envelope(
        id=f"{life.incarnation}-{seq}",
        type=fact.TYPE,
        at_ms=seq,
        site=life.site,
        incarnation=life.incarnation,
        source="test",
        body=body_of(fact),
    )
    return Entry(seq=seq, envelope=envelope)


@dataclass
class Cloud:
    folder: Path
    clock: SimClock
    bus: SimBus
    rng: random.Random
    archive: list[Entry] = field(default_factory=list)
    watermark: int = 1_000_000

    @classmethod
    async def make(cls, folder: Path, options: SimOptions | None = None) -> Cloud:
        clock, rng = SimClock(), random.Random(options.seed if options else 1)
        cloud = cls(folder, clock, SimBus(clock, options=options), rng)
        await cloud.bus.ensure_stream(
            StreamSpec(
                name=subjects.CLOUD_JOURNAL,
                subjects=(subjects.CLOUD_JOURNAL_SUBJECTS,),
                bytes_max=1 << 24,
                when_full="drop-oldest",
            )
        )
        return cloud

    async def publish(self, life: Life, seq: int, fact: Fact) -> None:
        """As the journal service republishes: bytes unchanged, the place in the headers."""
        await self.bus.append(
            subjects.CLOUD_JOURNAL,
            subjects.cloud_journal(life.site, subjects.journal(life.site, *fact.TYPE.split("."))),
            entry(life, seq, fact).envelope.to_bytes(),
            id=f"{life.site}.{life.incarnation}.{seq}",
            headers={"Hf-Site": life.site, "Hf-Incarnation": life.incarnation, "Hf-Seq": str(seq)},
        )

    async def serve_archive(self) -> None:
        journal = self.bus.client("journal")

        async def copies(_: CopiesRequest, __: str) -> Contract:
            status = CopyStatus(
                site=OLD.site,
                incarnation=OLD.incarnation,
                committed_seq=99,
                watermark=self.watermark,
                head_seq=99,
                chain_verified=True,
                retired=False,
                pulse_at_ms=None,
            )
            return Copies(copies=(status,))

        async def entries(request: EntriesRequest, _: str) -> Contract:
            start = int(request.after or 0)
            page = self.archive[start : start + 2]
            more = start + 2 < len(self.archive)
            return Entries(
                entries=tuple(page),
                subjects=("",) * len(page),
                next=str(start + 2) if more else None,
            )

        await serve(journal, subjects.cloud_rpc("copies"), CopiesRequest, copies)
        await serve(journal, subjects.cloud_rpc("entries"), EntriesRequest, entries)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[SimBus]:
        client = self.bus.client("reconciler")
        config = Config(
            scope="cloud",
            nats_url="nats://sim",
            nats_user="u",
            nats_password_file=self.folder / "none",
            data_dir=self.folder,
        )
        context = Context(
            config, client, self.clock, SimIds(self.rng), self.rng, Health("reconciler")
        )
        task = asyncio.get_running_loop().create_task(app.run(context))
        try:
            yield client
        finally:
            client.close()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def store(self) -> SessionStore:
        return SessionStore(open_store(f"sqlite:///{self.folder / 'reconciler.sqlite'}"), "1.1")

    async def until(self, life: Life, seq: int) -> None:
        await eventually(lambda: self.store().position(life).seq >= seq, within_s=300)


def random_facts(rng: random.Random, count: int) -> list[Fact]:
    kinds = (session_started, session_stopped, lambda _: RulesRefused(version=None, reason="x"))
    return [rng.choice(kinds)(rng.randint(1, 5)) for _ in range(count)]


def digest_at_site(folder: Path, facts: Sequence[Fact], seq: int) -> Digest:
    store = SessionStore(open_store(f"sqlite:///{folder / 'site.sqlite'}"), "1")
    batch = [
        Placed(life=OLD, seq=n, read=Read(entry(OLD, n, fact), fact))
        for n, fact in enumerate(facts, start=1)
    ]
    store.commit("S", ReadTo(len(batch), "id"), fold_batch(store, batch))
    return store.digest(OLD, seq)


async def fold_under_faults(folder: Path, seed: int) -> None:
    cloud = await Cloud.make(folder, SimOptions(seed=seed, duplicate_ratio=0.2))
    facts = random_facts(cloud.rng, 150)

    async def publish_all() -> None:
        for seq, fact in enumerate(facts, start=1):
            await cloud.publish(OLD, seq, fact)
            await asyncio.sleep(cloud.rng.choice((0, 0, 0.01)))

    async with asyncio.TaskGroup() as group:
        group.create_task(publish_all())
        while cloud.store().position(OLD).seq < len(facts):
            async with cloud.running():
                await asyncio.sleep(cloud.rng.uniform(0, 0.5))
    async with cloud.running() as bus:
        request = DigestRequest(incarnation=OLD.incarnation, seq=120, fold_version=FOLD_VERSION)

        async def asked() -> Digest:
            subject = subjects.up(SITE, "digest")
            return await call(bus, subject, request, Digest, timeout_ms=1_000)

        assert await eventually(asked) == digest_at_site(folder, facts, 120)


@pytest.mark.parametrize("seed", range(5))
def test_duplicates_and_kills_give_the_digest_the_site_has(tmp_path: Path, seed: int) -> None:
    run_virtual(fold_under_faults(tmp_path, seed))


async def join_lives(folder: Path) -> None:
    cloud = await Cloud.make(folder)
    await cloud.publish(OLD, 1, session_started(1))
    await cloud.publish(NEW, 1, session_stopped(1))
    await cloud.bus.append(
        subjects.CLOUD_JOURNAL, f"hf.cloud.journal.{SITE}.x", b"{}", id="without headers"
    )
    async with cloud.running() as bus:
        await cloud.until(NEW, 1)
        request = SessionsRequest(site=SITE)

        async def asked() -> Sessions:
            subject = subjects.cloud_rpc("sessions")
            return await call(bus, subject, request, Sessions, timeout_ms=1_000)

        page = await eventually(asked)
    (view,) = page.sessions
    assert (view.state, view.energy_wh) == ("stopped", 2000)


def test_a_start_in_the_old_life_and_a_stop_in_the_new_are_one_session(tmp_path: Path) -> None:
    run_virtual(join_lives(tmp_path))


async def other_version(folder: Path) -> None:
    cloud = await Cloud.make(folder)
    async with cloud.running() as bus:
        request = DigestRequest(incarnation=OLD.incarnation, seq=1, fold_version=99)

        async def asked() -> Digest:
            subject = subjects.up(SITE, "digest")
            return await call(bus, subject, request, Digest, timeout_ms=1_000)

        answer = await eventually(asked)
    assert (answer.digest, answer.fold_version) == (None, FOLD_VERSION)
    assert "version" in answer.reason


def test_a_site_of_another_fold_version_is_told_so(tmp_path: Path) -> None:
    run_virtual(other_version(tmp_path))


async def refold(folder: Path) -> None:
    """CLOUD_JOURNAL begins at the third entry, the archive has all, and comes up late."""
    cloud = await Cloud.make(folder)
    facts = random_facts(cloud.rng, 6)
    for seq, fact in enumerate(facts, start=1):
        await cloud.publish(OLD, seq, fact)
    await cloud.bus.trim(subjects.CLOUD_JOURNAL, 3)
    cloud.archive = [entry(OLD, seq, fact) for seq, fact in enumerate(facts, start=1)]
    cloud.watermark = 5  # the sixth is archived, not yet verified
    async with cloud.running():
        await asyncio.sleep(5)
        assert cloud.store().position(OLD).seq == 0
        await cloud.serve_archive()
        await cloud.until(OLD, 6)
    assert cloud.store().digest(OLD, 6) == digest_at_site(folder, facts, 6)


def test_what_aged_out_of_the_stream_is_folded_from_the_archive(tmp_path: Path) -> None:
    run_virtual(refold(tmp_path))


async def remade(folder: Path) -> None:
    cloud = await Cloud.make(folder)
    facts = random_facts(cloud.rng, 6)
    for seq, fact in enumerate(facts[:4], start=1):
        await cloud.publish(OLD, seq, fact)
    async with cloud.running():
        await cloud.until(OLD, 4)
    await cloud.bus.delete_stream(subjects.CLOUD_JOURNAL)
    again = await Cloud.make(folder)
    cloud.bus = again.bus
    for seq, fact in enumerate(facts[2:], start=3):
        await cloud.publish(OLD, seq, fact)
    async with cloud.running():
        await cloud.until(OLD, 6)
    assert cloud.store().digest(OLD, 6) == digest_at_site(folder, facts, 6)


def test_a_stream_made_anew_is_read_from_its_beginning_without_folding_twice(
    tmp_path: Path,
) -> None:
    run_virtual(remade(tmp_path))


@pytest.mark.parametrize(
    ("text", "doubts"),
    [(None, 2), ("version: 1\nbilling: {clock_ahead_ms_max: 3000000000000}\n", 0)],
)
def test_a_session_is_doubted_by_the_rules_that_the_site_activated(tmp_path: Path, text, doubts):
    """In these journals the site's clock stands in 1970, so a charge point's is far ahead of it."""

    async def run() -> None:
        cloud = await Cloud.make(tmp_path)
        await cloud.publish(OLD, 1, session_started(1))
        await cloud.publish(OLD, 2, session_stopped(1))
        if text:
            fact = RulesActivated(version=1, hash="h", text=text, previous_version=0)
            await cloud.publish(OLD, 3, fact)
        async with cloud.running() as bus:

            async def shown() -> Sessions | None:
                request = SessionsRequest(site=SITE)
                subject = subjects.cloud_rpc("sessions")
                found = await call(bus, subject, request, Sessions, timeout_ms=1_000)
                stopped = [one for one in found.sessions if one.stopped_at]
                return found if stopped else None

            [view] = (await eventually(shown)).sessions
            assert len(view.doubts) == doubts

    run_virtual(run())
