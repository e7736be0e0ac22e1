"""Goal: what goes up is the journal, in its order, whole, and nothing of it twice; what is bounded is read again."""

from __future__ import annotations

import pytest

from holdfast.contracts.numbers import MOMENT_MS_MAX, MOMENT_MS_MIN

START = {"transactionId": 1000042, "idTagInfo": {"status": "Accepted"}}
STATUS = "StatusNotification"


def statuses(scene) -> list[tuple[int, str, str]]:
    return [
        (said["connectorId"], said["status"], said["errorCode"])
        for _, _, _, said in scene.sent(STATUS)
    ]


# --- order ---


def test_live_order_is_the_journals(scene, facts):
    scene.connect()
    scene.journal(
        facts.status("Preparing"),
        facts.started(),
        facts.status("Charging"),
        facts.metered(),
        facts.status("Faulted", error="GroundFailure"),
        facts.stopped(),
        facts.status("Available"),
    )
    assert scene.take_all() == [
        STATUS,
        "StartTransaction",
        STATUS,
        "MeterValues",
        STATUS,
        "StopTransaction",
        STATUS,
    ]
    assert [word for _, word, _ in statuses(scene)] == [
        "Preparing",
        "Charging",
        "Faulted",
        "Available",
    ]


def test_what_was_buffered_goes_up_as_transactions_errors_and_the_newest_statuses(scene, facts):
    scene.connect()
    scene.journal(
        facts.status("Preparing"),
        facts.started(),
        facts.status("Faulted", error="GroundFailure"),
        facts.status("Charging", connector=2),
        facts.status("Faulted", error="OtherError"),
        facts.stopped(),
        facts.status("Available"),
        live=False,
    )
    scene.take_all()
    session_at = scene.actions.index("StopTransaction")
    assert STATUS not in scene.actions[1:session_at]
    assert statuses(scene) == [
        (1, "Faulted", "GroundFailure"),
        (1, "Faulted", "OtherError"),
        (1, "Available", "NoError"),
        (2, "Charging", "NoError"),
    ]


def test_what_happened_while_the_csms_was_away_is_no_news_either(scene, facts):
    scene.connect()
    scene.lose()
    scene.journal(facts.status("Preparing"), facts.started(), facts.status("Charging"))
    scene.reconnect()
    scene.take_all()
    assert statuses(scene) == [(1, "Charging", "NoError")]


def test_what_a_bridge_that_was_away_reads_minutes_later_is_no_news(scene, facts):
    scene.journal(facts.connected(), facts.booted(), facts.status("Preparing"))
    scene.journal(facts.started(), facts.status("Charging"))
    scene.wait(61_000)
    scene.take_over()
    scene.handle(scene.entry(1))
    scene.handle(scene.entry(2))
    scene.open()
    scene.accept()
    for stream_seq in (3, 4, 5):
        scene.handle(scene.entry(stream_seq))
    scene.take_all()
    assert statuses(scene) == [(1, "Charging", "NoError")]


def test_live_messages_stand_behind_the_backlog(scene, facts):
    scene.connect()
    scene.journal(facts.started(1), facts.stopped(1), live=False)
    scene.journal(facts.started(2))
    scene.take_all()
    assert [said["n"] for _, _, _, said in scene.sent("StartTransaction")] == [1, 2]
    assert scene.actions[1:] == ["StartTransaction", "StopTransaction", "StartTransaction"]


def test_a_live_error_does_not_overtake_a_replayed_one(scene, facts):
    scene.connect()
    scene.journal(facts.started(), live=False)
    scene.journal(facts.status("Faulted", error="GroundFailure"), live=False)
    scene.journal(facts.status("Faulted", error="OtherError"))
    scene.take_all()
    assert [error for _, _, error in statuses(scene)] == ["GroundFailure", "OtherError"]


def test_an_authorise_overtakes_the_backlog_and_waits_for_its_turn_on_the_wire(scene, facts):
    scene.connect()
    scene.journal(facts.started(), facts.metered(), facts.stopped())
    scene.authorise()
    assert scene.called()[0] == "StartTransaction"
    scene.answer(START)
    assert scene.called() == ("Authorize", {"idTag": "DRIVER-01"})
    scene.answer({"idTagInfo": {"status": "Accepted"}})
    assert scene.called()[0] == "MeterValues"
    assert [one.verdict.status.value for one in scene.verdicts()] == ["Accepted"]


def test_an_authorise_does_not_wait_for_a_back_off(scene, facts):
    scene.connect()
    scene.journal(facts.started())
    scene.fail()
    scene.authorise()
    assert scene.called()[0] == "Authorize"


def test_a_driver_whose_budget_is_over_is_decided_at_the_site(scene, facts):
    scene.connect()
    scene.journal(facts.started())
    scene.authorise(budget_ms=800)
    scene.wait(800)
    assert [one.verdict for one in scene.verdicts()] == [None]
    scene.answer(START)
    assert scene.is_idle


