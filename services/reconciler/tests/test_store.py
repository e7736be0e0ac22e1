"""The store: sessions, position and digest stand or fall together; pages, old digests, other versions.

Method: a real SQLite file; entries through the same folding the service uses.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.contracts.decision import Basis
from holdfast.contracts.driver_tokens import TokenStatus
from holdfast.contracts.envelope import ContractError, Entry, Envelope, Fact, Unknown, body_of
from holdfast.contracts.session import (
    Reading,
    SessionMetered,
    SessionsRequest,
    SessionStarted,
    SessionStopped,
)
from holdfast.entries import Read
from holdfast.store import open_store
from reconciler.adapters import store as store_module
from reconciler.adapters.store import Life, ReadTo, SessionStore
from reconciler.domain.sessions import FOLD_VERSION
from reconciler.folding import Placed, fold_batch

LIFE = Life("berlin01", "aaaaaaaa")
NEXT_LIFE = Life("berlin01", "bbbbbbbb")
STREAM = "S"


def placed(seq: int, fact: Fact, life: Life = LIFE) -> Placed:
    envelope = Envelope(
        id=f"{life.incarnation}-{seq}",
        type=fact.TYPE if not isinstance(fact, Unknown) else fact.type,
        at_ms=seq,
        site=life.site,
        incarnation=life.incarnation,
        source="test",
        body=body_of(fact),
    )
    return Placed(life=life, seq=seq, read=Read(Entry(seq=seq, envelope=envelope), fact))


def started(tx: int) -> SessionStarted:
    return SessionStarted(
        charge_point="CP-01",
        connector=1,
        session=f"CP-01/{tx}",
        transaction_id=tx,
        driver_token="TOKEN",
        meter_start_wh=1000,
        at="2026-01-01T10:00:00Z",
        status=TokenStatus.ACCEPTED,
        basis=Basis.LIST,
        flagged=True,
        decision="d",
        message_id="m",
        raw="{}",
    )


def metered(tx: int, meter_wh: int = 1500) -> SessionMetered:
    return SessionMetered(
        charge_point="CP-01",
        connector=1,
        session=f"CP-01/{tx}",
        transaction_id=tx,
        readings=(Reading(at="t", energy_wh=meter_wh),),
        message_id="m",
        raw="{}",
    )


def stopped(tx: int) -> SessionStopped:
    return SessionStopped(
        charge_point="CP-01",
        session=f"CP-01/{tx}",
        transaction_id=tx,
        meter_stop_wh=3000,
        at="2026-01-01T11:00:00Z",
        reason="Local",
        message_id="m",
        raw="{}",
    )


def opened(folder: Path, version: str = "1") -> SessionStore:
    return SessionStore(open_store(f"sqlite:///{folder / 'sessions.sqlite'}"), version)


def fold(store: SessionStore, *entries: Placed) -> None:
    store.commit(STREAM, ReadTo(entries[-1].seq, "id"), fold_batch(store, entries))


def test_a_restart_goes_on_where_the_last_commit_ended(tmp_path: Path) -> None:
    fold(opened(tmp_path), placed(1, started(1)), placed(2, metered(1)))
    again = opened(tmp_path)
    assert again.read_to(STREAM) == (2, "id")
    fold(again, placed(2, metered(1)), placed(3, stopped(1)))
    (view,) = again.page(SessionsRequest(site="berlin01")).sessions
    assert (view.energy_wh, view.readings, view.flagged) == (2000, 1, True)


def test_another_fold_version_begins_at_the_beginning(tmp_path: Path) -> None:
    fold(opened(tmp_path, "1"), placed(1, started(1)))
    again = opened(tmp_path, "2")
    assert again.read_to(STREAM) == (0, "")
    assert again.position(LIFE).seq == 0
    assert again.page(SessionsRequest(site="berlin01")).sessions == ()


def test_a_new_stream_leaves_what_an_earlier_life_said(tmp_path: Path) -> None:
    store = opened(tmp_path)
    fold(store, placed(1, started(1)))
    assert store.read_to("ANOTHER").seq == 0
    assert len(store.page(SessionsRequest(site="berlin01")).sessions) == 1


def test_parts_of_two_lives_are_shown_as_one_session(tmp_path: Path) -> None:
    store = opened(tmp_path)
    fold(store, placed(1, started(1)), placed(2, started(2)))
    fold(store, placed(1, stopped(1), NEXT_LIFE))
    page = store.page(SessionsRequest(site="berlin01"))
    assert [view.session for view in page.sessions] == ["CP-01/1", "CP-01/2"]
    assert page.sessions[0].incarnations == ("aaaaaaaa", "bbbbbbbb")
    assert page.counts == {"stopped": 1, "running": 1}


def test_pages_give_every_session_once_in_either_direction(tmp_path: Path) -> None:
    store = opened(tmp_path)
    fold(store, *(placed(tx, started(tx)) for tx in range(1, 8)))
    for newest_first, first in ((False, "CP-01/1"), (True, "CP-01/7")):
        seen: list[str] = []
        after: str | None = ""
        while after is not None:
            page = store.page(
                SessionsRequest(site="berlin01", after=after, limit=3, newest_first=newest_first)
            )
            seen += [view.session for view in page.sessions]
            after = page.next
        assert (seen[0], len(seen), len(set(seen))) == (first, 7, 7)


def test_a_page_ends_before_it_is_too_large_for_a_reply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "PAGE_BYTES_MAX", 700)
    store = opened(tmp_path)
    fold(store, *(placed(tx, started(tx)) for tx in range(1, 8)))
    page = store.page(SessionsRequest(site="berlin01"))
    assert (len(page.sessions), page.next) == (1, "1")


@pytest.mark.parametrize("cursor", ["x", "-1", "1;drop table session", "٣", "9" * 30])
def test_a_cursor_that_is_none_is_refused(tmp_path: Path, cursor: str) -> None:
    with pytest.raises(ContractError, match="no cursor"):
        opened(tmp_path).page(SessionsRequest(site="berlin01", after=cursor))


def test_the_digest_is_known_at_every_sequence(tmp_path: Path) -> None:
    store = opened(tmp_path)
    fold(
        store,
        placed(1, Unknown(type="x", body={})),
        placed(2, started(1)),
        placed(3, Unknown(type="x", body={})),
        placed(4, stopped(1)),
    )
    digests = [store.digest(LIFE, seq).digest for seq in range(1, 5)]
    assert digests[0] == "0" * 64
    assert digests[1] == digests[2] != digests[3]
    ahead = store.digest(LIFE, 5)
    assert (ahead.digest, ahead.seq, ahead.reason) == (None, 4, "")
    assert ahead.fold_version == FOLD_VERSION


def test_a_digest_too_long_ago_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "DIGEST_CHANGES_MAX", 3)
    store = opened(tmp_path)
    fold(store, *(placed(tx, started(tx)) for tx in range(1, 8)))
    assert "changes ago" in store.digest(LIFE, 4).reason
    assert store.digest(LIFE, 5).digest is not None


def test_after_a_hole_a_digest_is_compared_with_no_other(tmp_path: Path) -> None:
    store = opened(tmp_path)
    fold(store, placed(1, started(1)), placed(5, started(2)))
    assert store.digest(LIFE, 1).digest is not None
    assert "entry 2 never came" in store.digest(LIFE, 5).reason


def test_an_unreadable_entry_is_passed_and_counted_in_the_position(tmp_path: Path) -> None:
    store = opened(tmp_path)
    fold(store, placed(1, started(1)), Placed(life=LIFE, seq=2, read=None))
    assert store.position(LIFE).seq == 2
    assert store.position(LIFE).hole_at is None


facts = st.builds(
    lambda kind, tx, meter: (started(tx), metered(tx, meter), stopped(tx))[kind],
    st.integers(0, 2),
    st.integers(1, 4),
    st.integers(0, 9),
)


@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(st.lists(facts, min_size=1, max_size=25), st.data())
def test_site_and_cloud_agree_at_every_sequence_however_their_batches_fell(
    tmp_path_factory: pytest.TempPathFactory, told: list[Fact], data: st.DataObject
) -> None:
    """Batches of any size, any part of them delivered again, restarts between them."""
    entries = [placed(seq, fact) for seq, fact in enumerate(told, start=1)]
    stores = []
    for _ in range(2):
        folder = tmp_path_factory.mktemp("fold")
        done = 0
        while done < len(entries):
            store = opened(folder)
            again = data.draw(st.integers(0, done))
            upto = data.draw(st.integers(done + 1, len(entries)))
            fold(store, *entries[done - again : upto])
            done = upto
        stores.append(opened(folder))
    site, cloud = stores
    for seq in range(1, len(entries) + 1):
        assert site.digest(LIFE, seq) == cloud.digest(LIFE, seq)
        assert site.digest(LIFE, seq).digest is not None
    request = SessionsRequest(site="berlin01")
    assert site.page(request) == cloud.page(request)
