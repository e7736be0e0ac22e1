"""ocpp-edge: charge points on one side, the site's journal and rules on the other.

fold the journal -> attend to charge points and commands -> snapshot, acknowledge the fold
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from holdfast import rpc, subjects
from holdfast.bus import Bus, RequestFailed
from holdfast.clock import Clock
from holdfast.contracts.command import Command, CommandWord
from holdfast.contracts.envelope import ContractError
from holdfast.contracts.journal import StorageLevel, StorageLevelChanged
from holdfast.contracts.local_state import LocalStateRequest
from holdfast.contracts.registry import RegistryRequest
from holdfast.contracts.rpc import Empty
from holdfast.entries import read
from holdfast.recorder import Incarnation, Recorder, wait_for_incarnation
from holdfast.service import Context
from holdfast.standing import Standing, follow_standing
from holdfast.store import open_store, sqlite_url
from ocpp_edge.adapters import ocpp_websocket
from ocpp_edge.adapters.connection import Reception
from ocpp_edge.adapters.schemas import Schemas
from ocpp_edge.adapters.store import Store
from ocpp_edge.conditions import DoorConditions
from ocpp_edge.config import Config
from ocpp_edge.domain.state import Policy
from ocpp_edge.domain.transactions import Transactions
from ocpp_edge.downlink import follow_downlink
from ocpp_edge.edge import SOURCE, Edge
from ocpp_edge.gate import Gate
from ocpp_edge.metrics import Metrics
from ocpp_edge.notices import Notices
from ocpp_edge.onboarding import Onboarding
from ocpp_edge.pace import Rates
from ocpp_edge.position import Position
from ocpp_edge.registrar import Registrar
from ocpp_edge.registry import Registry
from ocpp_edge.second_connection import SecondConnection
from ocpp_edge.services import Services
from ocpp_edge.strictness import Strictness
from ocpp_edge.telemetry import Telemetry

log = logging.getLogger(__name__)

TICK_MS = 500
LAST_GOOD = "charge-points.last-good.json"
"""In `data_dir`: the registry, for starts at which its file is broken."""
UNSAVED_MAX = 40_000
"""So many entries may be folded and not yet in a snapshot (a second or two of a restart); at half of them the next
one is taken early."""
SNAPSHOT_PAUSE_MS = 500
"""Between two snapshots at least, however much happens."""

Listen = Callable[[Config, Gate, Reception], Awaitable[None]]


async def run(
    context: Context[Config], listen: Listen = ocpp_websocket.listen, *, is_killed: bool = False
) -> None:
    """`listen` brings the connections: WebSockets, or a simulation's own, whose end may be a SIGKILL (`is_killed`)."""
    config, bus, clock = context.config, context.bus, context.clock
    metrics, conditions = Metrics(context.health.registry), DoorConditions(context.health)
    registry = Registry(config.charge_points_file, config.data_dir / LAST_GOOD)
    incarnation = await wait_for_incarnation(bus, clock, config.site)
    recorder = Recorder(bus, clock, context.ids, incarnation, SOURCE)
    store = Store(open_store(sqlite_url(config.data_dir, SOURCE)), incarnation.name)
    standing = Standing()
    async with asyncio.TaskGroup() as group:
        services = _services(context, group, recorder, registry, metrics)
        edge = Edge(services, context.ids, store)
        strictness = Strictness(edge, bus, clock, config.site, standing)
        await edge.restore(bus)
        group.create_task(services.telemetry.run())
        group.create_task(services.notices.run())
        group.create_task(_follow_storage(edge, bus, incarnation))
        group.create_task(follow_standing(bus, incarnation, standing))
        group.create_task(_tick(edge, clock, standing))
        group.create_task(_snapshots(edge, bus, clock, incarnation, config.snapshot_every_ms))
        group.create_task(follow_downlink(edge, bus, clock, recorder))
        await rpc.serve(bus, subjects.rpc(config.site, "command"), Command, edge.command)
        await rpc.serve(bus, subjects.rpc(config.site, "csms-command"), Command, edge.csms_command)
        word = subjects.rpc(config.site, "command-word")
        await rpc.serve(bus, word, CommandWord, edge.command_word)
        await rpc.serve(bus, subjects.rpc(config.site, "lanes"), Empty, edge.lanes)
        await rpc.serve(bus, subjects.rpc(config.site, "charge-points"), Empty, edge.charge_points)
        state = subjects.rpc(config.site, "charge-point-state")
        await rpc.serve(bus, state, LocalStateRequest, edge.charge_point_state)
        await strictness.look()  # before anyone is let in
        group.create_task(strictness.run())
        onboarding = Onboarding(config, services.schemas, clock, services.notices)
        registrar = Registrar(
            registry, onboarding, recorder, clock, edge.turn_out, edge.told, conditions,
            any_identity=config.identities == "any",
        )  # fmt: skip
        group.create_task(registrar.run())
        group.create_task(conditions.run(recorder, bus, clock))
        subject = subjects.rpc(config.site, "charge-point-registry")
        await rpc.serve(bus, subject, RegistryRequest, registrar.handle)
        gate = Gate(config, registry, metrics, conditions, clock, services.notices, onboarding)
        try:
            await listen(config, gate, edge)
        finally:
            if not is_killed:
                edge.save_untold(is_whole=True)


