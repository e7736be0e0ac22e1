"""Goal: the local list is replaced as a whole, the cache stays bounded, and no driver token stands on the disk."""

from __future__ import annotations

import asyncio
import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, text

from holdfast.contracts.decision import CachedToken
from holdfast.contracts.driver_tokens import DriverTokenList, ListedToken, TokenStatus
from holdfast.contracts.numbers import MOMENT_MS_MAX
from holdfast.store import open_store, sqlite_url
from rule_service.adapters.token_store import NONE_INSTALLED, TokenStore
from rule_service.domain.driver_tokens import keyed_hash
from rule_service.domain.token_lists import ListRefused

KEY = b"a secret of the site"


@pytest.fixture
def engine(tmp_path):
    return open_store(sqlite_url(tmp_path, "rule-service"))


@pytest.fixture
def store(engine):
    return TokenStore(engine, KEY)


def tokens(version, *names):
    return DriverTokenList(
        version=version, tokens=tuple(ListedToken(driver_token=name) for name in names)
    )


def answer(at_ms, status=TokenStatus.ACCEPTED):
    return CachedToken(status=status, answered_at_ms=at_ms)


def test_a_list_replaces_the_one_before(store):
    store.install(tokens(1, "A", "B"))
    installed = store.install(tokens(2, "B", "C"))
    assert (installed.version, installed.entries) == (2, 2)
    assert store.installed() == installed
    assert store.listed(store.hash("A")) is None
    found = store.listed(store.hash("C"))
    assert (found.driver_token, found.status) == (store.hash("C"), TokenStatus.ACCEPTED)


def test_driver_tokens_are_the_same_in_any_case(store):
    store.install(tokens(1, "DriverOne"))
    assert store.listed(store.hash("DRIVERONE")) is not None


def test_a_token_listed_twice_counts_as_listed_last(store):
    twice = DriverTokenList(
        version=1,
        tokens=(
            ListedToken(driver_token="A"),
            ListedToken(driver_token="a", status=TokenStatus.BLOCKED),
        ),
    )
    store.install(twice)
    assert store.listed(store.hash("A")).status is TokenStatus.BLOCKED


def test_a_list_installed_before_numbers_had_bounds_still_decides(engine, store):
    store.install(tokens(1, "A"))
    with engine.begin() as connection:
        connection.execute(text("UPDATE listed_token SET valid_until_ms = 9999999999999999"))
    assert store.listed(store.hash("A")).valid_until_ms == MOMENT_MS_MAX


def test_a_long_list_is_taken(store):
    names = [f"TOKEN-{number}" for number in range(12_000)]
    assert store.install(tokens(1, *names)).entries == 12_000
    assert store.listed(store.hash("TOKEN-11999"))


def test_a_list_that_was_only_prepared_changes_nothing(engine, store):
    """Killed before it took over, or refused: what stood stands, and nothing of the other stays on the disk."""
    stood = store.install(tokens(1, "A"))
    store.prepare(tokens(2, "B"))
    assert store.installed() == stood
    assert store.listed(store.hash("A"))
    assert store.listed(store.hash("B")) is None
    again = TokenStore(engine, KEY)
    assert again.installed() == stood
    assert spare(engine) == 0
    with pytest.raises(ListRefused):
        again.prepare(tokens(2, "B").model_copy(update={"hash": "00" * 32}))
    assert spare(engine) == 0


def test_a_list_takes_over_whole_or_not_at_all(engine, store):
    stood = store.install(tokens(1, "A"))
    prepared = store.prepare(tokens(2, "B"))

    def fails(_, __, statement, *___):
        if statement.startswith("ALTER TABLE listed_token_before"):
            raise OSError("no space left")

    event.listen(engine, "before_cursor_execute", fails)
    with pytest.raises(OSError, match="no space"):
        store.switch(prepared)
    event.remove(engine, "before_cursor_execute", fails)
    assert store.installed() == stood
    assert store.listed(store.hash("A"))
    assert store.listed(store.hash("B")) is None
    store.switch(prepared)
    assert store.listed(store.hash("B"))
    assert spare(engine) == 1, "the list before, until it is swept"
    store.sweep()
    assert spare(engine) == 0


