"""The csms-bridge: the journal of every site in, well-behaved charge points out to the CSMS a customer has."""

from __future__ import annotations

import asyncio

from csms_bridge.adapters.backends import Backends
from csms_bridge.adapters.records import Records
from csms_bridge.adapters.source import CloudSource, SiteSource, Source
from csms_bridge.adapters.upstream import Dial
from csms_bridge.adapters.upstream_websocket import WebSocketDial
from csms_bridge.adapters.webhook import Webhook
from csms_bridge.bridge import Bridge
from csms_bridge.config import Config
from csms_bridge.metrics import Metrics
from csms_bridge.reach import Reach
from csms_bridge.services import Services
from holdfast import subjects
from holdfast.bus import StreamSpec
from holdfast.recorder import wait_for_incarnation
from holdfast.service import Context
from holdfast.settings import read_secret

SAVING_MAX = 128


async def run(
    context: Context[Config], dial: Dial | None = None, webhook: Webhook | None = None
) -> None:
    """Until cancelled. `dial` opens upstream connections: WebSockets, or a test's own; so with `webhook`."""
    config = context.config
    secret = read_secret(config.webhook_secret_file) if config.webhook_secret_file else ""
    backends = Backends(config.backends_file)
    services = Services(
        bus=context.bus,
        clock=context.clock,
        ids=context.ids,
        rng=context.rng,
        records=Records(context.bus, context.ids),
        source=await _source(context),
        dial=dial or WebSocketDial(config),
        metrics=Metrics(context.health.registry),
        saving=asyncio.Semaphore(SAVING_MAX),
    )
    reach = Reach(context.bus, context.clock, config.away_after_ms)
    webhook = webhook or Webhook(config.webhook_url, secret)
    bridge = Bridge(context, services, backends, reach, webhook)
    async with asyncio.TaskGroup() as group:
        if config.scope == "cloud":
            group.create_task(reach.follow())
        await bridge.run()


async def _source(context: Context[Config]) -> Source:
    """At a site the bucket is the bridge's own to make; in the cloud provisioning made it."""
    config = context.config
    if config.scope == "cloud":
        return CloudSource(context.bus)
    incarnation = await wait_for_incarnation(context.bus, context.clock, config.site)
    await context.bus.ensure_stream(
        StreamSpec(
            name=subjects.UPSTREAM_KV,
            subjects=(subjects.UPSTREAM_KV_SUBJECTS,),
            bytes_max=1 << 28,
            when_full="refuse",
            per_subject_max=1,
            duplicate_window_s=120,
        )
    )
    return SiteSource(context.bus, incarnation)
