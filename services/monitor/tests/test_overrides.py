"""Goal: what was announced is shown and alarms nobody, and counts again once it is over. The mode card is of the rules
in force.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from holdfast.contracts.envelope import Envelope, body_of
from holdfast.contracts.journal import CopyStatus, IncarnationOpened, StorageLevel
from holdfast.contracts.mode import (
    CsmsState,
    Mode,
    Override,
    OverrideBegun,
    OverrideEnded,
    OverrideKind,
)
from holdfast.contracts.rules import RulesActivated
from monitor.domain.answers import Verdict, answers
from monitor.domain.fold import take
from monitor.domain.readings import Reading, never
from monitor.domain.rows import ChargePointRow, Place, SiteState
from monitor.domain.status import (
    ModeNow,
    RulesNow,
    SiteStatus,
    StorageNow,
    Sync,
    Uplink,
    in_cloud,
)
from monitor.domain.upstream import CsmsNow
from monitor.metrics import SiteMetrics
from monitor.pages.site_page import site_page

NOW = 1_750_000_000_000
HOUR_MS = 3_600_000
MAINTENANCE, PLANNED = OverrideKind.MAINTENANCE, OverrideKind.PLANNED_DISRUPTION
EVIL = "<script>alert(1)</script>"


def fresh(value):
    return Reading(last=value, as_of_ms=NOW - 1_000, source="somebody", fresh=True)


def override(kind, *, from_ms=NOW - HOUR_MS, until_ms=NOW + HOUR_MS):
    return Override(
        id=kind.value, kind=kind, from_ms=from_ms, until_ms=until_ms, by="ops", why=EVIL
    )


def autonomous(*overrides, scope="site", heard=True, text="", since_ms=NOW - 10 * HOUR_MS):
    """Cut off for ten hours, which asks for somebody."""
    uplink = fresh(Uplink(pulse_answered_at_ms=NOW))
    mode = ModeNow(mode=Mode.AUTONOMOUS, reasons=("x",), since_ms=since_ms, disruption="d")
    return SiteStatus(
        scope=scope,
        site="berlin01",
        now_ms=NOW,
        state=SiteState(site="berlin01", overrides=overrides),
        mode=fresh(mode) if heard else replace(fresh(mode), fresh=False),
        uplink=uplink if heard else replace(uplink, fresh=False),
        sync=fresh(Sync(head_seq=10, watermark=10)),
        rules=fresh(RulesNow(version=3, hash="h", desired_version=3)),
        storage=fresh(StorageNow(level=StorageLevel.OK)),
        charge_points=fresh((ChargePointRow(charge_point="CP-01", connected=True),)),
        sessions=fresh({}),
        gaps=never("the cloud"),
        chain_verified=fresh(True),
        open_points=fresh(()),
        waiting_commands=fresh(()),
        csms=fresh(CsmsNow(state=CsmsState.NONE)),
        rules_text=fresh(text),
    )


def must_act(status):
    return answers(status)[2]


def test_a_long_cut_asks_for_somebody_unless_it_was_announced():
    assert must_act(autonomous()).verdict is Verdict.YES
    calm = must_act(autonomous(override(PLANNED)))
    assert calm.verdict is Verdict.NO
    assert "A disruption is planned until 2025-06-15 16:06 UTC, by ops" in calm.reason


def test_maintenance_is_said_and_asks_for_nobody():
    calm = must_act(autonomous(override(MAINTENANCE)))
    assert calm.verdict is Verdict.NO
    assert calm.reason.startswith("Maintenance until")


@pytest.mark.parametrize("until_ms", [253_402_300_800_000, 10**17, 10**30, 10**400])
@pytest.mark.parametrize("kind", OverrideKind)
def test_an_end_that_is_in_no_calendar_is_told_as_a_number(kind, until_ms):
    status = autonomous(override(kind, until_ms=until_ms))
    assert f"until {until_ms} ms, by ops" in must_act(status).reason
    assert site_page(status, (), home=False)


def test_a_site_that_cannot_be_heard_asks_for_somebody_unless_it_was_announced():
    assert must_act(autonomous(scope="cloud", heard=False)).verdict is Verdict.YES
    calm = must_act(autonomous(override(PLANNED), scope="cloud", heard=False))
    assert calm.verdict is Verdict.UNKNOWN
    assert "planned" in calm.reason


@pytest.mark.parametrize(
    "kept",
    [
        override(PLANNED, until_ms=NOW),
        override(MAINTENANCE, until_ms=NOW - 1),
        override(PLANNED, from_ms=NOW + 1, until_ms=NOW + HOUR_MS),
    ],
)
def test_what_is_over_or_still_to_come_silences_nothing(kept):
    assert must_act(autonomous(kept)).verdict is Verdict.YES


def test_other_things_to_do_are_said_all_the_same():
    full = replace(
        autonomous(override(PLANNED)), storage=fresh(StorageNow(level=StorageLevel.HARD))
    )
    assert must_act(full).verdict is Verdict.YES


def test_the_page_shows_what_was_said_and_nothing_of_it_is_markup():
    page = site_page(autonomous(override(PLANNED), override(MAINTENANCE)), (), home=False).decode()
    assert "planned disruption" in page
    assert "by ops" in page
    assert "<script>alert" not in page
    ended = site_page(autonomous(override(PLANNED, until_ms=NOW)), (), home=False).decode()
    assert 'id="overrides"' not in ended


def test_the_journal_says_which_overrides_stand():
    state = SiteState(site="berlin01")
    begun = override(PLANNED)
    facts = (
        (OverrideBegun(override=begun, standing=(begun,)), (begun,)),
        (
            OverrideEnded(override=begun, by="ops", why="", ended_at_ms=NOW, standing=()),
            (),
        ),
        (OverrideBegun(override=begun, standing=(begun,)), (begun,)),
        (IncarnationOpened(cause="new disk", previous="aaaaaaaa"), ()),
    )
    for seq, (fact, standing) in enumerate(facts, 1):
        envelope = Envelope(
            id=f"id-{seq}",
            type=fact.TYPE,
            at_ms=NOW,
            site="berlin01",
            incarnation="aaaaaaaa",
            source="mode-manager",
            body=body_of(fact),
        )
        state = take(state, Place("aaaaaaaa", seq), envelope, fact)
        assert state.overrides == standing


def test_a_metric_says_what_stands_so_that_alerts_can_leave_it_out():
    class Watching:
        sites = ("berlin01",)

        def status(self, _):
            return autonomous(override(PLANNED))

    registry = CollectorRegistry()
    registry.register(SiteMetrics(Watching()))
    text = generate_latest(registry).decode()
    assert 'holdfast_override{kind="planned-disruption",site="berlin01"} 1.0' in text
    assert 'holdfast_override{kind="maintenance",site="berlin01"} 0.0' in text


# --- the mode card ---


def test_the_page_shows_the_card_of_the_rules_in_force_with_the_present_mode_open():
    text = "version: 3\nrecovery: {bound_ms: 77000}\n"
    page = site_page(autonomous(text=text), (), home=False).decode()
    assert "After 77 s the site is connected again" in page
    assert '<details id="card-autonomous" open>' in page
    assert '<details id="card-connected">' in page


@pytest.mark.parametrize("text", ["version: 3\ncharity: yes\n", "{", f"version: '{EVIL}'\n"])
def test_rules_that_this_build_cannot_read_are_said_to_be_so(text):
    page = site_page(autonomous(text=text), (), home=False).decode()
    assert "These rules can&#x27;t be read here" in page
    assert "<script>alert" not in page


def test_the_page_shows_what_decides_once_the_rules_have_given_way():
    text = f"version: 3\nafter_expiry: safe\nvalid_until_ms: {NOW}\nprotection: {{floor_a: 9}}\n"
    page = site_page(autonomous(text=text), (), home=False).decode()
    assert "the built-in safe ones decide who may charge" in page
    assert "below 6 A" in page
    assert "below 9 A" not in page
    before = site_page(replace(autonomous(text=text), now_ms=NOW - 1), (), home=False).decode()
    assert "below 9 A" in before
    assert "the built-in safe ones decide" not in before


UNREADABLE = (
    "version: 2\nname: !!bool x\n",
    'version: !!int ""\n',
    "version: 2\nauthorise: {connected: {ask_cloud: true, unknown: free-vend, unknown_energy_wh_max: 1"
    f"{'0' * 320}}}}}\n",
)
"""Each gets an exception of its own out of readers, or out of what puts numbers into words."""


@pytest.mark.parametrize("text", UNREADABLE)
def test_one_sites_unreadable_rules_leave_the_answers_about_all_sites_standing(with_monitor, text):
    async def look(world, http):
        await world.tell(RulesActivated(version=2, hash="h", text=text, previous_version=1))
        await asyncio.sleep(1)
        for path in ("/api/sites", "/api/sites/berlin01", "/", "/sites/berlin01", "/metrics"):
            assert (await http.get(path)).status_code == 200, path
        rows = {row["site"]: row for row in (await http.get("/api/sites")).json()["sites"]}
        assert set(rows) == {"berlin01", "never-heard"}
        rules = rows["berlin01"]["rules"]["value"]
        assert rules["version"] == 2
        card = await http.get("/api/sites/berlin01/mode-card")
        assert card.status_code == 503
        assert "can't be read by this monitor: " in card.json()["error"]
        assert len(card.json()["error"]) < 500

    with_monitor("cloud", look)


@pytest.mark.parametrize(
    ("text", "age_ms", "heard"),
    [
        ("", 29_000, True),
        ("", 31_000, False),
        ("version: 2\nmetered: {link: true, pulse_ms: 15000}\n", 44_000, True),
        ("version: 2\nmetered: {link: true, pulse_ms: 15000}\n", 46_000, False),
        ("not rules", 31_000, False),
    ],
)
def test_over_a_metered_link_the_cloud_waits_for_the_slower_pulses(text, age_ms, heard):
    copy = CopyStatus(
        site="berlin01",
        incarnation="aaaaaaaa",
        committed_seq=9,
        watermark=9,
        head_seq=9,
        chain_verified=True,
        retired=False,
        pulse_at_ms=NOW - age_ms,
    )
    status = in_cloud(
        "berlin01",
        NOW,
        SiteState(site="berlin01", rules_text=text),
        journal=fresh(True),
        copies=fresh((copy,)),
        gaps=fresh(()),
        sessions=fresh({}),
        upstream=never("csms-bridge"),
        desired=never("rule-service"),
        pulse_fresh_ms=30_000,
    )
    assert status.uplink.fresh is heard


@pytest.mark.parametrize("scope", ["site", "cloud"])
def test_the_api_gives_the_card_of_the_rules_in_force(with_monitor, scope):
    async def look(_, http):
        found = (await http.get("/api/sites/berlin01/mode-card")).json()
        assert [card["mode"] for card in found["modes"]] == [mode.value for mode in Mode]
        assert found["known"]
        for card in found["modes"]:
            for part in ("rules", "buffered", "allowed", "reconciled"):
                assert card[part]
                assert all(row["says"] for row in card[part])
        assert (await http.get("/api/sites/paris01/mode-card")).status_code == 404

    with_monitor(scope, look)
