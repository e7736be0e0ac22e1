"""Goal: a figure beyond the tolerance of the rules is doubted by its clause, one within it is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contracts.data_rules import BillingRules
from holdfast.contracts.session import SessionState, SessionView
from holdfast_simulators.hostile.frames import TIMES
from reconciler.domain.doubts import doubted

SEEN_MS = 1_750_000_000_000  # 2025-06-15T15:06:40Z
RULES = BillingRules(register_back_wh_max=10, clock_ahead_ms_max=60_000)


def session(**changes):
    view = SessionView(
        site="berlin01",
        session="CP-01/1",
        charge_point="CP-01",
        connector=1,
        transaction_id=1,
        state=SessionState.STOPPED,
        meter_start_wh=1_000,
        meter_stop_wh=3_000,
        energy_wh=2_000,
        started_at="2025-06-15T15:06:40Z",
        stopped_at="2025-06-15T16:06:40Z",
        reason="Local",
        last_reading_wh=2_990,
        last_reading_at="2025-06-15T16:06:00Z",
        readings=9,
        status=None,
        basis=None,
        flagged=False,
        duplicates=0,
        stops_differing=0,
        incarnations=("aaaaaaaa",),
        started_seen_ms=SEEN_MS,
        stopped_seen_ms=SEEN_MS + 3_600_000,
        highest_reading_wh=2_990,
    )
    return view.model_copy(update=changes)


def clauses(view, rules=RULES):
    return [doubt.clause for doubt in doubted(view, rules).doubts]


@pytest.mark.parametrize("at", TIMES)
def test_s14_a_time_that_is_none_is_doubted_and_never_fails(at):
    for which in ("started_at", "stopped_at"):
        says = " ".join(one.says for one in doubted(session(**{which: at}), RULES).doubts)
        # Without a zone it is taken for UTC: nothing is wrong with that one.
        is_sound = at in ("2025-06-15T15:00:00", "2025-06-15T15:00:00.123456789012345678Z")
        assert is_sound or says, at


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"meter_start_wh": -5}, "a register of -5 Wh at the start can't be"),
        ({"meter_stop_wh": -5}, "a register of -5 Wh at the stop can't be"),
        ({"energy_wh": 2_000_000_000}, "2000000000 Wh are more than a session can take"),
        ({"energy_wh": 1_200_000}, "1200000 Wh in that time are 1200000 W"),
        ({"meter_start_wh": 5_000, "energy_wh": None}, "the stop at 3000 Wh is 2000 Wh below"),
    ],
)
def test_s15_figures_that_can_not_be_are_doubted(changes, says):
    told = [one.says for one in doubted(session(**changes), RULES).doubts]
    assert any(one.startswith(says) for one in told), told


@pytest.mark.parametrize(
    ("connector", "connectors", "says"),
    [
        (0, None, "a session on connector 0 can't be"),
        (-1, 2, "a session on connector -1 can't be"),
        (42, 2, "a session on connector 42 of a charge point that says it has 2"),
        (42, None, ""),
        (2, 2, ""),
        (None, 2, ""),
    ],
)
def test_s17_a_session_where_there_is_no_plug_is_doubted(connector, connectors, says):
    view = session(connector=connector, connectors=connectors)
    assert [one.says for one in doubted(view, RULES).doubts] == [says][: bool(says)]


@given(st.text(max_size=60), st.text(max_size=60), st.integers(), st.integers())
def test_whatever_was_said_doubting_it_never_fails(started_at, stopped_at, begin_wh, end_wh):
    view = session(
        started_at=started_at,
        stopped_at=stopped_at,
        meter_start_wh=begin_wh,
        meter_stop_wh=end_wh,
        energy_wh=end_wh - begin_wh if end_wh >= begin_wh else None,
    )
    assert all(one.says for one in doubted(view, RULES).doubts)


def test_a_sound_session_is_not_doubted():
    assert doubted(session(), RULES) == session()


@pytest.mark.parametrize(
    ("changes", "clause"),
    [
        ({"highest_reading_wh": 3_011}, "billing.register_back_wh_max"),
        ({"meter_start_wh": 3_011, "energy_wh": None}, "billing.register_back_wh_max"),
        ({"started_at": "2025-06-15T15:07:41Z"}, "billing.clock_ahead_ms_max"),
        ({"stopped_at": "2025-06-15T16:07:41Z"}, "billing.clock_ahead_ms_max"),
        ({"stopped_at": "2025-06-15T15:06:39Z"}, ""),
        ({"stops_differing": 1}, ""),
    ],
)
def test_a_figure_beyond_its_tolerance_is_doubted_by_its_clause(changes, clause):
    assert clauses(session(**changes)) == [clause]


@pytest.mark.parametrize(
    "changes",
    [
        {"highest_reading_wh": 3_010},
        {"started_at": "2025-06-15T15:07:40Z"},
        {"started_at": "2025-06-15T09:00:00Z"},
        {"stopped_at": None},
        {"started_seen_ms": None, "stopped_seen_ms": None},
        {"meter_stop_wh": None, "stopped_at": None, "highest_reading_wh": 9_000},
        {"meter_start_wh": None, "highest_reading_wh": None},
    ],
)
def test_what_is_within_or_not_known_is_not_doubted(changes):
    assert clauses(session(**changes)) == []


def test_another_tolerance_is_another_judgement():
    view = session(highest_reading_wh=3_050, started_at="2025-06-15T15:16:40Z")
    assert clauses(view) == ["billing.register_back_wh_max", "billing.clock_ahead_ms_max"]
    lenient = BillingRules(register_back_wh_max=50, clock_ahead_ms_max=600_000)
    assert clauses(view, lenient) == []


@pytest.mark.parametrize("state", [SessionState.STOPPED, SessionState.FRAGMENT])
def test_events_that_never_came_are_told_with_their_numbers(state):
    view = session(state=state, seq_missing=((3, 3), (7, 9)))
    (doubt,) = [one for one in doubted(view, RULES).doubts if "seqNo" in one.says]
    assert doubt.says == "TransactionEvents never came: seqNo 3, 7 to 9"


def test_events_of_which_nobody_knows_are_told_as_that():
    view = session(state=SessionState.STOPPED, seq_uncounted=((4, 6),))
    (doubt,) = [one for one in doubted(view, RULES).doubts if "seqNo" in one.says]
    assert doubt.says.endswith("restarted, or never came: seqNo 4 to 6")


def test_events_that_are_missing_from_a_session_that_runs_may_still_come():
    view = session(state=SessionState.RUNNING, stopped_at=None, seq_missing=((3, 3),))
    assert [one for one in doubted(view, RULES).doubts if "seqNo" in one.says] == []
