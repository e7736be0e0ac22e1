"""Goal: what a driver meets at a site that is cut off, by whitelist kind, also when revoked or expired meanwhile; and
each decision re-evaluates to itself (I5).

Method: the site's shell and the cloud's on SimBus and virtual time, with a link that is cut between them.
"""

from __future__ import annotations

import json

import pytest
from sqlalchemy import text

from holdfast import subjects
from holdfast.contracts.decision import (
    AuthMethod,
    Authorise,
    Authorised,
    Basis,
    CachedToken,
    CloudAnswer,
    CloudVerdict,
    DecisionMade,
    Revocation,
    RunningSession,
    auth_method,
)
from holdfast.contracts.driver_tokens import DriverTokenList, ListedToken, TokenStatus
from holdfast.contracts.mode import Mode
from holdfast.contracts.rules import RulesActivated
from holdfast.rpc import call, serve
from holdfast.standing import parse_rules
from holdfast.store import open_store, sqlite_url
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_clock import virtual_time
from rule_service.adapters.token_store import TokenStore
from rule_service.domain.driver_tokens import keyed_hash
from rule_service.domain.reevaluate import holds

ACCEPTED, BLOCKED, EXPIRED, INVALID, CONCURRENT = TokenStatus
KINDS = ("ALWAYS", "ALLOWED", "ALLOWED_OFFLINE", "NEVER")
HOUR_MS = 3_600_000


def a_list(version, *tokens, **more):
    return json.dumps({"version": version, "tokens": list(tokens), **more})


def entry(name, kind=None, **more):
    return {"driver_token": name, "whitelist": kind, **more}


async def authorise(world, token, **more):
    """Each visit is a new question."""
    authorise.visits = getattr(authorise, "visits", 0) + 1
    asked = Authorise(
        request=f"visit {authorise.visits}", charge_point="CP-01", driver_token=token, **more
    )
    subject = subjects.rpc(world.site_name, "authorise")
    return (await call(world.site, subject, asked, Authorised, timeout_ms=5_000)).verdict


async def all_hold(world):
    rules = {fact.version: parse_rules(fact.text) for fact in await world.facts(RulesActivated)}
    decisions = await world.facts(DecisionMade)
    assert decisions
    assert all(holds(rules[one.rules_version], one) for one in decisions)
    return decisions


def both_know(world, *tokens):
    world.write("site-tokens.json", a_list(1, *tokens))
    world.write("cloud-tokens.json", a_list(1, *tokens))


@virtual_time
@pytest.mark.parametrize("kind", [*KINDS, None])
async def test_a_driver_token_of_each_whitelist_kind_revoked_and_expired_while_cut_off(
    a_world, kind
):
    """Three of each kind: one is revoked while the site is cut off, one expires, one stays as it is. Asked for as
    Authorize and as a start, before and after rule-service was killed in the middle of the cut.
    """
    alone = INVALID if kind == "NEVER" else ACCEPTED

    async def met(world, **expected):
        for name, status in expected.items():
            for starts in (False, True):
                verdict = await authorise(world, name, starts_session=starts)
                assert verdict.status is status, (name, starts)
                assert not verdict.flagged

    async with a_world() as world:
        ends_ms = world.clock.now_ms() + 2 * HOUR_MS
        good, plain = entry("GOOD", kind), entry("PLAIN", kind)
        ending = entry("ENDING", kind, valid_until_ms=ends_ms)
        both_know(world, good, ending, plain)
        async with world.running("cloud"):
            async with world.running("site"):
                # Whoever has to be asked is there.
                await met(world, GOOD=ACCEPTED, ENDING=ACCEPTED, PLAIN=ACCEPTED)
                world.link.cut()
                await world.enter(Mode.AUTONOMOUS)
                await met(world, GOOD=alone, ENDING=alone, PLAIN=alone)

                # Revoked in the cloud: a site that nobody can tell decides by what it has.
                blocked = entry("GOOD", kind, status="Blocked")
                world.write("cloud-tokens.json", a_list(2, blocked, ending, plain))
                await world.publish("driver-tokens", a_list(2, blocked, ending, plain))
                await met(world, GOOD=alone, ENDING=alone, PLAIN=alone)
            async with world.running("site"):
                await met(world, GOOD=alone, ENDING=alone, PLAIN=alone)

                # Expired while cut off: the site knows by itself, to the millisecond.
                await world.clock.sleep_ms(ends_ms - world.clock.now_ms() - 1)
                assert (await authorise(world, "ENDING")).status is alone
                await world.clock.sleep_ms(ends_ms - world.clock.now_ms())
                await met(world, GOOD=alone, ENDING=EXPIRED, PLAIN=alone)

                world.link.heal()
                await world.enter(Mode.RECOVERY)

                async def told():
                    return (await world.rules_status()).driver_tokens_version == 2

                await eventually(told, within_s=120)
                for mode in (Mode.RECOVERY, Mode.CONNECTED, Mode.DEGRADED, Mode.AUTONOMOUS):
                    await world.enter(mode)
                    plainly = alone if mode is Mode.AUTONOMOUS else ACCEPTED
                    await met(world, GOOD=BLOCKED, ENDING=EXPIRED, PLAIN=plainly)
        decisions = await all_hold(world)
        assert {one.inputs.listed.whitelist for one in decisions} == {kind}
        whole = "".join(one.model_dump_json() for one in decisions)
        assert not any(name in whole for name in ("GOOD", "ENDING", "PLAIN"))


