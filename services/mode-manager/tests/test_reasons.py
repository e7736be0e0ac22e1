"""Goal: every reason of architecture 5 takes the site out of connected by its name, and leads back the right way."""

from __future__ import annotations

import pytest

from holdfast.contracts.journal import StorageLevel
from holdfast.contracts.mode import CsmsState, Mode, Reason
from mode_manager.domain.impairments import BEYOND_RECOVERY, LEAVES_SOMETHING_OPEN

CONNECTED, DEGRADED, AUTONOMOUS, RECOVERY = (
    Mode.CONNECTED,
    Mode.DEGRADED,
    Mode.AUTONOMOUS,
    Mode.RECOVERY,
)
MINUTE_MS = 60_000

IMPAIRMENTS = {
    Reason.STORAGE: lambda site: site.storage(StorageLevel.SOFT),
    Reason.CSMS: lambda site: setattr(site, "csms", CsmsState.DOWN),
    Reason.SYNC_STALLED: lambda site: setattr(site, "copying", False),
    Reason.CLOCK: lambda site: setattr(site, "cloud_ahead_ms", -31_000),
    Reason.JOURNAL: lambda site: setattr(site, "has_head", False),
    Reason.RULES_EXPIRED: lambda site: site.rules(1, valid_until_ms=1),
}


@pytest.mark.parametrize("reason", IMPAIRMENTS)
def test_each_impairment_degrades_within_15_s_by_its_name(paper_site, reason):
    site = paper_site().connected()
    IMPAIRMENTS[reason](site)
    site.until(DEGRADED, within_ms=15_000)
    [change] = site.changes
    assert change.why is reason
    assert change.fact.detail


REMEDIES = {
    Reason.PULSE_LATE: (lambda site: site.cut().run(6_000), lambda site: site.heal()),
    Reason.PULSE_LOST: (lambda site: site.cut().run(30_000), lambda site: site.heal()),
    Reason.STORAGE: (
        IMPAIRMENTS[Reason.STORAGE],
        lambda site: site.storage(StorageLevel.OK),
    ),
    Reason.CSMS: (
        IMPAIRMENTS[Reason.CSMS],
        lambda site: setattr(site, "csms", CsmsState.UP),
    ),
    Reason.SYNC_STALLED: (
        IMPAIRMENTS[Reason.SYNC_STALLED],
        lambda site: setattr(site, "copying", True),
    ),
    Reason.CLOCK: (
        IMPAIRMENTS[Reason.CLOCK],
        lambda site: setattr(site, "cloud_ahead_ms", 0),
    ),
    Reason.JOURNAL: (
        IMPAIRMENTS[Reason.JOURNAL],
        lambda site: setattr(site, "has_head", True),
    ),
    Reason.RULES_EXPIRED: (IMPAIRMENTS[Reason.RULES_EXPIRED], lambda site: site.rules(1)),
    Reason.RULES_STALE: (
        lambda site: setattr(site, "desired", 2),
        lambda site: site.rules(2),
    ),
}


@pytest.mark.parametrize("reason", REMEDIES)
def test_the_way_back_from_each_reason_asks_for_recovery_where_something_was_kept_back(
    paper_site, reason
):
    impair, mend = REMEDIES[reason]
    site = paper_site().connected()
    impair(site)
    site.until(AUTONOMOUS if reason is Reason.PULSE_LOST else DEGRADED, within_ms=MINUTE_MS)
    site.run(MINUTE_MS if reason is not Reason.PULSE_LATE else 0)
    stood = len(site.changes)
    mend(site)
    site.until(CONNECTED, within_ms=3 * MINUTE_MS)
    leads_over = site.modes[stood:-1]
    assert leads_over == ([RECOVERY] if reason in LEAVES_SOMETHING_OPEN else [])
    assert site.run(MINUTE_MS).mode is CONNECTED


@pytest.mark.parametrize("reason", sorted(BEYOND_RECOVERY - {Reason.MAINTENANCE}))
def test_after_a_cut_what_recovery_cannot_heal_degrades_and_the_rest_waits_for_recovery(
    paper_site, reason
):
    impair, mend = REMEDIES[reason]
    site = paper_site().connected().cut().run(2 * MINUTE_MS)
    impair(site)
    site.heal().run(2 * MINUTE_MS)
    assert site.modes == [DEGRADED, AUTONOMOUS, DEGRADED]
    assert reason in site.changes[-1].fact.reasons
    mend(site)
    site.until(CONNECTED, within_ms=3 * MINUTE_MS)
    assert site.modes[3:] == [RECOVERY, CONNECTED]
