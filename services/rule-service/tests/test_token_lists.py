"""Goal: a list comes whole or by changes and is the same list; what does not fit is refused with a reason, the last
good one stays, and the site gets a full one.

Method: lists as data, the store on a real SQLite file, then site and cloud on simulated buses with a link between.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import subjects
from holdfast.contracts.decision import Authorise, Authorised, Basis
from holdfast.contracts.driver_tokens import (
    DriverTokenChanges,
    DriverTokenList,
    DriverTokensInstalled,
    DriverTokensRefused,
    ListedToken,
    TokenIdentity,
    TokenStatus,
    TokenType,
)
from holdfast.contracts.mode import Mode
from holdfast.contracts.rpc import Empty
from holdfast.contracts.rules import Desired
from holdfast.rpc import Refused, call
from holdfast.store import open_store, sqlite_url
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_clock import virtual_time
from rule_service.adapters.token_store import TokenStore
from rule_service.cloud_scope.token_lists import CHANGES_MAX
from rule_service.domain.token_lists import ListRefused, changed, list_hash

KEY = b"a secret of the site"


def listed(name, status=TokenStatus.ACCEPTED, **more):
    return ListedToken(driver_token=name, status=status, **more)


def full(version, *tokens, **more):
    return DriverTokenList(version=version, tokens=tokens, **more)


def changes(base, version, *tokens, removed=(), **more):
    gone = tuple(TokenIdentity(driver_token=name) for name in removed)
    return DriverTokenChanges(
        base_version=base, version=version, changed=tokens, removed=gone, **more
    )


# --- lists as data ---

names = st.sampled_from(["A", "a", "B", "C", "eMAID-1"])
tokens = st.builds(
    ListedToken,
    driver_token=names,
    token_type=st.sampled_from([TokenType.ID_TAG, TokenType.EMAID]),
    status=st.sampled_from(TokenStatus),
    parent=st.sampled_from([None, "FLEET"]),
)
removals = st.builds(
    TokenIdentity,
    driver_token=names,
    token_type=st.sampled_from([TokenType.ID_TAG, TokenType.EMAID]),
)


@given(st.lists(tokens, max_size=6), st.randoms(use_true_random=False))
def test_a_hash_does_not_depend_on_the_order(entries, rng):
    unlike = list({(t.token_type, t.driver_token.casefold()): t for t in entries}.values())
    mixed = list(unlike)
    rng.shuffle(mixed)
    assert list_hash(unlike) == list_hash(mixed)


def test_a_hash_tells_every_part_of_an_entry_but_its_time():
    one = listed("A")
    for other in (
        listed("B"),
        listed("A", TokenStatus.BLOCKED),
        listed("A", token_type=TokenType.EMAID),
        listed("A", valid_from_ms=1),
        listed("A", whitelist="NEVER"),
    ):
        assert list_hash([one]) != list_hash([other])
    assert list_hash([one]) == list_hash([listed("a", as_of_ms=9)])


@given(st.lists(tokens, max_size=6), st.lists(tokens, max_size=4), st.lists(removals, max_size=3))
def test_changes_lead_the_store_where_they_lead_the_cloud(tmp_path_factory, base, new, gone):
    before = full(1, *base, as_of_ms=5)
    asked = DriverTokenChanges(
        version=2, base_version=1, changed=tuple(new), removed=tuple(gone), as_of_ms=9
    )
    after = changed(before, asked)
    engine = open_store(sqlite_url(tmp_path_factory.mktemp("store"), "rule-service"))
    store = TokenStore(engine, KEY)
    store.install(before)
    installed = store.apply(asked.model_copy(update={"hash": after.hash}))
    assert installed.entries == len(after.tokens)
    for token in after.tokens:
        found = store.listed(store.hash(token.driver_token, token.token_type))
        assert (found.status, found.parent, found.as_of_ms) == (
            token.status,
            token.parent,
            token.as_of_ms,
        )
    assert store.install(after.model_copy(update={"version": 3})).hash == installed.hash
    engine.dispose()


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (changes(4, 6), "are to version 4, and 5 is the newest"),
        (changes(5, 5), "not newer"),
        (changes(5, 6, listed("B"), hash="00"), "do not lead to the list"),
    ],
)
def test_changes_that_do_not_fit_are_refused(asked, why):
    with pytest.raises(ListRefused, match=why):
        changed(full(5, listed("A")), asked)


# --- the store ---


@pytest.fixture
def store(tmp_path):
    return TokenStore(open_store(sqlite_url(tmp_path, "rule-service")), KEY)


def test_changes_are_applied_as_a_whole_or_not_at_all(store):
    store.install(full(1, listed("A"), listed("B")))
    before = store.installed()
    for asked in (
        changes(1, 2, listed("C"), removed=["A"], hash="00" * 32),
        changes(1, 2, listed("C"), removed=["A"]),
        changes(3, 4, listed("C"), removed=["A"], hash="00" * 32),
    ):
        with pytest.raises(ListRefused):
            store.apply(asked)
        assert store.installed() == before
        assert store.listed(store.hash("A"))
        assert store.listed(store.hash("C")) is None


def test_a_list_that_was_altered_is_refused(store):
    with pytest.raises(ListRefused, match="altered"):
        store.install(full(1, listed("A"), hash=list_hash([listed("B")])))


def test_an_entry_of_another_type_is_another_driver_token(store):
    store.install(
        full(1, listed("A", token_type=TokenType.EMAID), listed("A", TokenStatus.BLOCKED))
    )
    assert store.listed(store.hash("A")).status is TokenStatus.BLOCKED
    assert store.listed(store.hash("a", TokenType.EMAID)).status is TokenStatus.ACCEPTED
    assert store.listed(store.hash("A", TokenType.ISO14443)) is None


# --- site and cloud ---


async def authorise(world, token, request, token_type=TokenType.ID_TAG):
    asked = Authorise(
        request=request, charge_point="CP-01", driver_token=token, token_type=token_type
    )
    subject = subjects.rpc(world.site_name, "authorise")
    return await call(world.site, subject, asked, Authorised, timeout_ms=5_000)


def installed(world, version):
    async def look():
        return (await world.rules_status()).driver_tokens_version == version

    return look


async def change(world, *args, **more):
    return await world.publish("driver-token-changes", changes(*args, **more).model_dump_json())


@virtual_time
async def test_changes_are_published_and_applied_one_after_the_other(a_world):
    async with a_world(mode=Mode.DEGRADED) as world, world.running("cloud"):
        async with world.running("site"):
            await world.publish("driver-tokens", world.token_list(5, "A", "B"))
            await change(world, 5, 6, listed("C"), removed=["A"])
            await change(world, 6, 9, listed("B", TokenStatus.BLOCKED))
            await eventually(installed(world, 9))
            world.link.cut()
            statuses = {
                name: (await authorise(world, name, f"r-{name}")).verdict
                for name in ("A", "B", "C")
            }
        assert statuses["A"].basis is Basis.UNKNOWN_POLICY
        assert statuses["B"].status is TokenStatus.BLOCKED
        assert statuses["C"].status is TokenStatus.ACCEPTED
        facts = await world.facts(DriverTokensInstalled)
        assert [fact.version for fact in facts] == [1, 5, 6, 9]
        assert '"C"' not in str(facts)
        assert await world.facts(DriverTokensRefused) == []


@virtual_time
async def test_a_site_that_was_cut_off_comes_to_the_newest_by_what_waits_for_it(a_world):
    async with a_world() as world, world.running("cloud"):
        await world.publish("driver-tokens", world.token_list(5, "A"))
        for version in range(6, 12):
            await change(world, version - 1, version, listed(f"T{version}"))
        async with world.running("site"):
            await eventually(installed(world, 11))
        await world.publish("driver-tokens", world.token_list(20, "A"))
        await change(world, 20, 21, listed("NEW"))
        async with world.running("site"):
            await eventually(installed(world, 21))
        assert await world.facts(DriverTokensRefused) == []


@virtual_time
async def test_changes_without_their_base_are_refused_and_a_full_list_is_asked_for(a_world):
    async with a_world(mode=Mode.DEGRADED) as world:
        async with world.running("cloud"):
            await world.publish("driver-tokens", world.token_list(5, "A"))
            await change(world, 5, 6, listed("B"))
        # What the site needs first is gone from its copy.
        gone = changes(7, 8, listed("C"), hash="00" * 32)
        place = subjects.down_driver_token_changes(world.site_name, 0)
        await world.cloud.append(subjects.DOWNLINK, place, gone.to_bytes(), id="x")
        async with world.running("site"):
            await eventually(installed(world, 5))

            async def refused():
                return (await world.rules_status()).driver_tokens_refused

            assert "changes to version 7, and 5 is installed" in await eventually(refused)
            assert (await world.rules_status()).driver_tokens_full_wanted
            assert not world.health["site"].is_ok
            assert (await authorise(world, "A", "r")).verdict.status is TokenStatus.ACCEPTED
            [fact] = await world.facts(DriverTokensRefused)
            assert (fact.version, fact.installed_version, fact.full_wanted) == (8, 5, True)
            async with world.running("cloud"):

                async def whole():
                    found = await world.rules_status()
                    return None if found.driver_tokens_full_wanted else found

                found = await eventually(whole, within_s=60)
                assert (found.driver_tokens_version, found.driver_tokens_refused) == (5, None)
                assert world.health["site"].is_ok


@virtual_time
async def test_the_cloud_sends_as_full_what_its_changes_lead_to(a_world):
    async with a_world() as world, world.running("cloud"):
        await world.publish("driver-tokens", world.token_list(5, "A"))
        await change(world, 5, 6, listed("B"))
        altered = changes(6, 7, listed("C"), hash="00" * 32)
        place = subjects.down_driver_token_changes(world.site_name, 5)
        await world.cloud.append(subjects.DOWNLINK, place, altered.to_bytes(), id="x")
        async with world.running("site"):
            await eventually(installed(world, 6))

            async def sent():
                message = await world.cloud.last(
                    subjects.DOWNLINK, subjects.down_driver_tokens(world.site_name)
                )
                found = DriverTokenList.from_bytes(message.data)
                return found if found.version == 6 else None

            found = await eventually(sent, within_s=60)
            assert {token.driver_token for token in found.tokens} == {"A", "B"}
            await eventually(lambda: world.health["site"].is_ok, within_s=60)


@virtual_time
async def test_only_changes_to_what_was_published_last_go_out(a_world):
    async with a_world() as world, world.running("cloud"):
        with pytest.raises(Refused, match="publish a full one first"):
            await change(world, 1, 2, listed("A"))
        await world.publish("driver-tokens", world.token_list(5, "A"))
        first = await change(world, 5, 6, listed("B"))
        assert await change(world, 5, 6, listed("B")) == first
        for base, version, why in ((5, 7, "6 is the newest"), (6, 6, "not newer")):
            with pytest.raises(Refused, match=why):
                await change(world, base, version, listed("C"))
        with pytest.raises(Refused, match="do not lead to the list"):
            await change(world, 6, 7, listed("C"), hash="00" * 32)
        with pytest.raises(Refused, match="not newer than 6"):
            await world.publish("driver-tokens", world.token_list(6, "B"))
        desired = await call(
            world.site, subjects.up(world.site_name, "desired"), Empty(), Desired, timeout_ms=1_000
        )
        assert desired.driver_tokens_version == 6


@virtual_time
async def test_after_many_changes_a_full_list_is_due(a_world):
    async with a_world() as world, world.running("cloud"):
        await world.publish("driver-tokens", world.token_list(1, "A"))
        for version in range(2, CHANGES_MAX + 2):
            await change(world, version - 1, version, listed("B"))
        with pytest.raises(Refused, match="publish a full one"):
            await change(world, CHANGES_MAX + 1, CHANGES_MAX + 2, listed("B"))
        await world.publish("driver-tokens", world.token_list(100, "A"))
        await change(world, 100, 101, listed("B"))


@virtual_time
async def test_what_does_not_fit_one_message_goes_out_in_parts(a_world):
    async with a_world() as world, world.running("cloud"), world.running("site"):
        names = [f"TOKEN-{number:06}-{'x' * 40}" for number in range(9_000)]
        with pytest.raises(Refused, match="a full list of a part, then changes"):
            await world.publish(
                "driver-tokens", world.token_list(1, *names, *(f"{n}y" for n in names))
            )
        await world.publish("driver-tokens", world.token_list(5, *names[:4_500]))
        await change(world, 5, 6, *(listed(name) for name in names[4_500:]))
        await eventually(installed(world, 6))
        facts = await world.facts(DriverTokensInstalled)
        assert facts[-1].count == 9_000


@virtual_time
async def test_a_driver_token_of_another_type_never_passes(a_world):
    async with a_world("DRIVER-1", mode=Mode.AUTONOMOUS) as world, world.running("site"):
        for token_type in TokenType:
            reply = await authorise(world, "DRIVER-1", f"r-{token_type}", token_type)
            accepted = reply.verdict.status is TokenStatus.ACCEPTED
            assert accepted == (token_type is TokenType.ID_TAG)
