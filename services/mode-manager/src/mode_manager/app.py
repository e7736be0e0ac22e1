"""The mode-manager's loops.

pulses      rpc.head -> up.pulse -> PulseAnswered | PulseMissed
journal     rules, storage levels, decisions, overrides, the end of recovery -> what they mean for the mode
ticks       time passes
storage     rpc.storage, since a full disk can't say so in the journal
writer      mode changes, overrides whose time is up -> journal
desk        rpc.override, rpc.override-end -> journal -> what stands

All feed one `Manager`; the core decides. A restart goes on in the mode that the journal last named.
"""

from __future__ import annotations

import asyncio
import logging

from holdfast import subjects
from holdfast.backoff import Backoff
from holdfast.bus import Bus, RequestFailed
from holdfast.clock import Clock
from holdfast.contracts.decision import DecisionMade
from holdfast.contracts.envelope import Contract, ContractError
from holdfast.contracts.journal import StorageLevelChanged, StorageStatus
from holdfast.contracts.mode import Mode, OverrideBegun, OverrideEnded
from holdfast.contracts.recovery import RecoveryFinished
from holdfast.contracts.rpc import Empty
from holdfast.contracts.rules import RulesActivated
from holdfast.entries import Read, read
from holdfast.recorder import Incarnation, Recorder, wait_for_incarnation
from holdfast.rpc import call, serve
from holdfast.service import Context
from holdfast.standing import Standing
from holdfast.store import Snapshots, open_store, sqlite_url
from mode_manager.config import Config
from mode_manager.domain.events import (
    LocallyBuffered,
    OverridesStand,
    RecoveryEnded,
    RulesStand,
    StorageChanged,
    Tick,
)
from mode_manager.manager import Manager
from mode_manager.memory import Memory, Recalled
from mode_manager.metrics import Metrics
from mode_manager.overriding import Desk
from mode_manager.pulses import Pulses
from mode_manager.writer import Writer

log = logging.getLogger(__name__)

TICK_MS = 200
STORAGE_POLL_MS = 5_000
"""Within the 15 s in which an impairment must show."""


async def run(context: Context[Config]) -> None:
    """Until cancelled. Raise IncarnationChanged when this life of the disk is over."""
    bus, clock = context.bus, context.clock
    incarnation = await wait_for_incarnation(bus, clock, context.config.site)
    recorder = Recorder(bus, clock, context.ids, incarnation, source="mode-manager")
    snapshots = Snapshots(open_store(sqlite_url(context.config.data_dir, "mode-manager")))
    memory = Memory(snapshots, incarnation)
    standing = Standing()
    recalled = await _recall(context, incarnation, memory, standing)
    writer = Writer(recorder, memory, Backoff(clock, context.rng), context.health)
    metrics = Metrics(context.health.registry)
    manager = Manager(clock, context.ids, incarnation, standing, writer, metrics, recalled)
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.run())
        group.create_task(follow_journal(bus, incarnation, standing, manager, memory))
        pulses = Pulses(
            bus,
            clock,
            context.rng,
            incarnation,
            manager,
            csms_at_site=context.config.csms_at_site,
        )
        group.create_task(pulses.run())
        group.create_task(tick(clock, manager))
        group.create_task(watch_storage(bus, clock, incarnation.site, manager))
        await Desk(context.ids, recorder, writer, manager).answer(bus, incarnation.site)
        await answer_mode(bus, incarnation.site, manager)


async def _recall(
    context: Context[Config], incarnation: Incarnation, memory: Memory, standing: Standing
) -> Recalled:
    """The rules come first: they say how everything after is judged."""
    backoff = Backoff(context.clock, context.rng)
    rules = subjects.journal(incarnation.site, *RulesActivated.TYPE.split("."))
    while True:
        try:
            message = await context.bus.last(incarnation.journal, rules)
            if message:
                standing.take(read(message).fact)
            return await memory.recall(context.bus)
        except RequestFailed as error:
            log.warning("not yet", extra={"what": "last mode", "why": str(error)})
            await backoff.wait()


# --- journal ---


async def follow_journal(
    bus: Bus, incarnation: Incarnation, standing: Standing, manager: Manager, memory: Memory
) -> None:
    site = incarnation.site
    kinds = (RulesActivated, StorageLevelChanged, RecoveryFinished, OverrideBegun, OverrideEnded)
    topics = (
        *(subjects.journal(site, *kind.TYPE.split(".")) for kind in kinds),
        subjects.journal_of(site, *DecisionMade.TYPE.split(".")),
    )
    async for message in bus.follow(incarnation.journal, subjects=topics, start="last-per-subject"):
        try:
            found = read(message)
            take(found, standing, manager)
            if isinstance(found.fact, OverrideBegun | OverrideEnded):
                memory.keep_overrides(manager.overrides, manager.overrides_seq)
        except ContractError as error:
            # The journal service quarantines it; what stood before goes on standing.
            log.warning("unreadable entry", extra={"seq": message.seq, "why": str(error)})


def take(found: Read, standing: Standing, manager: Manager) -> None:
    moment, cause = manager.moment(), found.entry.envelope.id
    match found.fact:
        case RulesActivated():
            standing.take(found.fact)
            rules = RulesStand(
                moment=moment,
                version=standing.rules_version,
                valid_until_ms=standing.rules.valid_until_ms,
                cause=cause,
            )
            manager.feed(rules)
        case StorageLevelChanged(level=level):
            manager.feed(StorageChanged(moment=moment, level=level, cause=cause))
        case RecoveryFinished(disruption=disruption, open_points=points):
            manager.feed(
                RecoveryEnded(moment=moment, disruption=disruption, open_points=points, cause=cause)
            )
        case OverrideBegun(standing=overrides) | OverrideEnded(standing=overrides):
            # Already known, if it was begun or ended here; not, if its confirmation got lost.
            manager.feed(
                OverridesStand(moment=moment, seq=found.entry.seq, overrides=overrides, cause=cause)
            )
        case DecisionMade(inputs=inputs) if inputs.mode is not Mode.CONNECTED:
            manager.feed(LocallyBuffered(moment=moment))
        case _:
            pass


# --- time, storage, answers ---


async def tick(clock: Clock, manager: Manager) -> None:
    while True:
        await clock.sleep_ms(TICK_MS)
        manager.feed(Tick(moment=manager.moment()))


async def watch_storage(bus: Bus, clock: Clock, site: str, manager: Manager) -> None:
    """No answer is no news here: a journal service that is away shows in its missing head."""
    subject = subjects.rpc(site, "storage")
    while True:
        try:
            found = await call(bus, subject, Empty(), StorageStatus, timeout_ms=1_000)
        except RequestFailed:
            pass
        else:
            manager.feed(StorageChanged(moment=manager.moment(), level=found.level))
        await clock.sleep_ms(STORAGE_POLL_MS)


async def answer_mode(bus: Bus, site: str, manager: Manager) -> None:
    async def answer(_: Empty, __: str) -> Contract:
        return manager.status()

    await serve(bus, subjects.rpc(site, "mode"), Empty, answer)
