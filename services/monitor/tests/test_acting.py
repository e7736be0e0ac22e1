"""Goal: *Must I act?* never promises that something ends by itself which needs a person, and says what now.

Method: what a site's journal says is folded and looked at from the cloud; what its services answer, at the site.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from holdfast.contracts.charge_point import (
    ChargePointConnected,
    ChargePointDisconnected,
    ChargePointsStatus,
    ChargePointView,
    ConnectorStatusChanged,
)
from holdfast.contracts.command import (
    Command,
    CommandHeld,
    CommandReceived,
    CommandSettled,
    CommandWorded,
    Disposition,
    Word,
)
from holdfast.contracts.csms import UpstreamStatus
from holdfast.contracts.driver_tokens import DriverTokensInstalled, DriverTokensRefused
from holdfast.contracts.envelope import Envelope, body_of
from holdfast.contracts.journal import CopyStatus, IncarnationOpened, StorageLevel
from holdfast.contracts.mode import CsmsState, Mode, ModeChanged, Reason
from holdfast.contracts.registry import (
    ChargePointUnregistered,
    DoorCondition,
    DoorConditionsChanged,
)
from holdfast.contracts.rules import Desired, RulesActivated
from holdfast.contracts.session import SessionCapNotKept, SessionStopped
from monitor.domain.acting import HELD_SHOWN
from monitor.domain.answers import Verdict, answers
from monitor.domain.fold import take
from monitor.domain.readings import Reading, never
from monitor.domain.rows import ChargePointRow, Place, SiteState
from monitor.domain.status import (
    ModeNow,
    RulesNow,
    SiteSamples,
    SiteStatus,
    StorageNow,
    Sync,
    Uplink,
    in_cloud,
)
from monitor.domain.status import at_site as site_status
from monitor.domain.upstream import CsmsNow

SITE = "berlin01"
NOW = 1_750_000_000_000
HOUR_MS = 3_600_000


def fresh(value):
    return Reading(last=value, as_of_ms=NOW - 1_000, source="somebody", fresh=True)


def told(*facts):
    """What the monitor remembers after these."""
    state = SiteState(
        site=SITE, charge_points={"CP-01": ChargePointRow(charge_point="CP-01", connected=True)}
    )
    for seq, fact in enumerate((IncarnationOpened(cause="new disk", previous=None), *facts), 1):
        envelope = Envelope(
            id=f"id-{seq}", type=fact.TYPE, at_ms=NOW - 60_000, site=SITE, incarnation="aaaaaaaa",
            source="test", body=body_of(fact),
        )  # fmt: skip
        state = take(state, Place("aaaaaaaa", seq), envelope, fact)
    return state


def from_cloud(*facts, mode=Mode.CONNECTED, reasons=(Reason.RECOVERED,)):
    changed = ModeChanged(
        previous=None, mode=mode, reasons=reasons, since_ms=NOW - 60_000,
        disruption=None if mode is Mode.CONNECTED else "D1",
    )  # fmt: skip
    copy = CopyStatus(
        site=SITE, incarnation="aaaaaaaa", committed_seq=9, watermark=9, head_seq=9,
        chain_verified=True, retired=False, pulse_at_ms=NOW - 1_000,
    )  # fmt: skip
    upstream: Reading[UpstreamStatus] = never("csms-bridge", "nobody answers")
    return in_cloud(
        SITE, NOW, told(changed, *facts), journal=fresh(True), copies=fresh((copy,)), gaps=fresh(()),
        sessions=fresh({}), upstream=upstream,
        desired=fresh(Desired(rules_version=2, driver_tokens_version=1, limit_id=None)),
        pulse_fresh_ms=30_000,
    )  # fmt: skip


def at_site(state=None, *, mode=Mode.CONNECTED, reasons=("recovered",), **rules):
    return SiteStatus(
        scope="site", site=SITE, now_ms=NOW, state=state or told(),
        mode=fresh(ModeNow(mode=mode, reasons=reasons, since_ms=NOW - 60_000, disruption="D1")),
        uplink=fresh(Uplink(pulse_answered_at_ms=NOW)), sync=fresh(Sync(head_seq=9, watermark=9)),
        rules=fresh(RulesNow(version=2, hash="h", desired_version=2, **rules)),
        storage=fresh(StorageNow(level=StorageLevel.OK)),
        charge_points=fresh((ChargePointRow(charge_point="CP-01", connected=True),)),
        sessions=fresh({}), gaps=never("the cloud"), chain_verified=fresh(True), open_points=fresh(()),
        waiting_commands=fresh(()), csms=fresh(CsmsNow(state=CsmsState.UP)),
    )  # fmt: skip


def must_act(status):
    return answers(status)[2]


def activated(text):
    return RulesActivated(version=2, hash="h", text=text, previous_version=1)


def ending(at_ms, after="keep"):
    return activated(f"version: 2\nvalid_until_ms: {at_ms}\nafter_expiry: {after}\n")


# --- rules ---


@pytest.mark.parametrize(
    ("after", "decides"), [("keep", "they still decide"), ("safe", "built-in safe rules decide")]
)
def test_the_cloud_knows_that_a_sites_rules_have_expired_and_asks_for_new_ones(after, decides):
    status = from_cloud(ending(NOW - 1, after), mode=Mode.DEGRADED, reasons=(Reason.RULES_EXPIRED,))
    act = must_act(status)
    assert act.verdict is Verdict.YES
    (point,) = act.points
    assert decides in point
    assert point.endswith("publish a new bundle")
    assert status.rules.value is not None
    assert status.rules.value.valid_until_ms == NOW - 1


def test_the_cloud_says_before_it_that_rules_will_expire():
    (point,) = must_act(from_cloud(ending(NOW + HOUR_MS))).points
    assert point == "the rules expire in 60 min: publish a new bundle"
    assert must_act(from_cloud(ending(NOW + 48 * HOUR_MS))).verdict is Verdict.NO


def test_rules_without_an_end_replace_those_that_had_one():
    assert must_act(from_cloud(ending(NOW - 1), activated("version: 3"))).verdict is Verdict.NO


@pytest.mark.parametrize(
    "text", ["version: 2\nnew_clause: 1", "version: [", "version: 2\nname: !!bool x"]
)
def test_rules_that_this_build_cannot_read_are_said_and_take_nothing_else_away(text):
    status = from_cloud(activated(text), mode=Mode.DEGRADED, reasons=(Reason.RULES_EXPIRED,))
    can_charge, _, act, _ = answers(status)
    assert can_charge.verdict is Verdict.YES
    unreadable, expired = act.points
    assert unreadable.startswith("the rules in force can't be read by this monitor (")
    assert "have expired" in expired


# --- what ends by itself, and what does not ---


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("mode", [Mode.DEGRADED, Mode.AUTONOMOUS])
def test_a_return_by_itself_is_promised_only_where_no_person_is_needed(mode, reason):
    act = must_act(at_site(mode=mode, reasons=(reason.value,)))
    needs_somebody = reason in (
        Reason.CLOCK, Reason.JOURNAL, Reason.STORAGE, Reason.RULES_EXPIRED,
    )  # fmt: skip
    if needs_somebody:
        assert "by itself" not in act.reason
    else:
        assert act.verdict is Verdict.NO
        assert "by itself" in act.reason


def test_a_site_degraded_for_several_reasons_says_when_it_returns():
    both = ("pulse late", "rules stale")
    act = must_act(at_site(mode=Mode.DEGRADED, reasons=both))
    assert act.reason.endswith(
        "returns by itself when the link does and it has taken the rules that the cloud wants."
    )
    mixed = must_act(at_site(mode=Mode.DEGRADED, reasons=("pulse late", "rules expired")))
    assert "by itself" not in mixed.reason


def test_a_reason_of_a_newer_site_is_named_without_a_promise():
    act = must_act(at_site(mode=Mode.DEGRADED, reasons=("solar flare",)))
    assert act.reason == "The site carries on alone, because of: solar flare."


def test_the_clock_and_the_journal_service_ask_for_somebody():
    for reason, words in ((Reason.CLOCK, "clock"), (Reason.JOURNAL, "journal service")):
        for status in (
            from_cloud(activated("version: 2"), mode=Mode.DEGRADED, reasons=(reason,)),
            at_site(mode=Mode.DEGRADED, reasons=(reason.value,)),
        ):
            act = must_act(status)
            assert act.verdict is Verdict.YES
            assert words in act.points[0]


# --- commands that wait for a word ---


def command(id, *, deadline_ms=NOW + 10 * 60_000):
    return Command(
        id=id, charge_point="CP-01", action="Reset", payload={"type": "Hard"}, issued_at_ms=1,
        deadline_ms=deadline_ms,
    )  # fmt: skip


def held(id, **changes):
    of = command(id, **changes)
    return (
        CommandReceived(charge_point="CP-01", command=of, downlink_seq=1),
        CommandHeld(charge_point="CP-01", command=of, reason="an operator decides", decision="d1"),
    )


def test_a_command_that_waits_for_a_word_asks_for_it_with_its_id_and_its_end():
    for status in (from_cloud(activated("version: 2"), *held("c1")), at_site(told(*held("c1")))):
        act = must_act(status)
        assert act.verdict is Verdict.YES
        assert act.points == (
            "Reset for CP-01 waits for an operator's word (an operator decides): confirm or cancel c1, "
            "it expires in 10 min",
        )


def test_a_command_that_was_worded_or_ended_or_came_too_late_asks_for_nothing():
    settled = CommandSettled(
        charge_point="CP-01", command=command("c1"), disposition=Disposition.EXPIRED
    )
    said = CommandWorded(charge_point="CP-01", command_id="c1", word=Word.CONFIRM, by="ops")
    for facts in (
        (*held("c1"), settled),
        (*held("c1"), said),
        held("c1", deadline_ms=NOW),
    ):
        assert must_act(at_site(told(*facts))).verdict is Verdict.NO


def test_of_many_that_wait_the_first_are_named_and_the_rest_is_counted():
    facts = [fact for number in range(HELD_SHOWN + 2) for fact in held(f"c{number}")]
    points = must_act(at_site(told(*facts))).points
    assert len(points) == HELD_SHOWN + 1
    assert points[-1] == "2 more commands for an operator's word: look at the commands"


# --- driver tokens ---


def refused(*, full_wanted):
    return DriverTokensRefused(
        version=3, installed_version=2, reason="it is altered", full_wanted=full_wanted
    )


def test_driver_tokens_that_were_refused_are_something_to_see_to():
    for full_wanted, words in ((False, "publish a corrected list"), (True, "publish one")):
        for status in (
            from_cloud(activated("version: 2"), refused(full_wanted=full_wanted)),
            at_site(tokens_refused="it is altered", tokens_full_wanted=full_wanted),
        ):
            (point,) = must_act(status).points
            assert "(it is altered)" in point
            assert point.endswith(words)


def test_a_list_that_was_taken_since_ends_it_as_does_a_new_disk():
    installed = DriverTokensInstalled(version=4, count=1, hash="h")
    new = IncarnationOpened(cause="new disk", previous="aaaaaaaa")
    for after in (installed, new):
        status = from_cloud(activated("version: 2"), refused(full_wanted=True), after)
        assert must_act(status).verdict is Verdict.NO


# --- energy caps ---


def test_what_is_not_well_with_a_door_is_to_be_seen_to_from_the_cloud_too_until_it_is_mended():
    wrong = DoorCondition(name="registry", holds=False, why="is not JSON: correct the file")
    ends = DoorCondition(name="certificates", holds=True, why="server ends on 2025-07-01")
    act = must_act(from_cloud(DoorConditionsChanged(conditions=(ends, wrong))))
    assert act.verdict is Verdict.YES
    assert [point.partition(":")[0] for point in act.points] == [
        "the door for charge points, certificates",
        "the door for charge points, registry",
    ]
    told_twice = (DoorConditionsChanged(conditions=(wrong,)), DoorConditionsChanged(conditions=()))
    for facts in (
        told_twice,
        (told_twice[0], IncarnationOpened(cause="new disk", previous=None)),
    ):
        assert not must_act(from_cloud(*facts)).points


CAME = ChargePointConnected(
    charge_point="CP-02", connection="c", protocol="ocpp1.6", remote="10.0.0.2:4711"
)
WENT = ChargePointDisconnected(charge_point="CP-02", connection="c", reason="not registered")
OUT = ChargePointUnregistered(charge_point="CP-02", by="anna")


@pytest.mark.parametrize(
    ("facts", "asks"),
    [((CAME, WENT), True), ((CAME, WENT, OUT), False), ((CAME, OUT, WENT), False)],
)
def test_nobody_is_asked_to_look_after_a_charge_point_that_was_taken_out(facts, asks):
    later = NOW + HOUR_MS
    act = must_act(replace(from_cloud(*facts), now_ms=later))
    assert ("CP-02 has been disconnected" in str(act)) is asks
    state = told(*facts)
    view = ChargePointView(
        charge_point="CP-02", connected=False, connection=None, connected_at_ms=None, heard_at_ms=None,
        booted_at_ms=None, vendor=None, model=None, connectors=(), waiting_messages=0,
        waiting_commands=0, registered=asks,
    )  # fmt: skip
    shown = site_status(
        SITE, later, state, samples(ChargePointsStatus(at_ms=later, charge_points=(view,))),
        fresh(True), 0,
    )  # fmt: skip
    assert ("CP-02 has been disconnected" in str(must_act(shown))) is asks
    assert [row.charge_point for row in shown.charge_points.value] == ["CP-02"] * asks


@pytest.mark.parametrize(("has", "asks"), [("2", True), ("42", False), ("many", False)])
def test_s17_a_connector_that_the_charge_point_does_not_have_asks_for_a_look(has, asks):
    question = command("c").model_copy(update={"action": "GetConfiguration", "payload": {}})
    keys = [{"key": "NumberOfConnectors", "readonly": True, "value": has}]
    answered = CommandSettled(
        charge_point="CP-01", command=question, disposition=Disposition.DELIVERED,
        answer=json.dumps({"configurationKey": keys}),
    )  # fmt: skip
    says = ConnectorStatusChanged(
        charge_point="CP-01", connector=42, status="Charging", error_code="NoError", message_id="m",
        raw="{}",
    )  # fmt: skip
    points = must_act(from_cloud(answered, says)).points
    expected = "CP-01 speaks of connector 42, and says it has 2: check its configuration"
    assert points == ((expected,) if asks else ())


def samples(charge_points):
    nothing = {
        name: never("nobody")
        for name in ("mode", "rules", "storage", "lanes", "recovery", "sessions")
    }
    return SiteSamples(charge_points=fresh(charge_points), **nothing)


def test_a_session_that_the_site_can_not_stop_at_its_cap_asks_for_somebody_until_it_ends():
    names = {"charge_point": "CP-01", "session": "CP-01/7", "transaction_id": 7}
    given_up = SessionCapNotKept(**names, connector=2, energy_wh_max=500, used_wh=900, stops=5)
    (point,) = must_act(from_cloud(given_up)).points
    assert "CP-01 connector 2" in point
    assert "900 Wh of 500 Wh, stopped 5 times in vain" in point
    assert point.endswith("stop it there")
    assert must_act(at_site(told(given_up))).points == (point,)
    stopped = SessionStopped(
        **names, meter_stop_wh=950, at="", reason="Local", message_id="m", raw="{}"
    )
    assert must_act(at_site(told(given_up, stopped))).verdict is Verdict.NO
