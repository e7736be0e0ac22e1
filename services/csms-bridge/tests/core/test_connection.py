"""Goal: one upstream connection at a time, boot first, held and closed by rule, and patient within bounds."""

from __future__ import annotations

import pytest

from csms_bridge.domain.site import open_deliveries
from holdfast.contracts.csms import Phase

BOOT = "BootNotification"
START = {"transactionId": 1000042, "idTagInfo": {"status": "Accepted"}}


# --- boot ---


def test_the_boot_goes_before_everything_that_waited(scene, facts):
    scene.journal(facts.connected(), facts.booted(), facts.started())
    scene.open()
    assert scene.actions == [BOOT]
    scene.accept()
    assert scene.actions == [BOOT, "StartTransaction"]


def test_the_newest_boot_is_said_and_once_per_connection(scene, facts):
    scene.journal(facts.connected(), facts.booted("old"), facts.booted("new"))
    scene.open()
    assert scene.called()[1]["chargePointModel"] == "new"
    scene.accept()
    assert scene.is_idle
    assert scene.actions == [BOOT]


def test_a_charge_point_that_never_booted_is_spoken_for_all_the_same(scene, facts):
    scene.journal(facts.connected(), facts.started())
    scene.open()
    assert scene.actions == ["StartTransaction"]


def test_a_boot_while_it_is_accepted_goes_up_in_its_order(scene, facts):
    scene.connect()
    scene.journal(facts.started(), facts.booted("again"), facts.stopped())
    scene.answer(START)
    assert scene.called()[1]["chargePointModel"] == "again"
    scene.accept()
    assert scene.called()[0] == "StopTransaction"


@pytest.mark.parametrize("word", ["Pending", "Rejected"])
def test_nothing_but_the_boot_is_sent_before_it_is_accepted_and_when_the_csms_said(
    scene, facts, word
):
    scene.journal(facts.connected(), facts.booted(), facts.started(), facts.status())
    scene.open()
    scene.accept(word, interval=40)
    scene.authorise()
    scene.wait(39_999)
    assert scene.actions == [BOOT]
    scene.wait(1)
    assert scene.actions == [BOOT, BOOT]
    scene.accept()
    assert scene.called()[0] == "StartTransaction"


@pytest.mark.parametrize(
    ("interval", "waits_ms"),
    [
        (10**9, 86_400_000),
        (10**400, None),
        (30.0, 30_000),
        (-5, None),
        (0, None),
        (True, None),
        ("60", None),
        (None, None),
    ],
)
def test_an_interval_that_makes_no_sense_is_bounded_or_our_own(scene, facts, interval, waits_ms):
    scene.journal(facts.connected(), facts.booted())
    scene.open()
    scene.accept("Pending", interval=interval)
    due_ms = scene.state.live.next_mono_ms
    assert due_ms == waits_ms if waits_ms else 500 <= due_ms <= 1_000


@pytest.mark.parametrize(
    ("interval", "beat_ms"), [(60, 60_000), (0, 300_000), (-1, 300_000), (10**9, 86_400_000)]
)
def test_the_heartbeat_keeps_the_interval_within_reason(scene, facts, interval, beat_ms):
    scene.journal(facts.connected(), facts.booted())
    scene.open()
    scene.accept(interval=interval)
    scene.wait(beat_ms - 1)
    assert scene.is_idle
    scene.wait(1)
    assert scene.called()[0] == "Heartbeat"


@pytest.mark.parametrize("answer", [{}, [], None, 7, "Accepted", {"status": ["Accepted"]}])
def test_a_boot_answered_with_nonsense_is_a_no(scene, facts, answer):
    scene.journal(facts.connected(), facts.booted())
    scene.open()
    scene.answer(answer)
    assert scene.state.live.phase is Phase.REJECTED
    scene.wait(60_000)
    scene.accept()
    assert scene.state.live.phase is Phase.ACCEPTED


def test_a_boot_answered_with_an_error_is_tried_again_and_slower(scene, facts):
    scene.journal(facts.connected(), facts.booted())
    scene.open()
    pauses = []
    for _ in range(10):
        scene.fail("InternalError")
        pauses.append(scene.state.live.next_mono_ms - scene.mono_ms)
        scene.wait(pauses[-1])
    for pause, full in zip(pauses, (1_000, 2_000, 4_000, 8_000, 16_000, 32_000), strict=False):
        assert full / 2 <= pause <= full
    assert 30_000 <= pauses[-1] <= 60_000


# --- refused, lost, slow ---


def test_a_refused_handshake_is_an_open_point_and_stays_one_while_it_is_tried_again(scene, facts):
    scene.journal(facts.connected(), facts.booted())
    scene.refused()
    assert scene.state.live.phase is Phase.REJECTED
    scene.wait(60_000)
    assert scene.state.live.phase is Phase.CONNECTING
    assert [one.trouble.value for one in open_deliveries(scene.state)] == ["rejected"]
    scene.open()
    scene.accept()
    assert open_deliveries(scene.state) == []


