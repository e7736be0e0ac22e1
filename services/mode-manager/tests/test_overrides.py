"""Goal: what people say about the mode holds as long as they said, and not a moment longer.

Method: the site on paper, told of overrides as the shell tells it; requests are judged by `overrides.begin`.
"""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from holdfast.contracts.journal import StorageLevel
from holdfast.contracts.mode import BeginOverride, EndOverride, Mode, OverrideKind, Reason
from holdfast.contracts.numbers import MOMENT_MS_MAX
from mode_manager.domain import overrides
from mode_manager.domain.overrides import Beginning, Refusal
from mode_manager.domain.report import status

CONNECTED, DEGRADED, AUTONOMOUS, RECOVERY = (
    Mode.CONNECTED,
    Mode.DEGRADED,
    Mode.AUTONOMOUS,
    Mode.RECOVERY,
)
MAINTENANCE, PLANNED = OverrideKind.MAINTENANCE, OverrideKind.PLANNED_DISRUPTION
MINUTE_MS = 60_000
DAY_MS = 86_400_000
NOW_MS = 1_750_000_000_000


def said(site):
    return status(site.policy, site.state, site.moment(), journaled=True)


# --- maintenance ---


def test_maintenance_makes_a_connected_site_autonomous_at_once_by_its_name(paper_site):
    site = paper_site().connected()
    begun = site.override(MAINTENANCE, for_ms=10 * MINUTE_MS)
    [change] = site.changes
    assert (change.mode, change.fact.reasons) == (AUTONOMOUS, (Reason.MAINTENANCE,))
    assert change.effect.cause == begun.override.id
    assert change.fact.disruption == change.effect.id
    assert "switchgear" in change.fact.detail
    assert "an operator" in change.fact.detail


def test_pulses_change_nothing_while_maintenance_stands(paper_site):
    site = paper_site().connected()
    site.override(MAINTENANCE, for_ms=10 * MINUTE_MS)
    site.run(3 * MINUTE_MS).cut().run(2 * MINUTE_MS).heal().run(4 * MINUTE_MS)
    assert site.modes == [AUTONOMOUS]
    assert said(site).stable_link


def test_maintenance_ends_by_itself_and_leads_through_recovery(paper_site):
    site = paper_site().connected()
    begun = site.override(MAINTENANCE, for_ms=5 * MINUTE_MS)
    begun_ms = site.mono_ms
    site.until(RECOVERY, within_ms=6 * MINUTE_MS)
    assert 0 <= site.mono_ms - begun_ms - 5 * MINUTE_MS <= site.tick_ms
    [ended] = site.ended
    assert ended.override == begun.override
    assert site.changes[-1].effect.cause == ended.id == overrides.ended_id(begun.override)
    site.until(CONNECTED, within_ms=MINUTE_MS)
    assert site.modes == [AUTONOMOUS, RECOVERY, CONNECTED]


def test_maintenance_that_is_ended_by_hand_leads_through_recovery_and_its_end_is_the_cause(
    paper_site,
):
    site = paper_site().connected()
    begun = site.override(MAINTENANCE, for_ms=DAY_MS)
    site.run(MINUTE_MS).end_override()
    assert site.mode is RECOVERY
    assert site.changes[-1].effect.cause == overrides.ended_id(begun.override)
    assert site.ended == []


def test_a_link_that_died_during_maintenance_keeps_the_site_autonomous_after_it(paper_site):
    site = paper_site().connected()
    site.override(MAINTENANCE, for_ms=5 * MINUTE_MS)
    site.cut().run(10 * MINUTE_MS)
    assert site.modes == [AUTONOMOUS]
    assert said(site).reasons == (Reason.PULSE_LOST,)
    site.heal().until(RECOVERY, within_ms=MINUTE_MS)


def test_an_impairment_that_stands_after_maintenance_is_named(paper_site):
    site = paper_site().connected()
    site.override(MAINTENANCE, for_ms=MINUTE_MS)
    site.storage(StorageLevel.SOFT).run(2 * MINUTE_MS)
    assert site.modes == [AUTONOMOUS, DEGRADED]
    assert site.changes[-1].why is Reason.STORAGE


