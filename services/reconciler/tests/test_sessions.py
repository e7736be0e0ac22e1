"""The session fold: what a session is after its facts, and that neither batches, nor redelivery, nor a
restart changes a session or a digest.

Method: tables for the cases of the field, Hypothesis for any journal of three sessions in any order.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contracts.decision import Basis, auth_method
from holdfast.contracts.driver_tokens import TokenStatus
from holdfast.contracts.envelope import Entry, Envelope, Fact, body_of
from holdfast.contracts.session import (
    Reading,
    SessionMetered,
    SessionStarted,
    SessionState,
    SessionStopped,
    SessionStopRepeated,
    session_key,
)
from reconciler.domain.sessions import (
    MARK_BYTES,
    MARKS_MAX,
    Position,
    Session,
    advance,
    hash_of,
    join,
    session_of,
    skip,
    step,
)


def entry(seq: int, fact: Fact, *, id: str | None = None) -> Entry:
    envelope = Envelope(
        id=id or f"id-{seq}",
        type=fact.TYPE,
        at_ms=seq,
        site="berlin01",
        incarnation="aaaaaaaa",
        source="test",
        body=body_of(fact),
    )
    return Entry(seq=seq, envelope=envelope)


def started(tx: int = 7, meter_wh: int = 1000, charge_point: str = "CP-01") -> SessionStarted:
    return SessionStarted(
        charge_point=charge_point,
        connector=1,
        session=session_key(charge_point, tx),
        transaction_id=tx,
        driver_token="TOKEN",
        meter_start_wh=meter_wh,
        at="2026-01-01T10:00:00Z",
        status=TokenStatus.ACCEPTED,
        basis=Basis.LIST,
        flagged=False,
        decision="d",
        message_id="m",
        raw="{}",
    )


def metered(tx: int = 7, meter_wh: int = 1500) -> SessionMetered:
    return SessionMetered(
        charge_point="CP-01",
        connector=1,
        session=session_key("CP-01", tx),
        transaction_id=tx,
        readings=(Reading(at="2026-01-01T10:30:00Z", energy_wh=meter_wh),),
        message_id="m",
        raw="{}",
    )


def stopped(tx: int = 7, meter_wh: int = 3000, at: str = "2026-01-01T11:00:00Z") -> SessionStopped:
    return SessionStopped(
        charge_point="CP-01",
        session=session_key("CP-01", tx),
        transaction_id=tx,
        meter_stop_wh=meter_wh,
        at=at,
        reason="Local",
        message_id="m",
        raw="{}",
    )


@dataclass
class Journal:
    """All sessions of one journal, as a store would hold them."""

    position: Position = field(default_factory=Position)
    sessions: dict[str, Session] = field(default_factory=dict)
    digest_at: dict[int, int] = field(default_factory=dict)

    def take(self, entry: Entry, fact: Fact) -> None:
        key = session_of(fact)
        self.position, session = advance(
            self.position, self.sessions.get(key) if key else None, entry, fact
        )
        if key and session:
            self.sessions[key] = session
        self.digest_at[self.position.seq] = self.position.digest


def fold(*facts: Fact) -> Session:
    journal = Journal()
    for seq, fact in enumerate(facts, start=1):
        journal.take(entry(seq, fact), fact)
    (session,) = journal.sessions.values()
    return session


def test_an_integer_of_1_6_and_a_stations_text_of_its_digits_are_two_sessions() -> None:
    of_2x = started(meter_wh=9000).model_copy(
        update={"session": session_key("CP-01", "7"), "transaction_id": "7"}
    )
    journal = Journal()
    for seq, fact in enumerate((started(), stopped(), of_2x), 1):
        journal.take(entry(seq, fact), fact)
    views = [join("berlin01", [("aaaaaaaa", one)]) for one in journal.sessions.values()]
    assert {one.session: one.state for one in views} == {
        "CP-01/7": SessionState.STOPPED,
        "CP-01/=7": SessionState.RUNNING,
    }


def test_a_running_session_counts_up_to_its_last_reading() -> None:
    session = fold(started(), metered(meter_wh=1500), metered(meter_wh=1800))
    assert (session.state, session.energy_wh, session.readings) == (SessionState.RUNNING, 800, 2)


def test_a_stopped_session_counts_from_start_to_stop() -> None:
    session = fold(started(), metered(), stopped())
    assert (session.state, session.energy_wh, session.reason) == (
        SessionState.STOPPED,
        2000,
        "Local",
    )


def test_parts_without_a_start_are_a_fragment_without_energy() -> None:
    assert fold(metered(), stopped()).state is SessionState.FRAGMENT
    assert fold(metered(), stopped()).energy_wh is None
    assert fold(stopped()).connector is None


def test_a_late_reading_after_the_stop_changes_no_energy() -> None:
    session = fold(started(), stopped(), metered(meter_wh=2990))
    assert (session.energy_wh, session.last_reading_wh) == (2000, 2990)


def test_a_register_that_ran_backwards_gives_no_energy_rather_than_a_negative_one() -> None:
    assert fold(started(meter_wh=5000), stopped(meter_wh=100)).energy_wh is None


def test_the_first_stop_counts_and_a_different_one_is_shown() -> None:
    again = SessionStopRepeated(
        charge_point="CP-01",
        session=session_key("CP-01", 7),
        transaction_id=7,
        meter_stop_wh=9,
        first_meter_stop_wh=3000,
        message_id="m",
        raw="{}",
    )
    session = fold(started(), stopped(), stopped(meter_wh=4000), again)
    assert (session.meter_stop_wh, session.duplicates, session.stops_differing) == (3000, 1, 2)


def test_an_id_folded_before_is_a_repeat_at_whatever_sequence_it_comes_again() -> None:
    first = step(None, entry(1, started(), id="a"), started())
    read = step(first, entry(2, metered(), id="b"), metered())
    again = step(read, entry(9000, metered(), id="b"), metered())
    assert (again.readings, again.duplicates, again.last_seq) == (1, 1, 9000)


def test_the_memory_for_ids_is_bounded_and_forgets_the_oldest() -> None:
    session = step(None, entry(1, started(), id="first"), started())
    for seq in range(2, MARKS_MAX + 10):
        session = step(session, entry(seq, metered()), metered())
    assert len(session.marks) == MARK_BYTES * MARKS_MAX
    again = step(session, entry(5000, started(), id="first"), started())
    assert (again.duplicates, again.meter_start_wh) == (1, 1000)  # a second start changes nothing


def test_a_session_torn_by_a_lost_disk_is_joined_from_its_parts() -> None:
    before = fold(started(), metered(meter_wh=1500))
    after = fold(metered(meter_wh=2500), stopped(meter_wh=3000))
    view = join("berlin01", [("aaaaaaaa", before), ("bbbbbbbb", after)])
    assert (view.state, view.energy_wh, view.readings) == (SessionState.STOPPED, 2000, 2)
    assert view.incarnations == ("aaaaaaaa", "bbbbbbbb")
    assert (view.connector, view.status) == (1, TokenStatus.ACCEPTED)
    assert view.auth_method == auth_method(view.basis, flagged=view.flagged, status=view.status)


def test_a_stop_repeated_into_a_new_life_is_a_duplicate_not_a_second_end() -> None:
    view = join(
        "berlin01",
        [("aaaaaaaa", fold(started(), stopped())), ("bbbbbbbb", fold(stopped(meter_wh=3100)))],
    )
    assert (view.meter_stop_wh, view.duplicates, view.stops_differing) == (3000, 1, 1)


def test_a_hole_is_named_by_its_first_missing_entry() -> None:
    journal = Journal()
    journal.take(entry(1, started()), started())
    journal.take(entry(4, stopped()), stopped())
    journal.take(entry(9, stopped()), stopped())
    assert journal.position.hole_at == 2


def test_an_unreadable_entry_moves_the_position_and_nothing_else() -> None:
    assert skip(Position(seq=4, digest=9), 5) == Position(seq=5, digest=9)
    assert skip(Position(seq=4, digest=9), 4) == Position(seq=4, digest=9)


@pytest.mark.parametrize("name", [f for f in Session.__dataclass_fields__ if f != "marks"])
def test_every_field_of_a_session_moves_the_digest(name: str) -> None:
    session = fold(started(), metered(), stopped())
    assert hash_of(replace(session, **{name: "different"})) != hash_of(session)


# --- properties ---

facts = st.builds(
    lambda kind, tx, meter: (
        started(tx, meter) if kind == 0 else stopped(tx, meter) if kind == 2 else metered(tx, meter)
    ),
    st.integers(0, 2),
    st.integers(1, 3),
    st.integers(0, 9),
)


@st.composite
def journals(draw: st.DrawFn) -> list[tuple[Entry, Fact]]:
    """Entries of three sessions; some ids come twice, as beyond the stream's window they may."""
    drawn = draw(st.lists(facts, max_size=30))
    ids = [draw(st.integers(0, 40)) for _ in drawn]
    return [(entry(seq, f, id=f"id-{ids[seq - 1]}"), f) for seq, f in enumerate(drawn, start=1)]


