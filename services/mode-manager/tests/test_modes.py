"""Goal: every transition of architecture 5 happens when it should, in time, with its named reasons.

Method: a site on paper (conftest) lives through cuts and impairments at 250 ms a step; a change is compared
with the table's row.
"""

from __future__ import annotations

import pytest

from holdfast.contracts.journal import StorageLevel
from holdfast.contracts.mode import CsmsState, Mode, Reason
from holdfast.contracts.recovery import OpenPoint, Step
from holdfast.contracts.rules import ModeRules
from mode_manager.domain.events import Moment
from mode_manager.domain.report import status
from mode_manager.domain.table import BETTER, TRANSITIONS, WORSE

CONNECTED, DEGRADED, AUTONOMOUS, RECOVERY = (
    Mode.CONNECTED,
    Mode.DEGRADED,
    Mode.AUTONOMOUS,
    Mode.RECOVERY,
)
MINUTE_MS = 60_000


# --- start ---


def test_a_new_journal_begins_autonomous_and_says_so(paper_site):
    site = paper_site().start()
    assert site.mode is AUTONOMOUS
    [change] = site.changes
    assert (change.fact.previous, change.why) == (None, Reason.STARTED)
    assert change.fact.disruption == change.effect.id


@pytest.mark.parametrize("mode", Mode)
def test_a_restart_goes_on_in_the_last_journaled_mode_without_a_word(paper_site, mode):
    site = paper_site().start(mode, disruption="d-1")
    assert site.mode is mode
    assert site.changes == []
    assert site.state.disruption == "d-1"


def test_a_restart_in_connected_with_a_dead_link_is_noticed_in_time(paper_site):
    site = paper_site().cut().start(CONNECTED)
    site.until(DEGRADED, within_ms=15_000).until(AUTONOMOUS, within_ms=15_000)


# --- for the worse ---


def test_a_cut_degrades_within_15_s_and_is_autonomous_within_30_s(paper_site):
    site = paper_site().connected()
    cut_ms = site.cut().mono_ms
    site.run(MINUTE_MS)
    late, lost = site.changes
    assert (late.mode, late.why) == (DEGRADED, Reason.PULSE_LATE)
    assert (lost.mode, lost.why) == (AUTONOMOUS, Reason.PULSE_LOST)
    assert late.mono_ms - cut_ms <= 15_000
    assert lost.mono_ms - cut_ms <= 30_000


def test_one_lost_pulse_is_no_event(paper_site):
    site = paper_site().connected()
    site.cut().run(2_000)
    site.heal().run(MINUTE_MS)
    assert site.changes == []


def test_a_process_that_slept_through_a_cut_goes_straight_to_autonomous(paper_site):
    site = paper_site().connected()
    site.mono_ms += 40_000
    site.cut().run(250)
    assert site.modes == [AUTONOMOUS]


def test_rules_that_stay_different_degrade_after_their_time(paper_site):
    site = paper_site().connected()
    site.desired = 2
    site.run(29_000)
    assert site.mode is CONNECTED
    site.until(DEGRADED, within_ms=5_000)
    assert site.changes[-1].why is Reason.RULES_STALE


def test_rules_that_follow_in_time_are_no_event(paper_site):
    site = paper_site().connected()
    site.desired = 2
    site.run(20_000).rules(2).run(MINUTE_MS)
    assert site.changes == []


def test_a_cloud_that_published_no_rules_is_no_impairment(paper_site):
    site = paper_site().connected()
    site.desired = 0
    site.rules(7).run(MINUTE_MS)
    assert site.changes == []


def test_all_standing_reasons_are_kept_and_the_first_brought_the_change(paper_site):
    site = paper_site().connected()
    site.storage(StorageLevel.HARD)
    site.cloud_ahead_ms = 99_000
    site.run(4_000).cut().until(AUTONOMOUS, within_ms=30_000)
    first, last = site.changes
    assert first.fact.reasons == (Reason.STORAGE,)
    assert last.fact.reasons == (Reason.PULSE_LOST, Reason.STORAGE, Reason.CLOCK)


