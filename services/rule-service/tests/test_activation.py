"""Goal: newer rules take over at a safe point, a decision never spans two bundles unseen, and operators see what waits,
what stands and what was refused (F12, F16).

Method: the site's shell on SimBus and virtual time, with a cloud that answers late so that decisions are under way.
"""

from __future__ import annotations

import asyncio
import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client import generate_latest

from holdfast import subjects
from holdfast.contracts.decision import (
    Authorise,
    Authorised,
    Basis,
    CloudVerdict,
    DecisionMade,
)
from holdfast.contracts.driver_tokens import TokenStatus
from holdfast.contracts.life import RefusedFor
from holdfast.contracts.mode import Mode
from holdfast.contracts.rules import RulesActivated, RulesRefused
from holdfast.entries import read
from holdfast.rpc import call, serve
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_clock import virtual_time
from rule_service.domain.expiry import CLAUSE
from rule_service.domain.signatures import public_hex, sign

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes([9]) * 32)


async def authorise(world, request, token="NOBODY"):
    asked = Authorise(request=request, charge_point="CP-01", driver_token=token)
    subject = subjects.rpc(world.site_name, "authorise")
    return await call(world.site, subject, asked, Authorised, timeout_ms=20_000)


def waiting_for_the_cloud(budget_ms, **more):
    """Rules under which a stranger's start is decided after so long, where nobody answers."""
    connected = {"ask_cloud": True, "budget_ms": budget_ms}
    return {"authorise": {"connected": connected}, **more}


async def silent_cloud(world):
    async def never(_: Authorise, __: str) -> CloudVerdict:
        await world.clock.sleep_ms(60_000)
        raise AssertionError

    await serve(world.cloud, subjects.up_from_any("authorise"), Authorise, never)


async def bring(world, signed):
    """As the cloud's copy brings it, whatever the cloud itself would say."""
    subject = subjects.down_rules(world.site_name)
    await world.cloud.append(subjects.DOWNLINK, subject, signed.to_bytes(), id=signed.signature)


async def until(world, **wanted):
    async def look():
        status = await world.rules_status()
        return status if {name: getattr(status, name) for name in wanted} == wanted else None

    return await eventually(look, within_s=30)


async def story(world):
    """What the journal says, in order: versions activated, and versions decided by."""
    told = []
    state = await world.site.state(world.journal)
    for seq in range(state.first_seq, state.last_seq + 1):
        fact = read(await world.site.get(world.journal, seq)).fact
        match fact:
            case RulesActivated(version=version):
                told.append(f"activated {version}")
            case DecisionMade(rules_version=version):
                told.append(f"decided by {version}")
    return told


# --- the safe point ---


@virtual_time
async def test_decisions_under_way_are_finished_first_and_new_ones_wait_for_the_new_rules(a_world):
    rules = json.dumps({"version": 1, **waiting_for_the_cloud(800)})
    async with a_world(rules=rules) as world, world.running("site"):
        await silent_cloud(world)
        under_way = asyncio.create_task(authorise(world, "r-1"))
        await world.clock.sleep_ms(200)
        await bring(world, sign(KEY, 2, world.rules_text(2)))
        await world.clock.sleep_ms(100)
        status = await world.rules_status()
        assert (status.version, status.staged_version, status.staged_why) == (1, 2, "a safe point")
        new = await authorise(world, "r-2")
        assert (await under_way).rules_version == 1
        assert new.rules_version == 2
        assert await story(world) == ["activated 1", "decided by 1", "activated 2", "decided by 2"]


@virtual_time
async def test_no_decision_keeps_new_rules_out_for_longer_than_the_rules_say(a_world):
    safe_point = {"activation": {"wait_ms_max": 1_000}}
    rules = json.dumps({"version": 1, **waiting_for_the_cloud(5_000, **safe_point)})
    async with a_world(rules=rules) as world, world.running("site"):
        await silent_cloud(world)
        under_way = asyncio.create_task(authorise(world, "r-1"))
        await world.clock.sleep_ms(200)
        begun_ms = world.clock.monotonic_ms()
        await bring(world, sign(KEY, 2, world.rules_text(2)))
        await world.clock.sleep_ms(100)
        await world.enter(Mode.DEGRADED)
        new = await authorise(world, "r-2", "LISTED")
        assert new.rules_version == 2
        assert 1_000 <= world.clock.monotonic_ms() - begun_ms < 2_500
        assert (await under_way).rules_version == 1  # named, so that it evaluates to itself
        told = await story(world)
        assert told == ["activated 1", "activated 2", "decided by 2", "decided by 1"]


@virtual_time
async def test_a_cut_while_the_safe_point_is_waited_for_pins_the_old_rules(a_world):
    rules = json.dumps({"version": 1, **waiting_for_the_cloud(900)})
    async with a_world(rules=rules) as world, world.running("site"):
        await silent_cloud(world)
        under_way = asyncio.create_task(authorise(world, "r-1"))
        await world.clock.sleep_ms(100)
        await bring(world, sign(KEY, 2, world.rules_text(2)))
        await world.clock.sleep_ms(100)
        await world.enter(Mode.AUTONOMOUS)
        await under_way
        await world.clock.sleep_ms(1_000)
        status = await world.rules_status()
        assert (status.version, status.staged_version) == (1, 2)
        assert "pinned" in status.staged_why
        await world.enter(Mode.RECOVERY)
        await until(world, version=2, staged_version=None)