@given(journals(), st.data())
def test_redelivery_from_anywhere_changes_neither_sessions_nor_digest(
    entries: list[tuple[Entry, Fact]], data: st.DataObject
) -> None:
    once, again = Journal(), Journal()
    for e, f in entries:
        once.take(e, f)
        again.take(e, f)
        back = data.draw(st.integers(0, e.seq))
        for old, fact in entries[e.seq - back : e.seq]:
            again.take(old, fact)
    assert again.sessions == once.sessions
    assert again.position == once.position
    assert again.digest_at == once.digest_at


@given(journals())
def test_the_digest_carried_along_is_the_sum_over_the_sessions_that_stand(
    entries: list[tuple[Entry, Fact]],
) -> None:
    journal = Journal()
    for e, f in entries:
        journal.take(e, f)
        assert journal.position.digest == sum(map(hash_of, journal.sessions.values())) % (1 << 256)
        assert journal.position.sessions == len(journal.sessions)


def test_a_session_keeps_what_its_doubts_are_judged_by():
    """When the site heard of begin and end, the highest reading, and what the rules left out: of the first start
    and the first stop, over several lives of the disk too.
    """
    facts = [
        started(),
        metered(meter_wh=2_000).model_copy(update={"left_out": 3}),
        metered(meter_wh=1_900),
    ]
    session = None
    for seq, fact in enumerate(facts, 1):
        session = step(session, entry(seq, fact), fact)
    assert (session.started_seen_ms, session.stopped_seen_ms) == (1, None)
    assert (session.highest_reading_wh, session.last_reading_wh) == (2_000, 1_900)
    later = None
    for seq, fact in ((5, stopped().model_copy(update={"left_out": 2})), (9, stopped())):
        later = step(later, entry(seq, fact), fact)
    assert later.left_out == 2
    view = join("berlin01", [("aaaaaaaa", session), ("bbbbbbbb", later)])
    assert (view.started_seen_ms, view.stopped_seen_ms) == (1, 5)
    assert (view.highest_reading_wh, view.left_out) == (2_000, 5)
    assert hash_of(replace(session, left_out=0)) != hash_of(session)