def test_the_cause_of_a_change_from_the_journal_is_its_entry(paper_site):
    site = paper_site().connected().cut().run(30_000).heal()
    site.until(CONNECTED, within_ms=5 * MINUTE_MS)
    assert site.changes[-1].effect.cause == "entry-recovered"
    site.run(2 * MINUTE_MS).storage(StorageLevel.SOFT)
    assert site.changes[-1].effect.cause == "entry-storage"


# --- for the better ---


def test_after_a_cut_the_way_back_leads_through_recovery(paper_site):
    site = paper_site().connected().cut().run(2 * MINUTE_MS).heal()
    site.until(CONNECTED, within_ms=2 * MINUTE_MS)
    assert site.modes == [DEGRADED, AUTONOMOUS, RECOVERY, CONNECTED]
    assert [change.why for change in site.changes[2:]] == [Reason.PULSES_STABLE, Reason.RECOVERED]


def test_pulses_must_be_stable_before_recovery_begins(paper_site):
    site = paper_site().connected().cut().run(2 * MINUTE_MS).heal()
    healed_ms = site.mono_ms
    site.until(RECOVERY, within_ms=MINUTE_MS)
    assert 6_000 <= site.mono_ms - healed_ms <= 9_000


def test_a_short_impairment_that_left_nothing_open_goes_straight_back(paper_site):
    site = paper_site().connected().cut().run(6_000).heal().run(3 * MINUTE_MS)
    assert site.modes == [DEGRADED, CONNECTED]
    assert site.changes[-1].why is Reason.IMPAIRMENT_OVER


def test_a_local_decision_while_degraded_leads_back_through_recovery(paper_site):
    site = paper_site().connected().cut().run(6_000)
    site.decided_locally().heal().run(3 * MINUTE_MS)
    assert site.modes == [DEGRADED, RECOVERY, CONNECTED]


def test_a_local_decision_while_connected_opens_nothing(paper_site):
    site = paper_site().connected().decided_locally().cut().run(6_000).heal().run(3 * MINUTE_MS)
    assert site.modes == [DEGRADED, CONNECTED]


def test_entries_the_cloud_has_not_confirmed_lead_back_through_recovery(paper_site):
    site = paper_site().connected()
    site.storage(StorageLevel.SOFT).run(4_000)
    site.policy = ModeRules(sync_lag_ms=10 * MINUTE_MS)
    site.copying = False
    site.run(2_000).storage(StorageLevel.OK)
    site.until(RECOVERY, within_ms=2 * MINUTE_MS)


def test_a_csms_that_was_away_leads_back_through_recovery(paper_site):
    site = paper_site().connected()
    site.csms = CsmsState.DOWN
    site.run(2 * MINUTE_MS)
    site.csms = CsmsState.UP
    site.until(CONNECTED, within_ms=3 * MINUTE_MS)
    assert site.modes == [DEGRADED, RECOVERY, CONNECTED]


def test_a_csms_that_goes_away_in_recovery_degrades(paper_site):
    site = paper_site(recovers_in_ms=None).connected().cut().run(2 * MINUTE_MS).heal()
    site.until(RECOVERY, within_ms=MINUTE_MS)
    site.csms = CsmsState.DOWN
    site.run(3_000)
    assert site.mode is DEGRADED
    assert site.changes[-1].why is Reason.CSMS


def test_recovery_does_not_begin_while_the_csms_is_down(paper_site):
    site = paper_site().connected().cut().run(2 * MINUTE_MS)
    site.csms = CsmsState.DOWN
    site.heal().run(3 * MINUTE_MS)
    assert site.modes == [DEGRADED, AUTONOMOUS, DEGRADED]
    assert site.changes[-1].why is Reason.CSMS


def test_a_cut_in_recovery_is_autonomous_in_time(paper_site):
    site = paper_site(recovers_in_ms=None).connected().cut().run(2 * MINUTE_MS).heal()
    site.until(RECOVERY, within_ms=MINUTE_MS).cut()
    site.until(AUTONOMOUS, within_ms=30_000)
    assert site.changes[-1].why is Reason.PULSE_LOST