def test_maintenance_that_begins_while_cut_off_is_named_when_the_mode_next_changes(paper_site):
    site = paper_site().connected().cut().run(MINUTE_MS)
    site.override(MAINTENANCE, for_ms=2 * MINUTE_MS)
    site.run(MINUTE_MS)
    assert said(site).reasons == (Reason.MAINTENANCE, Reason.PULSE_LOST)
    site.heal().until(RECOVERY, within_ms=5 * MINUTE_MS)
    assert site.changes[-1].fact.reasons == (Reason.PULSES_STABLE, Reason.MAINTENANCE)


def test_maintenance_announced_for_later_begins_then_with_its_entry_as_the_cause(paper_site):
    site = paper_site().connected()
    begun = site.override(MAINTENANCE, in_ms=2 * MINUTE_MS, for_ms=MINUTE_MS)
    site.run(MINUTE_MS)
    assert site.modes == []
    assert said(site).override == begun.override
    site.until(AUTONOMOUS, within_ms=2 * MINUTE_MS)
    assert site.changes[-1].effect.cause == begun.override.id


def test_maintenance_is_no_fall_and_makes_no_site_unstable(paper_site):
    site = paper_site().connected()
    for _ in range(5):
        site.override(MAINTENANCE, for_ms=20_000)
        site.until(CONNECTED, within_ms=MINUTE_MS)
    assert site.state.fell_ms == ()
    assert site.state.link.falls == 0
    site.cut().run(30_000).heal().until(CONNECTED, within_ms=MINUTE_MS)


def test_maintenance_out_of_recovery_is_the_same_disruption(paper_site):
    site = paper_site(recovers_in_ms=None).connected().cut().run(MINUTE_MS).heal()
    site.until(RECOVERY, within_ms=MINUTE_MS)
    site.override(MAINTENANCE, for_ms=MINUTE_MS)
    assert site.mode is AUTONOMOUS
    assert len({change.fact.disruption for change in site.changes}) == 1


def test_a_restart_goes_on_in_maintenance_and_ends_what_ended_meanwhile(paper_site):
    site = paper_site().connected()
    begun = site.override(MAINTENANCE, for_ms=5 * MINUTE_MS)
    again = paper_site(mono_ms=site.mono_ms).start(
        AUTONOMOUS, disruption="d", standing=begun.standing
    )
    again.run(MINUTE_MS)
    assert again.modes == []
    later = paper_site(mono_ms=site.mono_ms + 6 * MINUTE_MS)
    later.start(AUTONOMOUS, disruption="d", standing=begun.standing)
    assert [one.override for one in later.ended] == [begun.override]
    later.until(RECOVERY, within_ms=MINUTE_MS)


def test_a_death_between_the_override_and_its_mode_change_loses_neither(paper_site):
    site = paper_site().connected()
    begun = site.override(MAINTENANCE, for_ms=5 * MINUTE_MS)
    again = paper_site(mono_ms=site.mono_ms).start(CONNECTED, standing=begun.standing)
    assert again.modes == [AUTONOMOUS]
    assert again.changes[0].effect.cause == begun.override.id


def test_an_older_entry_says_nothing_against_a_newer(paper_site):
    site = paper_site().connected()
    site.override(MAINTENANCE, for_ms=5 * MINUTE_MS)
    stale = site.events[-1]
    site.end_override().until(CONNECTED, within_ms=MINUTE_MS)
    site.feed(stale)
    site.run(MINUTE_MS)
    assert site.mode is CONNECTED


# --- a planned disruption ---


def test_a_planned_disruption_forces_nothing(paper_site):
    site = paper_site().connected()
    site.override(PLANNED, for_ms=10 * MINUTE_MS)
    site.run(5 * MINUTE_MS)
    assert site.changes == []
    assert said(site).reasons == site.state.reasons
    assert said(site).override.kind is PLANNED


def test_a_planned_disruption_is_named_beside_what_brings_each_change(paper_site):
    site = paper_site().connected()
    site.override(PLANNED, for_ms=10 * MINUTE_MS)
    site.cut().run(MINUTE_MS)
    assert [change.fact.reasons for change in site.changes] == [
        (Reason.PULSE_LATE, Reason.PLANNED),
        (Reason.PULSE_LOST, Reason.PLANNED),
    ]
    assert said(site).reasons == (Reason.PULSE_LOST, Reason.PLANNED)
    site.heal().until(CONNECTED, within_ms=2 * MINUTE_MS)
    _, _, recovery, connected = site.changes
    assert recovery.fact.reasons == (Reason.PULSES_STABLE, Reason.PLANNED)
    assert connected.fact.reasons == (Reason.RECOVERED,)