def test_the_back_off_grows_to_its_bound_and_no_further(scene, facts):
    scene.journal(facts.connected(), facts.booted())
    pauses = []
    for _ in range(12):
        scene.refused("no route", refused=False)
        pauses.append(scene.state.live.next_mono_ms - scene.mono_ms)
        scene.wait(pauses[-1])
    assert pauses == sorted(pauses)
    assert pauses[-1] == 30_000, "half of 60 s is certain, the other half is the jitter, here 0"


def test_a_csms_that_accepts_and_hangs_up_is_asked_more_and_more_rarely(scene):
    scene.connect()
    pauses = []
    for _ in range(8):
        scene.lose()
        pauses.append(scene.state.live.next_mono_ms - scene.mono_ms)
        scene.wait(pauses[-1])
        scene.open()
        scene.accept()
    assert pauses == sorted(pauses)
    assert pauses[-1] == 30_000


def test_a_connection_that_stood_is_replaced_soon(scene):
    scene.connect()
    for _ in range(3):
        scene.wait(60_000)
        scene.lose()
        assert scene.state.live.next_mono_ms - scene.mono_ms == 250
        scene.wait(250)
        scene.open()
        scene.accept()


def test_progress_is_progress_though_every_answer_costs_a_connection(scene_with, facts):
    scene = scene_with(attempts_max=3)
    scene.connect()
    scene.journal(facts.started(), *(facts.metered(wh=wh) for wh in range(20)))
    scene.answer(START)
    for _ in range(20):
        scene.answer({})
        scene.lose()
        assert scene.state.live.next_mono_ms - scene.mono_ms <= 500
        scene.reconnect()
    assert scene.is_idle
    assert scene.state.kept.open == ()


def test_silence_closes_the_connection_and_the_message_is_sent_again(scene, facts):
    scene.connect()
    scene.journal(facts.started())
    scene.wait(29_999)
    assert scene.closes() == []
    scene.wait(1)
    assert [one.connection for one in scene.closes()] == ["c1"]
    scene.reconnect()
    first, second = scene.sent("StartTransaction")
    assert first == second


def test_a_late_answer_is_still_the_answer(scene, facts):
    scene.connect()
    scene.journal(facts.started())
    scene.wait(15_000)
    assert scene.state.live.silent_since_mono_ms == 0
    scene.answer(START)
    assert scene.state.live.silent_since_mono_ms is None
    assert scene.state.kept.running() == {5: 1000042}
    assert scene.state.kept.open == ()


def test_an_answer_that_comes_after_the_giving_up_is_nobodys(scene, facts):
    scene.connect()
    scene.journal(facts.started())
    asked = scene.asked()
    scene.ends = False
    scene.wait(30_000)
    scene.say([3, asked, START])
    assert scene.state.kept.running() == {}


def test_there_is_no_second_connection_before_the_first_has_ended(scene):
    scene.connect()
    scene.ends = False
    scene.wait(300_000)
    assert scene.called()[0] == "Heartbeat"
    scene.wait(30_000)
    begun = scene.connects()
    scene.wait(29_000)
    assert scene.connects() == begun
    scene.lose(connection="c1")
    assert scene.connects() == begun + 1


def test_a_connection_that_never_ends_is_not_waited_for_for_ever(scene):
    scene.connect()
    scene.ends = False
    scene.wait(300_000)
    scene.wait(30_000)
    begun = scene.connects()
    scene.wait(30_000)
    assert scene.connects() == begun + 1


def test_a_csms_that_was_silent_is_asked_whether_it_is_back(scene, facts):
    scene.journal(facts.connected())
    scene.refused("no route", refused=False)
    scene.wait(60_000)
    scene.open()
    assert scene.called()[0] == "Heartbeat"
    scene.answer({})
    assert scene.state.live.silent_since_mono_ms is None
    assert scene.is_idle


# --- presence ---


def test_a_charge_point_that_left_is_gone_upstream_after_the_linger(scene, facts):
    scene.connect()
    scene.journal(facts.disconnected())
    scene.wait(9_999)
    assert scene.closes() == []
    scene.wait(1)
    assert len(scene.closes()) == 1
    scene.wait(600_000)
    assert scene.connects() == 1


def test_one_that_is_back_within_the_linger_was_never_away(scene, facts):
    scene.connect()
    scene.journal(facts.disconnected())
    scene.wait(5_000)
    scene.journal(facts.connected("k2"))
    scene.wait(60_000)
    assert scene.closes() == []


def test_old_news_read_again_moves_nobody(scene, facts):
    scene.connect()
    scene.journal(facts.disconnected(), facts.connected("k2"))
    scene.take_over()
    scene.handle(scene.entry(1))
    scene.handle(scene.entry(3))
    assert scene.state.kept.connection == "k2"


