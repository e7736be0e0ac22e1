"""Goal: in every mode the limit that holds is the one of the architecture's table, never above what anybody stated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import subjects
from holdfast.contracts.limits import EffectiveLimit, LimitSource, LimitStands
from holdfast.contracts.mode import Mode
from holdfast.contracts.rpc import Empty
from holdfast.contracts.rules import LimitRules, SiteLimit
from holdfast.rpc import call
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_clock import virtual_time
from rule_service.domain.limits import Situation, effective_limit

AT_MS = 1_750_000_000_000
RULES = LimitRules(fallback_a=16, degraded_a=20, higher_ms_max=300_000)
LOWER, HIGHER = SiteLimit(id="L", limit_a=10), SiteLimit(id="H", limit_a=32)
ENDING = SiteLimit(id="E", limit_a=32, valid_until_ms=AT_MS + 1)
ENDED = SiteLimit(id="G", limit_a=8, valid_until_ms=AT_MS)


def holds(mode, newest, *, since_ms=0, confirmed=False, rules=RULES):
    now = Situation(
        at_ms=AT_MS,
        mode=mode,
        mode_since_ms=AT_MS - since_ms,
        newest=newest,
        confirmed=confirmed,
    )
    return effective_limit(rules, now)


@pytest.mark.parametrize(
    ("mode", "newest", "since_ms", "confirmed", "limit_a", "source"),
    [
        (Mode.CONNECTED, HIGHER, 900_000, False, 32, LimitSource.CLOUD),
        (Mode.CONNECTED, ENDED, 0, False, 16, LimitSource.FALLBACK),
        (Mode.CONNECTED, None, 0, False, 16, LimitSource.FALLBACK),
        (Mode.DEGRADED, HIGHER, 0, False, 20, LimitSource.DEGRADED),
        (Mode.DEGRADED, LOWER, 0, False, 10, LimitSource.CLOUD),
        (Mode.DEGRADED, None, 0, False, 16, LimitSource.FALLBACK),
        (Mode.AUTONOMOUS, HIGHER, 299_999, False, 32, LimitSource.CLOUD),
        (Mode.AUTONOMOUS, HIGHER, 300_000, False, 16, LimitSource.FALLBACK),
        (Mode.AUTONOMOUS, LOWER, 9_000_000, False, 10, LimitSource.CLOUD),
        (Mode.AUTONOMOUS, ENDING, 9_000_000, False, 32, LimitSource.CLOUD),
        (Mode.AUTONOMOUS, ENDED, 0, False, 16, LimitSource.FALLBACK),
        (Mode.RECOVERY, HIGHER, 0, False, 16, LimitSource.FALLBACK),
        (Mode.RECOVERY, HIGHER, 0, True, 32, LimitSource.CLOUD),
        (Mode.RECOVERY, LOWER, 0, False, 10, LimitSource.CLOUD),
    ],
)
def test_the_table(mode, newest, since_ms, confirmed, limit_a, source):
    found = holds(mode, newest, since_ms=since_ms, confirmed=confirmed)
    assert (found.limit_a, found.source) == (limit_a, source)


def test_without_any_statement_there_is_no_limit_and_that_is_said():
    found = holds(Mode.AUTONOMOUS, None, rules=LimitRules())
    assert (found.limit_a, found.source) == (None, LimitSource.NONE)
    assert "the rules state none" in found.reason


def test_what_ends_by_itself_says_when():
    assert holds(Mode.AUTONOMOUS, HIGHER, since_ms=100_000).until_ms == AT_MS + 200_000
    assert holds(Mode.CONNECTED, ENDING).until_ms == AT_MS + 1
    assert holds(Mode.CONNECTED, HIGHER).until_ms is None


@given(
    mode=st.sampled_from(Mode),
    newest=st.none()
    | st.builds(
        SiteLimit,
        id=st.just("x"),
        limit_a=st.integers(0, 63),
        valid_until_ms=st.none() | st.integers(AT_MS - 5, AT_MS + 5),
    ),
    since_ms=st.integers(0, 600_000),
    confirmed=st.booleans(),
    rules=st.builds(
        LimitRules,
        fallback_a=st.none() | st.integers(0, 63),
        degraded_a=st.none() | st.integers(0, 63),
    ),
)
def test_nothing_holds_that_nobody_stated_and_a_valid_lower_limit_always_does(
    mode, newest, since_ms, confirmed, rules
):
    found = holds(mode, newest, since_ms=since_ms, confirmed=confirmed, rules=rules)
    is_valid = newest is not None and (newest.valid_until_ms or AT_MS + 1) > AT_MS
    if found.limit_a is None:
        assert not is_valid
        return
    stated = {rules.fallback_a, rules.degraded_a, newest.limit_a if is_valid else None}
    assert found.limit_a in stated
    if is_valid:
        assert found.limit_a <= newest.limit_a
    if mode is Mode.DEGRADED and rules.degraded_a is not None:
        assert found.limit_a <= rules.degraded_a


@virtual_time
async def test_a_limit_that_comes_down_holds_is_journaled_once_and_is_answered(a_world):
    rules = '{"version": 1, "limits": {"fallback_a": 16}}'
    async with a_world("A", rules=rules) as world:
        async with world.running("cloud"), world.running("site"):
            await eventually(lambda: stands(world, [16.0]))
            await world.publish("limit", HIGHER.model_dump_json())
            await eventually(lambda: stands(world, [16.0, 32.0]))
            await world.clock.sleep_ms(5_000)
            assert await stands(world, [16.0, 32.0])
            subject = subjects.rpc(world.site_name, "limit")
            told = await call(world.site, subject, Empty(), EffectiveLimit, timeout_ms=5_000)
            assert (told.limit_a, told.limit_id) == (32.0, "H")
        async with world.running("site"):
            await world.clock.sleep_ms(5_000)
            assert await stands(world, [16.0, 32.0])
            await world.enter(Mode.AUTONOMOUS)
            await world.clock.sleep_ms(310_000)
            assert await stands(world, [16.0, 32.0, 16.0])


@virtual_time
async def test_in_recovery_a_higher_limit_holds_once_the_cloud_has_confirmed_it(a_world):
    rules = '{"version": 1, "limits": {"fallback_a": 16}}'
    async with a_world("A", rules=rules) as world, world.running("cloud"):
        await world.publish("limit", HIGHER.model_dump_json())
        async with world.running("site"):
            await eventually(lambda: stands_last(world, 32.0))
            world.link.cut()
            await world.enter(Mode.RECOVERY)
            await eventually(lambda: stands_last(world, 16.0))
            world.link.heal()
            await eventually(lambda: stands_last(world, 32.0), within_s=30)


async def stands(world, expected):
    return [fact.limit.limit_a for fact in await world.facts(LimitStands)] == expected


async def stands_last(world, limit_a):
    facts = await world.facts(LimitStands)
    return bool(facts) and facts[-1].limit.limit_a == limit_a
