"""A site or a cloud for the monitor to look at: a simulated bus, a journal with a few facts, and the other
services as responders. `with_monitor(scope, look)` runs the shipped application on virtual time and hands
`look` the world and an HTTP client.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import httpx
import pytest

from holdfast import subjects
from holdfast.bus import StreamSpec
from holdfast.contracts.charge_point import ChargePointsStatus, ChargePointView
from holdfast.contracts.command import (
    Command,
    CommandLanes,
    CommandReceipt,
    CommandReceived,
    CommandSettled,
    Disposition,
    SendCommand,
)
from holdfast.contracts.csms import (
    DeliverySettled,
    OpenDelivery,
    Phase,
    SettleDelivery,
    Trouble,
    UpstreamRequest,
    UpstreamStatus,
    UpstreamView,
)
from holdfast.contracts.decision import (
    AuthoriseInputs,
    AuthoriseVerdict,
    Basis,
    CloudAnswer,
    DecisionMade,
)
from holdfast.contracts.driver_tokens import TokenStatus
from holdfast.contracts.envelope import Contract, ContractError, Entry, Envelope, Fact, body_of
from holdfast.contracts.journal import (
    Copies,
    CopiesRequest,
    CopyStatus,
    Entries,
    EntriesRequest,
    Gap,
    GapCause,
    Gaps,
    IncarnationOpened,
    StorageLevel,
    StorageStatus,
)
from holdfast.contracts.mode import CsmsState, Mode, ModeChanged, ModeStatus, Reason
from holdfast.contracts.recovery import RecoveryStatus
from holdfast.contracts.rpc import Empty
from holdfast.contracts.rules import RulesStatus
from holdfast.contracts.session import Sessions, SessionsRequest, SessionState, SessionView
from holdfast.health import Health
from holdfast.recorder import Incarnation
from holdfast.rpc import serve
from holdfast.service import Context
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_bus import SimBus
from holdfast_testkit.sim_clock import SimClock, SimIds, run_virtual
from monitor.app import watch_of
from monitor.config import Config
from monitor.web import make_web

SITE = "berlin01"
LIFE = Incarnation(SITE, "aaaaaaaa")
RAW = '{"idTag":"TAG-é\\u0000","meterStart":1}'

Scope = Literal["site", "cloud"]


def session_view(tx: int) -> SessionView:
    return SessionView(
        site=SITE,
        session=f"CP-01/{tx}",
        charge_point="CP-01",
        connector=1,
        transaction_id=tx,
        state=SessionState.STOPPED,
        meter_start_wh=1000,
        meter_stop_wh=3000,
        energy_wh=2000,
        started_at="2026-01-01T10:00:00Z",
        stopped_at="2026-01-01T11:00:00Z",
        reason="Local",
        last_reading_wh=None,
        last_reading_at=None,
        readings=0,
        status=TokenStatus.ACCEPTED,
        basis=Basis.LIST,
        flagged=False,
        duplicates=0,
        stops_differing=0,
        incarnations=(LIFE.name,),
    )


def command(id: str) -> Command:
    return Command(
        id=id,
        charge_point="CP-01",
        action="RemoteStartTransaction",
        payload={"idTag": "SECRETTAG99"},
        issued_at_ms=1,
        deadline_ms=2,
    )


def decision(id: str) -> DecisionMade:
    return DecisionMade(
        decision=id,
        charge_point="CP-01",
        rules_version=1,
        clause="authorise.list",
        inputs=AuthoriseInputs(
            at_ms=1,
            mode=Mode.AUTONOMOUS,
            driver_token_hash="h",
            listed=None,
            list_version=1,
            cached=None,
            cloud=CloudAnswer.NOT_ASKED,
            cloud_status=None,
        ),
        verdict=AuthoriseVerdict(status=TokenStatus.ACCEPTED, basis=Basis.LIST),
        explanation="on the list",
    )


def upstream_view(charge_point: str, phase: Phase, **changes: object) -> UpstreamView:
    fields: dict[str, object] = {
        "backend": "main",
        "primary": True,
        "charge_point": charge_point,
        "phase": phase,
        "since_ms": 1,
        "waiting": 0,
        "delivered": 10,
    }
    return UpstreamView.model_validate(fields | changes)


DELIVERIES = (
    OpenDelivery(
        backend="main",
        charge_point="CP-02",
        trouble=Trouble.REJECTED,
        what="BootNotification answered Rejected",
    ),
)


@pytest.fixture
def new_upstream_view() -> Callable[..., UpstreamView]:
    return upstream_view


def upstream_status(
    at_ms: int, csms: CsmsState, deliveries: tuple[OpenDelivery, ...]
) -> UpstreamStatus:
    return UpstreamStatus(
        at_ms=at_ms,
        csms=csms,
        instance="bridge-1",
        charge_points=(
            upstream_view("CP-02", Phase.REJECTED, waiting=4, oldest_at_ms=2, problem="unknown"),
            upstream_view("CP-01", Phase.PENDING, backend="next", primary=False, waiting=90),
            upstream_view("CP-01", Phase.ACCEPTED, waiting=3, transactions={"1001": 77}),
        ),
        open_deliveries=deliveries,
    )


def changed(previous: Mode | None, mode: Mode) -> ModeChanged:
    disruption = None if mode is Mode.CONNECTED else "D1"
    return ModeChanged(
        previous=previous,
        mode=mode,
        reasons=(Reason.PULSE_LOST,),
        since_ms=1,
        disruption=disruption,
    )


FACTS: tuple[Fact, ...] = (
    IncarnationOpened(cause="new disk", previous=None),
    changed(None, Mode.CONNECTED),
    changed(Mode.CONNECTED, Mode.AUTONOMOUS),
    CommandReceived(charge_point="CP-01", command=command("c1"), downlink_seq=1),
    CommandReceived(charge_point="CP-01", command=command("c2"), downlink_seq=2),
    CommandSettled(charge_point="CP-01", command=command("c1"), disposition=Disposition.EXPIRED),
    decision("d1"),
    decision("d2"),
    decision("d3"),
)


@dataclass
class World:
    scope: Scope
    clock: SimClock
    bus: SimBus
    folder: Path
    entries: list[Entry] = field(default_factory=list)
    subjects: list[str] = field(default_factory=list)
    commands: list[Contract] = field(default_factory=list)
    receipt: CommandReceipt | None = None
    others: SimBus | None = None
    counts: dict[str, int] = field(default_factory=lambda: {"stopped": 3})
    """Sessions by state."""
    csms: CsmsState = CsmsState.NONE
    """What mode-manager says at the site, and in the cloud the bridge, while there is one."""
    bridge: SimBus | None = None
    deliveries: tuple[OpenDelivery, ...] = DELIVERIES
    """That are open at the bridge."""

    @classmethod
    async def make(cls, scope: Scope, folder: Path) -> World:
        clock = SimClock()
        world = cls(scope, clock, SimBus(clock), folder)
        name, bound = LIFE.journal, subjects.journal_all(SITE)
        if scope == "cloud":
            name, bound = subjects.CLOUD_JOURNAL, subjects.CLOUD_JOURNAL_SUBJECTS
        await world.bus.ensure_stream(
            StreamSpec(name=name, subjects=(bound,), bytes_max=1 << 24, when_full="refuse")
        )
        await world.serve()
        await world.tell(*FACTS)
        return world

    async def tell(self, *facts: Fact) -> None:
        for fact in facts:
            seq = len(self.entries) + 1
            envelope = Envelope(
                id=f"id-{seq}",
                type=fact.TYPE,
                at_ms=self.clock.now_ms(),
                site=SITE,
                incarnation=LIFE.name,
                source="test",
                body={**body_of(fact), "raw": RAW},
            )
            subject = subjects.journal(SITE, *fact.topic())
            self.entries.append(Entry(seq=seq, envelope=envelope))
            self.subjects.append(subject)
            stream, headers = LIFE.journal, {}
            if self.scope == "cloud":
                stream, subject = subjects.CLOUD_JOURNAL, subjects.cloud_journal(SITE, subject)
                headers = {
                    "Hf-Site": SITE,
                    "Hf-Incarnation": LIFE.name,
                    "Hf-Seq": str(seq),
                }
            await self.bus.append(
                stream, subject, envelope.to_bytes(), id=f"id-{seq}", headers=headers
            )

    async def serve(self) -> None:
        others = self.others = self.bus.client("others")

        def subject(verb: str) -> str:
            return subjects.cloud_rpc(verb) if self.scope == "cloud" else subjects.rpc(SITE, verb)

        async def sessions(request: SessionsRequest, _: str) -> Contract:
            begin = int(request.after or 0)
            shown = [session_view(tx) for tx in (1, 2, 3)][begin : begin + request.limit]
            more = begin + len(shown) < 3
            return Sessions(
                sessions=tuple(shown),
                next=str(begin + len(shown)) if more else None,
                counts=self.counts,
            )

        async def entries(request: EntriesRequest, _: str) -> Contract:
            if request.after and not request.after.isdigit():
                raise ContractError(f"{request.after!r} is no cursor")
            begin = int(request.after or 0)
            end = begin + request.limit
            return Entries(
                entries=tuple(self.entries[begin:end]),
                subjects=tuple(self.subjects[begin:end]),
                next=str(end) if end < len(self.entries) else None,
            )

        async def take_command(request: Contract, _: str) -> Contract:
            self.commands.append(request)
            taken = request.command if isinstance(request, SendCommand) else request
            assert isinstance(taken, Command)
            return self.receipt or CommandReceipt(id=taken.id, accepted=True)

        await serve(others, subject("sessions"), SessionsRequest, sessions)
        await serve(others, subject("entries"), EntriesRequest, entries)
        kind = SendCommand if self.scope == "cloud" else Command
        await serve(others, subject("command"), kind, take_command)
        if self.scope == "cloud":
            await self._serve_cloud(others)
        else:
            await self._serve_site(others)

    async def _serve_cloud(self, others: SimBus) -> None:
        async def copies(_: CopiesRequest, __: str) -> Contract:
            status = CopyStatus(
                site=SITE,
                incarnation=LIFE.name,
                committed_seq=9,
                watermark=8,
                head_seq=9,
                chain_verified=True,
                retired=False,
                pulse_at_ms=self.clock.now_ms() - 500,
            )
            return Copies(copies=(status,))

        async def gaps(_: CopiesRequest, __: str) -> Contract:
            gap = Gap(
                site=SITE,
                incarnation="00000000",
                from_seq=5,
                to_seq=None,
                from_ms=1,
                to_ms=2,
                cause=GapCause.DISK_LOST,
            )
            return Gaps(gaps=(gap,))

        await serve(others, subjects.cloud_rpc("copies"), CopiesRequest, copies)
        await serve(others, subjects.cloud_rpc("gaps"), CopiesRequest, gaps)

    async def begin_bridge(self, csms: CsmsState = CsmsState.UP) -> None:
        """A csms-bridge: CP-01 is well at its primary, CP-02 is rejected there, and a follower lags."""
        self.csms = csms
        self.settled: list[SettleDelivery] = []
        self.bridge = self.bus.client("csms-bridge")

        async def upstream(request: UpstreamRequest, _: str) -> Contract:
            if request.site != SITE:
                return UpstreamStatus(
                    at_ms=self.clock.now_ms(),
                    csms=CsmsState.NONE,
                    instance="bridge-1",
                    charge_points=(),
                    open_deliveries=(),
                )
            return upstream_status(self.clock.now_ms(), self.csms, self.deliveries)

        await serve(self.bridge, subjects.cloud_rpc("upstream"), UpstreamRequest, upstream)

        async def settle(asked: SettleDelivery, _: str) -> Contract:
            self.settled.append(asked)
            return DeliverySettled(settled=1 if asked.seq == 7 else 0)

        await serve(self.bridge, subjects.cloud_rpc("upstream-settle"), SettleDelivery, settle)

    async def _serve_site(self, others: SimBus) -> None:
        def now(make: Callable[[], Contract]) -> Callable[[Empty, str], Awaitable[Contract]]:
            async def answer(_: Empty, __: str) -> Contract:
                return make()

            return answer

        answers: dict[str, Callable[[], Contract]] = {
            "mode": lambda: ModeStatus(
                mode=Mode.AUTONOMOUS,
                reasons=(Reason.PULSE_LOST,),
                since_ms=1,
                disruption="D1",
                journaled=True,
                pulse_answered_at_ms=self.clock.now_ms() - 60_000,
                watermark=4,
                head_seq=9,
                desired_rules_version=3,
                csms=self.csms,
                stable_link=False,
            ),
            "rules": lambda: RulesStatus(
                version=3, hash="h", name="default", valid_until_ms=None, driver_tokens_version=1
            ),
            "storage": lambda: StorageStatus(
                level=StorageLevel.OK, bytes=1, bytes_max=2, first_seq=1, last_seq=9, watermark=4
            ),
            "lanes": lambda: CommandLanes(pending=("c2",), downlink_seq=2),
            "charge-points": lambda: ChargePointsStatus(
                at_ms=self.clock.now_ms(),
                charge_points=(
                    ChargePointView(
                        charge_point="CP-01",
                        connected=True,
                        connection="x",
                        connected_at_ms=1,
                        heard_at_ms=1,
                        booted_at_ms=None,
                        vendor="V",
                        model="M",
                        connectors=(),
                        waiting_messages=0,
                        waiting_commands=1,
                    ),
                ),
            ),
            "recovery": lambda: RecoveryStatus(disruption=None, steps=(), open_points=()),
        }
        for verb, make in answers.items():
            await serve(others, subjects.rpc(SITE, verb), Empty, now(make))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[httpx.AsyncClient]:
        """The service's process, asked without a socket."""
        client = self.bus.client("monitor")
        config = Config(
            scope=self.scope,
            site=SITE if self.scope == "site" else "",
            sites=("never-heard",) if self.scope == "cloud" else (),
            nats_url="nats://sim",
            nats_user="u",
            nats_password_file=self.folder / "none",
            data_dir=self.folder,
        )
        context = Context(
            config,
            client,
            self.clock,
            SimIds(random.Random(1)),
            random.Random(1),
            Health("monitor"),
        )
        watch = watch_of(context)
        web = make_web(context, watch)
        task = asyncio.get_running_loop().create_task(watch.run())
        transport = httpx.ASGITransport(app=web)
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
                await eventually(lambda: len(watch.state(SITE).decisions) == 3)
                await asyncio.sleep(3)  # one round of questions
                yield http
        finally:
            client.close()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


Look = Callable[[World, httpx.AsyncClient], Awaitable[None]]


@pytest.fixture
def world_of(tmp_path: Path) -> Callable[[Scope], Awaitable[World]]:
    return lambda scope: World.make(scope, tmp_path)


@pytest.fixture
def with_monitor(tmp_path: Path) -> Callable[[Scope, Look], None]:
    def run(scope: Scope, look: Look) -> None:
        async def main() -> None:
            world = await World.make(scope, tmp_path)
            async with world.running() as http:
                await look(world, http)

        run_virtual(main())

    return run
