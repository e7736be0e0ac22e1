"""What goes down to a site: bundles (`bundles.py`), driver-token lists, limits: checked completely, then in DOWNLINK.

Only a newer version goes out. The very same again is answered with where it stands already, so that a
publisher whose answer got lost may ask again.
"""

from __future__ import annotations

import asyncio
import logging
from hashlib import sha256
from typing import TypeVar

from holdfast import subjects
from holdfast.bus import Bus
from holdfast.clock import Clock
from holdfast.contracts.driver_tokens import DriverTokenChanges, DriverTokenList, FullListWanted
from holdfast.contracts.envelope import ContractError
from holdfast.contracts.rules import Publish, Published, SiteLimit
from holdfast.ids import derived
from rule_service.cloud_scope import token_lists
from rule_service.cloud_scope.bundles import BundlePublishing
from rule_service.cloud_scope.sites import Sites
from rule_service.cloud_scope.token_lists import CHANGES_MAX, compact
from rule_service.domain.token_lists import ListRefused, changed, checked, list_hash

log = logging.getLogger(__name__)

MESSAGE_BYTES_MAX = 768 * 1024
"""NATS carries 1 MiB; about 20,000 driver tokens fit. Larger is refused, not cut: it goes out in parts, a full list
of what fits and then changes that add the rest."""


class Publishing:
    def __init__(self, bus: Bus, clock: Clock, bundles: BundlePublishing, sites: Sites) -> None:
        self._bus = bus
        self._clock = clock
        self._bundles = bundles
        self._sites = sites
        self._one_at_a_time = asyncio.Lock()

    async def publish(self, asked: Publish, _: str) -> Published:
        """Raise ContractError saying what is wrong with it."""
        self._sites.check(asked.site)
        match asked.kind:
            case "rules":
                published = await self._bundles.publish(asked)
            case "signed-rules":
                published = await self._bundles.pass_on(asked)
            case _:
                published = await self._others(asked)
        log.info(
            "published",
            extra={"site": asked.site, "kind": asked.kind, "version": published.version},
        )
        return published

    async def _others(self, asked: Publish) -> Published:
        async with self._one_at_a_time:
            match asked.kind:
                case "driver-tokens":
                    return await self._driver_tokens(asked)
                case "driver-token-changes":
                    return await self._driver_token_changes(asked)
                case _:
                    return await self._limit(asked)

    async def _driver_tokens(self, asked: Publish) -> Published:
        tokens = _checked(DriverTokenList.from_bytes(asked.text.encode()))
        stands = await token_lists.published(self._bus, asked.site)
        if stands and stands.full == _as_stamped(tokens, stands.full):
            return Published(site=asked.site, version=str(tokens.version), seq=stands.seq)
        if stands and tokens.version <= stands.version:
            raise ContractError(_not_newer(asked, tokens.version, stands.version))
        stamps = {"as_of_ms": self._said_ms(tokens), "hash": list_hash(tokens.tokens)}
        data = compact(tokens.model_copy(update=stamps))
        subject = subjects.down_driver_tokens(asked.site)
        return await self._append(asked, subject, str(tokens.version), data)

    async def _driver_token_changes(self, asked: Publish) -> Published:
        changes = DriverTokenChanges.from_bytes(asked.text.encode())
        stands = await token_lists.published(self._bus, asked.site)
        if stands is None:
            raise ContractError(
                f"no list was ever published to {asked.site}: publish a full one first"
            )
        if stands.changes and stands.changes[-1] == _as_stamped(changes, stands.changes[-1]):
            return Published(site=asked.site, version=str(changes.version), seq=stands.seq)
        if len(stands.changes) >= CHANGES_MAX:
            raise ContractError(
                f"{CHANGES_MAX} changes were published since the last full list: publish a full one"
            )
        changes = changes.model_copy(update={"as_of_ms": self._said_ms(changes)})
        try:
            result = changed(stands.whole(), changes)
        except ListRefused as error:
            raise ContractError(str(error)) from error
        data = compact(changes.model_copy(update={"hash": result.hash}))
        subject = subjects.down_driver_token_changes(asked.site, len(stands.changes))
        return await self._append(asked, subject, str(changes.version), data)

    async def full_list(self, asked: FullListWanted, subject: str) -> Published:
        """`up.driver-tokens`: a site that can't apply changes gets the list they lead to, under the same version.
        Raise ContractError when there is none, or it does not fit.
        """
        site = subjects.site_of(subject)
        async with self._one_at_a_time:
            stands = await token_lists.published(self._bus, site)
            if stands is None:
                raise ContractError(f"no list was ever published to {site}")
            tokens = stands.whole()
            data = compact(tokens)
            if len(data) > MESSAGE_BYTES_MAX:
                raise ContractError(
                    f"the whole list of {len(tokens.tokens)} driver tokens does not fit one message: "
                    "publish it anew, a full list of a part and then changes"
                )
            id = derived("full list", site, tokens.version, stands.seq)
            full = subjects.down_driver_tokens(site)
            stored = await self._bus.append(subjects.DOWNLINK, full, data, id=id)
        log.warning(
            "full list sent again",
            extra={"site": site, "version": tokens.version, "why": asked.why},
        )
        return Published(site=site, version=str(tokens.version), seq=stored.seq)

    def _said_ms(self, said: DriverTokenList | DriverTokenChanges) -> int:
        return self._clock.now_ms() if said.as_of_ms is None else said.as_of_ms

    async def _limit(self, asked: Publish) -> Published:
        """The newest counts, whatever its id."""
        limit = SiteLimit.from_bytes(asked.text.encode())
        subject = subjects.down_limit(asked.site)
        return await self._append(asked, subject, limit.id, limit.to_bytes())

    async def _append(self, asked: Publish, subject: str, version: str, data: bytes) -> Published:
        if len(data) > MESSAGE_BYTES_MAX:
            parts = (
                ": publish a full list of a part, then changes that add the rest"
                if asked.kind.startswith("driver-token")
                else ""
            )
            raise ContractError(
                f"{asked.kind} of {len(data)} bytes are over the limit of {MESSAGE_BYTES_MAX}{parts}"
            )
        id = derived("publish", asked.site, asked.kind, version, sha256(data).hexdigest())
        stored = await self._bus.append(subjects.DOWNLINK, subject, data, id=id)
        return Published(site=asked.site, version=version, seq=stored.seq)


def _not_newer(asked: Publish, version: int, published: int) -> str:
    return (
        f"{asked.kind} version {version} is not newer than {published}, "
        f"published to {asked.site} already: raise its version"
    )


def _checked(tokens: DriverTokenList) -> DriverTokenList:
    try:
        return checked(tokens)
    except ListRefused as error:
        raise ContractError(str(error)) from error


Said = TypeVar("Said", DriverTokenList, DriverTokenChanges)


def _as_stamped(asked: Said, stands: Said) -> Said:
    """What it would be with the stamps that the published one got."""
    stamps = {
        "as_of_ms": stands.as_of_ms if asked.as_of_ms is None else asked.as_of_ms,
        "hash": asked.hash or stands.hash,
    }
    return asked.model_copy(update=stamps)
