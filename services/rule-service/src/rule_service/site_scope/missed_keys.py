"""A bundle signed with a key that the site does not know: was the one that names the key missed?

DOWNLINK holds only the newest bundle. A site that was away while the keys were changed in steps gets the last one
first; it asks the cloud for those in between, and takes them in order, each verified as ever. Nobody's word is
believed: a bundle that the chain of keys does not lead to stays refused.
"""

from __future__ import annotations

import logging

from holdfast import subjects
from holdfast.bus import Bus, RequestFailed
from holdfast.clock import Clock
from holdfast.contracts.life import RefusedFor
from holdfast.contracts.mode import Mode
from holdfast.contracts.rollout import KeyChanges, KeyChangesRequest
from holdfast.rpc import call
from rule_service.site_scope.bundles import Bundles

log = logging.getLogger(__name__)

LOOK_EVERY_MS = 5_000
ANSWER_MS_MAX = 5_000


async def ask_for_missed_keys(bus: Bus, clock: Clock, site: str, bundles: Bundles) -> None:
    """For ever; about each refused bundle once, with whatever the site has then."""
    asked: tuple[int | None, int] | None = None
    while True:
        await clock.sleep_ms(LOOK_EVERY_MS)
        state, last = bundles.state, bundles.last_offered
        if bundles.mode is Mode.AUTONOMOUS or last is None or state.refusal is None:
            continue
        newest = state.newest_version
        question = (state.refusal.fact.version, newest)
        if state.refusal.fact.kind is not RefusedFor.UNTRUSTED_KEY or asked == question:
            continue
        try:
            found = await call(
                bus,
                subjects.up(site, "rules"),
                KeyChangesRequest(version=newest),
                KeyChanges,
                timeout_ms=ANSWER_MS_MAX,
            )
        except RequestFailed as error:
            log.info("key changes not told", extra={"why": str(error)})
            continue
        if bundles.last_offered is not last:
            continue  # something newer came meanwhile: these would only be refused as older
        asked = question
        for signed in found.bundles:
            await bundles.offer(signed)
        if found.bundles and found.bundles[-1] != last:
            await bundles.offer(last)
