"""Goal: a draft reaches the sites it is for, and only whole; what was published is found again, and taken back (F16).

Method: the cloud scope runs on SimBus; a disk that refuses stands for a process that dies between the two streams.
"""

from __future__ import annotations

import asyncio
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from holdfast import subjects
from holdfast.bus import AppendRefused
from holdfast.clock import SystemClock
from holdfast.contracts.envelope import ContractError
from holdfast.contracts.rollout import (
    HISTORY_MAX,
    BundleRecord,
    Rollback,
    RolledOut,
    Rollout,
    RulesHistory,
    RulesHistoryRequest,
)
from holdfast.contracts.rules import Published, RulesActivated, RulesRefused, SignedRules
from holdfast.rpc import Refused, call
from holdfast.rules_text import read_document
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_clock import virtual_time
from rule_service.cloud_scope.bundle_registry import TEXT_BYTES_MAX, within_one_message
from rule_service.cloud_scope.bundles import BundlePublishing
from rule_service.cloud_scope.sites import Sites
from rule_service.cloud_scope.targets import share
from rule_service.domain.bundle_text import read_rules, with_version
from rule_service.domain.composing import leaves
from rule_service.domain.signatures import is_signed, public_hex, sign

BERLIN, MUNICH = "berlin01", "munich01"
OWN = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
"""The cloud's, as conftest provisions it."""
OTHER = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32)
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes([8]) * 32)


def draft(version=5, **parts):
    return json.dumps({"version": version, "name": "autumn", **parts})


async def roll_out(world, text, **target):
    asked = Rollout(draft=text, by="ann", **target)
    subject = subjects.cloud_rpc("rollout")
    return (await call(world.cloud, subject, asked, RolledOut, timeout_ms=5_000)).results


async def roll_back(world, to_version=None, site=BERLIN):
    asked = Rollback(site=site, to_version=to_version, by="ann")
    return await call(
        world.cloud, subjects.cloud_rpc("rollback"), asked, Published, timeout_ms=5_000
    )


async def history(world, site=BERLIN, version=None):
    asked = RulesHistoryRequest(site=site, version=version)
    subject = subjects.cloud_rpc("rules-history")
    return (await call(world.cloud, subject, asked, RulesHistory, timeout_ms=5_000)).bundles


async def down(world, site=BERLIN):
    message = await world.cloud.last(subjects.DOWNLINK, subjects.down_rules(site))
    return SignedRules.from_bytes(message.data) if message else None


def version_at(world, version):
    async def look():
        return (await world.rules_status()).version == version

    return look


# --- roll out ---


@virtual_time
async def test_a_draft_becomes_the_whole_signed_bundle_of_each_site_and_is_activated_there(a_world):
    async with a_world() as world, world.running("cloud"), world.running("site"):
        text = draft(sites={BERLIN: {"modes": {"latch_ms": 1}}})
        results = await roll_out(world, text, sites=(BERLIN, MUNICH))
        assert [(one.site, one.version, one.problem) for one in results] == [
            (BERLIN, 5, None),
            (MUNICH, 5, None),
        ]
        for one in results:
            signed = await down(world, one.site)
            assert is_signed(signed)
            rules = read_rules(signed.text)
            assert (rules.site, rules.version, rules.name) == (one.site, 5, "autumn")
            [record] = await history(world, one.site)
            assert (record.hash, record.text, record.by) == (one.hash, signed.text, "ann")
            assert record.signature == signed.signature
        assert read_rules((await down(world)).text).modes.latch_ms == 1
        await eventually(version_at(world, 5))