def test_a_backlog_still_being_copied_does_not_end_recovery(paper_site):
    site = paper_site(recovers_in_ms=None).connected().cut().run(2 * MINUTE_MS)
    site.copying = False
    site.heal().until(RECOVERY, within_ms=MINUTE_MS).run(MINUTE_MS)
    assert site.mode is RECOVERY


def test_the_end_of_another_disruptions_recovery_is_not_ours(paper_site):
    site = paper_site(recovers_in_ms=None).connected().cut().run(2 * MINUTE_MS).heal()
    site.until(RECOVERY, within_ms=MINUTE_MS).end_recovery("another").run(3 * MINUTE_MS)
    assert site.mode is RECOVERY


def test_a_recovery_that_was_cut_off_must_end_anew(paper_site):
    site = paper_site(recovers_in_ms=None).connected().cut().run(2 * MINUTE_MS).heal()
    site.until(RECOVERY, within_ms=MINUTE_MS).end_recovery().cut()
    site.until(AUTONOMOUS, within_ms=30_000).heal().until(RECOVERY, within_ms=5 * MINUTE_MS)
    site.run(2 * MINUTE_MS)
    assert site.mode is RECOVERY


# --- open points ---

NOT_COPIED = OpenPoint(step=Step.JOURNAL_COPIED, what="12000 entries to go")


def in_recovery_with_backlog(paper_site, *points):
    site = paper_site(recovers_in_ms=None, open_points=points).connected()
    site.cut().run(2 * MINUTE_MS)
    site.copying = False
    return site.heal().until(RECOVERY, within_ms=MINUTE_MS).run(70_000)


def test_recovery_at_its_bound_ends_connected_with_named_open_points(paper_site):
    site = in_recovery_with_backlog(paper_site, NOT_COPIED)
    site.end_recovery()
    assert site.mode is CONNECTED
    assert site.changes[-1].fact.reasons == (Reason.OPEN_POINTS, Reason.SYNC_STALLED)
    assert site.run(MINUTE_MS).mode is CONNECTED


def test_what_an_open_point_named_counts_again_once_it_was_over(paper_site):
    site = in_recovery_with_backlog(paper_site, NOT_COPIED).end_recovery()
    site.copying = True
    site.run(MINUTE_MS)
    site.copying = False
    site.until(DEGRADED, within_ms=15_000)
    assert site.changes[-1].why is Reason.SYNC_STALLED


def test_an_impairment_that_no_open_point_names_ends_recovery_degraded(paper_site):
    site = in_recovery_with_backlog(paper_site)
    site.end_recovery()
    assert site.mode is DEGRADED
    assert site.changes[-1].why is Reason.SYNC_STALLED


def test_what_a_csms_refuses_is_an_open_point_and_the_site_is_connected_and_stays_so(paper_site):
    refused = OpenPoint(step=Step.CSMS_CAUGHT_UP, what="CP-03 is rejected by main")
    site = paper_site(csms=CsmsState.UP, open_points=(refused,)).connected()
    site.csms = CsmsState.DOWN
    site.run(2 * MINUTE_MS)
    site.csms = CsmsState.UP
    site.until(CONNECTED, within_ms=3 * MINUTE_MS)
    assert site.modes == [DEGRADED, RECOVERY, CONNECTED]
    assert site.changes[-1].fact.reasons == (Reason.OPEN_POINTS,)
    assert site.run(MINUTE_MS).mode is CONNECTED


def test_a_csms_that_goes_away_degrades_although_an_open_point_names_it(paper_site):
    refused = OpenPoint(step=Step.CSMS_CAUGHT_UP, what="CP-03 is rejected by main")
    site = paper_site(csms=CsmsState.UP, open_points=(refused,)).connected()
    site.cut().run(2 * MINUTE_MS).heal().until(CONNECTED, within_ms=2 * MINUTE_MS)
    site.csms = CsmsState.DOWN
    site.until(DEGRADED, within_ms=15_000)
    assert site.changes[-1].why is Reason.CSMS


