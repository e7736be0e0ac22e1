"""The reconciler at a site, as it ships, on a simulated bus: it folds the journal, runs the recovery to its
end, answers for both, and a kill at any moment loses and doubles nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from holdfast import subjects
from holdfast.bus import StreamSpec
from holdfast.contracts.command import CommandLanes
from holdfast.contracts.csms import CaughtUp, CaughtUpRequest
from holdfast.contracts.decision import Basis
from holdfast.contracts.driver_tokens import TokenStatus
from holdfast.contracts.envelope import Contract, Fact
from holdfast.contracts.journal import IncarnationOpened
from holdfast.contracts.mode import CsmsState, Mode, ModeChanged, ModeStatus, Reason
from holdfast.contracts.recovery import (
    Digest,
    DigestRequest,
    DisruptionReported,
    RecoveryFinished,
    RecoveryStatus,
    RecoveryStepped,
    Step,
    StepOutcome,
)
from holdfast.contracts.rpc import Empty
from holdfast.contracts.rules import Desired, RulesStatus, SiteLimit
from holdfast.contracts.session import Sessions, SessionsRequest, SessionStarted, SessionStopped
from holdfast.entries import read
from holdfast.health import Health
from holdfast.recorder import Incarnation, Recorder
from holdfast.rpc import Refused, call, serve
from holdfast.service import Context
from holdfast.store import open_store
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_bus import SimBus
from holdfast_testkit.sim_clock import SimClock, SimIds, run_virtual, virtual_time
from reconciler import app
from reconciler.adapters.store import Life, SessionStore
from reconciler.config import Config
from reconciler.domain.sessions import FOLD_VERSION

SITE = "berlin01"
LIFE = Incarnation(SITE, "aaaaaaaa")


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


def changed(previous: Mode, mode: Mode, reason: Reason) -> ModeChanged:
    disruption = None if mode is Mode.CONNECTED else "D1"
    return ModeChanged(
        previous=previous, mode=mode, reasons=(reason,), since_ms=5, disruption=disruption
    )


CUT = changed(Mode.CONNECTED, Mode.AUTONOMOUS, Reason.PULSE_LOST)
BACK = changed(Mode.AUTONOMOUS, Mode.RECOVERY, Reason.PULSES_STABLE)


@dataclass
class Site:
    """One site's server and journal, and the answers of its other services and of the cloud."""

    folder: Path
    clock: SimClock
    bus: SimBus
    rng: random.Random
    recorder: Recorder
    mode: ModeStatus
    rules: int = 4
    desired: Desired = field(
        default_factory=lambda: Desired(rules_version=4, driver_tokens_version=1, limit_id=None)
    )
    lanes: CommandLanes = field(default_factory=lambda: CommandLanes(pending=(), downlink_seq=0))
    digest: Callable[[DigestRequest], Digest] | None = None
    caught_up: CaughtUp = field(
        default_factory=lambda: CaughtUp(
            csms=CsmsState.UP, read=False, behind=(), behind_count=0, waiting=0, open_points=()
        )
    )
    asked_csms: list[CaughtUpRequest] = field(default_factory=list)

    @classmethod
    async def make(cls, folder: Path, seed: int = 1) -> Site:
        clock, rng = SimClock(), random.Random(seed)
        bus = SimBus(clock)
        await bus.ensure_stream(
            StreamSpec(
                name=LIFE.journal,
                subjects=(subjects.journal_all(SITE),),
                bytes_max=1 << 24,
                when_full="refuse",
            )
        )
        mode = ModeStatus(
            mode=Mode.RECOVERY,
            reasons=(),
            since_ms=0,
            disruption="D1",
            journaled=True,
            pulse_answered_at_ms=0,
            watermark=1_000_000,
            head_seq=None,
            desired_rules_version=4,
            csms=CsmsState.NONE,
            stable_link=True,
        )
        recorder = Recorder(bus, clock, SimIds(rng), LIFE, source="test")
        site = cls(folder, clock, bus, rng, recorder, mode)
        await site.serve()
        await site.tell(IncarnationOpened(cause="new disk", previous=None))
        return site

    async def serve(self) -> None:
        others = self.bus.client("others")

        async def mode(_: Empty, __: str) -> Contract:
            return self.mode

        async def rules(_: Empty, __: str) -> Contract:
            return RulesStatus(
                version=self.rules, hash="", name="", valid_until_ms=None, driver_tokens_version=1
            )

        async def lanes(_: Empty, __: str) -> Contract:
            return self.lanes

        async def desired(_: Empty, __: str) -> Contract:
            return self.desired

        async def digest(request: DigestRequest, _: str) -> Contract:
            if self.digest:
                return self.digest(request)
            return self.store().digest(Life(SITE, request.incarnation), request.seq)

        async def csms(request: CaughtUpRequest, _: str) -> Contract:
            self.asked_csms.append(request)
            return self.caught_up

        await serve(others, subjects.rpc(SITE, "mode"), Empty, mode)
        await serve(others, subjects.rpc(SITE, "rules"), Empty, rules)
        await serve(others, subjects.rpc(SITE, "lanes"), Empty, lanes)
        await serve(others, subjects.up(SITE, "desired"), Empty, desired)
        await serve(others, subjects.up(SITE, "digest"), DigestRequest, digest)
        await serve(others, subjects.up(SITE, "csms"), CaughtUpRequest, csms)

    async def tell(self, *facts: Fact) -> None:
        for fact in facts:
            await self.recorder.record(fact)

    def store(self) -> SessionStore:
        return SessionStore(open_store(f"sqlite:///{self.folder / 'reconciler.sqlite'}"), "1.1")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[SimBus]:
        """The service's process; leaving the block is its SIGKILL."""
        client = self.bus.client("reconciler")
        config = Config(
            site=SITE,
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

    def told(self, kind: type[Fact]) -> list[Fact]:
        held = self.bus.disk.streams[LIFE.journal].messages
        facts = [read(held[seq]).fact for seq in sorted(held)]
        return [fact for fact in facts if isinstance(fact, kind)]

    async def until_finished(self) -> RecoveryFinished:
        await eventually(lambda: self.told(RecoveryFinished), within_s=300)
        (finished,) = self.told(RecoveryFinished)
        return finished


@virtual_time
async def run_recovery(folder: Path) -> None:
    site = await Site.make(folder)
    await site.tell(session_started(1), CUT, session_stopped(1), BACK)
    async with site.running():
        finished = await site.until_finished()
    assert finished.open_points == ()
    outcomes = [fact.outcome for fact in site.told(RecoveryStepped)]
    assert outcomes == [
        StepOutcome.DONE,
        StepOutcome.DONE,
        StepOutcome.DONE,
        StepOutcome.NOT_APPLICABLE,
        StepOutcome.DONE,
        StepOutcome.NOT_APPLICABLE,
        StepOutcome.DONE,
        StepOutcome.DONE,
    ]
    (reported,) = site.told(DisruptionReported)
    assert (reported.sessions_started, reported.sessions_stopped) == (0, 1)
    assert (
        site.clock.monotonic_ms() < 2_000
    )  # each fact brings the next step, no poll waits in between


def test_a_site_in_recovery_goes_through_its_steps_and_finishes(tmp_path: Path) -> None:
    run_recovery(tmp_path)


@virtual_time
async def run_digest_differs(folder: Path) -> None:
    site = await Site.make(folder)
    site.digest = lambda request: Digest(
        incarnation=request.incarnation,
        seq=request.seq,
        fold_version=FOLD_VERSION,
        digest="f" * 64,
        sessions=9,
    )
    await site.tell(session_started(1), CUT, BACK)
    async with site.running() as bus:
        finished = await site.until_finished()
        assert [point.step for point in finished.open_points] == [Step.DIGESTS_AGREE]
        await site.tell(changed(Mode.RECOVERY, Mode.CONNECTED, Reason.OPEN_POINTS))
        status = await ask_recovery(bus)
        assert "digests differ" in status.open_points[0].what
        site.digest = None  # the cloud's fold is put right

        async def settled() -> bool:
            return not (await ask_recovery(bus)).open_points

        await eventually(settled, within_s=120)


async def ask_recovery(bus: SimBus) -> RecoveryStatus:
    subject = subjects.rpc(SITE, "recovery")
    return await call(bus, subject, Empty(), RecoveryStatus, timeout_ms=1_000)


def test_digests_that_differ_become_an_open_point_that_can_settle(tmp_path: Path) -> None:
    run_digest_differs(tmp_path)


@virtual_time
async def run_limit_and_lanes(folder: Path) -> None:
    site = await Site.make(folder)
    await site.bus.ensure_stream(
        StreamSpec(
            name=subjects.DOWNLINK,
            subjects=(subjects.DOWNLINK_SUBJECTS,),
            bytes_max=-1,
            when_full="drop-oldest",
        )
    )
    site.desired = Desired(rules_version=4, driver_tokens_version=1, limit_id="L2")
    command = subjects.down_command(SITE, "c1")
    sent = await site.bus.append(subjects.DOWNLINK, command, b"{}", id="c1")
    await site.tell(CUT, BACK)
    async with site.running():
        await eventually(lambda: len(site.told(RecoveryStepped)) == 3)
        limit = SiteLimit(id="L2", limit_a=63)
        await site.bus.append(
            subjects.DOWNLINK, subjects.down_limit(SITE), limit.to_bytes(), id="L2"
        )
        await eventually(lambda: len(site.told(RecoveryStepped)) == 4)
        site.lanes = CommandLanes(pending=(), downlink_seq=sent.seq)
        await site.until_finished()
    evidence = [fact.evidence for fact in site.told(RecoveryStepped)]
    assert "'L2' of 63 A" in evidence[3]
    assert "every command" in evidence[4]


def test_limits_and_commands_are_held_against_the_downlink_copy(tmp_path: Path) -> None:
    run_limit_and_lanes(tmp_path)


@virtual_time
async def run_csms(folder: Path) -> None:
    site = await Site.make(folder)
    site.mode = site.mode.model_copy(update={"csms": CsmsState.UP})
    await site.tell(session_started(1), CUT, BACK)
    head_seq = 4
    async with site.running() as bus:
        await eventually(lambda: len(site.asked_csms) >= 3)
        assert {(asked.incarnation, asked.seq) for asked in site.asked_csms} == {
            (LIFE.name, head_seq)
        }
        assert len(site.told(RecoveryStepped)) == 5
        refused = {"read": True, "open_points": ("CP-01 is rejected by main",)}
        site.caught_up = site.caught_up.model_copy(update=refused)
        finished = await site.until_finished()
        assert [point.step for point in finished.open_points] == [Step.CSMS_CAUGHT_UP]
        assert site.clock.monotonic_ms() < 10_000
        await site.tell(changed(Mode.RECOVERY, Mode.CONNECTED, Reason.OPEN_POINTS))
        assert "rejected by main" in (await ask_recovery(bus)).open_points[0].what
        await site.clock.sleep_ms(60_000)
        assert (await ask_recovery(bus)).open_points
        site.caught_up = site.caught_up.model_copy(update={"open_points": ()})

        async def settled() -> bool:
            return not (await ask_recovery(bus)).open_points

        await eventually(settled, within_s=30)
    outcomes = [one.outcome for one in site.told(RecoveryStepped)]
    assert outcomes.count(StepOutcome.OPEN) == 1


def test_the_csms_bridge_is_asked_for_the_named_head_and_what_it_refuses_settles_later(
    tmp_path: Path,
) -> None:
    run_csms(tmp_path)


async def kill_again_and_again(folder: Path, seed: int) -> None:
    site = await Site.make(folder, seed)
    await site.tell(session_started(1), CUT, session_started(2), session_stopped(1), BACK)
    while not site.told(RecoveryFinished):
        async with site.running():
            await asyncio.sleep(site.rng.uniform(0, 0.02))
    await site.tell(changed(Mode.RECOVERY, Mode.CONNECTED, Reason.RECOVERED))
    async with site.running() as bus:
        request = SessionsRequest(site=SITE)

        async def all_folded() -> Sessions | None:
            subject = subjects.rpc(SITE, "sessions")
            page = await call(bus, subject, request, Sessions, timeout_ms=1_000)
            return page if len(page.sessions) == 2 else None

        page = await eventually(all_folded)
    assert [view.state for view in page.sessions] == ["stopped", "running"]
    assert [fact.step for fact in site.told(RecoveryStepped)] == list(Step)
    assert len(site.told(DisruptionReported)) == 1
    assert len(site.told(RecoveryFinished)) == 1


@pytest.mark.parametrize("seed", range(8))
def test_killed_at_any_moment_the_recovery_ends_once(tmp_path: Path, seed: int) -> None:
    run_virtual(kill_again_and_again(tmp_path, seed))


@virtual_time
async def run_full_disk(folder: Path) -> None:
    site = await Site.make(folder)
    await site.tell(CUT, BACK)
    site.bus.disk.refuse_writes = True
    async with site.running():
        await asyncio.sleep(5)
        assert site.told(RecoveryStepped) == []
        site.bus.disk.refuse_writes = False
        await site.until_finished()


def test_while_the_disk_refuses_the_procedure_waits_and_then_goes_on(tmp_path: Path) -> None:
    run_full_disk(tmp_path)


@virtual_time
async def run_trimmed(folder: Path) -> None:
    site = await Site.make(folder)
    await site.tell(session_started(1), session_started(2), session_started(3))
    await site.bus.trim(LIFE.journal, 3)
    async with site.running():
        await eventually(lambda: site.store().position(Life(SITE, LIFE.name)).seq == 4)
    assert "never came" in site.store().digest(Life(SITE, LIFE.name), 4).reason


def test_a_store_lost_after_trimming_is_folded_from_what_is_left_and_says_so(
    tmp_path: Path,
) -> None:
    run_trimmed(tmp_path)


@virtual_time
async def run_unreadable(folder: Path) -> None:
    site = await Site.make(folder)
    await site.bus.append(LIFE.journal, subjects.journal(SITE, "x"), b"not json", id="bad")
    await site.tell(session_started(1))
    async with site.running():
        await eventually(lambda: site.store().position(Life(SITE, LIFE.name)).seq == 3)
    assert site.store().digest(Life(SITE, LIFE.name), 3).sessions == 1


def test_an_unreadable_entry_stops_nothing(tmp_path: Path) -> None:
    run_unreadable(tmp_path)


@virtual_time
async def run_other_site(folder: Path) -> None:
    site = await Site.make(folder)
    async with site.running() as bus:
        subject = subjects.rpc(SITE, "sessions")
        request = SessionsRequest(site="hamburg3")

        async def refused() -> str:
            try:
                await call(bus, subject, request, Sessions, timeout_ms=1_000)
            except Refused as error:
                return str(error)
            return ""

        assert "this is site 'berlin01'" in await eventually(refused)


def test_a_site_answers_for_no_other_site(tmp_path: Path) -> None:
    run_other_site(tmp_path)