def test_more_drivers_than_can_wait_are_decided_at_the_site(scene, facts):
    scene.connect()
    scene.journal(facts.started())
    for number in range(65):
        scene.authorise(request=f"r{number}")
    assert [(one.request, one.verdict) for one in scene.verdicts()] == [("r64", None)]


def test_a_backend_that_follows_decides_about_no_driver(scene):
    scene.connect()
    scene.authorise(request="on its way")
    scene.role(primary=False)
    scene.authorise(request="asked now")
    scene.answer({"idTagInfo": {"status": "Accepted"}})
    assert {one.verdict for one in scene.verdicts()} == {None}


# --- statuses ---


def test_after_a_reconnect_each_connector_is_told_once(scene, facts):
    scene.connect()
    scene.journal(facts.status("Charging"), facts.status("Available", connector=2))
    scene.take_all()
    scene.frames.clear()
    scene.lose()
    scene.reconnect()
    scene.take_all()
    assert statuses(scene) == [(1, "Charging", "NoError"), (2, "Available", "NoError")]


def test_a_status_is_not_told_again_behind_itself(scene, facts):
    scene.connect()
    scene.journal(facts.status("Preparing"), facts.status("Charging"))
    scene.take_all()
    assert len(statuses(scene)) == 2


def test_a_status_that_the_csms_does_not_take_holds_nothing_up(scene, facts):
    scene.connect()
    scene.journal(facts.status("Charging"), facts.started())
    scene.fail("FormationViolation")
    assert scene.called()[0] == "StartTransaction"
    scene.take_all()
    assert len(statuses(scene)) == 1
    assert scene.state.kept.open == ()


def test_an_error_that_the_csms_does_not_take_is_named(scene_with, facts):
    scene = scene_with(attempts_max=2)
    scene.connect()
    scene.journal(facts.status("Faulted", error="GroundFailure"))
    for _ in range(2):
        assert scene.wait_for_call()[0] == STATUS
        scene.fail()
    assert scene.troubles() == ["quarantined"]


def test_attempts_of_one_message_are_not_counted_for_another(scene_with, facts):
    scene = scene_with(attempts_max=3)
    scene.connect()
    scene.journal(facts.status("Faulted", error="GroundFailure"), live=False)
    for _ in range(2):
        assert scene.wait_for_call()[0] == STATUS
        scene.fail()
    scene.journal(facts.started())
    assert scene.wait_for_call()[0] == "StartTransaction"
    scene.fail()
    assert scene.state.kept.open == ()


def test_a_status_in_flight_when_the_connection_ends_is_nobodys_failed_attempt(scene_with, facts):
    scene = scene_with(attempts_max=2)
    scene.connect()
    for _ in range(3):
        scene.journal(facts.status("Charging"), facts.started(), facts.booted())
        scene.lose()
        scene.reconnect()
        scene.answer(START)
        scene.take_all()
    assert scene.state.kept.open == ()


def test_connectors_beyond_the_bound_are_told_live_only(scene, facts):
    scene.connect()
    scene.journal(*(facts.status(connector=number) for number in range(70)))
    scene.take_all()
    assert len(statuses(scene)) == 70
    assert len(scene.state.kept.statuses) == 64


def test_a_status_of_padding_is_not_kept(scene, facts):
    scene.connect()
    padded = facts.status("Charging")
    scene.journal(
        facts.status("Preparing"), padded.model_copy(update={"raw": padded.raw + " " * 5_000})
    )
    scene.take_all()
    assert [word for _, word, _ in statuses(scene)] == ["Preparing", "Charging"]
    assert scene.state.kept.statuses == {}


# --- more than memory takes ---


def sessions(facts, count: int) -> list:
    return [
        fact
        for local in range(1, count + 1)
        for fact in (facts.started(local), facts.metered(local), facts.stopped(local))
    ]


@pytest.mark.parametrize("queue_max", [10, 11, 40])
def test_what_memory_does_not_take_is_read_again_whole_and_in_order(scene_with, facts, queue_max):
    scene = scene_with(queue_max=queue_max)
    scene.connect()
    scene.lose()
    scene.journal(*sessions(facts, 40), live=False)
    assert scene.state.waiting == queue_max
    scene.reconnect()
    scene.take_all()
    assert scene.actions[-120:] == ["StartTransaction", "MeterValues", "StopTransaction"] * 40
    assert [said["n"] for _, _, _, said in scene.sent("StartTransaction")] == list(range(1, 41))
    assert not scene.state.has_backlog


def test_what_comes_during_a_refill_stands_behind_it(scene_with, facts):
    scene = scene_with(queue_max=10)
    scene.connect()
    scene.journal(*sessions(facts, 6))
    for _ in range(5):
        scene.answer(scene.word_on(*scene.called()))
    assert len(scene.refills()) == 1
    scene.journal(facts.started(7))
    scene.take_all()
    assert [said["n"] for _, _, _, said in scene.sent("StartTransaction")] == [1, 2, 3, 4, 5, 6, 7]
    assert not scene.state.has_backlog


