"""The rule-service at a site.

DOWNLINK copy   bundles, driver-token lists -> verified -> active, installed
JOURNAL         the mode -> which clauses apply, whether new rules may be activated
rpc             authorise, admit -> decision in the journal -> answer; rules -> which stand
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from holdfast import subjects
from holdfast.backoff import Backoff
from holdfast.bus import Bus, Message, RequestFailed, StreamGone
from holdfast.clock import Clock
from holdfast.contracts.decision import Admit, Authorise
from holdfast.contracts.driver_tokens import DriverTokenChanges, DriverTokenList
from holdfast.contracts.envelope import Contract, ContractError
from holdfast.contracts.mode import ModeChanged
from holdfast.contracts.rpc import Empty
from holdfast.contracts.rules import SignedRules
from holdfast.entries import read
from holdfast.offload import Offload
from holdfast.recorder import (
    Incarnation,
    IncarnationChanged,
    Recorder,
    current_incarnation,
    wait_for_incarnation,
)
from holdfast.rpc import serve
from holdfast.service import Context
from holdfast.store import Snapshots, open_store, sqlite_url
from rule_service.adapters import files
from rule_service.adapters.token_store import TokenStore
from rule_service.config import Config, trusted_keys
from rule_service.domain.bundle import Offered, Policy, Unreadable
from rule_service.site_scope.bundles import Bundles
from rule_service.site_scope.cloud_asking import CloudAsking
from rule_service.site_scope.deciding import Deciding
from rule_service.site_scope.gate import Gate
from rule_service.site_scope.limits import Limits
from rule_service.site_scope.lists import Lists
from rule_service.site_scope.metrics import Metrics
from rule_service.site_scope.missed_keys import ask_for_missed_keys

log = logging.getLogger(__name__)

INCARNATION_POLL_MS = 2_000


async def run_at_site(context: Context[Config]) -> None:
    """Until cancelled. Raise IncarnationChanged when this life of the disk is over."""
    config, bus, clock = context.config, context.bus, context.clock
    assert config.rules_file is not None
    assert config.token_hash_key_file is not None
    key = files.hash_key(config.token_hash_key_file)
    incarnation = await wait_for_incarnation(bus, clock, config.site)
    recorder = Recorder(bus, clock, context.ids, incarnation, source="rule-service")
    engine = open_store(sqlite_url(config.data_dir, "rule-service"))
    metrics = Metrics(context.health.registry)
    store = TokenStore(engine, key)
    gate = Gate()
    bundles = Bundles(
        clock,
        recorder,
        Snapshots(engine),
        Policy(site=config.site, trusted_keys=trusted_keys(config)),
        gate,
        Backoff(clock, context.rng),
        context.health,
        metrics,
    )
    lists = Lists(
        recorder, store, Backoff(clock, context.rng), context.health, Offload(context.clock)
    )
    cloud = CloudAsking(bus, clock, config.site, store, csms_at_site=config.csms_at_site)
    deciding = Deciding(clock, context.ids, recorder, bundles, lists, store, cloud, metrics)
    limits = Limits(
        bus,
        clock,
        context.ids,
        recorder,
        bundles,
        Backoff(clock, context.rng),
        context.health,
    )
    await _recall(context, bundles, lists)
    async with asyncio.TaskGroup() as group:
        group.create_task(cloud.run())
        group.create_task(lists.run(bus, clock))
        group.create_task(watch_incarnation(bus, clock, incarnation))
        await _provisioned(context, bundles, lists)
        await serve(
            bus, subjects.rpc(config.site, "authorise"), Authorise, gate.through(deciding.authorise)
        )
        await serve(bus, subjects.rpc(config.site, "admit"), Admit, gate.through(deciding.admit))
        await answer_rules(bus, config.site, bundles, lists)
        group.create_task(bundles.run())
        group.create_task(follow_mode(bus, incarnation, bundles, limits))
        group.create_task(ask_for_missed_keys(bus, clock, config.site, bundles))
        await serve(bus, subjects.rpc(config.site, "limit"), Empty, limits.answer)
        group.create_task(limits.run())
        group.create_task(follow_lists(context, lists))
        await follow_rules(context, bundles, limits)


async def _recall(context: Context[Config], bundles: Bundles, lists: Lists) -> None:
    """What stood before this process began, and in which mode."""
    backoff = Backoff(context.clock, context.rng)
    while True:
        try:
            await bundles.recall(context.bus)
            await lists.recall(context.bus)
        except RequestFailed as error:
            log.warning("not yet", extra={"what": "rules", "why": str(error)})
            await backoff.wait()
        else:
            return


async def _provisioned(context: Context[Config], bundles: Bundles, lists: Lists) -> None:
    """What the site was set up with; anything newer goes before it."""
    config, at_ms = context.config, context.clock.now_ms()
    assert config.rules_file is not None
    try:
        signed = files.provisioned_rules(config.rules_file)
    except ContractError as error:
        why = f"{config.rules_file.name}: {error}"
        await bundles.take(Unreadable(why, at_ms, provisioned=True))
    else:
        await bundles.take(Offered(signed, at_ms, provisioned=True))
    if config.driver_tokens_file is None:
        return
    try:
        await lists.offer(files.driver_token_list(config.driver_tokens_file))
    except ContractError as error:
        lists.unreadable(str(error))


# --- what comes from the cloud ---


async def follow_rules(context: Context[Config], bundles: Bundles, limits: Limits) -> None:
    """For ever."""
    site = context.config.site
    async for message in downlink(context, subjects.down_rules(site), subjects.down_limit(site)):
        if message.subject == subjects.down_limit(site):
            limits.take(message.data)
            continue
        try:
            signed = SignedRules.from_bytes(message.data)
        except ContractError as error:
            await bundles.unreadable(str(error))
        else:
            await bundles.offer(signed)


async def follow_lists(context: Context[Config], lists: Lists) -> None:
    """For ever. Beside the rules: a list that a full disk does not take holds up nothing but the next list."""
    site = context.config.site
    full, changes = (
        subjects.down_driver_tokens(site),
        subjects.down_driver_token_changes_all(site),
    )
    async for message in downlink(context, full, changes):
        kind = DriverTokenList if message.subject == full else DriverTokenChanges
        try:
            offered = kind.from_bytes(message.data)
        except ContractError as error:
            await lists.refuse(None, str(error), full_wanted=False)
        else:
            await lists.offer(offered)
        if message.pending == 0:
            await lists.settle()


async def downlink(context: Context[Config], *topics: str) -> AsyncIterator[Message]:
    """For ever; the copy may not be there yet, or be made anew."""
    backoff = Backoff(context.clock, context.rng)
    while True:
        try:
            async for message in context.bus.follow(
                subjects.DOWNLINK, subjects=topics, start="last-per-subject"
            ):
                backoff.reset()
                yield message
        except StreamGone:
            await backoff.wait()


# --- what the site itself says ---


async def follow_mode(bus: Bus, incarnation: Incarnation, bundles: Bundles, limits: Limits) -> None:
    topic = subjects.journal(incarnation.site, *ModeChanged.TYPE.split("."))
    async for message in bus.follow(
        incarnation.journal, subjects=(topic,), start="last-per-subject"
    ):
        try:
            fact = read(message).fact
        except ContractError as error:
            # The journal service quarantines it; the mode before goes on standing.
            log.warning("unreadable mode", extra={"seq": message.seq, "why": str(error)})
            continue
        if isinstance(fact, ModeChanged):
            limits.mode_stands(fact)
            await bundles.mode_stands(fact.mode)


async def watch_incarnation(bus: Bus, clock: Clock, incarnation: Incarnation) -> None:
    """A decision that can't be recorded is only a failure to its asker; this is what ends the process."""
    while True:
        await clock.sleep_ms(INCARNATION_POLL_MS)
        try:
            now = await current_incarnation(bus, incarnation.site)
        except RequestFailed:
            continue
        if now != incarnation:
            raise IncarnationChanged(f"{incarnation.journal} is no longer the journal of this site")


async def answer_rules(bus: Bus, site: str, bundles: Bundles, lists: Lists) -> None:
    async def answer(_: Empty, __: str) -> Contract:
        return bundles.status().model_copy(
            update={
                "driver_tokens_version": lists.version,
                "driver_tokens_refused": lists.refused,
                "driver_tokens_full_wanted": lists.full_wanted,
            }
        )

    await serve(bus, subjects.rpc(site, "rules"), Empty, answer)