def test_a_site_that_is_cut_off_is_held_and_only_so_long(scene):
    scene.connect()
    scene.reach(False)
    for _ in range(29):
        scene.wait(60_000)
        if not scene.is_idle:
            scene.answer({})
    assert scene.closes() == []
    scene.wait(60_000)
    scene.take_all()
    assert len(scene.closes()) == 1
    scene.reach(True)
    assert scene.connects() == 2


def test_where_the_rule_says_close_it_is_closed_at_once(scene_with):
    scene = scene_with(presence="close")
    scene.connect()
    scene.reach(False)
    assert len(scene.closes()) == 1


def test_what_is_under_way_is_heard_before_it_is_closed(scene_with, facts):
    scene = scene_with(presence="close")
    scene.connect()
    scene.journal(facts.started())
    scene.reach(False)
    assert scene.closes() == []
    scene.answer(START)
    assert len(scene.closes()) == 1


def test_a_backlog_is_delivered_though_its_charge_point_is_away(scene, facts):
    scene.journal(facts.connected(), facts.booted(), facts.started(), facts.disconnected())
    scene.wait(60_000)
    scene.open()
    scene.accept()
    scene.answer(START)
    assert len(scene.closes()) == 1


def test_nobody_is_called_silent_for_a_csms_that_nobody_needs(scene, facts):
    scene.journal(facts.connected(), facts.booted())
    scene.refused("no route", refused=False)
    scene.journal(facts.disconnected())
    scene.wait(10_000)
    assert scene.state.live.silent_since_mono_ms is None
    assert scene.state.live.phase is Phase.CLOSED


def test_drivers_and_commands_do_not_outlive_a_connection_that_is_closed(scene_with, facts):
    scene = scene_with(presence="close")
    scene.connect()
    scene.journal(facts.started())
    scene.authorise()
    scene.call("ChangeAvailability", {"connectorId": 1, "type": "Operative"})
    scene.reach(False)
    scene.answer(START)
    assert [one.verdict for one in scene.verdicts()] == [None]
    assert scene.state.live.commands == {}


# --- frames ---


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "hello",
        "[",
        "{}",
        "[3]",
        '[3,"x"]',
        "[3,7,{}]",
        '[3,"",{}]',
        '[9,"x",{}]',
        '[4,"x"]',
        '[3,"x",NaN]',
        '[3,"x",{"status":"\\ud800"}]',
        b"\xff\xfe",
        '[3,"nobody asked this",{"transactionId":1}]',
        '[3,"' + "x" * 300 + '",{}]',
        '[3,"x",' + "[" * 5_000 + "]" * 5_000 + "]",
    ],
)
def test_a_frame_that_is_no_answer_of_ours_changes_nothing(scene, facts, frame):
    scene.connect()
    scene.journal(facts.started())
    asked, sent = scene.asked(), len(scene.frames)
    scene.say(frame)
    assert scene.asked() == asked
    assert len(scene.frames) == sent
    assert scene.notes()


@pytest.mark.parametrize("frame", ['[2,"x1"]', '[2,"x1",7,{}]', '[2,"x1","Reset",{"type":'])
def test_a_wrong_call_with_an_id_is_answered_with_an_error(scene, frame):
    scene.connect()
    scene.say(frame)
    ((kind, message_id, code, *_),) = scene.answers()
    assert (kind, message_id, code) == (4, "x1", "GenericError")


@pytest.mark.parametrize("answer", [None, [], 7, "x", {"transactionId": 10**30}, {}])
def test_answers_of_any_shape_acknowledge_what_needs_no_word(scene, facts, answer):
    scene.connect()
    scene.journal(facts.started(), facts.metered(), facts.status("Charging"), facts.stopped())
    scene.answer(START)
    for action in ("MeterValues", "StatusNotification", "StopTransaction"):
        assert scene.called()[0] == action
        scene.answer(answer)
    assert scene.is_idle
    assert scene.state.kept.open == ()


@pytest.mark.parametrize(
    "info",
    [
        None,
        7,
        {},
        {"status": "Perhaps"},
        {"status": []},
        {"status": None},
        {"status": {"status": "Accepted"}},
    ],
)
def test_a_word_about_a_driver_that_is_none_leaves_the_site_to_decide(scene, info):
    scene.connect()
    scene.authorise()
    scene.answer({"idTagInfo": info})
    assert [one.verdict for one in scene.verdicts()] == [None]


@pytest.mark.parametrize(
    "expiry", ["soon", "9999-99-99T00:00:00Z", "2026-09-21", 7, "0001-01-01T00:00:00+23:59"]
)
def test_a_verdict_survives_whatever_stands_beside_it(scene, expiry):
    scene.connect()
    scene.authorise()
    info = {"status": "Accepted", "parentIdTag": "P" * 300, "expiryDate": expiry}
    scene.answer({"idTagInfo": info})
    (given,) = scene.verdicts()
    assert given.verdict.status.value == "Accepted"
    assert given.verdict.parent is None
