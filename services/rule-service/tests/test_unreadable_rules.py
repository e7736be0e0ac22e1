"""Goal: going back to an older build never brings older rules, or a retired key, into force.

Method: the journal has an activation in words that this build does not know, as a newer build leaves it; the shipped
rule-service starts on it.
"""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast import subjects
from holdfast.contracts.decision import Authorise, Authorised
from holdfast.contracts.mode import Mode
from holdfast.contracts.rollout import KeyChanges, KeyChangesRequest
from holdfast.contracts.rules import RulesActivated, RulesRefused
from holdfast.rpc import call
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_clock import virtual_time
from rule_service.cloud_scope.bundle_registry import BundleRegistry
from rule_service.domain.named_keys import named_keys
from rule_service.domain.signatures import public_hex, sign

OTHER = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32)
OF_TOMORROW = {"a_clause_of_tomorrow": 1, "signing": {"keys": [public_hex(OTHER)]}}


async def leave_activation_of_tomorrow(world):
    text = world.rules_text(9, **OF_TOMORROW)
    fact = RulesActivated(version=9, hash="00", text=text, previous_version=8)
    await world.recorder.record(fact, id="activated-9")


async def offer(world, signed):
    subject = subjects.down_rules(world.site_name)
    await world.cloud.append(subjects.DOWNLINK, subject, signed.to_bytes(), id=signed.signature)


@virtual_time
async def test_the_provisioned_bundle_does_not_take_the_place_of_one_that_cannot_be_read(a_world):
    async with a_world() as world:
        await leave_activation_of_tomorrow(world)
        await world.enter(Mode.AUTONOMOUS)
        async with world.running("site"):
            status = await world.rules_status()
            assert (status.version, status.trusted_by) == (0, "bundle")
            assert not world.health["site"].is_ok
            asked = Authorise(request="r", charge_point="CP-01", driver_token="X")
            subject = subjects.rpc(world.site_name, "authorise")
            reply = await call(world.site, subject, asked, Authorised, timeout_ms=5_000)
            assert reply.rules_version == 0
        assert [fact.version for fact in await world.facts(RulesActivated)] == [9]


@virtual_time
async def test_only_a_newer_bundle_by_a_key_that_it_named_takes_its_place(a_world):
    async with a_world() as world, world.running("cloud"):
        await leave_activation_of_tomorrow(world)
        text = json.dumps({"version": 10, "signing": {"keys": [public_hex(OTHER)]}})
        async with world.running("site"):
            await world.publish("rules", world.rules_text(11))

            async def refused():
                return (await world.rules_status()).refused

            assert "does not trust" in await eventually(refused)
            await offer(world, sign(OTHER, 8, world.rules_text(8, signing=OF_TOMORROW["signing"])))
            await eventually(lambda: _refused_as(world, "not newer than 9"))
            await offer(world, sign(OTHER, 10, text))

            async def active():
                return (await world.rules_status()).version == 10

            await eventually(active)
            assert world.health["site"].is_ok
        newest = (await world.facts(RulesActivated))[-1]
        assert (newest.version, newest.previous_version) == (10, 9)
        assert {fact.version for fact in await world.facts(RulesRefused)} == {11, 8}


async def _refused_as(world, words):
    return words in ((await world.rules_status()).refused or "")


@virtual_time
async def test_a_record_that_the_cloud_cannot_read_stops_neither_publishing_nor_key_changes(
    a_world,
):
    async with a_world() as world, world.running("cloud") as bus:
        await world.publish("rules", world.rules_text(2))
        registry = BundleRegistry(bus)
        [record] = await registry.history(world.site_name)
        text = world.rules_text(3, a_clause_of_tomorrow=1)
        newer = record.model_copy(update={"version": 3, "text": text, "hash": "33"})
        await registry.keep(world.site_name, newer)
        assert (await world.publish("rules", world.rules_text(4))).version == "4"
        found = await call(
            world.cloud,
            subjects.up(world.site_name, "rules"),
            KeyChangesRequest(version=0),
            KeyChanges,
            timeout_ms=5_000,
        )
        assert found.bundles == ()


@pytest.mark.parametrize(
    "text", ["", "- a", "signing: 1", "signing: {keys: 1}", "a: [", "v: !!int ''"]
)
def test_a_text_that_names_no_keys_gives_none(text):
    assert named_keys(text) == ()
