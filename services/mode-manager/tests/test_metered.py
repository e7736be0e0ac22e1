"""Goal: over a link that is paid by what it carries everything holds as elsewhere, by its own slower times."""

from __future__ import annotations

import pytest

from holdfast.contracts.mode import Mode, Reason
from holdfast.contracts.rules import ModeRules, Rules
from mode_manager.domain.events import PulseSent

CONNECTED, DEGRADED, AUTONOMOUS, RECOVERY = (
    Mode.CONNECTED,
    Mode.DEGRADED,
    Mode.AUTONOMOUS,
    Mode.RECOVERY,
)
MINUTE_MS = 60_000


METERED = Rules.model_validate({"version": 1, "metered": {"link": True}}).uplink


def test_over_a_metered_link_a_sound_site_stays_connected_with_an_eighth_of_the_pulses(paper_site):
    site = paper_site(policy=METERED).connected().run(60 * MINUTE_MS)
    assert site.changes == []
    sent = sum(isinstance(event, PulseSent) for event in site.events)
    assert sent <= (site.mono_ms // 15_000) + 2


def test_over_a_metered_link_one_lost_pulse_is_no_event(paper_site):
    site = paper_site(policy=METERED).connected()
    site.cut().run(15_000).heal().run(10 * MINUTE_MS)
    assert site.changes == []


def test_over_a_metered_link_a_cut_is_noticed_by_its_own_times(paper_site):
    site = paper_site(policy=METERED).connected()
    cut_ms = site.cut().mono_ms
    site.until(AUTONOMOUS, within_ms=3 * MINUTE_MS)
    late, lost = site.changes
    assert (late.mode, late.why, lost.why) == (DEGRADED, Reason.PULSE_LATE, Reason.PULSE_LOST)
    assert 15_000 <= late.mono_ms - cut_ms <= 40_000
    assert 105_000 <= lost.mono_ms - cut_ms <= 120_000
    site.run(MINUTE_MS).heal().until(CONNECTED, within_ms=3 * MINUTE_MS)


def test_over_a_metered_link_a_single_answer_is_no_stable_link(paper_site):
    site = paper_site(policy=METERED).connected().cut().run(5 * MINUTE_MS).heal()
    healed_ms = site.mono_ms
    site.until(RECOVERY, within_ms=2 * MINUTE_MS)
    assert site.mono_ms - healed_ms >= 35_000


@pytest.mark.parametrize(
    "metered",
    [
        {"pulse_ms": 50_000},
        {"degraded_after_ms": 120_000},
        {"autonomous_after_ms": 30_000},
        {"stable_for_ms": 14_999},
    ],
)
def test_times_of_a_metered_link_that_do_not_fit_its_pulses_are_refused(metered):
    with pytest.raises(ValueError, match="must hold"):
        Rules.model_validate({"version": 1, "metered": metered})


def test_clauses_that_a_metered_link_does_not_replace_stand():
    rules = Rules.model_validate(
        {"version": 1, "modes": {"latch_ms": 7_000}, "metered": {"link": True}}
    )
    assert rules.uplink.latch_ms == 7_000
    assert Rules(version=1).uplink == ModeRules()