def test_a_planned_disruption_that_is_over_is_named_no_more(paper_site):
    site = paper_site().connected()
    site.override(PLANNED, for_ms=MINUTE_MS)
    site.cut().run(3 * MINUTE_MS)
    assert said(site).reasons == (Reason.PULSE_LOST,)
    assert said(site).overrides == ()
    assert [one.override.kind for one in site.ended] == [PLANNED]


def test_both_kinds_stand_beside_each_other_and_maintenance_is_foremost(paper_site):
    site = paper_site().connected()
    site.override(PLANNED, for_ms=10 * MINUTE_MS)
    site.override(MAINTENANCE, for_ms=5 * MINUTE_MS)
    assert site.changes[-1].fact.reasons == (Reason.MAINTENANCE, Reason.PLANNED)
    assert [one.kind for one in said(site).overrides] == [MAINTENANCE, PLANNED]
    site.end_override(MAINTENANCE)
    assert said(site).override.kind is PLANNED


# --- what is taken ---


def asked(**given):
    return BeginOverride(
        **{"kind": MAINTENANCE, "until_ms": NOW_MS + MINUTE_MS, "by": "ops", "why": "x"} | given
    )


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (asked(until_ms=NOW_MS), "over already"),
        (asked(from_ms=NOW_MS + DAY_MS), "before it begins"),
        (asked(from_ms=NOW_MS + 8 * DAY_MS, until_ms=NOW_MS + 9 * DAY_MS), "7 days from now"),
        (asked(until_ms=NOW_MS + 7 * DAY_MS + 1), "7 days: name an earlier end"),
        (asked(by="  "), "`by` and `why`"),
        (asked(why=" "), "`by` and `why`"),
        (asked(until_ms=-5), "over already"),
        (asked(from_ms=10**14, until_ms=10**14 + 1), "7 days from now"),
    ],
)
def test_an_override_out_of_bounds_is_refused_with_a_sentence(request_, says):
    found = overrides.begin((), request_, NOW_MS, "id")
    assert isinstance(found, Refusal)
    assert says in found.why


@pytest.mark.parametrize("moment", [-(10**30), MOMENT_MS_MAX + 1, 10**30])
def test_an_override_at_no_moment_of_any_calendar_is_none(moment):
    with pytest.raises(ValidationError):
        asked(until_ms=moment)


def test_an_override_at_its_bounds_is_taken():
    from_ms = NOW_MS + 7 * DAY_MS
    found = overrides.begin((), asked(from_ms=from_ms, until_ms=from_ms + 7 * DAY_MS), NOW_MS, "id")
    assert isinstance(found, Beginning)


def test_a_beginning_that_is_past_is_now():
    found = overrides.begin((), asked(from_ms=NOW_MS - DAY_MS), NOW_MS, "id")
    assert found.override.from_ms == NOW_MS


def test_a_newer_override_takes_the_place_of_the_older_of_its_kind():
    first = overrides.begin((), asked(), NOW_MS, "first")
    both = overrides.begin(first.standing, asked(kind=PLANNED), NOW_MS, "planned")
    third = overrides.begin(both.standing, asked(), NOW_MS + 1, "third")
    assert third.replaced == first.override
    assert [one.id for one in third.standing] == ["third", "planned"]


def test_what_is_over_is_not_replaced():
    first = overrides.begin((), asked(), NOW_MS, "first")
    later_ms = NOW_MS + 2 * MINUTE_MS
    found = overrides.begin(first.standing, asked(until_ms=later_ms + 1), later_ms, "second")
    assert found.replaced is None
    # The entry that ends it is still to be written, and must find it standing.
    assert [one.id for one in found.standing] == ["first", "second"]


def test_ending_names_what_is_ended_or_says_that_there_is_nothing():
    known = overrides.begin((), asked(), NOW_MS, "first").standing
    assert overrides.end(known, EndOverride(by="ops"), NOW_MS) == known
    nothing = overrides.end(known, EndOverride(by="ops", kind=PLANNED), NOW_MS)
    assert "no planned-disruption" in nothing.why
    assert "nothing to end" in overrides.end((), EndOverride(by="ops"), NOW_MS).why
