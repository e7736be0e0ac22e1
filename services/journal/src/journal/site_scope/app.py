"""The journal service at a site: one life of the disk, chained, kept within its budget, told to whoever asks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from holdfast.backoff import Backoff
from holdfast.bus import AdminRefused, AppendRefused, RequestFailed
from holdfast.contracts.rules import StorageRules
from holdfast.recorder import Incarnation, IncarnationChanged, Recorder
from holdfast.service import Context
from holdfast.settings import ConfigError
from holdfast.standing import Standing, follow_standing
from holdfast.store import open_store, sqlite_url
from journal.adapters.keys import SiteKey
from journal.config import Config
from journal.domain import chain
from journal.site_scope import queries
from journal.site_scope.chaining import Chainer, OldDisk
from journal.site_scope.confirming import Confirming, Forked
from journal.site_scope.downlink import Downlink
from journal.site_scope.incarnation import (
    Sizes,
    open_after_fork,
    standing_incarnation,
)
from journal.site_scope.keeping import Keeper, TelemetryGate
from journal.site_scope.metrics import Metrics
from journal.site_scope.store import SiteStore

log = logging.getLogger(__name__)

Done = TypeVar("Done")


async def run_at_site(context: Context[Config]) -> None:
    """Until cancelled. Raise IncarnationChanged when this life of the disk is over."""
    config = context.config
    if config.site_key_file is None:
        raise ConfigError("site_key_file: a site's journal can't be signed without it")
    key = SiteKey.load(config.site_key_file)
    store = SiteStore(open_store(sqlite_url(config.data_dir, "journal")))
    rules = StorageRules()
    sizes = Sizes(
        config.journal_bytes_max or rules.journal_bytes_max,
        config.telemetry_bytes_max or rules.telemetry_bytes_max,
    )

    async def stand() -> Incarnation:
        return await standing_incarnation(context, store, sizes)

    incarnation = await _until_done(context, "incarnation", stand)
    try:
        await _serve_life(context, store, key, incarnation)
    except* (Forked, OldDisk) as ended:
        why = str(_first(ended))
        log.error("fork", extra={"incarnation": incarnation.name, "why": why})  # noqa: TRY400

        async def reopen() -> Incarnation:
            return await open_after_fork(context, store, incarnation, sizes)

        opened = await _until_done(context, "incarnation", reopen)
        raise IncarnationChanged(
            f"incarnation {incarnation.name} ended ({why}), {opened.name} is open"
        ) from None


def _first(group: BaseExceptionGroup[Exception]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _until_done(
    context: Context[Config], condition: str, work: Callable[[], Awaitable[Done]]
) -> Done:
    """The nats-server may be just starting, or its disk refuse: tried until it is done."""
    backoff = Backoff(context.clock, context.rng)
    while True:
        try:
            done = await work()
        except (RequestFailed, AppendRefused, AdminRefused) as error:
            context.health.wrong(condition, str(error))
            log.warning("not yet", extra={"what": condition, "why": str(error)})
            await backoff.wait()
        else:
            context.health.ok(condition)
            return done


async def _serve_life(
    context: Context[Config], store: SiteStore, key: SiteKey, incarnation: Incarnation
) -> None:
    standing = Standing()

    def policy() -> chain.Policy:
        rules = standing.rules.checkpoints
        return chain.Policy(every_ms=rules.every_ms, every_entries=rules.every_entries)

    recorder = Recorder(context.bus, context.clock, context.ids, incarnation, "journal")
    chainer = Chainer(context, store, key, recorder, policy)
    downlink = Downlink(context)
    confirming = Confirming(context, chainer, downlink)
    keeper = Keeper(context, store, key, recorder, standing, chainer, confirming)
    gate = TelemetryGate(context, standing, incarnation.telemetry)
    metrics = Metrics(context, chainer, keeper, confirming)
    async with asyncio.TaskGroup() as group:
        await _until_done(context, "journal readable", chainer.start)
        await _until_done(context, "journal readable", keeper.start)
        await queries.serve(context.bus, chainer, keeper)
        for work in (
            chainer.read(),
            chainer.tick(),
            downlink.run(),
            confirming.run(),
            keeper.measure(),
            keeper.trim(),
            gate.run(),
            metrics.run(),
            follow_standing(context.bus, incarnation, standing),
        ):
            group.create_task(work)