@virtual_time
async def test_rules_that_allow_no_change_in_recovery_are_changed_after_it(a_world):
    rules = json.dumps({"version": 1, "activation": {"modes": ["connected", "degraded"]}})
    async with a_world(rules=rules) as world, world.running("cloud"), world.running("site"):
        await world.enter(Mode.RECOVERY)
        await world.publish("rules", world.rules_text(2))
        status = await until(world, staged_version=2)
        await world.clock.sleep_ms(10_000)
        assert "recovery" in (await world.rules_status()).staged_why
        assert status.desired_version == 2
        await world.enter(Mode.CONNECTED)
        await until(world, version=2)


@virtual_time
async def test_what_was_staged_while_cut_off_is_there_after_a_restart_without_the_cloud(a_world):
    async with a_world() as world, world.running("cloud"):
        async with world.running("site"):
            await world.enter(Mode.AUTONOMOUS)
            await world.publish("rules", world.rules_text(2))
            before = await until(world, staged_version=2)
        await world.site.delete_stream(subjects.DOWNLINK)
        async with world.running("site"):
            after = await world.rules_status()
            assert (after.version, after.staged_version) == (1, 2)
            assert after.staged_since_ms == before.staged_since_ms
            assert after.active_since_ms is not None
            await world.enter(Mode.CONNECTED)
            await until(world, version=2)
    assert [fact.version for fact in await world.facts(RulesActivated)] == [1, 2]


@virtual_time
async def test_a_journal_that_refuses_the_new_rules_holds_no_decision_up(a_world):
    async with a_world("A", mode=Mode.DEGRADED) as world, world.running("site"):
        room = (await world.site.state(world.journal)).bytes + 6_000
        await world.ensure_journal(bytes_max=room)
        await bring(world, sign(KEY, 2, world.rules_text(2, name="x" * 12_000)))
        await eventually(lambda: not world.health["site"].is_ok, within_s=30)
        begun_ms = world.clock.monotonic_ms()
        assert (await authorise(world, "r-1", "A")).rules_version == 1
        assert world.clock.monotonic_ms() - begun_ms < 100
        await world.ensure_journal(bytes_max=1 << 22)
        await until(world, version=2)
        assert world.health["site"].is_ok


# --- what is refused, and what operators see ---


@virtual_time
async def test_each_refusal_is_journaled_counted_and_stands_until_a_newer_bundle_is_taken(a_world):
    async with a_world() as world, world.running("cloud"), world.running("site"):
        await world.publish("rules", world.rules_text(3))
        await until(world, version=3)
        good = sign(KEY, 9, world.rules_text(9))
        hostile = {
            RefusedFor.NOT_NEWER: sign(KEY, 2, world.rules_text(2)),
            RefusedFor.BAD_SIGNATURE: good.model_copy(update={"text": world.rules_text(10)}),
            RefusedFor.UNTRUSTED_KEY: sign(STRANGER, 9, world.rules_text(9)),
            RefusedFor.WRONG_SITE: sign(KEY, 9, world.rules_text(9, site="munich01")),
            RefusedFor.INVALID_RULES: sign(KEY, 9, world.rules_text(9, charity=True)),
            RefusedFor.LOCK_OUT: sign(
                KEY, 9, world.rules_text(9, signing={"keys": [public_hex(STRANGER)]})
            ),
        }
        for kind, signed in hostile.items():
            await bring(world, signed)
            status = await until(world, refused_kind=kind)
            assert (status.version, status.refused_version) == (3, signed.version)
            assert 0 <= world.clock.now_ms() - status.refused_at_ms < 30_000
            assert status.desired_version == signed.version
        kinds = [fact.kind for fact in await world.facts(RulesRefused)]
        assert kinds == list(hostile)
        metrics = generate_latest(world.health["site"].registry).decode()
        for kind in RefusedFor:
            count = "1.0" if kind in hostile else "0.0"
            assert f'holdfast_rules_refused_total{{reason="{kind}"}} {count}' in metrics
        await world.publish("rules", world.rules_text(10))
        status = await until(world, version=10)
        assert (status.refused, status.refused_kind, status.refused_at_ms) == (None, None, None)
        assert status.trusted_keys == (public_hex(KEY)[:16],)
        assert status.trusted_by == "provisioned"


@virtual_time
async def test_a_refusal_outlives_a_restart_with_its_time_and_is_journaled_once(a_world):
    async with a_world() as world:
        async with world.running("site"):
            await bring(world, sign(STRANGER, 9, world.rules_text(9)))
            first = await until(world, refused_kind=RefusedFor.UNTRUSTED_KEY)
        await world.clock.sleep_ms(2 * 3_600_000)
        async with world.running("site"):
            again = await until(world, refused_kind=RefusedFor.UNTRUSTED_KEY)
            await world.clock.sleep_ms(10_000)
            assert abs(again.refused_at_ms - first.refused_at_ms) < 1_000
        assert len(await world.facts(RulesRefused)) == 1


# --- after the end ---


@virtual_time
async def test_from_the_end_on_the_safe_rules_decide_and_the_decision_says_so(a_world):
    async with a_world(mode=Mode.AUTONOMOUS) as world:
        end_ms = world.clock.now_ms() + 60_000
        generous = {"autonomous": {"ask_cloud": False, "unknown": "free-vend"}}
        text = world.rules_text(2, authorise=generous, valid_until_ms=end_ms, after_expiry="safe")
        world.provision(rules=text)
        async with world.running("site"):
            before = await authorise(world, "r-1")
            assert before.verdict.basis is Basis.FREE_VEND
            await world.clock.sleep_ms(60_000)
            after = await authorise(world, "r-2")
            assert (after.verdict.status, after.clause) == (TokenStatus.INVALID, CLAUSE)
            assert after.rules_version == 2
            assert (await world.rules_status()).after_expiry == "safe"
