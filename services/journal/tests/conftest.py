"""A cloud and a site on simulated servers, with the journal service running at both, killed and started at will."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast import rpc, subjects
from holdfast.bus import BusError, StreamSpec
from holdfast.contracts.envelope import Fact
from holdfast.contracts.journal import (
    Copies,
    CopiesRequest,
    CopyStatus,
    Entries,
    EntriesRequest,
    Gaps,
    HeadRequest,
)
from holdfast.contracts.mode import Head, Mode, ModeChanged, Pulse, PulseReply, Reason
from holdfast.health import Health
from holdfast.recorder import Recorder, wait_for_incarnation
from holdfast.service import Context
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_bus import SimBus
from holdfast_testkit.sim_clock import SimClock, SimIds
from holdfast_testkit.sim_link import SimLink
from holdfast_testkit.sim_options import SimOptions
from journal import app
from journal.adapters.keys import SiteKey
from journal.config import Config

SITE = "berlin01"


class Process:
    """One life after another of one service: a supervisor that starts it again when it ends."""

    def __init__(self, start: Callable[[SimBus], Context[Config]], server: SimBus) -> None:
        self._start = start
        self._server = server
        self._task: asyncio.Task[None] | None = None
        self.bus = server
        self.ends: list[str] = []
        self.context: Context[Config] | None = None
        self._wanted = False

    def start(self) -> None:
        self._wanted = True
        self._task = asyncio.get_running_loop().create_task(self._supervise())

    async def _supervise(self) -> None:
        while self._wanted:
            self.bus = self._server.client("journal")
            self.context = self._start(self.bus)
            try:
                await app.run(self.context)
            except Exception as error:  # noqa: BLE001  whatever ended it is what the test asks about
                while isinstance(error, ExceptionGroup):
                    error = error.exceptions[0]
                self.ends.append(f"{type(error).__name__}: {error}")
            finally:
                self.bus.close()
            await asyncio.sleep(1)

    async def kill(self) -> None:
        """SIGKILL: its connection is gone first, so nothing more is done on the way out."""
        self._wanted = False
        self.bus.close()
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def restart(self) -> None:
        await self.kill()
        self.start()


class World:
    def __init__(self, folder: Path, options: SimOptions) -> None:
        self.clock = SimClock()
        self.rng = options.chance()
        self.folder = folder
        self.lives = 0
        self.options = options
        self.private = Ed25519PrivateKey.from_private_bytes(b"\7" * 32)
        pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        self.key_file = folder / "site.key"
        self.key_file.write_bytes(self.private.private_bytes(*pem, serialization.NoEncryption()))
        self.key = SiteKey(self.private)
        self.site = SimBus(self.clock, domain=subjects.domain(SITE), options=options, rng=self.rng)
        self.cloud = SimBus(self.clock, domain="cloud", options=options, rng=self.rng)
        self.link = SimLink(self.site, self.cloud, site=SITE)
        self.at_site = Process(self._site_context, self.site)
        self.in_cloud = Process(self._cloud_context, self.cloud)
        self.settings: dict[str, object] = {}
        self._count = 0

    # --- the parts ---

    def _context(self, config: Config, bus: SimBus) -> Context[Config]:
        ids = SimIds(self.rng)
        return Context(config, bus, self.clock, ids, random.Random(1), Health("journal"))

    def _site_context(self, bus: SimBus) -> Context[Config]:
        values = {
            "scope": "site",
            "site": SITE,
            "site_key_file": self.key_file,
            "data_dir": self.folder / f"site-{self.lives}",
        }
        return self._context(self._config(values | self.settings), bus)

    def _cloud_context(self, bus: SimBus) -> Context[Config]:
        values = {
            "scope": "cloud",
            "site_keys": {SITE: self.key.public.hex()},
            "data_dir": self.folder / "cloud",
        }
        return self._context(self._config(values), bus)

    def _config(self, values: dict[str, object]) -> Config:
        common = {"nats_url": "", "nats_user": "", "nats_password_file": self.key_file}
        return Config.model_validate(common | values)

    async def make_cloud_streams(self) -> None:
        for name, bound, per_subject in (
            (subjects.DOWNLINK, subjects.DOWNLINK_SUBJECTS, 1),
            (subjects.CLOUD_JOURNAL, subjects.CLOUD_JOURNAL_SUBJECTS, -1),
        ):
            await self.cloud.ensure_stream(
                StreamSpec(
                    name=name,
                    subjects=(bound,),
                    bytes_max=-1,
                    when_full="refuse",
                    per_subject_max=per_subject,
                    ttl=per_subject == 1,
                )
            )

    async def lose_disk(self) -> None:
        """The site's disk is replaced by a new one: server, streams and the service's own store."""
        await self.at_site.kill()
        self.site.crash(wipe=True)
        self.site.start()
        self.lives += 1
        self.at_site.start()

    # --- what others of the site do ---

    async def recorder(self, source: str = "mode-manager") -> Recorder:
        incarnation = await wait_for_incarnation(self.site, self.clock, SITE)
        return Recorder(self.site, self.clock, SimIds(self.rng), incarnation, source)

    def fact(self) -> Fact:
        self._count += 1
        return ModeChanged(
            previous=Mode.AUTONOMOUS,
            mode=Mode.AUTONOMOUS,
            reasons=(Reason.STARTED,),
            since_ms=0,
            disruption=None,
            detail=str(self._count),
        )

    async def record(self, count: int = 1) -> None:
        recorder = await self.recorder()
        for _ in range(count):
            await recorder.record(self.fact())

    async def record_through(self, count: int) -> None:
        """As `record`, over whatever fails: the same fact with the same id until it is stored."""
        for _ in range(count):
            fact, name = self.fact(), SimIds(self.rng).new()

            async def stored(fact: Fact = fact, name: str = name) -> bool:
                await (await self.recorder()).record(fact, id=name)
                return True

            await eventually(stored, within_s=120)

    async def head(self) -> Head:
        return await eventually(
            lambda: rpc.call(
                self.site, subjects.rpc(SITE, "head"), HeadRequest(), Head, timeout_ms=1_000
            ),
            within_s=120,
        )

    async def pulse(self, head: Head | None = None) -> PulseReply:
        pulse = Pulse(
            at_ms=self.clock.now_ms(),
            mode=Mode.CONNECTED,
            head=head or await self.head(),
            rules_version=0,
            backlog=0,
        )
        return await rpc.call(
            self.site, subjects.up(SITE, "pulse"), pulse, PulseReply, timeout_ms=1_000
        )

    async def try_pulse(self) -> None:
        """As mode-manager: an unanswered pulse is no event here."""
        with suppress(BusError, AssertionError):
            await self.pulse(
                await rpc.call(
                    self.site, subjects.rpc(SITE, "head"), HeadRequest(), Head, timeout_ms=500
                )
            )

    async def in_sync(self, *, within_s: float = 300) -> Head:
        """Pulses until the cloud has verified the head that the site has once it is quiet."""
        seen: list[Head] = []

        async def look() -> bool:
            head = await self.head()
            reply = await self.pulse(head)
            seen[:] = [head]
            return (reply.incarnation, reply.watermark) == (head.incarnation, head.seq)

        await eventually(look, within_s=within_s, every_s=2)
        return seen[0]

    # --- what the cloud has ---

    async def copies(self) -> list[CopyStatus]:
        request = CopiesRequest(site=SITE)
        return list(
            (
                await rpc.call(
                    self.cloud, subjects.cloud_rpc("copies"), request, Copies, timeout_ms=1_000
                )
            ).copies
        )

    async def gaps(self) -> Gaps:
        return await rpc.call(
            self.cloud,
            subjects.cloud_rpc("gaps"),
            CopiesRequest(site=SITE),
            Gaps,
            timeout_ms=1_000,
        )

    async def pages(self, bus: SimBus, subject: str, limit: int = 7) -> list[tuple[str, int]]:
        """(incarnation, seq) of every entry, page by page."""
        found: list[tuple[str, int]] = []
        after: str | None = ""
        while after is not None:
            request = EntriesRequest(site=SITE, after=after, limit=limit)
            page = await rpc.call(bus, subject, request, Entries, timeout_ms=5_000)
            found += [(one.envelope.incarnation, one.seq) for one in page.entries]
            after = page.next
        return found

    def published(self) -> list[tuple[str, int]]:
        messages = self.cloud.disk.streams[subjects.CLOUD_JOURNAL].messages
        return [
            (one.headers["Hf-Incarnation"], int(one.headers["Hf-Seq"]))
            for _, one in sorted(messages.items())
        ]

    def stored(self, incarnation: str) -> list[tuple[str, int]]:
        """What the site's stream holds."""
        stream = self.site.disk.streams[subjects.journal_stream(SITE, incarnation)]
        return [(incarnation, seq) for seq in sorted(stream.messages)]


@pytest.fixture
def world(tmp_path: Path) -> Callable[..., object]:
    @asynccontextmanager
    async def running(
        options: SimOptions | None = None, **settings: object
    ) -> AsyncIterator[World]:
        made = World(tmp_path, options or SimOptions())
        made.settings = settings
        await made.make_cloud_streams()
        async with made.link:
            made.in_cloud.start()
            made.at_site.start()
            try:
                yield made
            finally:
                await made.at_site.kill()
                await made.in_cloud.kill()

    return running