# --- disruptions ---


def test_one_disruption_spans_from_leaving_connected_to_returning(paper_site):
    site = paper_site().connected().cut().run(2 * MINUTE_MS).heal()
    site.until(CONNECTED, within_ms=2 * MINUTE_MS)
    named = [change.fact.disruption for change in site.changes]
    assert named == [site.changes[0].effect.id] * 3 + [None]
    site.run(MINUTE_MS).cut().run(10_000)
    assert site.changes[-1].fact.disruption not in (None, named[0])


# --- a link that flaps ---


def test_an_uplink_that_loses_every_other_pulse_latches_to_degraded(paper_site):
    site = paper_site().connected()
    site.up = lambda mono_ms: mono_ms // 2_000 % 2 == 0
    site.run(30 * MINUTE_MS)
    assert site.modes == [DEGRADED]
    assert site.changes[0].why is Reason.UPLINK_UNSTABLE


BRISK = ModeRules(
    pulse_ms=500,
    pulse_timeout_ms=400,
    degraded_after_ms=1_500,
    autonomous_after_ms=4_000,
    stable_for_ms=2_000,
    sync_lag_ms=6_000,
    latch_ms=4_000,
)


@pytest.mark.parametrize(
    ("policy", "up_ms", "reconnects_in_ms"),
    [(ModeRules(), 1_300, 0), (BRISK, 1_000, 0), (BRISK, 2_000, 500), (BRISK, 2_000, 1_000)],
    ids=["default", "brisk", "brisk-slow", "brisk-slower"],
)
def test_a_link_that_flaps_for_a_while_is_not_followed_at_every_turn(
    paper_site, policy, up_ms, reconnects_in_ms
):
    """F7: as long up as down, a hundred seconds; every change counts, also those to autonomous."""
    site = paper_site(policy=policy).connected()
    site.up = lambda mono_ms: reconnects_in_ms <= mono_ms % (2 * up_ms) < up_ms
    site.run(20_000).decided_locally().run(80_000).heal()
    site.until(CONNECTED, within_ms=2 * MINUTE_MS)
    times_ms = [change.mono_ms for change in site.changes]
    for at_ms in times_ms:
        assert sum(at_ms <= other < at_ms + MINUTE_MS for other in times_ms) <= 2
    assert any(Reason.UPLINK_UNSTABLE in change.fact.reasons for change in site.changes)


def test_after_autonomous_a_limping_uplink_is_degraded_and_not_more(paper_site):
    site = paper_site().connected().cut().run(2 * MINUTE_MS)
    site.up = lambda mono_ms: mono_ms // 2_000 % 2 == 0
    site.run(30 * MINUTE_MS)
    assert site.modes == [DEGRADED, AUTONOMOUS, DEGRADED]
    assert site.changes[-1].why is Reason.UPLINK_UNSTABLE


def test_each_relapse_doubles_the_time_before_the_link_is_believed_again(paper_site):
    site = paper_site().connected()
    waits_ms = []
    for _ in range(5):
        site.cut().until(AUTONOMOUS, within_ms=30_000).run(MINUTE_MS).heal()
        healed_ms = site.mono_ms
        site.until(RECOVERY, within_ms=20 * MINUTE_MS)
        waits_ms.append(site.mono_ms - healed_ms)
        site.until(CONNECTED, within_ms=2 * MINUTE_MS)
    assert waits_ms[0] <= 9_000
    for wait_ms, latch_ms in zip(waits_ms[1:], (30_000, 60_000, 120_000, 240_000), strict=True):
        assert latch_ms <= wait_ms <= latch_ms + 4_000


def test_a_long_sound_time_forgets_the_relapses(paper_site):
    site = paper_site().connected()
    for _ in range(3):
        site.cut().run(MINUTE_MS).heal().until(CONNECTED, within_ms=20 * MINUTE_MS)
    site.run(site.policy.latch_ms_max).cut().run(2 * MINUTE_MS).heal()
    site.until(RECOVERY, within_ms=9_000)