def test_a_refill_that_brings_too_much_is_cut_and_asked_again_from_there(scene_with, facts):
    scene = scene_with(queue_max=10)
    scene.connect()
    scene.journal(*sessions(facts, 8))
    for _ in range(5):
        scene.answer(scene.word_on(*scene.called()))
    asked = scene.refills()[-1]
    for stream_seq in range(asked.after_seq + 1, len(scene.stream) + 1):
        scene.handle(scene.entry(stream_seq, again=True))
        if not scene.is_idle:
            scene.answer(scene.word_on(*scene.called()))
    scene.refilled(to_seq=len(scene.stream))
    scene.refills_done = 1
    scene.take_all()
    assert scene.actions[-24:] == ["StartTransaction", "MeterValues", "StopTransaction"] * 8


def test_what_a_refill_says_late_is_not_taken_out_of_its_order(scene_with, facts):
    scene = scene_with(queue_max=10)
    scene.connect()
    scene.journal(*sessions(facts, 6))
    scene.handle(scene.entry(len(scene.stream), again=True))
    assert scene.state.waiting == 10


def test_errors_alone_can_fill_memory_and_hold_nothing_up_for_ever(scene_with, facts):
    scene = scene_with(queue_max=10)
    scene.connect()
    scene.lose()
    for number in range(30):
        scene.journal(facts.status("Faulted", error=f"E{number}"), live=False)
    scene.journal(facts.started(), facts.stopped(), live=False)
    assert scene.state.waiting == 10
    scene.reconnect()
    for _ in range(5):
        scene.take_all()
    errors = [error for _, _, error in statuses(scene)]
    assert errors[:30] == [f"E{number}" for number in range(30)]
    assert scene.actions.count("StopTransaction") == 1


def test_what_the_stream_no_longer_holds_is_named_and_not_waited_for(scene_with, facts):
    scene = scene_with(queue_max=10)
    scene.connect()
    scene.lose()
    scene.journal(*sessions(facts, 10), live=False)
    scene.reconnect()
    for _ in range(5):
        scene.answer(scene.word_on(*scene.called()))
    scene.refill(gone_to=len(scene.stream))
    scene.take_all()
    assert not scene.state.has_backlog
    assert scene.troubles() == ["quarantined"]
    assert "were gone" in scene.state.kept.open[0].what


def test_a_stream_that_holds_everything_is_named_nowhere(scene_with, facts):
    scene = scene_with(queue_max=10)
    scene.connect()
    scene.lose()
    scene.journal(*sessions(facts, 4), live=False)
    scene.reconnect()
    for _ in range(5):
        scene.answer(scene.word_on(*scene.called()))
    scene.refill(gone_to=2)
    scene.take_all()
    assert scene.state.kept.open == ()


# --- lives of the site's disk ---


def test_a_new_life_begins_its_numbers_anew_and_loses_nothing(scene, facts):
    scene.connect()
    scene.journal(facts.started(1), facts.stopped(1))
    scene.take_all()
    scene.new_life("bbbbbbbb")
    scene.journal(facts.connected("k2"), facts.started(2))
    scene.take_all()
    assert [said["n"] for _, _, _, said in scene.sent("StartTransaction")] == [1, 2]
    scene.take_over()
    scene.read_again()
    scene.open()
    scene.take_all()
    assert len(scene.sent("StartTransaction")) == 2


def test_more_lives_than_are_remembered_break_nothing(scene, facts):
    scene.connect()
    scene.journal(facts.started(1))
    scene.take_all()
    for number in range(80):
        scene.new_life(f"life{number:04d}")
        scene.journal(facts.connected(f"k{number}"))
    scene.journal(facts.stopped(1))
    assert scene.take_all() == ["StopTransaction"]
    assert len(scene.state.kept.lives) == 64


def test_sessions_that_never_end_are_forgotten_beyond_the_bound(scene, facts):
    scene.connect()
    for local in range(1, 300):
        scene.journal(facts.started(local))
        scene.take_all()
    assert len(scene.state.kept.transactions) == 256
    scene.journal(facts.stopped(1))
    assert scene.troubles() == ["quarantined"]


def test_open_deliveries_are_named_up_to_a_bound_and_then_counted(scene, facts):
    scene.connect()
    scene.journal(*(facts.stopped(local) for local in range(1, 111)))
    assert len(scene.state.kept.open) == 100
    assert scene.state.kept.open_unnamed == 10


@pytest.mark.parametrize(
    ("expiry", "at_ms"),
    [
        ("0001-01-01T00:00:00Z", MOMENT_MS_MIN),
        ("0001-01-01T00:00:00+14:00", MOMENT_MS_MIN),
        ("9999-12-31T23:59:59.999-12:00", MOMENT_MS_MAX),
        ("2026-01-01T00:00:00Z", 1_767_225_600_000),
        ("never", None),
    ],
)
def test_a_verdict_ends_when_the_csms_says_whatever_calendar_it_has(scene, expiry, at_ms):
    scene.connect()
    scene.authorise()
    assert scene.called()[0] == "Authorize"
    scene.answer({"idTagInfo": {"status": "Accepted", "expiryDate": expiry}})
    assert [one.verdict.valid_until_ms for one in scene.verdicts()] == [at_ms]
