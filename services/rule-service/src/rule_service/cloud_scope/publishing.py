"""Bundles, driver-token lists and limits on their way to a site: checked completely, signed, then in DOWNLINK.

Only a newer version goes out. The very same again is answered with where it stands already, so that a
publisher whose answer got lost may ask again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast import subjects
from holdfast.bus import Bus
from holdfast.contracts.envelope import ContractError
from holdfast.contracts.rules import (
    DriverTokenList,
    Publish,
    Published,
    SignedRules,
    SiteLimit,
)
from holdfast.ids import derived
from rule_service.cloud_scope.sites import Sites
from rule_service.domain.bundle import read_rules
from rule_service.domain.signatures import sign

log = logging.getLogger(__name__)

MESSAGE_BYTES_MAX = 768 * 1024
"""NATS carries 1 MiB; a list of about 10,000 driver tokens fits. Larger is refused, not cut."""


class Publishing:
    def __init__(self, bus: Bus, key: Ed25519PrivateKey, sites: Sites) -> None:
        self._bus = bus
        self._key = key
        self._sites = sites
        self._one_at_a_time = asyncio.Lock()

    async def publish(self, asked: Publish, _: str) -> Published:
        """Raise ContractError saying what is wrong with it."""
        self._sites.check(asked.site)
        async with self._one_at_a_time:
            match asked.kind:
                case "rules":
                    published = await self._rules(asked)
                case "driver-tokens":
                    published = await self._driver_tokens(asked)
                case "limit":
                    published = await self._limit(asked)
        log.info(
            "published",
            extra={"site": asked.site, "kind": asked.kind, "version": published.version},
        )
        return published

    async def _rules(self, asked: Publish) -> Published:
        rules = read_rules(asked.text)
        if rules.site not in ("*", asked.site):
            raise ContractError(f"the rules are for site {rules.site!r}, not {asked.site!r}")
        signed = sign(self._key, rules.version, asked.text)

        def version_of(data: bytes) -> int:
            return SignedRules.from_bytes(data).version

        return await self._newer(
            asked, subjects.down_rules(asked.site), rules.version, signed.to_bytes(), version_of
        )

    async def _driver_tokens(self, asked: Publish) -> Published:
        tokens = DriverTokenList.from_bytes(asked.text.encode())

        def version_of(data: bytes) -> int:
            return DriverTokenList.from_bytes(data).version

        subject = subjects.down_driver_tokens(asked.site)
        return await self._newer(asked, subject, tokens.version, tokens.to_bytes(), version_of)

    async def _limit(self, asked: Publish) -> Published:
        """The newest counts, whatever its id."""
        limit = SiteLimit.from_bytes(asked.text.encode())
        subject = subjects.down_limit(asked.site)
        return await self._append(asked, subject, limit.id, limit.to_bytes())

    async def _newer(
        self,
        asked: Publish,
        subject: str,
        version: int,
        data: bytes,
        version_of: Callable[[bytes], int],
    ) -> Published:
        last = await self._bus.last(subjects.DOWNLINK, subject)
        if last and last.data == data:
            return Published(site=asked.site, version=str(version), seq=last.seq)
        published = version_of(last.data) if last else 0
        if version <= published:
            raise ContractError(
                f"{asked.kind} version {version} is not newer than {published}, "
                f"published to {asked.site} already: raise its version"
            )
        return await self._append(asked, subject, str(version), data)

    async def _append(self, asked: Publish, subject: str, version: str, data: bytes) -> Published:
        if len(data) > MESSAGE_BYTES_MAX:
            raise ContractError(
                f"{asked.kind} of {len(data)} bytes are over the limit of {MESSAGE_BYTES_MAX}"
            )
        id = derived("publish", asked.site, asked.kind, version, sha256(data).hexdigest())
        stored = await self._bus.append(subjects.DOWNLINK, subject, data, id=id)
        return Published(site=asked.site, version=version, seq=stored.seq)
