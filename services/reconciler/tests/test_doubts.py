"""Goal: a figure beyond the tolerance of the rules is doubted by its clause, one within it is not."""

from __future__ import annotations

import pytest

from holdfast.contracts.data_rules import BillingRules
from holdfast.contracts.session import SessionState, SessionView
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
        {"started_at": "soon", "stopped_at": None},
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


def test_events_that_are_missing_from_a_session_that_runs_may_still_come():
    view = session(state=SessionState.RUNNING, stopped_at=None, seq_missing=((3, 3),))
    assert [one for one in doubted(view, RULES).doubts if "seqNo" in one.says] == []