@virtual_time
@pytest.mark.parametrize("kind", [*KINDS, None])
async def test_a_driver_token_whose_kind_only_an_answer_told_revoked_and_expired_while_cut_off(
    a_world, kind
):
    """On no list: what the cloud answered before the cut is all that the site has."""
    alone = INVALID if kind == "NEVER" else ACCEPTED
    async with a_world(mode=Mode.CONNECTED) as world, world.running("site"):
        ends_ms = world.clock.now_ms() + 2 * HOUR_MS
        said = {"GOOD": ACCEPTED, "ENDING": ACCEPTED}

        async def cloud(asked: Authorise, _: str) -> CloudVerdict:
            name = asked.driver_token
            until_ms = ends_ms if name == "ENDING" else None
            return CloudVerdict(
                known=True, status=said[name], whitelist=kind, valid_until_ms=until_ms
            )

        await serve(world.cloud, subjects.up_from_any("authorise"), Authorise, cloud)
        for name in said:
            assert (await authorise(world, name)).status is ACCEPTED
        world.link.cut()
        await world.enter(Mode.AUTONOMOUS)
        said["GOOD"] = BLOCKED
        for name in said:
            assert (await authorise(world, name)).status is alone
        await world.clock.sleep_ms(2 * HOUR_MS)
        assert (await authorise(world, "GOOD")).status is alone
        assert (await authorise(world, "ENDING")).status is EXPIRED

        world.link.heal()
        await world.enter(Mode.CONNECTED)
        # ALWAYS means never asked: only a list, or its age, takes such an answer back.
        revoked = ACCEPTED if kind == "ALWAYS" else BLOCKED
        await authorise(world, "GOOD")
        await world.clock.sleep_ms(2_000)
        assert (await authorise(world, "GOOD")).status is revoked
        await world.enter(Mode.AUTONOMOUS)
        assert (await authorise(world, "GOOD")).status is revoked
        decisions = await all_hold(world)
        assert {one.inputs.listed for one in decisions} == {None}


@virtual_time
@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("status", [BLOCKED, EXPIRED, INVALID])
async def test_what_the_cloud_said_against_a_token_stands_through_the_cut(a_world, kind, status):
    """ALWAYS is not asked about: a list is what revokes it. An answer grows too old; a word against does not."""
    rules = json.dumps({"version": 1, "authorise": {"cache_age_ms_max": 60_000}})
    async with a_world(mode=Mode.DEGRADED, rules=rules) as world:
        world.write("site-tokens.json", a_list(1, entry("GOOD", kind)))
        async with world.running("site"):
            asked = []

            async def cloud(question: Authorise, _: str) -> CloudVerdict:
                asked.append(question)
                return CloudVerdict(known=status is not INVALID, status=status)

            await serve(world.cloud, subjects.up_from_any("authorise"), Authorise, cloud)
            await authorise(world, "GOOD")
            await eventually(lambda: asked)
            await world.clock.sleep_ms(1_000)
            world.link.cut()
            await world.enter(Mode.AUTONOMOUS)
            assert (await authorise(world, "GOOD")).status is status
        async with world.running("site"):
            await world.clock.sleep_ms(120_000)
            verdict = await authorise(world, "GOOD")
            assert (verdict.status, verdict.basis) == (status, Basis.CACHE)
        await all_hold(world)