def _services(
    context: Context[Config],
    group: asyncio.TaskGroup,
    recorder: Recorder,
    registry: Registry,
    metrics: Metrics,
) -> Services:
    config = context.config
    return Services(
        site=config.site,
        bus=context.bus,
        clock=context.clock,
        rng=context.rng,
        health=context.health,
        group=group,
        recorder=recorder,
        telemetry=Telemetry(recorder, metrics),
        notices=Notices(recorder, context.clock),
        registry=registry,
        schemas=Schemas(),
        transactions=Transactions(),
        position=Position(),
        metrics=metrics,
        policy=Policy(
            heartbeat_s=config.heartbeat_s,
            transaction_ms_max=config.transaction_ms_max,
            answer_ms_max=config.answer_ms_max,
            commands_max=config.commands_max,
        ),
        rates=Rates(
            frames_per_s=config.frames_per_s,
            frames_burst=config.frames_burst,
            authorize_per_min=config.authorize_per_min,
            authorize_burst=config.authorize_burst,
        ),
        authorise_ms_max=config.authorise_ms_max,
        relay_ms_max=config.relay_ms_max,
        second_connection=SecondConnection(
            refused=config.second_connection == "refuse",
            ping_s=config.takeover_ping_s,
            alive_for_ms=config.alive_for_s * 1000,
        ),
    )


async def _tick(edge: Edge, clock: Clock, standing: Standing) -> None:
    while True:
        await clock.sleep_ms(TICK_MS)
        edge.mode_stands(standing.mode)
        if standing.known.is_set():
            edge.thinning_stands(standing.rules.thinning(standing.mode), standing.since_ms)
        edge.tick()


async def _follow_storage(edge: Edge, bus: Bus, incarnation: Incarnation) -> None:
    """Above the soft limit no new session begins: what is left finishes the running ones."""
    level = subjects.journal(incarnation.site, *StorageLevelChanged.TYPE.split("."))
    async for message in bus.follow(
        incarnation.journal, subjects=(level,), start="last-per-subject"
    ):
        try:
            fact = read(message).fact
        except ContractError:
            continue  # the journal service quarantines it; the level before stands
        if isinstance(fact, StorageLevelChanged):
            edge.allow_new_sessions(fact.level is StorageLevel.OK)


async def _snapshots(
    edge: Edge, bus: Bus, clock: Clock, incarnation: Incarnation, every_ms: int
) -> None:
    """The journal is trimmed no further than a snapshot reaches. Entries of other services hold it up no longer
    than until the next one.
    """
    fold = subjects.fold_consumer(SOURCE)
    await _moved(bus, incarnation, fold, edge.saved)
    while True:
        ends_ms = clock.monotonic_ms() + every_ms
        while clock.monotonic_ms() < ends_ms and edge.unsaved < UNSAVED_MAX // 2:
            await clock.sleep_ms(SNAPSHOT_PAUSE_MS)
        edge.save_untold()
        try:
            edge.saw((await bus.state(incarnation.journal)).last_seq)
        except RequestFailed as error:
            log.info("snapshot put off", extra={"why": str(error)})
            continue
        if edge.unsaved:
            await _moved(bus, incarnation, fold, edge.save())


async def _moved(bus: Bus, incarnation: Incarnation, fold: str, seq: int) -> None:
    try:
        await bus.folded(incarnation.journal, fold, seq)
    except RequestFailed as error:
        log.info(
            "floor of the fold not moved", extra={"why": str(error)}
        )  # the next snapshot moves it
