"""Goal: the 15 painful failure cases of ocpp-outage-rules 5, as far as they concern what goes upstream.

Where another service carries the case, the docstring names the test that covers it; here stands the bridge's part.
"""

from __future__ import annotations

import json

import pytest

from holdfast.contracts.command import Disposition

START = {"transactionId": 1000042, "idTagInfo": {"status": "Accepted"}}
STATUS = "StatusNotification"


def test_case_01_a_stop_that_says_minus_one_goes_up_under_the_id_of_the_csms(scene, facts):
    """ocpp-edge binds it: test_sessions.py, test_minus_one_is_bound_to_the_open_session_of_the_connector."""
    scene.connect()
    scene.journal(facts.started(), facts.metered(said=-1), facts.stopped(said=-1), live=False)
    scene.answer(START)
    assert scene.called()[1]["transactionId"] == 1000042
    scene.answer({})
    assert scene.called()[1]["transactionId"] == 1000042
    scene.answer({})
    assert scene.state.kept.open == ()


def test_case_02_a_start_whose_answer_was_lost_is_the_same_message_again_and_reported(scene, facts):
    """The station's own repeat is answered by ocpp-edge: test_sessions.py,
    test_a_repeated_start_gets_the_stored_answer_with_the_same_or_a_new_message_id.
    """
    scene.connect()
    scene.journal(facts.started())
    scene.lose()
    scene.reconnect()
    first, second = scene.sent("StartTransaction")
    assert first == second
    scene.answer({"transactionId": 7, "idTagInfo": {"status": "ConcurrentTx"}})
    assert scene.troubles() == ["double start"]
    assert scene.to_site() == []


def test_case_03_one_entry_has_one_id_over_connections_owners_and_repeats(scene, facts):
    """ocpp-edge deduplicates what stations repeat: test_sessions.py, test_a_repeated_reading_is_recorded_once."""
    scene.connect()
    scene.journal(facts.started(), facts.metered())
    scene.answer(START)
    scene.lose()
    scene.reconnect()
    scene.take_over()
    scene.read_again()
    scene.open()
    scene.accept()
    assert len(set(scene.sent_ids("MeterValues"))) == 1
    assert len(scene.sent("MeterValues")) == 3
    scene.answer({})
    scene.read_again()
    scene.take_all()
    assert len(scene.sent("MeterValues")) == 3


def test_case_04_sessions_of_an_outage_go_up_whole_and_in_order(scene, facts):
    scene.connect()
    for local in (1, 2, 3):
        session = (facts.started(local), facts.metered(local), facts.stopped(local))
        scene.journal(*session, live=False)
    taken = scene.take_all()
    assert taken == ["StartTransaction", "MeterValues", "StopTransaction"] * 3
    ids = [payload["transactionId"] for _, _, _, payload in scene.sent("StopTransaction")]
    assert ids == [1001, 1002, 1003]


def test_case_05_each_backend_has_its_own_ids_and_they_outlive_sockets_and_processes(
    scene_with, facts
):
    main, next_one = scene_with(backend="main"), scene_with(backend="next")
    for scene, csms_id in ((main, 11), (next_one, 22)):
        scene.connect()
        scene.journal(facts.started())
        scene.answer({"transactionId": csms_id, "idTagInfo": {"status": "Accepted"}})
        scene.lose()
        scene.take_over()
        scene.read_again()
        scene.journal(facts.stopped())
        scene.reconnect()
        assert scene.called()[1]["transactionId"] == csms_id


def test_case_06_what_belongs_to_no_session_is_guessed_onto_none(scene, facts):
    """ocpp-edge acknowledges and keeps it: test_sessions.py,
    test_an_id_that_was_never_given_out_is_acknowledged_and_kept_as_unmatched.
    """
    scene.connect()
    scene.journal(facts.started(), facts.unmatched())
    scene.answer(START)
    assert scene.is_idle
    assert scene.sent("StopTransaction") == []


def test_case_07_a_stop_without_its_start_is_named_and_the_next_session_goes_on(scene, facts):
    """The session is graded as a fragment: services/reconciler/tests."""
    scene.connect()
    scene.journal(facts.stopped(3), facts.started(4))
    assert scene.called()[0] == "StartTransaction"
    assert scene.troubles() == ["quarantined"]
    assert scene.state.kept.open[0].transaction == 3


def test_case_08_a_second_differing_stop_does_not_go_up(scene, facts):
    """ocpp-edge shows the difference: test_sessions.py, test_a_second_different_stop_is_shown_and_answered_alike."""
    scene.connect()
    scene.journal(facts.started(), facts.stopped(), facts.stop_repeated())
    scene.answer(START)
    scene.answer({})
    scene.read_again()
    assert scene.is_idle
    assert len(scene.sent("StopTransaction")) == 1