@virtual_time
async def test_an_older_list_that_comes_after_a_revocation_does_not_lift_it_and_a_newer_one_does(
    a_world,
):
    async with a_world(mode=Mode.DEGRADED) as world, world.running("cloud"):
        drawn_up_ms = world.clock.now_ms()
        world.write("cloud-tokens.json", a_list(1, entry("GOOD", status="Blocked")))
        async with world.running("site"):
            assert (await authorise(world, "GOOD")).status is BLOCKED
            for version, as_of_ms, expected in (
                (2, drawn_up_ms, BLOCKED),
                (3, drawn_up_ms + HOUR_MS, ACCEPTED),
            ):
                listed = a_list(version, entry("GOOD"), as_of_ms=as_of_ms)
                await world.publish("driver-tokens", listed)

                async def come(version=version):
                    return (await world.rules_status()).driver_tokens_version == version

                await eventually(come)
                await world.enter(Mode.AUTONOMOUS)
                assert (await authorise(world, "GOOD")).status is expected
        await all_hold(world)


@virtual_time
async def test_accepted_again_by_the_cloud_it_is_accepted_by_the_site(a_world):
    async with a_world("GOOD") as world, world.running("cloud"), world.running("site"):
        for status in ("Blocked", "Accepted"):
            world.write("cloud-tokens.json", a_list(1, entry("GOOD", status=status)))
            await world.enter(Mode.CONNECTED)
            await authorise(world, "GOOD")
            await world.enter(Mode.AUTONOMOUS)
            assert (await authorise(world, "GOOD")).status.value == status


@virtual_time
async def test_a_blocked_group_blocks_its_members_while_cut_off(a_world):
    async with a_world(mode=Mode.AUTONOMOUS) as world:
        members = (entry("ONE", parent="Fleet"), entry("TWO", parent="OTHER"))
        group = entry("FLEET", token_type="group", status="Blocked")
        world.write("site-tokens.json", a_list(1, *members, group))
        async with world.running("site"):
            assert (await authorise(world, "ONE")).status is BLOCKED
            verdict = await authorise(world, "TWO")
            assert (verdict.status, verdict.parent) == (ACCEPTED, "OTHER")
        await all_hold(world)


@virtual_time
async def test_a_start_of_a_driver_who_charges_elsewhere_is_concurrent(a_world):
    rules = json.dumps({"version": 1, "authorise": {"concurrent_age_ms_max": 60_000}})
    async with (
        a_world("ONE", mode=Mode.AUTONOMOUS, rules=rules) as world,
        world.running("site"),
    ):
        running = RunningSession(
            session="CP-02/7",
            charge_point="CP-02",
            connector=1,
            started_at_ms=world.clock.now_ms(),
        )
        assert (await authorise(world, "ONE", running=(running,))).status is ACCEPTED
        start = {"running": (running,), "starts_session": True}
        assert (await authorise(world, "ONE", **start)).status is CONCURRENT
        await world.clock.sleep_ms(61_000)
        assert (await authorise(world, "ONE", **start)).status is ACCEPTED
        await all_hold(world)


@virtual_time
@pytest.mark.parametrize(
    ("policy", "basis"),
    [("accept-flagged", Basis.UNKNOWN_POLICY), ("free-vend", Basis.FREE_VEND)],
)
async def test_a_stranger_is_let_charge_by_rule_and_never_passes_as_whitelisted(
    a_world, policy, basis
):
    by_mode = {"ask_cloud": False, "unknown": policy, "unknown_energy_wh_max": 5_000}
    rules = json.dumps({"version": 1, "authorise": {"autonomous": by_mode}})
    async with a_world(mode=Mode.AUTONOMOUS, rules=rules) as world, world.running("site"):
        verdict = await authorise(world, "NOBODY")
        assert (verdict.status, verdict.basis, verdict.flagged) == (ACCEPTED, basis, True)
        assert verdict.energy_wh_max == 5_000
        method = auth_method(verdict.basis, flagged=verdict.flagged, status=verdict.status)
        assert method is not AuthMethod.WHITELIST
        await all_hold(world)


# --- the budget, in each mode ---