@virtual_time
async def test_a_group_of_the_draft_and_a_share_of_the_sites_are_reached(a_world):
    async with a_world() as world, world.running("cloud"):
        groups = {"motorway": {"sites": [MUNICH, MUNICH]}, "empty": {}}
        [result] = await roll_out(world, draft(groups=groups), group="motorway")
        assert result.site == MUNICH
        [first] = await roll_out(world, draft(6), percent=20)
        everywhere = await roll_out(world, draft(7), percent=100)
        assert first.site in {one.site for one in everywhere} == {BERLIN, MUNICH}
        for target, why in (
            ({"group": "city"}, "there is no group"),
            ({"group": "empty"}, "no sites"),
            ({}, "exactly one"),
            ({"percent": 5, "group": "motorway"}, "exactly one"),
            ({"sites": ("paris01",)}, "no site 'paris01'"),
        ):
            with pytest.raises(Refused, match=why):
                await roll_out(world, draft(8, groups=groups), **target)


@virtual_time
async def test_whatever_is_wrong_with_a_draft_nothing_of_it_goes_out(a_world):
    async with a_world() as world, world.running("cloud"):
        for parts, why in (
            ({"sites": {BERLIN: {}, "paris01": {}}}, "no site 'paris01'"),
            ({"sites": {MUNICH: {"modes": {"pulze_ms": 1}}}}, "sites.munich01.modes.pulze_ms"),
        ):
            with pytest.raises(Refused, match=why) as refused:
                await roll_out(world, draft(**parts), sites=(BERLIN,))
            assert not refused.value.failure.retry
        assert await down(world) is None
        assert await history(world) == ()


@virtual_time
async def test_each_site_has_its_own_result_and_asking_again_does_no_harm(a_world):
    async with a_world() as world, world.running("cloud"):
        await world.publish("rules", world.rules_text(9), site=MUNICH)
        both = (BERLIN, MUNICH)
        berlin, munich = await roll_out(world, draft(5), sites=both)
        assert (berlin.problem, munich.seq) == (None, None)
        assert "not newer than 9" in munich.problem
        assert await roll_out(world, draft(5), sites=both) == (berlin, munich)
        assert len(await history(world)) == 1


@virtual_time
async def test_a_plain_bundle_goes_out_with_every_clause_that_decides(a_world):
    async with a_world() as world, world.running("cloud"):
        text = world.rules_text(3, modes={"latch_ms": 9})
        await roll_out(world, text, sites=(BERLIN, MUNICH))
        signed = await down(world)
        assert signed.text == (await down(world, MUNICH)).text
        assert is_signed(signed)
        stated = set(dict(leaves(read_document(signed.text).value)))
        assert stated == set(dict(leaves(read_rules(text).model_dump(mode="json"))))
        first = await world.publish("rules", text)  # the very same again, another way
        assert (await world.publish("rules", text), len(await history(world))) == (first, 1)
        assert await down(world) == signed


@virtual_time
async def test_what_was_signed_elsewhere_with_clauses_left_out_is_written_out_when_it_comes_back(
    a_world,
):
    async with a_world() as world:
        world.trusted_in_cloud = (public_hex(OTHER),)
        async with world.running("cloud"):
            partial = world.rules_text(2, name="elsewhere", **keys(OWN, OTHER))
            await world.publish("signed-rules", sign(OTHER, 2, partial).model_dump_json())
            await world.publish("rules", world.rules_text(3, **keys(OWN, OTHER)))
            await roll_back(world)
            text = (await down(world)).text
            assert (read_rules(text).name, read_rules(text).version) == ("elsewhere", 4)
            assert "stable_for_ms" in text


@virtual_time
async def test_rules_that_have_expired_already_do_not_go_out(a_world):
    async with a_world() as world, world.running("cloud"):
        with pytest.raises(Refused, match="version 3 has expired"):
            await world.publish("rules", world.rules_text(3, valid_until_ms=5))
        [result] = await roll_out(world, draft(3, valid_until_ms=5), sites=(BERLIN,))
        assert "has expired" in result.problem
        assert await down(world) is None


