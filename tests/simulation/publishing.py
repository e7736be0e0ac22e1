"""Rules on their way to the simulated site: good ones by the cloud's registry, hostile ones straight into DOWNLINK.

async with ...: publisher.run()       newer bundles and lists, and what nobody may take, at random moments
await publisher.mend()                in calm: a good bundle is the last that was put before the site
"""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast import rpc, subjects
from holdfast.bus import BusError
from holdfast.contracts.rules import Publish, Published, SignedRules
from rule_service.domain.composing import plain
from rule_service.domain.signatures import sign
from simulation.provisioning import SITE, driver_tokens, rules_text, signing_key
from simulation.world import SimWorld

AGAIN_MS = 2_000
EXPIRING_RATIO = 0.3
EXPIRES_AFTER_MS = 8_000
"""Then the built-in safe rules decide, until newer ones come."""
STRANGER = Ed25519PrivateKey.from_private_bytes(b"x" * 32)

Hostile = Callable[[Ed25519PrivateKey, int], SignedRules]


def tampered(key: Ed25519PrivateKey, version: int) -> SignedRules:
    whole = sign(key, version, rules_text(version))
    return whole.model_copy(update={"text": whole.text + "\n# altered\n"})


def older(key: Ed25519PrivateKey, version: int) -> SignedRules:
    return sign(key, 1, rules_text(1) + "\n# of long ago, and well signed\n")


def foreign(key: Ed25519PrivateKey, version: int) -> SignedRules:
    return sign(STRANGER, version, rules_text(version))


def wrong_site(key: Ed25519PrivateKey, version: int) -> SignedRules:
    return sign(key, version, rules_text(version) + "\nsite: not-this-site\n")


def unknown_clause(key: Ed25519PrivateKey, version: int) -> SignedRules:
    return sign(key, version, rules_text(version) + "\na_clause_that_nobody_knows: true\n")


HOSTILE: tuple[Hostile, ...] = (tampered, older, foreign, wrong_site, unknown_clause)


def hash_of(text: str) -> str:
    return sha256(text.encode()).hexdigest()


class Publisher:
    def __init__(self, world: SimWorld) -> None:
        self._world = world
        self._client = world.cloud.client("publisher")
        self._version = 1
        self._to_mend = False

    async def run(self) -> None:
        """A newer bundle and a newer list some time in the life, whatever the seed; then as its faults say."""
        rng, faults = self._world.chance("publishing"), self._world.faults
        await self._world.clock.sleep_ms(rng.randint(5_000, 35_000))
        await self._good()
        await self._taken("driver-tokens", driver_tokens(2).model_dump_json())
        if not faults.rules_every_ms:
            return
        while True:
            await self._world.clock.sleep_ms(round(rng.expovariate(1 / faults.rules_every_ms)))
            if rng.random() < faults.hostile_rules_ratio:
                await self._put(rng)
            elif rng.random() < EXPIRING_RATIO:
                await self._good(expiring=True)
            else:
                await self._good()

    async def mend(self) -> None:
        if self._to_mend:
            await self._good()

    async def _good(self, *, expiring: bool = False) -> None:
        self._version += 1
        text = rules_text(self._version)
        if expiring:
            until_ms = self._world.site_clock.now_ms() + EXPIRES_AFTER_MS
            text += f"\nvalid_until_ms: {until_ms}\nafter_expiry: safe\n"
        # Known to be good before anybody can take it: as the cloud signs it, with every clause.
        self._world.good_rules.add(hash_of(plain(text).text))
        await self._taken("rules", text)
        self._to_mend = expiring

    async def _taken(self, kind: str, text: str) -> None:
        """Tried until it is."""
        request = Publish.model_validate({"site": SITE, "kind": kind, "text": text})
        while True:
            try:
                subject = subjects.cloud_rpc("publish")
                await rpc.call(self._client, subject, request, Published, timeout_ms=2_000)
            except BusError as error:
                self._world.note(f"{kind} not published: {type(error).__name__}")
                if "newer" in str(error):
                    return  # it was taken, and only the answer lost
                await self._world.clock.sleep_ms(AGAIN_MS)
            else:
                return

    async def _put(self, rng: random.Random) -> None:
        """As an attacker with the cloud's credentials would; tried once."""
        self._version += 1
        hostile = rng.choice(HOSTILE)
        data = hostile(signing_key(), self._version).to_bytes()
        self._to_mend = True
        self._world.note(f"rules put before the site: {hostile.__name__}")
        try:
            subject = subjects.down_rules(SITE)
            await self._client.append(
                subjects.DOWNLINK, subject, data, id=f"hostile-{self._version}"
            )
        except BusError as error:
            self._world.note(f"they did not come there: {type(error).__name__}")