def test_the_bound_on_changes_outlives_a_restart(paper_site):
    site = paper_site().start(AUTONOMOUS, disruption="d", ago=(20_000,), fell=(90_000, 20_000))
    site.run(39_000)
    assert site.mode is AUTONOMOUS
    site.until(RECOVERY, within_ms=5_000)


def test_an_ordinary_cut_is_over_as_soon_as_its_recovery_is(paper_site):
    site = paper_site().connected()
    site.cut().run(20_000).heal()
    site.until(CONNECTED, within_ms=15_000)


def test_a_site_that_falls_again_is_held_to_the_bound(paper_site):
    site = paper_site().connected()
    site.cut().run(20_000).heal().until(CONNECTED, within_ms=15_000)
    site.cut().run(20_000).heal()
    site.run(MINUTE_MS // 2)
    assert site.mode is not CONNECTED
    site.until(CONNECTED, within_ms=4 * MINUTE_MS)


def test_a_new_incarnation_is_connected_as_soon_as_its_recovery_is_done(paper_site):
    site = paper_site().start().until(CONNECTED, within_ms=15_000)
    assert site.modes == [AUTONOMOUS, RECOVERY, CONNECTED]


def test_silence_goes_without_saying_in_autonomous(paper_site):
    site = paper_site().cut().start().run(MINUTE_MS).heal().until(RECOVERY, within_ms=15_000)
    assert site.changes[-1].fact.reasons == (Reason.PULSES_STABLE,)


def test_an_uplink_that_turns_unstable_while_degraded_is_named_when_it_is_over(paper_site):
    site = paper_site().connected()
    site.up = lambda mono_ms: mono_ms % 10_000 < 4_000
    site.run(40_000).decided_locally()
    assert site.modes == [DEGRADED]
    assert site.changes[0].why is Reason.PULSE_LATE
    site.heal()
    healed_ms = site.mono_ms
    site.until(RECOVERY, within_ms=2 * MINUTE_MS)
    assert site.changes[-1].fact.reasons == (Reason.IMPAIRMENT_OVER, Reason.UPLINK_UNSTABLE)
    assert site.mono_ms - healed_ms >= site.policy.latch_ms - site.policy.pulse_ms


def test_more_changes_allowed_by_the_rules_bring_a_relapsed_site_back_at_once(paper_site):
    site = paper_site(policy=ModeRules(changes_max=10)).start(
        AUTONOMOUS, disruption="d", fell=(90_000, 20_000)
    )
    site.until(CONNECTED, within_ms=15_000)


# --- status, table ---


def test_status_says_what_stands_now(paper_site):
    site = paper_site().connected()
    site.storage(StorageLevel.SOFT).run(250)
    now = status(site.policy, site.state, site.moment(), journaled=False)
    assert (now.mode, now.reasons, now.journaled) == (DEGRADED, (Reason.STORAGE,), False)
    assert now.stable_link
    assert now.head_seq == site.head_seq
    site.storage(StorageLevel.OK).cut().run(6_000)
    now = status(site.policy, site.state, site.moment(), journaled=True)
    assert now.reasons == (Reason.PULSE_LATE,)
    assert not now.stable_link


def test_another_incarnations_watermark_counts_for_nothing(paper_site):
    site = paper_site().start(CONNECTED).run(4_000)
    assert site.state.sync.watermark > 0
    site = paper_site(incarnation="bbbbbbbb").start(CONNECTED)
    site.feed(site.events[0])
    site.incarnation = "cccccccc"
    site.run(4_000)
    assert site.state.sync.watermark == 0


def test_the_table_has_no_way_both_worse_and_better():
    assert not WORSE.keys() & BETTER.keys()
    assert all(before is not after for before, after in TRANSITIONS)


def test_durations_ignore_the_wall_clock(paper_site):
    site = paper_site().connected()
    reply_age = site.state
    for wall_ms in (0, 9_999_999_999_999):
        site.state = reply_age
        moment = Moment(wall_ms, site.mono_ms, "x")
        assert status(site.policy, site.state, moment, journaled=True).mode is CONNECTED
