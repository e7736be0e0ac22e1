"""Goal: what is always true of modes, whatever the link and the site do (I6, and the bounds of architecture 5).

Method: Hypothesis draws links that come and go and impairments that come and go; the site on paper lives
through them; the history of changes is checked as a whole.
"""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from holdfast.contracts.journal import StorageLevel
from holdfast.contracts.mode import CsmsState, Mode, OverrideKind, Reason
from holdfast.contracts.rules import ModeRules
from mode_manager.domain.events import ChangeMode
from mode_manager.domain.impairments import maintenance, standing
from mode_manager.domain.modes import decide
from mode_manager.domain.state import RELAPSE_FALLS, falls
from mode_manager.domain.table import TRANSITIONS

HOUR_MS = 3_600_000

spans = st.lists(
    st.tuples(st.integers(250, 90_000), st.integers(250, 90_000)), min_size=1, max_size=12
)
"""How long the link is up, then down, and again."""

happenings = st.lists(
    st.tuples(
        st.integers(250, 40_000),
        st.sampled_from(
            [
                "cut",
                "heal",
                "csms",
                "storage",
                "copying",
                "clock",
                "decided",
                "rules",
                "head",
                "maintenance",
                "planned",
                "end override",
            ]
        ),
    ),
    max_size=25,
)


def flapping(pattern):
    """Repeats the pattern for ever."""
    period_ms = sum(up + down for up, down in pattern)

    def is_up(mono_ms):
        left_ms = mono_ms % period_ms
        for up_ms, down_ms in pattern:
            if left_ms < up_ms:
                return True
            left_ms -= up_ms
            if left_ms < down_ms:
                return False
            left_ms -= down_ms
        raise AssertionError

    return is_up


def happen(site, what):
    if what in ("cut", "heal"):
        site.cut() if what == "cut" else site.heal()
        return
    match what:
        case "csms":
            site.csms = CsmsState.UP if site.csms is CsmsState.DOWN else CsmsState.DOWN
        case "storage":
            soft = site.state.storage is StorageLevel.OK
            site.storage(StorageLevel.SOFT if soft else StorageLevel.OK)
        case "copying":
            site.copying = not site.copying
        case "clock":
            site.cloud_ahead_ms = 0 if site.cloud_ahead_ms else 60_000
        case "decided":
            site.decided_locally()
        case "rules":
            site.desired = 3 - site.desired
        case "head":
            site.has_head = not site.has_head
        case _:
            override(site, what)


def override(site, what):
    match what:
        case "maintenance":
            site.override(OverrideKind.MAINTENANCE, for_ms=45_000, in_ms=site.mono_ms % 3 * 5_000)
        case "planned":
            site.override(OverrideKind.PLANNED_DISRUPTION, for_ms=45_000)
        case "end override":
            site.end_override()


@settings(max_examples=30, deadline=None)
@given(steps=happenings)
def test_while_maintenance_stands_the_site_is_autonomous_and_ends_in_time(paper_site, steps):
    """Whatever else happens; and no override outlives its end."""
    site = paper_site(tick_ms=500).start()
    for wait_ms, what in steps:
        happen(site, what)
        for _ in range(0, wait_ms, 500):
            site.run(500)
            moment = site.moment()
            assert all(one.until_ms > moment.at_ms for one in site.state.overrides)
            kinds = [one.kind for one in site.state.overrides]
            assert len(set(kinds)) == len(kinds)
            if maintenance(site.state, moment):
                assert site.mode is Mode.AUTONOMOUS
    check_history(site)


def most_in_a_window(times_ms, window_ms):
    """The most that fall into any half-open window."""
    return max(
        (sum(begin <= other < begin + window_ms for other in times_ms) for begin in times_ms),
        default=0,
    )


def check_history(site, *, begins=Mode.AUTONOMOUS):
    """I6: exactly one mode at any time, no holes, each transition in the table and with its reason."""
    mode = begins
    for change in site.changes:
        fact = change.fact
        if fact.previous is not None:
            assert fact.previous is mode
            assert (fact.previous, fact.mode) in TRANSITIONS
        mode = fact.mode
        assert len(set(fact.reasons)) == len(fact.reasons) > 0
        assert (fact.disruption is None) == (fact.mode is Mode.CONNECTED)
    assert site.mode is mode
    ids = [change.effect.id for change in site.changes]
    assert len(set(ids)) == len(ids)


def check_bound(site):
    policy = site.policy
    falls_ms, counted = [], []
    for change in site.changes:
        if falls(change.fact.previous, change.mode, change.fact.reasons):
            falls_ms.append(change.mono_ms)
        recent = [at_ms for at_ms in falls_ms if change.mono_ms - at_ms < policy.latch_ms_max]
        if len(recent) >= RELAPSE_FALLS and change.mode is not Mode.AUTONOMOUS:
            counted.append(change.mono_ms)
    assert most_in_a_window(counted, policy.changes_window_ms) <= policy.changes_max


