"""A site and a cloud on simulated buses, with the rule-service's shells running in them as processes."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast import subjects
from holdfast.bus import CopySpec, StreamSpec
from holdfast.contracts.mode import Mode, ModeChanged, Reason
from holdfast.contracts.rpc import Empty
from holdfast.contracts.rules import Publish, Published, RulesStatus
from holdfast.entries import read
from holdfast.health import Health
from holdfast.recorder import Incarnation, Recorder
from holdfast.rpc import call
from holdfast.service import Context
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_bus import SimBus
from holdfast_testkit.sim_clock import SimClock, SimIds
from holdfast_testkit.sim_link import SimLink
from rule_service import app
from rule_service.config import Config
from rule_service.domain.signatures import public_hex, sign

SITE = "berlin01"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@dataclass
class World:
    clock: SimClock
    ids: SimIds
    site: SimBus
    cloud: SimBus
    link: SimLink
    recorder: Recorder
    folder: Path
    mode: Mode | None = None
    health: dict[str, Health] = field(default_factory=dict)
    csms_sites: tuple[str, ...] = ()
    csms_at_site: bool = False
    trusted_in_cloud: tuple[str, ...] = ()

    site_name = SITE
    key = KEY

    @property
    def journal(self) -> str:
        return self.recorder.incarnation.journal

    # --- configuration ---

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def rules_text(self, version: int, **more: object) -> str:
        return json.dumps({"version": version, **more})

    def provision(self, *tokens: str, rules: str | None = None) -> None:
        text = rules or self.rules_text(1)
        version = json.loads(text)["version"]
        self.write("rules.json", sign(KEY, version, text).model_dump_json())
        self.write("site-tokens.json", self.token_list(1, *tokens))

    def token_list(self, version: int, *tokens: str, status: str = "Accepted") -> str:
        listed = [{"driver_token": token, "status": status} for token in tokens]
        return json.dumps({"version": version, "tokens": listed})

    def config(self, scope: str) -> Config:
        common = {
            "scope": scope,
            "nats_url": "nats://unused",
            "nats_user": scope,
            "nats_password_file": self.write("password", "secret"),
            "data_dir": self.folder / scope,
        }
        if scope == "cloud":
            return Config(
                **common,
                rules_key_file=self.write("rules.key", bytes(range(32)).hex()),
                driver_tokens_file=self.folder / "cloud-tokens.json",
                sites=(SITE, "munich01"),
                csms_sites=self.csms_sites,
                trusted_rule_keys=self.trusted_in_cloud,
            )
        return Config(
            **common,
            site=SITE,
            rules_file=self.folder / "rules.json",
            trusted_rule_keys=(public_hex(KEY),),
            token_hash_key_file=self.write("hash.key", "0123456789abcdef0123"),
            driver_tokens_file=self.folder / "site-tokens.json",
            csms_at_site=self.csms_at_site,
        )

    # --- processes ---

    @asynccontextmanager
    async def running(self, scope: str):
        """The service as one process in that scope; leaving is its death."""
        server = self.site if scope == "site" else self.cloud
        bus = server.client(f"rule-service-{scope}")
        self.health[scope] = Health("rule-service")
        context = Context(
            self.config(scope), bus, self.clock, self.ids, random.Random(1), self.health[scope]
        )
        async with asyncio.TaskGroup() as group:
            task = group.create_task(app.run(context))
            try:
                if scope == "site":
                    await eventually(self.rules_status)
                yield bus
            finally:
                task.cancel()
                await asyncio.wait([task])
                bus.close()

    async def ensure_journal(self, *, bytes_max: int) -> None:
        spec = StreamSpec(
            name=self.journal,
            subjects=(subjects.journal_all(SITE),),
            bytes_max=bytes_max,
            when_full="refuse",
        )
        await self.site.ensure_stream(spec)

    async def downlink(self) -> None:
        """The cloud's stream and the site's copy, as provisioner and journal services make them."""
        spec = StreamSpec(
            name=subjects.DOWNLINK,
            subjects=(subjects.DOWNLINK_SUBJECTS,),
            bytes_max=1 << 20,
            when_full="refuse",
            per_subject_max=1,
            ttl=True,
        )
        await self.cloud.ensure_stream(spec)
        registry = StreamSpec(
            name=subjects.RULES,
            subjects=(subjects.RULES_SUBJECTS,),
            bytes_max=1 << 22,
            when_full="refuse",
            per_subject_max=64,
        )
        await self.cloud.ensure_stream(registry)
        consumer, deliver = subjects.down_consumer(SITE), subjects.down_deliver(SITE)
        await self.cloud.bind_consumer(
            subjects.DOWNLINK, consumer, deliver, subjects.down_all(SITE)
        )
        copy = CopySpec(
            name=subjects.DOWNLINK,
            origin_domain="cloud",
            consumer=consumer,
            deliver=deliver,
            per_subject_max=1,
            ttl=True,
        )
        await self.site.ensure_copy(copy)

    # --- what happens ---

    async def enter(self, mode: Mode) -> None:
        fact = ModeChanged(
            previous=self.mode,
            mode=mode,
            reasons=(Reason.STARTED,),
            since_ms=self.clock.now_ms(),
            disruption=None if mode is Mode.CONNECTED else "d",
        )
        self.mode = mode
        await self.recorder.record(fact)
        await self.clock.sleep_ms(10)

    async def publish(self, kind: str, text: str, site: str = SITE) -> Published:
        asked = Publish(site=site, kind=kind, text=text)
        return await call(
            self.cloud, subjects.cloud_rpc("publish"), asked, Published, timeout_ms=5_000
        )

    async def rules_status(self) -> RulesStatus:
        return await call(
            self.site, subjects.rpc(SITE, "rules"), Empty(), RulesStatus, timeout_ms=1_000
        )

    async def facts(self, kind) -> list:
        state = await self.site.state(self.journal)
        found = []
        for seq in range(state.first_seq, state.last_seq + 1):
            message = await self.site.get(self.journal, seq)
            entry = read(message)
            if isinstance(entry.fact, kind):
                found.append(entry.fact)
        return found


@pytest.fixture
def a_world(tmp_path):
    """A maker: the loop must run before the clock is made."""

    @asynccontextmanager
    async def make(*tokens: str, mode: Mode = Mode.CONNECTED, rules: str | None = None):
        clock, ids = SimClock(), SimIds(random.Random(7))
        site, cloud = SimBus(clock, domain=subjects.domain(SITE)), SimBus(clock, domain="cloud")
        incarnation = Incarnation(SITE, "aaaaaaaa")
        recorder = Recorder(site.client("others"), clock, ids, incarnation, source="test")
        async with SimLink(site, cloud, site=SITE) as link:
            world = World(clock, ids, site, cloud, link, recorder, tmp_path)
            await world.ensure_journal(bytes_max=1 << 22)
            world.provision(*tokens, rules=rules)
            world.write("cloud-tokens.json", world.token_list(1, "CLOUD-ONLY", *tokens))
            await world.downlink()
            await world.enter(mode)
            yield world

    return make