@virtual_time
@pytest.mark.parametrize("silent", [False, True], ids=["nobody is there", "no answer comes"])
@pytest.mark.parametrize(
    ("mode", "kind", "waits_ms"),
    [
        (Mode.CONNECTED, None, 800),
        (Mode.CONNECTED, "ALWAYS", 0),
        (Mode.CONNECTED, "ALLOWED", 0),
        (Mode.CONNECTED, "ALLOWED_OFFLINE", 800),
        (Mode.DEGRADED, None, 0),
        (Mode.DEGRADED, "ALLOWED_OFFLINE", 400),
        (Mode.RECOVERY, None, 0),
        (Mode.RECOVERY, "ALLOWED_OFFLINE", 400),
        (Mode.AUTONOMOUS, None, 0),
        (Mode.AUTONOMOUS, "ALLOWED_OFFLINE", 0),
    ],
)
async def test_the_cloud_gets_its_budget_and_then_the_local_word_stands(
    a_world, mode, kind, waits_ms, silent
):
    async with a_world(mode=mode) as world:
        world.write("site-tokens.json", a_list(1, entry("GOOD", kind)))
        async with world.running("site"):
            if silent:

                async def cloud(_: Authorise, __: str) -> CloudVerdict:
                    await world.clock.sleep_ms(60_000)
                    return CloudVerdict(known=True, status=BLOCKED)

                await serve(world.cloud, subjects.up_from_any("authorise"), Authorise, cloud)
            begun_ms = world.clock.monotonic_ms()
            verdict = await authorise(world, "GOOD")
            took_ms = world.clock.monotonic_ms() - begun_ms
            assert (verdict.status, verdict.basis) == (ACCEPTED, Basis.LIST)
            assert took_ms < waits_ms + 100
            if silent:
                assert took_ms >= waits_ms
        [decision] = await all_hold(world)
        if silent and waits_ms:
            assert decision.inputs.cloud is CloudAnswer.TOO_LATE


# --- what the store keeps ---


@pytest.fixture
def engine(tmp_path):
    return open_store(sqlite_url(tmp_path, "rule-service"))


def word(at_ms, known=True):
    return Revocation(status=BLOCKED, said_at_ms=at_ms, known=known)


def test_at_the_bound_strangers_go_before_revocations(engine):
    store = TokenStore(engine, b"a secret of the site")
    store.revoke(store.hash("OLD"), word(1), 3)
    for at_ms in range(2, 9):
        store.revoke(store.hash(f"S{at_ms}"), word(at_ms, known=False), 3)
    kept = [at_ms for at_ms in range(2, 9) if store.revoked(store.hash(f"S{at_ms}"))]
    assert store.revoked(store.hash("OLD"))
    assert kept == [7, 8]


def test_whom_the_site_ever_knew_stays_known_until_accepted_again(engine):
    store = TokenStore(engine, b"a secret of the site")
    token = store.hash("A")
    store.revoke(token, word(1), 9)
    store.revoke(token, word(2, known=False), 9)
    assert store.revoked(token) == word(2)
    assert TokenStore(engine, b"a secret of the site").revoked(token) == word(2)
    store.clear(token)
    assert store.revoked(token) is None


def test_a_store_of_an_earlier_version_keeps_its_list(engine):
    """Updated while cut off, a site must not forget whom it knows."""
    with engine.begin() as connection:
        for statement in (
            "CREATE TABLE listed_token (token_hash VARCHAR(32) PRIMARY KEY, status VARCHAR(20) NOT NULL, "
            "parent VARCHAR(255), valid_until_ms BIGINT)",
            "CREATE TABLE cached_token (token_hash VARCHAR(32) PRIMARY KEY, status VARCHAR(20) NOT NULL, "
            "parent VARCHAR(255), valid_until_ms BIGINT, answered_at_ms BIGINT NOT NULL)",
            "CREATE TABLE installed_list (key_check VARCHAR(32) PRIMARY KEY, version INTEGER NOT NULL, "
            "entries INTEGER NOT NULL, hash VARCHAR(32) NOT NULL)",
        ):
            connection.execute(text(statement))
        key_check = keyed_hash(b"a secret of the site", "which key is this")
        row = {"key": key_check, "token": keyed_hash(b"a secret of the site", "A")}
        connection.execute(text("INSERT INTO installed_list VALUES (:key, 4, 1, 'h')"), row)
        connection.execute(
            text("INSERT INTO listed_token VALUES (:token, 'Accepted', 'G', NULL)"), row
        )
        connection.execute(
            text("INSERT INTO cached_token VALUES (:token, 'Blocked', NULL, NULL, 7)"), row
        )
    store = TokenStore(engine, b"a secret of the site")
    assert store.installed().version == 4
    found = store.listed(store.hash("A"))
    assert (found.status, found.parent, found.as_of_ms, found.whitelist) == (ACCEPTED, "G", 0, None)
    assert store.cached(store.hash("A")) == CachedToken(status=BLOCKED, answered_at_ms=7)
    newer = DriverTokenList(version=5, tokens=(ListedToken(driver_token="A", whitelist="NEVER"),))
    store.install(newer)
    assert store.listed(store.hash("A")).whitelist == "NEVER"
