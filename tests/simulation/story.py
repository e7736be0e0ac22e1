"""One simulated life, in two phases.

safety      drivers come and go, the cloud and an operator send commands, new rules are published, and every
            fault of the seed strikes; whatever happens, nothing may be promised that is not kept
liveness    faults and new work end; everything must be settled within SETTLED_WITHIN_MS
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from holdfast import rpc, subjects
from holdfast.bus import BusError
from holdfast.contracts.command import Command, CommandLanes, CommandReceipt, SendCommand
from holdfast.contracts.csms import CaughtUp, CaughtUpRequest, UpstreamRequest, UpstreamStatus
from holdfast.contracts.journal import Copies, CopiesRequest, HeadRequest
from holdfast.contracts.mode import CsmsState, Head, Mode, ModeStatus
from holdfast.contracts.recovery import Digest, DigestRequest, RecoveryStatus, Step
from holdfast.contracts.rpc import Empty
from holdfast.contracts.rules import Desired, Publish, Published, RulesStatus
from holdfast_testkit.sim_bus import SimBus
from holdfast_testkit.sim_clock import run_virtual
from reconciler.domain.sessions import FOLD_VERSION
from simulation.charge_point import SimChargePoint
from simulation.csms import FIRST_ID, SimCsms
from simulation.evidence import Evidence, Ledgered, archived, published
from simulation.faults import Faults
from simulation.process import Died
from simulation.provisioning import BLOCKED, LISTED, SITE, STRANGER, driver_tokens, rules_text
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
CSMS_WAITS_MS = 30_000
"""For the answer to a CALL of its own."""


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
    with scratch_folder() as folder, without_gc():
        return run_virtual(_live(faults, folder, safety_ms))


async def _live(faults: Faults, folder: Path, safety_ms: int) -> Lived:
    async with SimWorld.open(faults, folder) as world:
        await _safety(world, safety_ms)
        return await settle(world)


async def settle(world: SimWorld) -> Lived:
    """The liveness phase, and what the whole life leaves behind."""
    world.calm()
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


async def _safety(world: SimWorld, safety_ms: int) -> None:
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(work) for work in weather(world)]
        running += [
            group.create_task(_driver(world, charge_point)) for charge_point in world.charge_points
        ]
        running.append(group.create_task(_commands(world)))
        running.append(group.create_task(_publishing(world)))
        if world.csms is not None and world.csms.faults.calls_every_ms:
            running.append(group.create_task(_commands_of_csms(world, world.csms)))
        wipes = group.create_task(_wipes(world, safety_ms))
        await world.clock.sleep_ms(safety_ms)
        await wipes
        for task in running:
            task.cancel()


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


async def _commands(world: SimWorld) -> None:
    rng = world.chance("commands")
    cloud, operator = world.cloud.client("console"), world.site.client("operator")
    number = 0
    while True:
        await world.clock.sleep_ms(rng.randint(2_000, 15_000))
        number += 1
        charge_point = rng.choice(world.charge_points)
        at_site = rng.random() < 0.25
        clock = world.site_clock if at_site else world.cloud_clock
        command = _command(f"c{number}", charge_point, clock.now_ms(), rng)
        try:
            if at_site:
                subject, request = subjects.rpc(SITE, "command"), command
                await rpc.call(operator, subject, request, CommandReceipt, timeout_ms=2_000)
            else:
                send = SendCommand(site=SITE, command=command)
                subject = subjects.cloud_rpc("command")
                receipt = await rpc.call(cloud, subject, send, CommandReceipt, timeout_ms=2_000)
                world.accepted += [command.id] if receipt.accepted else []
        except BusError as error:
            world.note(f"command {command.id} not sent: {type(error).__name__}")


def _command(id: str, charge_point: SimChargePoint, now_ms: int, rng: random.Random) -> Command:
    session = charge_point.session
    running = session.transaction_id if session else None
    action, payload = rng.choice(
        (
            ("RemoteStartTransaction", {"connectorId": 1, "idTag": LISTED}),
            ("RemoteStopTransaction", {"transactionId": running or 1}),
            ("ChangeAvailability", {"connectorId": 1, "type": "Operative"}),
            ("TriggerMessage", {"requestedMessage": "Heartbeat"}),
        )
    )
    return Command(
        id=id,
        charge_point=charge_point.identity,
        action=action,
        payload=payload,
        issued_at_ms=now_ms,
        deadline_ms=now_ms + rng.randint(1_000, 30_000),
    )


async def _commands_of_csms(world: SimWorld, csms: SimCsms) -> None:
    """One at a time; it names transactions by its own ids, and now and then one that is not there."""
    rng = world.chance("csms commands")
    while True:
        await world.clock.sleep_ms(round(rng.expovariate(1 / csms.faults.calls_every_ms)))
        if not csms.accepted:
            continue
        transaction = rng.choice([*csms.ledger.transactions, FIRST_ID])
        action, payload = rng.choice(
            (
                ("RemoteStartTransaction", {"connectorId": 1, "idTag": LISTED}),
                ("RemoteStopTransaction", {"transactionId": transaction}),
                ("ChangeAvailability", {"connectorId": 1, "type": "Operative"}),
                ("GetLocalListVersion", {}),
            )
        )
        identity = rng.choice(csms.accepted)
        await csms.call(identity, action, json.dumps(payload), within_ms=CSMS_WAITS_MS)


async def _publishing(world: SimWorld) -> None:
    """A newer bundle and a newer list, some time in the life; tried until they are taken."""
    rng = world.chance("publishing")
    client = world.cloud.client("publisher")
    await world.clock.sleep_ms(rng.randint(5_000, 35_000))
    for kind, text in (
        ("rules", rules_text(2)),
        ("driver-tokens", driver_tokens(2).model_dump_json()),
    ):
        request = Publish.model_validate({"site": SITE, "kind": kind, "text": text})
        subject = subjects.cloud_rpc("publish")
        while True:
            try:
                await rpc.call(client, subject, request, Published, timeout_ms=2_000)
                break
            except BusError as error:
                world.note(f"{kind} not published: {type(error).__name__}")
                if "newer" in str(error):
                    break  # it was taken, and only the answer lost
                await world.clock.sleep_ms(2_000)


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
        open_deliveries=world.open_deliveries,
    )
