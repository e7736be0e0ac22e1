"""Goal: a hole in the seqNos of a transaction is told exactly; what the rules left out is none, whatever the order and
however often events come.

Method: Hypothesis against a set of numbers.
"""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from holdfast.contracts.decision import Basis
from holdfast.contracts.envelope import Entry, Envelope, Fact, body_of
from holdfast.contracts.session import SessionMetered, SessionStarted, SessionStopped
from holdfast.ocpp.versions import OcppVersion
from reconciler.domain.sequence import RANGES_MAX, Ranges, missing, seen
from reconciler.domain.sessions import Session, join, step

NUMBERS = st.lists(st.integers(0, 60), max_size=40)
TX = "0a1b-tx"
KEY = f"CP-01/{TX}"


def numbers_of(ranges: Ranges) -> set[int]:
    return {number for begin, end in ranges for number in range(begin, end + 1)}


@given(NUMBERS, st.lists(st.tuples(st.integers(-3, 60), st.integers(-3, 60)), max_size=10))
def test_what_is_missing_is_every_number_that_did_not_come(
    came: list[int], left_out: list[tuple[int, int]]
) -> None:
    ranges: Ranges = ()
    for number in came:
        ranges = seen(ranges, (number, number))
    ranges = seen(ranges, *left_out)
    expected = set(came) | numbers_of(tuple(one for one in left_out if one[0] >= 0))
    end = max(came, default=None)
    assert numbers_of(ranges) == expected
    holes = missing(ranges, end)
    assert numbers_of(holes) == set(range((end if end is not None else -1) + 1)) - expected
    assert all(one[1] + 1 < two[0] for one, two in itertools.pairwise(ranges))


def test_beyond_the_bound_the_rest_is_one_hole() -> None:
    ranges = seen((), *((number, number) for number in range(0, 4 * RANGES_MAX, 2)))
    assert len(ranges) == RANGES_MAX
    assert missing(ranges, 4 * RANGES_MAX)[-1] == (2 * RANGES_MAX - 1, 4 * RANGES_MAX)


def test_a_number_of_any_size_costs_one_range() -> None:
    assert missing(seen((), (0, 0), (2**31 - 1, 2**31 - 1)), 2**31 - 1) == ((1, 2**31 - 2),)


def event(seq_no: int, *left_out: tuple[int, int], uncounted: Ranges = ()) -> SessionMetered:
    return SessionMetered(
        charge_point="CP-01",
        connector=1,
        session=KEY,
        transaction_id=TX,
        readings=(),
        version=OcppVersion.V201,
        action="TransactionEvent",
        seq_no=seq_no,
        left_out_seq=left_out,
        uncounted=bool(uncounted),
        uncounted_seq=uncounted,
        message_id=f"m{seq_no}",
        raw="{}",
    )


def begun() -> SessionStarted:
    return SessionStarted(
        charge_point="CP-01",
        connector=1,
        session=KEY,
        transaction_id=TX,
        driver_token=None,
        meter_start_wh=None,
        at="2026-01-01T10:00:00Z",
        status=None,
        basis=None,
        flagged=False,
        decision=None,
        version=OcppVersion.V201,
        seq_no=0,
        message_id="m0",
        raw="{}",
    )


def ended(seq_no: int) -> SessionStopped:
    return SessionStopped(
        charge_point="CP-01",
        session=KEY,
        transaction_id=TX,
        meter_stop_wh=9,
        at="2026-01-01T11:00:00Z",
        reason="Local",
        version=OcppVersion.V201,
        seq_no=seq_no,
        message_id="m9",
        raw="{}",
    )


def folded(*facts: Fact, begin: int = 1) -> Session:
    session: Session | None = None
    for seq, fact in enumerate(facts, begin):
        envelope = Envelope(
            id=f"{begin}-{seq}",
            type=fact.TYPE,
            at_ms=seq,
            site="berlin01",
            incarnation="aaaaaaaa",
            source="test",
            body=body_of(fact),
        )
        assert isinstance(fact, SessionStarted | SessionMetered | SessionStopped)
        session = step(session, Entry(seq=seq, envelope=envelope), fact)
    assert session is not None
    return session


def missing_of(*parts: Session) -> Ranges:
    lives = [(f"life{number}", part) for number, part in enumerate(parts)]
    return join("berlin01", lives).seq_missing


def test_a_session_tells_its_hole_and_not_what_was_left_out() -> None:
    assert missing_of(folded(begun(), event(1), event(5, (2, 4)), ended(6))) == ()
    assert missing_of(folded(begun(), event(1), event(5, (2, 3)), ended(7))) == ((4, 4), (6, 6))


def test_what_nobody_knows_of_is_told_apart_from_what_never_came() -> None:
    before, after = folded(begun(), event(1)), event(7, (2, 3), uncounted=((4, 6),))
    view = join("berlin01", [("life", folded(begun(), event(1), after, ended(9)))])
    assert (view.seq_missing, view.seq_uncounted) == (((8, 8),), ((4, 6),))
    assert view.left_out_uncounted
    # Another life of the disk has one of them.
    lives = [("life0", before), ("life1", folded(event(5), after, ended(9), begin=9))]
    view = join("berlin01", lives)
    assert (view.seq_missing, view.seq_uncounted) == (((8, 8),), ((4, 4), (6, 6)))


def test_events_out_of_order_leave_no_hole() -> None:
    assert missing_of(folded(begun(), ended(3), event(2), event(1))) == ()


def test_the_parts_of_two_lives_of_the_disk_fill_each_others_holes() -> None:
    assert missing_of(folded(begun(), event(2)), folded(event(1), ended(3))) == ()
    assert missing_of(folded(begun()), folded(event(2), ended(3))) == ((1, 1),)


def test_what_has_no_numbers_has_no_holes() -> None:
    without = SessionStarted(
        **{**begun().model_dump(), "version": OcppVersion.V16, "seq_no": None, "basis": Basis.LIST}
    )
    assert missing_of(folded(without)) == ()
