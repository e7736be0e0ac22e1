"""A whole site and its cloud in one event loop: every service as it ships, two servers, a link, charge points.

    async with SimWorld.open(faults, folder) as world:
        await story...            drivers, operators, faults
        evidence_of(world)        what the checkers look at

Time is virtual, chance comes from the seed, so the same seed gives the same life to the last line of its trace.
"""

from __future__ import annotations

import asyncio
import functools
import random
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event

import csms_bridge.app
import journal.app
import mode_manager.app
import ocpp_edge.app
import reconciler.app
import rule_service.app
from csms_bridge.config import Config as CsmsBridgeConfig
from holdfast import subjects
from holdfast.contracts.csms import OpenDelivery
from holdfast.settings import ServiceConfig
from holdfast_testkit.sim_bus import SimBus
from holdfast_testkit.sim_clock import SimClock
from holdfast_testkit.sim_link import SimLink
from holdfast_testkit.sim_server import Effect
from journal.config import Config as JournalConfig
from mode_manager.config import Config as ModeManagerConfig
from ocpp_edge.config import Config as OcppEdgeConfig
from reconciler.config import Config as ReconcilerConfig
from rule_service.config import Config as RuleServiceConfig
from simulation.charge_point import Habits, SimChargePoint
from simulation.csms import SimCsms
from simulation.door import Door
from simulation.faults import CsmsFaults, Faults
from simulation.gate import Gate
from simulation.process import App, Died, Process
from simulation.provisioning import (
    CHARGE_POINTS,
    CLOUD_STREAMS,
    CSMS_TOKENS,
    SITE,
    Provisioned,
    provision,
)
from simulation.station import SimStation, SimStation21
from simulation.witness import Witness

EDGE = "site.ocpp-edge"
BRIDGES = ("bridge-1", "bridge-2")
HEARTBEAT_S = 20
"""As the CSMS wants it."""