async def test_others_are_answered_while_a_large_draft_is_composed():
    """Nothing is asked of the bus: the group is not there, which is found once the draft is checked."""
    groups = {f"g{n}": {"sites": [f"site{n}"], "rules": {"modes": {"latch_ms": n}}} for n in range(300)}  # fmt: skip
    bundles = BundlePublishing(None, SystemClock(), OWN, frozenset(), Sites(()))
    asked = Rollout(draft=draft(groups=groups), group="nobody", by="ann")
    rolling = asyncio.create_task(bundles.rollout(asked, ""))
    turns = 0
    while not rolling.done():
        await asyncio.sleep(0.005)
        turns += 1
    with pytest.raises(ContractError, match="no group 'nobody'"):
        await rolling
    assert turns > 5


@virtual_time
async def test_a_process_that_dies_before_the_downlink_is_healed_by_asking_again(a_world):
    async with a_world() as world:
        bus = DyingBetween(world.cloud)
        bundles = BundlePublishing(bus, world.clock, OWN, frozenset(), Sites((BERLIN,)))
        asked = Rollout(draft=draft(5), sites=(BERLIN,), by="ann")
        [result] = (await bundles.rollout(asked, "")).results
        assert (result.seq, "ask again" in result.problem) == (None, True)
        assert await down(world) is None
        async with world.running("cloud"):
            assert [record.version for record in await history(world)] == [5]
            [result] = await roll_out(world, draft(5), sites=(BERLIN,))
            assert (result.problem, (await down(world)).version) == (None, 5)
            assert len(await history(world)) == 1


class DyingBetween:
    """A bus that stores nothing in DOWNLINK."""

    def __init__(self, bus):
        self._bus = bus

    def __getattr__(self, name):
        return getattr(self._bus, name)

    async def append(self, stream, *given, **named):
        if stream == subjects.DOWNLINK:
            raise AppendRefused("died")
        return await self._bus.append(stream, *given, **named)


site_names = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)


@given(
    names=st.frozensets(site_names, min_size=1), one=st.integers(1, 100), other=st.integers(1, 100)
)
def test_a_smaller_share_is_part_of_a_larger_one(names, one, other):
    smaller, larger = share(names, min(one, other)), share(names, max(one, other))
    assert larger[: len(smaller)] == smaller
    assert (
        len(names) * min(one, other) / 100 <= len(smaller) < len(names) * min(one, other) / 100 + 1
    )
    assert set(share(names, 100)) == names


# --- roll back ---


@virtual_time
async def test_a_roll_back_is_the_earlier_text_under_a_new_version_and_the_site_takes_it(a_world):
    async with a_world() as world, world.running("cloud"), world.running("site"):
        for version in (2, 3, 4):
            await world.publish("rules", world.rules_text(version, name=f"n{version}"))
        published = await roll_back(world)
        assert published.version == "5"
        signed = await down(world)
        [third] = await history(world, version=3)
        assert signed.text == with_version(third.text, 5)
        newest = (await history(world))[0]
        assert (newest.version, newest.rollback_of, newest.by) == (5, 3, "ann")
        await eventually(version_at(world, 5))
        assert (await world.rules_status()).name == "n3"


@virtual_time
async def test_a_roll_back_asked_again_is_the_same_one_and_further_back_is_named(a_world):
    async with a_world() as world, world.running("cloud"):
        for version in (2, 3, 4):
            await world.publish("rules", world.rules_text(version, name=f"n{version}"))
        first = await roll_back(world)
        assert await roll_back(world) == first
        assert await roll_back(world, 3) == first
        assert (await roll_back(world, 2)).version == "6"
        assert read_rules((await down(world)).text).name == "n2"
        with pytest.raises(Refused, match="there are 5, 4, 3, 2"):
            await roll_back(world, 17)
        await world.publish("rules", world.rules_text(7))
        assert (await roll_back(world)).version == "8"