@settings(max_examples=30, deadline=None)
@given(pattern=spans, recovers_ms=st.sampled_from([250, 3_000, 30_000]))
def test_a_link_that_relapses_changes_the_mode_twice_a_minute_at_most(
    paper_site, pattern, recovers_ms
):
    site = paper_site(tick_ms=500, up=flapping(pattern), recovers_in_ms=recovers_ms).start()
    site.run(HOUR_MS // 4)
    check_history(site)
    check_bound(site)


@settings(max_examples=20, deadline=None)
@given(up_ms=st.integers(250, 60_000), down_ms=st.integers(250, 12_000))
def test_a_link_that_flaps_within_degraded_changes_the_mode_twice_a_minute_at_most(
    paper_site, up_ms, down_ms
):
    """Every change counts, from the first break on."""
    site = paper_site(tick_ms=500).connected()
    site.up = flapping([(up_ms, down_ms)])
    site.run(HOUR_MS // 6)
    # A rhythm that meets every pulse in its gaps is a cut like any other: the tests above and below are of those.
    assume(all(change.mode is not Mode.AUTONOMOUS for change in site.changes))
    all_ms = [change.mono_ms for change in site.changes]
    assert most_in_a_window(all_ms, site.policy.changes_window_ms) <= 2


@settings(max_examples=6, deadline=None)
@given(up_ms=st.integers(2_000, 200_000), down_ms=st.integers(2_000, 40_000))
def test_a_flapping_link_does_not_change_the_mode_every_minute_for_an_hour(
    paper_site, up_ms, down_ms
):
    site = paper_site(tick_ms=1_000).connected()
    site.up = flapping([(up_ms, down_ms)])
    site.run(2 * HOUR_MS)
    all_ms = [change.mono_ms for change in site.changes]
    assert most_in_a_window(all_ms, HOUR_MS) < 60


def test_a_link_that_falls_each_time_it_is_believed_in_does_not_get_far(paper_site):
    """The worst link there is: it waits for the site's trust, then breaks it."""
    site = paper_site(tick_ms=1_000).connected()
    begun_ms = site.mono_ms
    while site.mono_ms - begun_ms < 2 * HOUR_MS:
        site.heal() if site.mode in (Mode.AUTONOMOUS, Mode.DEGRADED) else site.cut()
        site.run(1_000)
    all_ms = [change.mono_ms for change in site.changes]
    assert most_in_a_window(all_ms, HOUR_MS) < 60
    check_bound(site)


@settings(max_examples=30, deadline=None)
@given(
    steps=happenings,
    start=st.sampled_from([None, *Mode]),
    changes_max=st.integers(2, 4),
)
def test_history_has_no_holes_and_keeps_the_bound_whatever_happens(
    paper_site, steps, start, changes_max
):
    policy = ModeRules(changes_max=changes_max)
    site = paper_site(policy=policy, tick_ms=500).start(
        start, disruption=None if start is Mode.CONNECTED else "d"
    )
    for wait_ms, what in steps:
        site.run(wait_ms)
        happen(site, what)
    site.run(30_000)
    check_history(site, begins=start or Mode.AUTONOMOUS)
    check_bound(site)


@settings(max_examples=20, deadline=None)
@given(steps=happenings)
def test_replay_is_identical(paper_site, steps):
    site = paper_site(tick_ms=500).start()
    for wait_ms, what in steps:
        site.run(wait_ms)
        happen(site, what)
    state, effects = None, []
    for event in site.events:
        state, more = decide(site.policy, state, event)
        effects += more
    assert state == site.state
    changes = [effect for effect in effects if isinstance(effect, ChangeMode)]
    assert changes == [change.effect for change in site.changes]
    assert [effect for effect in effects if effect not in changes] == site.ended


@settings(max_examples=20, deadline=None)
@given(steps=happenings)
def test_no_impairment_goes_unsaid(paper_site, steps):
    """What stood while the site was impaired is named by the change before or the one after."""
    site = paper_site(tick_ms=500).start()
    site.changes.clear()
    seen, begun = set(), 0
    for wait_ms, what in [*steps, (30_000, "heal")]:
        happen(site, what)
        for _ in range(0, wait_ms, 500):
            site.run(500)
            if len(site.changes) > begun:
                named = {reason for change in site.changes[-3:] for reason in change.fact.reasons}
                assert seen - named <= {Reason.PULSE_LATE, Reason.PULSE_LOST}
                seen, begun = set(), len(site.changes)
            if site.mode in (Mode.DEGRADED, Mode.AUTONOMOUS):
                seen |= set(standing(site.policy, site.state, site.moment()))


@settings(max_examples=20, deadline=None)
@given(pattern=spans, dead_after_ms=st.integers(0, 300_000))
def test_a_change_for_the_worse_is_never_held_up(paper_site, pattern, dead_after_ms):
    """However much the link flapped before: once it is dead, the site is autonomous within 30 s."""
    site = paper_site(tick_ms=500, up=flapping(pattern)).start().run(dead_after_ms)
    site.cut().run(30_000)
    assert site.mode is Mode.AUTONOMOUS


@settings(max_examples=20, deadline=None)
@given(steps=happenings)
def test_a_site_where_all_is_well_again_returns_to_connected(paper_site, steps):
    """Liveness: nothing that has happened keeps a site away for ever."""
    site = paper_site(tick_ms=500).start()
    for wait_ms, what in steps:
        site.run(wait_ms)
        happen(site, what)
    site.heal().storage(StorageLevel.OK).rules(site.desired)
    site.csms, site.copying, site.cloud_ahead_ms, site.has_head = CsmsState.UP, True, 0, True
    policy = site.policy
    site.run(policy.latch_ms_max + 4 * policy.changes_window_ms)
    assert site.mode is Mode.CONNECTED
    assert site.state.disruption is None


@settings(max_examples=20, deadline=None)
@given(steps=happenings)
def test_connected_is_held_only_while_nothing_unnamed_stands(paper_site, steps):
    site = paper_site(tick_ms=500).start()
    for wait_ms, what in steps:
        site.run(wait_ms)
        happen(site, what)
        if site.mode is Mode.CONNECTED:
            site.run(15_000)
            wrong = site.csms is CsmsState.DOWN or site.state.storage is not StorageLevel.OK
            assert not (wrong and site.mode is Mode.CONNECTED)
    assert all(
        change.why not in (Reason.RECOVERED,) or change.fact.previous is Mode.RECOVERY
        for change in site.changes
    )