def test_case_09_a_message_the_csms_does_not_take_is_put_aside_and_the_rest_goes_on(
    scene_with, facts
):
    scene = scene_with(attempts_max=3)
    scene.connect()
    scene.journal(facts.started(), facts.metered(wh=150), facts.metered(wh=160), facts.stopped())
    scene.answer(START)
    for _ in range(3):
        assert scene.wait_for_call()[1]["meterValue"] == [150]
        scene.fail("InternalError")
    assert scene.called()[1]["meterValue"] == [160]
    assert scene.take_all() == ["MeterValues", "StopTransaction"]
    assert scene.troubles() == ["quarantined"]
    assert "InternalError" in scene.state.kept.open[0].what


def test_case_10_replayed_news_starts_and_stops_nothing(scene, facts):
    """The site's rules hold what comes late to its precondition: services/rule-service/tests."""
    scene.connect()
    over = (facts.started(), facts.status("Charging"), facts.stopped(), facts.status("Available"))
    scene.journal(*over, live=False)
    scene.answer({"transactionId": 9, "idTagInfo": {"status": "Blocked"}})
    assert scene.to_site() == [], "its stop stands behind it: there is nothing to stop"
    assert "it has ended" in scene.state.kept.open[0].what
    scene.take_all()
    assert [payload["status"] for _, _, _, payload in scene.sent(STATUS)] == ["Available"]


def test_case_11_a_command_is_sent_once_and_not_after_its_time(scene):
    """ocpp-edge: test_commands.py, test_no_answer_makes_it_uncertain_and_it_is_never_sent_again, and
    test_a_dispatch_that_took_longer_than_the_deadline_is_not_sent.
    """
    scene.connect()
    scene.call("RemoteStartTransaction", {"idTag": "DRIVER-01"})
    scene.call("RemoteStartTransaction", {"idTag": "DRIVER-01"})
    (command,) = scene.to_site()
    assert command.deadline_ms - command.issued_at_ms == scene.policy.rules.command_ms_max
    scene.wait(scene.policy.rules.command_ms_max)
    assert scene.answers() == [[3, "x1", {"status": "Rejected"}]]
    scene.end_command(command.id)
    scene.end_command(command.id, Disposition.UNCERTAIN)
    assert len(scene.answers()) == 1
    assert len(scene.to_site()) == 1


def test_case_12_a_late_end_of_an_old_connection_touches_nothing(scene, facts):
    """ocpp-edge: whole/test_app.py, test_the_newest_connection_wins_and_a_late_close_touches_nothing."""
    scene.connect()
    scene.lose()
    scene.reconnect()
    scene.journal(facts.started())
    asked = scene.asked()
    scene.lose(connection="c1")
    scene.say([3, asked, START], connection="c1")
    assert scene.asked() == asked
    scene.answer(START)
    assert scene.state.kept.running() == {5: 1000042}


def test_case_12_a_late_goodbye_of_the_charge_points_old_connection_touches_nothing(scene, facts):
    scene.connect()
    scene.journal(facts.connected("k2"), facts.disconnected("k1"))
    scene.wait(60_000)
    assert scene.closes() == []


def test_case_13_a_limit_for_a_site_that_is_cut_off_is_refused_at_once(scene):
    """The site keeps the limits it has: services/ocpp-edge core/test_commands.py and the downlink copy's tests."""
    scene.connect()
    scene.reach(False)
    profile = {"chargingProfilePurpose": "ChargePointMaxProfile", "stackLevel": 0}
    scene.call("SetChargingProfile", {"connectorId": 0, "csChargingProfiles": profile})
    assert scene.answers() == [[3, "x1", {"status": "Rejected"}]]
    assert scene.to_site() == []


def test_case_14_clocks_are_measured_and_timestamps_left_alone(scene, facts):
    scene.connect()
    assert scene.state.live.clock_offset_ms is not None
    scene.wait(300_000)
    assert scene.called()[0] == "Heartbeat"
    scene.answer({"currentTime": "1970-01-01T00:00:00Z"})
    assert scene.state.live.clock_offset_ms < -1_700_000_000_000
    scene.journal(facts.started())
    assert scene.called()[1]["timestamp"] == "2026-09-21T14:00:00Z"


@pytest.mark.parametrize("wh", ["7784000", "-12", "1.50", "1e3", '"7784"'])
def test_case_15_register_values_pass_untouched(scene, facts, wh):
    """Grading them is the reconciler's."""
    scene.connect()
    scene.journal(facts.started(), facts.metered(wh=wh))
    scene.answer(START)
    assert f'"transactionId":1000042 ,"meterValue":[{wh}]' in scene.texts[-1]
    json.loads(scene.texts[-1])