@virtual_time
async def test_there_is_nothing_to_go_back_to_at_first_nor_to_what_has_expired(a_world):
    async with a_world() as world, world.running("cloud"):
        with pytest.raises(Refused, match="nothing was published"):
            await roll_back(world)
        soon_ms = world.clock.now_ms() + 1_000
        await world.publish("rules", world.rules_text(2, valid_until_ms=soon_ms))
        await world.publish("rules", world.rules_text(3))
        await world.clock.sleep_ms(1_000)
        with pytest.raises(Refused, match="expired"):
            await roll_back(world)
        with pytest.raises(Refused, match="no site 'paris01'"):
            await roll_back(world, site="paris01")


@virtual_time
async def test_a_roll_back_that_died_before_the_downlink_goes_on_when_asked_again(a_world):
    async with a_world() as world, world.running("cloud"):
        for version in (2, 3):
            await world.publish("rules", world.rules_text(version, name=f"n{version}"))
        bus = DyingBetween(world.cloud)
        bundles = BundlePublishing(bus, world.clock, OWN, frozenset(), Sites((BERLIN,)))
        asked = Rollback(site=BERLIN, by="ann")
        with pytest.raises(AppendRefused):
            await bundles.rollback(asked, "")
        assert (await down(world)).version == 3
        assert (await roll_back(world)).version == "4"
        assert read_rules((await down(world)).text).name == "n2"
        assert [record.version for record in await history(world)] == [4, 3, 2]


# --- the registry ---


@virtual_time
async def test_the_history_is_bounded_and_newest_first_and_one_version_can_be_asked_for(a_world):
    async with a_world() as world, world.running("cloud"):
        for version in range(1, HISTORY_MAX + 4):
            await world.publish("rules", world.rules_text(version))
        found = [record.version for record in await history(world)]
        assert found == list(range(HISTORY_MAX + 3, 3, -1))
        [record] = await history(world, version=50)
        assert read_rules(record.text) == read_rules(world.rules_text(50))
        with pytest.raises(Refused, match="too long ago"):
            await history(world, version=1)
        assert await history(world, MUNICH) == ()


