"""A bundle on its way to a site: by the product's own registry, or past it, as an attacker would."""

from __future__ import annotations

import asyncio

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast import subjects
from holdfast.bus import Bus, BusError
from holdfast.contracts.rules import Publish, Published
from holdfast.nats_bus import ServerUnusable, open_bus
from holdfast.rpc import call
from holdfast_cli.drill.account import AccountError
from holdfast_cli.drill.bundles import Bundle, signed
from holdfast_cli.provision.layout import CLOUD, World

PATIENCE_S = 30.0
AGAIN_S = 0.25
ANSWER_MS = 5_000


async def publish(world: World, site: str, bundle: Bundle) -> None:
    """Who was just killed answers again in a moment, and the same bundle again is one. Raise AccountError."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S
    while True:
        try:
            await _once(world, site, bundle)
        except (BusError, ServerUnusable) as error:
            if loop.time() > deadline:
                raise AccountError(f"rules {bundle.id} were not published: {error}") from error
            await asyncio.sleep(AGAIN_S)
        else:
            return


async def _once(world: World, site: str, bundle: Bundle) -> None:
    password = (world.secrets / f"{CLOUD}.password").read_text().strip()
    async with open_bus(world.nats_url(CLOUD), user=CLOUD, password=password, name="drill") as bus:
        if bundle.how == "good":
            asked = Publish(site=site, kind="rules", text=bundle.text)
            subject = subjects.cloud_rpc("publish")
            await call(bus, subject, asked, Published, timeout_ms=ANSWER_MS)
        else:
            await _put(bus, world, site, bundle)


async def _put(bus: Bus, world: World, site: str, bundle: Bundle) -> None:
    pem = (world.secrets / "rules.key").read_bytes()
    key = serialization.load_pem_private_key(pem, password=None)
    assert isinstance(key, Ed25519PrivateKey)
    data = signed(bundle, key, stranger=Ed25519PrivateKey.generate()).to_bytes()
    await bus.append(
        subjects.DOWNLINK, subjects.down_rules(site), data, id=f"drill-{bundle.id}-{bundle.version}"
    )
