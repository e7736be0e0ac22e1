"""One simulated life, in two phases.

safety      drivers come and go, the cloud and an operator send commands, new rules are published, and every
            fault of the seed strikes; whatever happens, nothing may be promised that is not kept
liveness    faults and new work end; everything must be settled within SETTLED_WITHIN_MS
"""

from __future__ import annotations

import asyncio
import gc
import random
import shutil
import tempfile
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast import rpc, subjects
from holdfast.bus import BusError
from holdfast.contracts.command import CommandLanes
from holdfast.contracts.csms import CaughtUp, CaughtUpRequest, UpstreamRequest, UpstreamStatus
from holdfast.contracts.journal import Copies, CopiesRequest, HeadRequest
from holdfast.contracts.mode import CsmsState, Head, Mode, ModeStatus
from holdfast.contracts.recovery import Digest, DigestRequest, RecoveryStatus, Step
from holdfast.contracts.rpc import Empty
from holdfast.contracts.rules import Desired, RulesStatus
from holdfast_testkit.sim_bus import SimBus
from holdfast_testkit.sim_clock import run_virtual
from reconciler.domain.sessions import FOLD_VERSION
from simulation import operating
from simulation.charge_point import SimChargePoint
from simulation.evidence import Evidence, Ledgered, archived, published
from simulation.faults import Faults
from simulation.order import drawn_order
from simulation.process import Died
from simulation.provisioning import BLOCKED, LISTED, SITE, STRANGER
from simulation.publishing import Publisher
from simulation.weather import lose_disk, weather
from simulation.world import SimWorld

SAFETY_MS = 60_000
SETTLED_WITHIN_MS = 240_000
"""Virtual time from the end of the last fault to nothing being open."""
QUIET_MS = 10_000
"""Settled must last: long enough for the mode and a checkpoint to change their mind."""
AGAIN_MS = 5_000
"""A few pulses: for what a living site wrote a moment ago to be verified too."""
LOOK_MS = 1_000
OF_CSMS = Step.CSMS_CAUGHT_UP


@dataclass(frozen=True)
class Lived:
    """What came of one life."""

    evidence: Evidence
    died: tuple[Died, ...]
    unsettled: tuple[str, ...]
    """What was still open at the end of the liveness phase; empty when all was settled."""
    settled_after_ms: int | None
    fingerprint: str
    trace: tuple[str, ...]
    effects: int
    killed: str | None


def live(faults: Faults, *, safety_ms: int = SAFETY_MS) -> Lived:
    """The whole life of this seed."""
    order = drawn_order(random.Random(f"{faults.seed} order"))
    with scratch_folder() as folder, without_gc(), order:
        return run_virtual(_live(faults, folder, safety_ms))


async def _live(faults: Faults, folder: Path, safety_ms: int) -> Lived:
    async with SimWorld.open(faults, folder) as world:
        publisher = Publisher(world)
        await _safety(world, publisher, safety_ms)
        return await settle(world, publisher)


async def settle(world: SimWorld, publisher: Publisher | None = None) -> Lived:
    """The liveness phase, and what the whole life leaves behind."""
    world.calm()
    if publisher:
        await publisher.mend()
    begun_ms = world.clock.monotonic_ms()
    unsettled = await _until_settled(world, SETTLED_WITHIN_MS)
    settled_ms = world.clock.monotonic_ms() - begun_ms
    if not unsettled:
        await world.clock.sleep_ms(QUIET_MS)
        # A site that lives writes an entry now and then: settled means that it is so again a few pulses later.
        again = await _until_settled(world, AGAIN_MS)
        unsettled = [f"no longer, {QUIET_MS} ms later: {open}" for open in again]
    return Lived(
        evidence_of(world),
        tuple(world.died),
        tuple(unsettled),
        None if unsettled else settled_ms,
        world.fingerprint,
        tuple(world.trace),
        world.effects,
        world.killed,
    )


@contextmanager
def without_gc() -> Iterator[None]:
    """A life is short and leaves at its end: looking for garbage inside it is a fifth of its cost."""
    was_on = gc.isenabled()
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.collect()
        gc.unfreeze()
        if was_on:
            gc.enable()


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """In memory where the system has such a place: a simulated disk's speed is not what is tested."""
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(prefix="holdfast-sim-", dir=memory if memory.is_dir() else None)
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# --- safety ---