def test_a_history_fits_into_one_message_the_newest_with_their_texts():
    text = "x" * (TEXT_BYTES_MAX // 2)
    records = tuple(
        BundleRecord(version=v, hash="", name="", text=text, key="", published_at_ms=0, by="")
        for v in (3, 2, 1)
    )
    assert [bool(record.text) for record in within_one_message(records)] == [True, True, False]


# --- keys ---


def keys(*named):
    return {"signing": {"keys": [public_hex(key) for key in named]}}


@virtual_time
async def test_rules_signed_elsewhere_are_checked_and_passed_on_as_they_are(a_world):
    async with a_world() as world:
        world.trusted_in_cloud = (public_hex(OTHER),)
        async with world.running("cloud"):
            signed = sign(OTHER, 2, world.rules_text(2, **keys(OTHER)))
            await world.publish("signed-rules", signed.model_dump_json())
            assert await down(world) == signed
            [record] = await history(world)
            assert (record.key, record.signature) == (public_hex(OTHER), signed.signature)
            altered = signed.model_copy(update={"text": signed.text + " "})
            other_site = sign(OTHER, 3, world.rules_text(3, site=MUNICH))
            for wrong, why in (
                (sign(STRANGER, 3, world.rules_text(3)), "does not trust"),
                (altered, "altered"),
                (other_site, MUNICH),
                (sign(OTHER, 3, world.rules_text(3, charity=1)), "charity"),
                (sign(OTHER, 3, world.rules_text(3, **keys(OWN))), "lock itself out"),
                (sign(OTHER, 1, world.rules_text(1)), "not newer than 2"),
            ):
                with pytest.raises(Refused, match=why):
                    await world.publish("signed-rules", wrong.model_dump_json())
            with pytest.raises(Refused, match="not a SignedRules"):
                await world.publish("signed-rules", "{}")
            assert await down(world) == signed


@virtual_time
async def test_a_cloud_whose_key_was_retired_or_would_be_signs_nothing(a_world):
    async with a_world() as world:
        world.trusted_in_cloud = (public_hex(OTHER),)
        async with world.running("cloud"):
            with pytest.raises(Refused, match="lock itself out"):
                await world.publish("rules", world.rules_text(2, **keys(OTHER)))
            await world.publish("rules", world.rules_text(2, **keys(OWN, OTHER)))
            last = sign(OTHER, 3, world.rules_text(3, **keys(OTHER)))
            await world.publish("signed-rules", last.model_dump_json())
            with pytest.raises(Refused, match="none of them"):
                await world.publish("rules", world.rules_text(4, **keys(OWN)))
            [result] = await roll_out(world, draft(4), sites=(BERLIN,))
            assert "none of them" in result.problem
            with pytest.raises(Refused, match="none of them"):
                await roll_back(world, 2)
            assert await down(world) == last


@virtual_time
async def test_keys_are_changed_at_the_site_and_the_old_one_is_refused_also_after_a_restart(
    a_world,
):
    async with a_world() as world:
        world.trusted_in_cloud = (public_hex(OTHER),)
        async with world.running("cloud"), world.running("site"):
            await world.publish("rules", world.rules_text(2, **keys(OWN, OTHER)))
            await eventually(version_at(world, 2))
            last = sign(OTHER, 3, world.rules_text(3, **keys(OTHER)))
            await world.publish("signed-rules", last.model_dump_json())
            await eventually(version_at(world, 3))
            status = await world.rules_status()
            assert status.trusted_keys == (public_hex(OTHER)[:16],)
            assert status.trusted_by == "bundle"
        # The cloud would not: whoever has the old key and the cloud's password writes into DOWNLINK.
        old = sign(OWN, 4, world.rules_text(4))
        subject = subjects.down_rules(BERLIN)
        await world.cloud.append(subjects.DOWNLINK, subject, old.to_bytes(), id="x")
        for _ in range(2):
            async with world.running("site"):

                async def refused():
                    return (await world.rules_status()).refused

                assert "does not trust" in await eventually(refused)
                assert (await world.rules_status()).version == 3
            await world.clock.sleep_ms(2 * 3_600_000)


@virtual_time
async def test_a_site_that_was_away_while_keys_were_changed_catches_up_step_by_step(a_world):
    async with a_world() as world:
        world.trusted_in_cloud = (public_hex(OTHER),)
        async with world.running("cloud"):
            for version in (2, 3):
                await world.publish("rules", world.rules_text(version, **keys(OWN, OTHER)))
            for version in (4, 5):
                signed = sign(OTHER, version, world.rules_text(version, **keys(OTHER)))
                await world.publish("signed-rules", signed.model_dump_json())
            async with world.running("site"):
                await eventually(version_at(world, 5), within_s=30)
                status = await world.rules_status()
                assert (status.refused, status.trusted_keys) == (None, (public_hex(OTHER)[:16],))
        activated = [fact.version for fact in await world.facts(RulesActivated)]
        assert activated == [1, 2, 4, 5]


@virtual_time
async def test_a_bundle_that_no_chain_of_keys_leads_to_stays_refused(a_world):
    async with a_world() as world, world.running("cloud"):
        await world.publish("rules", world.rules_text(2, **keys(OWN, OTHER)))
        forged = sign(STRANGER, 9, world.rules_text(9))
        subject = subjects.down_rules(BERLIN)
        await world.cloud.append(subjects.DOWNLINK, subject, forged.to_bytes(), id="x")
        async with world.running("site"):
            await eventually(version_at(world, 2), within_s=30)
            await world.clock.sleep_ms(60_000)
            status = await world.rules_status()
            assert (status.version, status.refused_version) == (2, 9)
        assert (
            len(await world.facts(RulesRefused)) == 2
        )  # by the first rules, and by those in between