class SimWorld:
    def __init__(self, faults: Faults, folder: Path, charge_points: int) -> None:
        self.faults = faults
        self.clock = SimClock()
        """Of the world: never steps."""
        self.site_clock, self.cloud_clock = SimClock(), SimClock()
        self.trace: list[str] = []
        deduplicates = faults.csms is not None and faults.csms.deduplicates
        self.files: Provisioned = provision(folder, csms_deduplicates=deduplicates)
        self.site = self._server(subjects.domain(SITE), self.site_clock)
        self.cloud = self._server(subjects.CLOUD, self.cloud_clock)
        self.link = SimLink(
            self.site, self.cloud, site=SITE, options=faults.bus, rng=self.chance("link")
        )
        self.door = Door(functools.partial(self._did, EDGE, "send"))
        self.csms = self._csms(faults.csms) if faults.csms else None
        services = [*self._services(), *(self._bridges(self.csms) if self.csms else ())]
        self.processes = {one.name: one for one in services}
        self._owners = {str(one.config.data_dir): one.name for one in self.processes.values()}
        self.charge_points = [self._charge_point(name) for name in CHARGE_POINTS[:charge_points]]
        self.accepted: list[str] = []
        """Commands that the cloud gave a receipt for."""
        self.commands_sent = 0
        self.good_rules = {self.files.rules_hash}
        """Of every bundle that somebody who may has signed for this site."""
        self.open_deliveries: tuple[OpenDelivery, ...] = ()
        """As the bridge named them when it was last asked."""
        self.counted: tuple[str, ...] = ("",)
        """Processes whose effects are counted, by the end of their name."""
        self.effects = 0
        """How many lasting effects they have had, the beats of the bridges left out."""
        self.kill_at_effect: int | None = None
        """Whoever has this one dies of it."""
        self.killed: str | None = None
        """By `kill_at_effect`: who, and after what."""
        self.witness = Witness(self.site, self.files)
        self._luck = self.chance("effects")
        for server in (self.site.server, self.cloud.server):
            server.after_effect = self._after_effect

    @classmethod
    @asynccontextmanager
    async def open(
        cls, faults: Faults, folder: Path, *, charge_points: int = len(CHARGE_POINTS)
    ) -> AsyncIterator[SimWorld]:
        world = cls(faults, folder, charge_points)
        for spec in CLOUD_STREAMS:
            await world.cloud.ensure_stream(spec)
        with world._commits_are_effects():
            async with world.link, asyncio.TaskGroup() as group:
                running = [
                    group.create_task(one.supervise()) for one in world.processes.values()
                ] + [group.create_task(one.run()) for one in world.charge_points]
                yield world
                for task in running:
                    task.cancel()

    # --- for the story ---

    def chance(self, purpose: str) -> random.Random:
        """A source of its own for each purpose: one fault's luck does not shift another's."""
        return random.Random(f"{self.faults.seed} {purpose}")

    @property
    def fingerprint(self) -> str:
        return sha256("\n".join(self.trace).encode()).hexdigest()

    @property
    def died(self) -> list[Died]:
        return [death for process in self.processes.values() for death in process.died]

    def at_site(self) -> list[Process]:
        return [one for one in self.processes.values() if one.scope == "site"]

    def note(self, what: str) -> None:
        self.trace.append(f"{self.clock.monotonic_ms()} world {what}")

    def calm(self) -> None:
        """Every fault ends; what is down comes up."""
        self.note("calm")
        self.faults = Faults(seed=self.faults.seed, csms=CsmsFaults() if self.csms else None)
        for server in (self.site, self.cloud):
            server.server.options = self.faults.bus
            server.start()
        self.power_up()
        self.link.options = self.faults.bus
        self.link.heal()
        self.site.disk.refuse_writes = False
        if self.csms:
            self.csms.faults = CsmsFaults()
            self.csms.start()
            self.csms.listen_again()
        for clock in (self.site_clock, self.cloud_clock):
            clock.step_ms(self.clock.now_ms() - clock.now_ms())  # a time server is in reach again

    def lose_power(self, *, wipe: bool) -> None:
        """The site's machine goes down with everything on it; with `wipe` its disk is a new one after."""
        self.note(f"site down wipe={wipe}")
        for process in self.at_site():
            process.keep_down()
        self.site.crash(wipe=wipe)
        if wipe:
            shutil.rmtree(self.files.data / "site", ignore_errors=True)

    def power_up(self) -> None:
        self.note("site up")
        self.site.start()
        for process in self.at_site():
            process.let_up()

    # --- effects ---

    def _after_effect(self, effect: Effect) -> None:
        self.witness.saw(effect)
        what = f"{effect.verb} {effect.stream} {effect.seq}"
        self._did(effect.client.name, what, effect.client, counts=not self._is_beat(effect))

    def _is_beat(self, effect: Effect) -> bool:
        """Of a bridge: all alike, and there are more of them than of all others."""
        if effect.stream != subjects.UPSTREAM_KV or effect.verb != "append":
            return False
        written = self.cloud.disk.streams[effect.stream].messages.get(effect.seq)
        return written is not None and subjects.upstream_key(written.subject)[0] == "instance"

    def _did(
        self, name: str, what: str, client: SimBus | None = None, *, counts: bool = True
    ) -> None:
        process = self.processes.get(name)
        if process is None or (client is not None and not process.owns(client)):
            return
        counts = counts and name.endswith(self.counted)
        self.effects += counts
        chosen = counts and self.effects == self.kill_at_effect
        ratio = self.faults.kill_after_effect_ratio
        if chosen or (ratio > 0 and self._luck.random() < ratio):
            self.note(f"{name} dies after {what}")
            self.killed = f"{name} after {what}" if chosen else self.killed
            process.kill()

    @contextmanager
    def _commits_are_effects(self) -> Iterator[None]:
        event.listen(Engine, "commit", self._committed)
        try:
            yield
        finally:
            event.remove(Engine, "commit", self._committed)

    def _committed(self, connection: Connection) -> None:
        """Just before it is durable; the process dies at its next await, which is after it."""
        folder = (connection.engine.url.database or "").rpartition("/")[0]
        owner = self._owners.get(folder)
        if owner:
            self._did(owner, "commit")

    # --- parts ---

    def _server(self, domain: str, clock: SimClock) -> SimBus:
        return SimBus(
            clock,
            domain=domain,
            options=self.faults.bus,
            rng=self.chance(domain),
            trace=self.trace,
        )

    def _charge_point(self, identity: str) -> SimChargePoint:
        rng = self.chance(identity)
        habits = Habits(
            retry_ids=rng.choice(("same", "new")),
            repeats_ids=rng.random() < 0.3,
            boots_on_reconnect=rng.random() < 0.6,
            starts_offline=rng.random() < 0.7,
        )
        kind: type[SimChargePoint] = SimChargePoint
        if self.faults.has_stations:
            kinds = (SimChargePoint, SimChargePoint, SimStation, SimStation21)
            kind = self.chance(f"version of {identity}").choice(kinds)
        return kind(
            identity,
            clock=self.clock,
            site_clock=self.site_clock,
            rng=rng,
            connect=self.door.connect,
            habits=habits,
        )

    def _csms(self, faults: CsmsFaults) -> SimCsms:
        return SimCsms(
            self.clock,
            faults=faults,
            chance=self.chance,
            note=self.note,
            tokens=CSMS_TOKENS,
            heartbeat_s=HEARTBEAT_S,
        )

    def _bridges(self, csms: SimCsms) -> list[Process]:
        """Two that share the sites, quick to give up on each other and on the CSMS."""
        return [self._bridge(csms, instance) for instance in BRIDGES]

    def _bridge(self, csms: SimCsms, instance: str) -> Process:
        service = f"csms-{instance}"
        gate = Gate(csms, functools.partial(self._did, f"cloud.{service}", "send"))
        return self._process(
            "cloud",
            service,
            functools.partial(csms_bridge.app.run, dial=gate.dial),
            CsmsBridgeConfig,
            on_end=gate.shut,
            instance=instance,
            backends_file=self.files.conf / "backends.yaml",
            beat_ms=300,
            lease_ms=1_500,
            away_after_ms=5_000,
            down_after_ms=1_500,
            answer_ms=1_500,
            give_up_ms=3_000,
            retry_ms_min=100,
            retry_ms_max=2_000,
            linger_ms=2_000,
        )

    def _services(self) -> list[Process]:
        conf = self.files.conf
        return [
            self._process(
                "cloud",
                "journal",
                journal.app.run,
                JournalConfig,
                site_keys={SITE: self.files.site_key},
                stalled_after_ms=4_000,
            ),
            self._process(
                "cloud",
                "rule-service",
                rule_service.app.run,
                RuleServiceConfig,
                rules_key_file=conf / "rules.key",
                driver_tokens_file=conf / "driver-tokens.json",
                sites=[SITE],
                csms_sites=[SITE] if self.csms else [],
            ),
            self._process("cloud", "reconciler", reconciler.app.run, ReconcilerConfig),
            self._process(
                "site",
                "journal",
                journal.app.run,
                JournalConfig,
                site_key_file=conf / "site.key",
                confirm_ms=3_000,
            ),
            self._process("site", "mode-manager", mode_manager.app.run, ModeManagerConfig),
            self._process(
                "site",
                "rule-service",
                rule_service.app.run,
                RuleServiceConfig,
                rules_file=conf / "rules.json",
                trusted_rule_keys=[self.files.rules_key],
                driver_tokens_file=conf / "driver-tokens.json",
                token_hash_key_file=conf / "token-hash.key",
            ),
            self._process(
                "site",
                "ocpp-edge",
                functools.partial(ocpp_edge.app.run, listen=self.door.listen, is_killed=True),
                OcppEdgeConfig,
                port=0,
                charge_points_file=conf / "charge-points.json",
                answer_ms_max=8_000,
            ),
            self._process("site", "reconciler", reconciler.app.run, ReconcilerConfig),
        ]

    def _process(
        self,
        scope: str,
        service: str,
        app: App,
        config_type: type[ServiceConfig],
        *,
        on_end: Callable[[], None] = lambda: None,
        **values: Any,
    ) -> Process:
        at_site = scope == "site"
        config = config_type(
            scope=scope,
            site=SITE if at_site else "",
            nats_url="simulated",
            nats_user=scope,
            nats_password_file=self.files.conf / "nats.password",
            data_dir=self.files.data_dir(scope, service),
            **values,
        )
        return Process(
            scope=scope,
            service=service,
            app=app,
            config=config,
            bus=self.site if at_site else self.cloud,
            clock=self.site_clock if at_site else self.cloud_clock,
            seed=self.faults.seed,
            on_end=on_end,
        )