async def test_while_a_long_list_is_prepared_others_have_their_turn(tmp_path):
    """Before and after beside each other: in the loop nobody has a turn; in a thread, as in the service, all do."""
    names = [f"TOKEN-{number}" for number in range(20_000)]
    had = {}
    for where in ("loop", "thread"):
        store = TokenStore(open_store(sqlite_url(tmp_path / where, "rule-service")), KEY)
        store.install(tokens(1, "A"))
        turns: list[None] = []
        others = asyncio.create_task(_turns(store, turns))
        await asyncio.sleep(0)
        long = tokens(2, *names)
        prepare = functools.partial(store.prepare, long)
        before = len(turns)
        prepared = prepare() if where == "loop" else await asyncio.to_thread(prepare)
        had[where] = len(turns) - before
        store.switch(prepared)
        others.cancel()
        assert store.listed(store.hash("TOKEN-19999"))
    print(f"turns of another meanwhile: {had}")
    assert had["loop"] == 0
    assert had["thread"] > 5


async def _turns(store, turns):
    """What a decision does, again and again: reads, and keeps an answer."""
    while True:
        await asyncio.sleep(0.001)
        store.listed(store.hash("A"))
        store.remember(store.hash("B"), answer(5), 10)
        turns.append(None)


def spare(engine):
    with engine.connect() as connection:
        return connection.execute(text("select count(*) from listed_token_spare")).scalar_one()


def test_everything_outlives_a_restart(engine, store):
    store.install(tokens(3, "A"))
    store.remember(store.hash("B"), answer(5), 10)
    again = TokenStore(engine, KEY)
    assert again.installed().version == 3
    assert again.cached(again.hash("B")) == answer(5)


def test_another_key_makes_everything_unreadable_so_it_is_dropped(engine, store):
    store.install(tokens(3, "A"))
    store.remember(store.hash("A"), answer(5), 10)
    other = TokenStore(engine, b"another secret of it")
    assert other.installed() == NONE_INSTALLED
    assert other.install(tokens(3, "A")).version == 3


def test_no_driver_token_stands_on_the_disk(tmp_path, engine, store):
    store.install(tokens(1, "SECRETTOKEN1"))
    store.remember(store.hash("SECRETTOKEN2"), answer(5), 10)
    engine.dispose()
    for path in tmp_path.iterdir():
        assert b"SECRETTOKEN" not in path.read_bytes()


def test_beyond_the_bound_the_oldest_answers_go(store):
    for at_ms in range(1, 8):
        store.remember(store.hash(f"T{at_ms}"), answer(at_ms), 5)
    kept = [at_ms for at_ms in range(1, 8) if store.cached(store.hash(f"T{at_ms}"))]
    assert kept == [3, 4, 5, 6, 7]


def test_a_newer_answer_takes_the_place_of_the_older(store):
    store.remember(store.hash("A"), answer(1), 5)
    store.remember(store.hash("A"), answer(2, TokenStatus.BLOCKED), 5)
    assert store.cached(store.hash("A")).status is TokenStatus.BLOCKED
    store.forget(store.hash("A"))
    assert store.cached(store.hash("A")) is None


def test_a_bound_of_nothing_keeps_nothing(store):
    store.remember(store.hash("A"), answer(1), 0)
    assert store.cached(store.hash("A")) is None


@given(token=st.text(min_size=1, max_size=255))
def test_a_hash_says_nothing_but_sameness(token):
    digest = keyed_hash(KEY, token)
    assert len(digest) == 32
    assert digest == keyed_hash(KEY, token)
    assert digest != keyed_hash(b"other secret key", token)
    assert digest != keyed_hash(KEY, token + "x")
