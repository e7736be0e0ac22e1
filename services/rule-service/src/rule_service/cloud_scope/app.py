"""The rule-service in the cloud: the only publisher to DOWNLINK, and the one who answers sites about it.

hf.cloud.rpc.publish   rules, driver tokens, limits -> checked, signed -> DOWNLINK
hf.cloud.rpc.rollout, rollback, rules-history   bundles of many sites, and back -> RULES, DOWNLINK
hf.cloud.rpc.command   commands -> checked -> DOWNLINK; command-word: an operator's word about one, likewise
hf.*.up.desired        what the cloud wants a site to have, as DOWNLINK has it
hf.*.up.rules          the bundles that changed the keys, for a site that missed one
hf.*.up.driver-tokens  a full list for a site that can't apply changes -> DOWNLINK
hf.*.up.authorise      the verdict of the CSMS, or the cloud's own, on a driver token
"""

from __future__ import annotations

import logging

from holdfast import subjects
from holdfast.bus import Bus, RequestFailed, StreamGone
from holdfast.clock import Clock
from holdfast.contracts.command import SendCommand, SendWord
from holdfast.contracts.driver_tokens import FullListWanted
from holdfast.contracts.envelope import Contract
from holdfast.contracts.rollout import (
    KeyChangesRequest,
    Rollback,
    Rollout,
    RulesHistoryRequest,
)
from holdfast.contracts.rpc import Empty
from holdfast.contracts.rules import (
    Desired,
    Publish,
    SignedRules,
    SiteLimit,
)
from holdfast.rpc import serve
from holdfast.service import Context
from rule_service.adapters import files
from rule_service.cloud_scope.authorising import Authorising
from rule_service.cloud_scope.bundles import BundlePublishing
from rule_service.cloud_scope.commanding import Commanding
from rule_service.cloud_scope.publishing import Publishing
from rule_service.cloud_scope.sites import Sites
from rule_service.cloud_scope.token_lists import published
from rule_service.config import Config, trusted_keys

log = logging.getLogger(__name__)

DOWNLINK_POLL_MS = 10_000
CONDITION = "downlink"


async def run_in_cloud(context: Context[Config]) -> None:
    """Until cancelled."""
    config, bus, clock = context.config, context.bus, context.clock
    assert config.rules_key_file is not None
    sites = Sites(config.sites)
    bundles = BundlePublishing(
        bus, clock, files.signing_key(config.rules_key_file), trusted_keys(config), sites
    )
    publishing = Publishing(bus, clock, bundles, sites)
    commanding = Commanding(bus, clock, sites)
    await serve(bus, subjects.cloud_rpc("publish"), Publish, publishing.publish)
    await serve(bus, subjects.cloud_rpc("rollout"), Rollout, bundles.rollout)
    await serve(bus, subjects.cloud_rpc("rollback"), Rollback, bundles.rollback)
    await serve(bus, subjects.cloud_rpc("rules-history"), RulesHistoryRequest, bundles.history)
    await serve(bus, subjects.up_from_any("rules"), KeyChangesRequest, bundles.key_changes)
    wanted = subjects.up_from_any("driver-tokens")
    await serve(bus, wanted, FullListWanted, publishing.full_list)
    await serve(bus, subjects.cloud_rpc("command"), SendCommand, commanding.send)
    await serve(bus, subjects.cloud_rpc("command-word"), SendWord, commanding.word)
    await answer_desired(bus, clock)
    await Authorising(context).serve()
    await watch_downlink(context)


async def watch_downlink(context: Context[Config]) -> None:
    """For ever: without the streams nothing can be published, and every request says so."""
    while True:
        try:
            await context.bus.state(subjects.DOWNLINK)
            await context.bus.state(subjects.RULES)
        except (StreamGone, RequestFailed) as error:
            context.health.wrong(CONDITION, f"{error}: run `holdfast provision`")
        else:
            context.health.ok(CONDITION)
        await context.clock.sleep_ms(DOWNLINK_POLL_MS)


async def answer_desired(bus: Bus, clock: Clock) -> None:
    async def answer(_: Empty, subject: str) -> Contract:
        return await desired(bus, subjects.site_of(subject), clock.now_ms())

    await serve(bus, subjects.up_from_any("desired"), Empty, answer)


async def desired(bus: Bus, site: str, at_ms: int) -> Desired:
    """Read off DOWNLINK itself: what is wanted is what was published last."""
    rules = await bus.last(subjects.DOWNLINK, subjects.down_rules(site))
    tokens = await published(bus, site)
    limit = await bus.last(subjects.DOWNLINK, subjects.down_limit(site))
    return Desired(
        rules_version=SignedRules.from_bytes(rules.data).version if rules else 0,
        driver_tokens_version=tokens.version if tokens else 0,
        limit_id=_limit_id(limit.data, at_ms) if limit else None,
    )


def _limit_id(data: bytes, at_ms: int) -> str | None:
    """None when it has ended: then there is no limit to wait for."""
    limit = SiteLimit.from_bytes(data)
    until_ms = limit.valid_until_ms
    return None if until_ms is not None and at_ms >= until_ms else limit.id