async def _safety(world: SimWorld, publisher: Publisher, safety_ms: int) -> None:
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(work) for work in weather(world)]
        running += [
            group.create_task(_driver(world, charge_point)) for charge_point in world.charge_points
        ]
        running += [group.create_task(work) for work in _people(world, publisher)]
        wipes = group.create_task(_wipes(world, safety_ms))
        await world.clock.sleep_ms(safety_ms)
        await wipes
        for task in running:
            task.cancel()


def _people(world: SimWorld, publisher: Publisher) -> Iterator[Coroutine[Any, Any, None]]:
    faults, csms = world.faults, world.csms
    yield operating.commands(world)
    yield publisher.run()
    if csms is not None and csms.faults.calls_every_ms:
        yield operating.commands_of_csms(world, csms)
    if faults.words_every_ms:
        yield operating.words(world)
    if faults.overrides_every_ms:
        yield operating.overrides(world)


async def _wipes(world: SimWorld, safety_ms: int) -> None:
    rng = world.chance("wipes")
    for _ in range(world.faults.wipes):
        await world.clock.sleep_ms(rng.randint(0, safety_ms // world.faults.wipes - 15_000))
        await lose_disk(world, rng)


async def _driver(world: SimWorld, charge_point: SimChargePoint) -> None:
    """One after the other at this charge point."""
    rng = world.chance(f"driver {charge_point.identity}")
    while True:
        await world.clock.sleep_ms(rng.randint(1_000, 15_000))
        if await charge_point.plug(rng.choice((LISTED, LISTED, LISTED, STRANGER, BLOCKED))):
            await world.clock.sleep_ms(rng.randint(3_000, 30_000))
        charge_point.unplug()


# --- liveness ---


async def _until_settled(world: SimWorld, within_ms: int) -> list[str]:
    """What is open when the time is over; empty as soon as nothing is."""
    ends_ms = world.clock.monotonic_ms() + within_ms
    while True:
        for charge_point in world.charge_points:
            charge_point.unplug()
        unsettled = await look(world)
        if not unsettled or world.clock.monotonic_ms() >= ends_ms:
            return unsettled
        await world.clock.sleep_ms(LOOK_MS)


async def look(world: SimWorld) -> list[str]:
    """What is not settled now, one sentence each."""
    site, cloud = world.site.client("looker"), world.cloud.client("looker")
    try:
        return [
            f"{one.identity} still has {len(one.queue)} messages to send"
            for one in world.charge_points
            if not one.is_settled
        ] + [
            *(f"command {id} has no end" for id in world.accepted if id not in world.witness.ended),
            *(await _look_at_csms(world, site, cloud) if world.csms else ()),
            *await _look_at_services(site, cloud, named=bool(world.open_deliveries)),
        ]
    except BusError as error:
        return [f"nobody answers: {error}"]
    finally:
        site.close()
        cloud.close()


async def _look_at_services(site: SimBus, cloud: SimBus, *, named: bool) -> list[str]:
    """`named`: the bridge has open deliveries."""
    mode = await rpc.call(site, subjects.rpc(SITE, "mode"), Empty(), ModeStatus, timeout_ms=1_000)
    recovery = await rpc.call(
        site, subjects.rpc(SITE, "recovery"), Empty(), RecoveryStatus, timeout_ms=1_000
    )
    lanes = await rpc.call(
        site, subjects.rpc(SITE, "lanes"), Empty(), CommandLanes, timeout_ms=1_000
    )
    rules = await rpc.call(
        site, subjects.rpc(SITE, "rules"), Empty(), RulesStatus, timeout_ms=1_000
    )
    desired = await rpc.call(site, subjects.up(SITE, "desired"), Empty(), Desired, timeout_ms=1_000)
    head = await rpc.call(site, subjects.rpc(SITE, "head"), HeadRequest(), Head, timeout_ms=1_000)
    found = []
    if mode.mode is not Mode.CONNECTED or not mode.journaled:
        why = ", ".join(mode.reasons)
        found.append(f"mode is {mode.mode} ({why}), journaled: {mode.journaled}")
    # What the bridge names as open stays an open point of the recovery: that is how it is named.
    left = [point for point in recovery.open_points if not (named and point.step is OF_CSMS)]
    if recovery.disruption or left:
        found.append(f"recovery of {recovery.disruption}, open points {left}")
    if lanes.pending:
        found.append(f"commands without disposition: {', '.join(lanes.pending)}")
    if lanes.waiting:
        # Recovery does not wait for them; a life does, so that each is seen to come to its end.
        found.append(f"commands that wait for a word: {', '.join(lanes.waiting)}")
    if desired.rules_version and rules.version != desired.rules_version:
        found.append(f"rules are {rules.version}, not {desired.rules_version}")
    return found + await _look_at_cloud(site, cloud, head)


async def _look_at_cloud(site: SimBus, cloud: SimBus, head: Head) -> list[str]:
    request = CopiesRequest(site=SITE)
    copies = await rpc.call(cloud, subjects.cloud_rpc("copies"), request, Copies, timeout_ms=1_000)
    found = []
    watermark = 0
    for copy in copies.copies:
        if copy.incarnation == head.incarnation:
            watermark = copy.watermark
        elif not copy.retired:
            found.append(f"the copy of {copy.incarnation} is not retired")
    if watermark < head.seq:
        found.append(f"the cloud has {watermark} of {head.seq} entries verified")
    asked = DigestRequest(incarnation=head.incarnation, seq=head.seq, fold_version=FOLD_VERSION)
    said = await rpc.call(site, subjects.up(SITE, "digest"), asked, Digest, timeout_ms=1_000)
    if said.digest is None:
        found.append(f"the cloud has not folded up to {head.seq} {said.reason}".strip())
    return found


async def _look_at_csms(world: SimWorld, site: SimBus, cloud: SimBus) -> list[str]:
    """Has it everything up to the head of the site's journal, and what does the bridge say that it lacks?"""
    head = await rpc.call(site, subjects.rpc(SITE, "head"), HeadRequest(), Head, timeout_ms=1_000)
    asked = CaughtUpRequest(incarnation=head.incarnation, seq=head.seq)
    said = await rpc.call(site, subjects.up(SITE, "csms"), asked, CaughtUp, timeout_ms=1_000)
    request = UpstreamRequest(site=SITE)
    subject = subjects.cloud_rpc("upstream")
    status = await rpc.call(cloud, subject, request, UpstreamStatus, timeout_ms=1_000)
    world.open_deliveries = status.open_deliveries
    found = []
    if not (said.read and said.csms is CsmsState.UP):
        found.append(f"the CSMS is {said.csms}, read up to {head.seq}: {said.read}")
    if said.behind_count:
        found.append(f"the CSMS lacks {said.waiting} messages of {', '.join(said.behind)}")
    return found + [
        f"{view.charge_point} is {view.phase} upstream ({view.problem}), {view.waiting} wait"
        for view in status.charge_points
        if view.waiting or view.problem
    ]


# --- evidence ---


def evidence_of(world: SimWorld) -> Evidence:
    archive, incarnations, gaps = archived(world.witness.archive, SITE)
    stream = world.cloud.disk.streams[subjects.CLOUD_JOURNAL]
    ledgers = [(one.identity, one.ledger) for one in world.charge_points]
    return Evidence(
        site=SITE,
        site_key=world.files.site_key,
        written=tuple(world.witness.written),
        archive=archive,
        incarnations=incarnations,
        published=published(stream.messages.values(), SITE),
        gaps=gaps,
        acknowledged=tuple(one for _, ledger in ledgers for one in ledger.acknowledged),
        refused=tuple(one for _, ledger in ledgers for one in ledger.refused),
        accepted=tuple(world.accepted),
        executed=tuple(one for _, ledger in ledgers for one in ledger.executed),
        sessions=tuple(
            Ledgered(name, session) for name, ledger in ledgers for session in ledger.sessions
        ),
        called_finished=tuple(world.witness.called_finished),
        clock_stepped=any("site clock steps" in line for line in world.trace),
        clocks_apart=any(" clock steps " in line for line in world.trace),
        csms=world.csms.ledger if world.csms else None,
        good_rules=frozenset(world.good_rules),
        open_deliveries=world.open_deliveries,
    )
