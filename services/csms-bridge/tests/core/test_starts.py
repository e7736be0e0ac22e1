"""Goal: a start is one transaction at the CSMS, or it is said that it may be two; what it refuses is seen through."""

from __future__ import annotations

from dataclasses import replace

import pytest

from csms_bridge.domain.outgoing import Place
from holdfast.contracts.command import Disposition
from holdfast.contracts.csms import Trouble

ACCEPTED = {"transactionId": 1000042, "idTagInfo": {"status": "Accepted"}}
BLOCKED = {"transactionId": 1000042, "idTagInfo": {"status": "Blocked"}}


def begin(scene, facts, *more) -> None:
    scene.connect()
    scene.journal(facts.started(), *more)
    assert scene.called()[0] == "StartTransaction"


# --- the answer that was lost ---


def test_a_backend_that_deduplicates_gets_it_again_and_nothing_is_reported(scene_with, facts):
    scene = scene_with(deduplicates_starts=True)
    begin(scene, facts)
    scene.lose()
    scene.reconnect()
    scene.answer(ACCEPTED)
    assert scene.state.kept.open == ()
    assert len(set(scene.sent_ids("StartTransaction"))) == 1


def test_elsewhere_a_second_transaction_is_reported_as_possible(scene, facts):
    begin(scene, facts)
    scene.lose()
    scene.reconnect()
    scene.answer(ACCEPTED)
    assert scene.troubles() == ["double start"]
    assert "1000042" in scene.state.kept.open[0].what


@pytest.mark.parametrize("deduplicates", [True, False])
def test_concurrent_tx_on_the_second_is_the_first_ones_doing_and_no_refusal(
    scene_with, facts, deduplicates
):
    scene = scene_with(deduplicates_starts=deduplicates)
    begin(scene, facts)
    scene.lose()
    scene.reconnect()
    scene.answer({"transactionId": 8, "idTagInfo": {"status": "ConcurrentTx"}})
    assert scene.troubles() == ["double start"]
    assert scene.to_site() == []
    assert scene.state.kept.running() == {5: 8}


def test_concurrent_tx_on_the_first_is_a_refusal(scene, facts):
    begin(scene, facts)
    scene.answer({"transactionId": 8, "idTagInfo": {"status": "ConcurrentTx"}})
    assert scene.troubles() == ["refused start"]


def test_a_start_that_was_answered_with_an_error_is_no_second_one(scene, facts):
    begin(scene, facts)
    scene.fail()
    scene.wait_for_call()
    scene.answer(ACCEPTED)
    assert scene.state.kept.open == ()


def test_an_id_that_was_answered_is_spent_and_one_that_was_not_is_kept(scene, facts):
    """SteVe answers the repeat of an id on one socket with CALLERROR, whatever the message."""
    begin(scene, facts)
    scene.fail()
    scene.wait_for_call()
    scene.lose()
    scene.reconnect()
    scene.fail()
    scene.wait_for_call()
    first, second, third, fourth = scene.sent_ids("StartTransaction")
    assert (second, third) == (f"{first}-r1", f"{first}-r1")
    assert fourth == f"{first}-r2"
    assert len(fourth) <= 36


def test_a_takeover_between_the_sending_and_the_answer_is_a_repeat_of_one_message(scene, facts):
    begin(scene, facts)
    scene.take_over()
    scene.read_again()
    scene.open()
    scene.accept()
    scene.answer(ACCEPTED)
    assert len(set(scene.sent_ids("StartTransaction"))) == 1
    assert scene.troubles() == ["double start"]


def test_a_takeover_before_the_intent_was_saved_sent_nothing(scene, facts):
    scene.connect()
    scene.saves = False
    scene.journal(facts.started())
    assert scene.sent("StartTransaction") == []
    scene.take_over()
    scene.saves = True
    scene.read_again()
    scene.open()
    scene.accept()
    scene.answer(ACCEPTED)
    assert scene.state.kept.open == ()


def test_a_takeover_between_the_answer_and_the_saving_asks_once_more(scene, facts):
    begin(scene, facts, facts.metered())
    scene.saves = False
    scene.answer(ACCEPTED)
    assert scene.sent("MeterValues") == []
    scene.take_over()
    scene.saves = True
    scene.read_again()
    scene.open()
    scene.accept()
    scene.answer(ACCEPTED)
    assert scene.called()[1]["transactionId"] == 1000042


# --- answers that say too little ---


@pytest.mark.parametrize("csms_id", ["7", None, True, 7.5, [7], {}, 2**63, 10**400])
def test_an_answer_without_an_id_is_none_and_in_the_end_the_start_is_put_aside(
    scene_with, facts, csms_id
):
    scene = scene_with(attempts_max=2)
    begin(scene, facts, facts.metered(), facts.stopped())
    for _ in range(2):
        assert scene.wait_for_call()[0] == "StartTransaction"
        scene.answer({"transactionId": csms_id, "idTagInfo": {"status": "Accepted"}})
    assert scene.is_idle
    assert scene.troubles() == ["quarantined"] * 3


@pytest.mark.parametrize("answer", [None, [], "x", 3, [[]]])
def test_an_answer_that_is_no_object_is_none(scene_with, facts, answer):
    scene = scene_with(attempts_max=1)
    begin(scene, facts)
    scene.answer(answer)
    assert scene.troubles() == ["quarantined"]


@pytest.mark.parametrize(
    ("said", "csms_id"), [(0, 0), (-1, -1), (-7, -7), (7.0, 7), (2**62, 2**62)]
)
def test_any_whole_number_is_an_id(scene, facts, said, csms_id):
    begin(scene, facts, facts.stopped())
    scene.answer({"transactionId": said, "idTagInfo": {"status": "Accepted"}})
    assert f'"transactionId":{csms_id},' in scene.texts[-1]


@pytest.mark.parametrize("info", [None, {}, [], {"status": None}, {"status": 7}])
def test_an_id_without_a_word_about_the_driver_is_taken_and_refuses_nobody(scene, facts, info):
    """Sent again for the word, it would be one more transaction there."""
    begin(scene, facts)
    scene.answer({"transactionId": 7, "idTagInfo": info})
    assert scene.state.kept.running() == {5: 7}
    assert scene.state.kept.open == ()
    assert scene.to_site() == []


# --- refused ---


def test_by_default_a_refused_session_is_stopped_under_its_local_id(scene, facts):
    begin(scene, facts)
    scene.answer(BLOCKED)
    (command,) = scene.to_site()
    assert (command.action, command.payload) == ("RemoteStopTransaction", {"transactionId": 5})
    assert command.deadline_ms > command.issued_at_ms
    assert command.by_rule == "upstream.refused_start", (
        "the site protects running sessions from others"
    )
    assert scene.troubles() == ["refused start"]


def test_where_the_rule_says_keep_it_goes_on_flagged(scene_with, facts):
    scene = scene_with(refused_start="keep-flagged")
    begin(scene, facts)
    scene.answer(BLOCKED)
    assert scene.to_site() == []
    assert "flagged" in scene.state.kept.open[0].what


@pytest.mark.parametrize("rule", ["stop", "keep-flagged"])
def test_its_open_point_is_gone_once_it_has_ended(scene_with, facts, rule):
    scene = scene_with(refused_start=rule)
    begin(scene, facts)
    scene.answer(BLOCKED)
    scene.journal(facts.metered(), facts.stopped())
    assert scene.take_all() == ["MeterValues", "StopTransaction"]
    assert scene.state.kept.open == ()


def test_a_stop_that_nobody_takes_is_no_longer_promised(scene, facts):
    begin(scene, facts)
    scene.answer(BLOCKED)
    (command,) = scene.to_site()
    scene.command_not_taken(command.id, "no such site")
    assert "could not be stopped (no such site)" in scene.state.kept.open[0].what


@pytest.mark.parametrize("end", [Disposition.EXPIRED, Disposition.UNCERTAIN, Disposition.REFUSED])
def test_a_stop_that_comes_to_nothing_is_said(scene, facts, end):
    begin(scene, facts)
    scene.answer(BLOCKED)
    (command,) = scene.to_site()
    scene.end_command(command.id, end, answer=None)
    assert end.value in scene.state.kept.open[0].what


def test_one_that_the_site_had_refused_itself_is_no_news(scene, facts):
    scene.connect()
    scene.journal(facts.started(accepted=False))
    scene.answer(BLOCKED)
    assert scene.state.kept.open == ()
    assert scene.to_site() == []


def test_a_backend_that_follows_stops_nobody(scene, facts):
    scene.role(primary=False)
    begin(scene, facts)
    scene.answer(BLOCKED)
    assert scene.to_site() == []
    assert scene.troubles() == ["refused start"]


def test_a_refusal_read_again_asks_for_the_same_stop(scene, facts):
    begin(scene, facts)
    scene.saves = False
    scene.answer(BLOCKED)
    scene.take_over()
    scene.saves = True
    scene.read_again()
    scene.open()
    scene.accept()
    scene.answer(BLOCKED)
    first, second = scene.to_site()
    assert first.id == second.id


# --- put aside ---


def put_aside(scene, facts) -> None:
    begin(scene, facts, facts.metered(), facts.stopped(), facts.started(6))
    for _ in range(scene.policy.rules.attempts_max):
        assert scene.wait_for_call()[1]["n"] == 5
        scene.fail()


def test_the_rest_of_a_session_is_held_back_with_its_start(scene, facts):
    put_aside(scene, facts)
    assert scene.called()[1]["n"] == 6
    assert scene.troubles() == ["quarantined"] * 3
    assert {one.transaction for one in scene.state.kept.open} == {5}


def test_or_sent_with_minus_one_where_the_rule_says_so(scene_with, facts):
    scene = scene_with(orphans="send-unmapped")
    put_aside(scene, facts)
    for action in ("MeterValues", "StopTransaction"):
        assert (scene.called()[0], scene.called()[1]["transactionId"]) == (action, -1)
        scene.answer({})
    assert scene.called()[1]["n"] == 6
    assert scene.troubles() == ["quarantined"]


def test_a_message_put_aside_while_the_csms_hangs_up_does_not_shorten_the_back_off(
    scene_with, facts
):
    scene = scene_with(attempts_max=1)
    begin(scene, facts)
    scene.lose()
    assert scene.troubles() == ["quarantined"]
    assert scene.state.live.next_mono_ms > scene.mono_ms


# --- a backend that came later ---


def test_what_was_there_before_a_backend_came_is_not_its_and_a_lost_start_after_it_is_named(
    scene, facts
):
    scene.journal(facts.connected(), facts.booted())
    attached = Place(scene.life, 4)
    scene.state = scene.state.with_kept(replace(scene.state.kept, attached=attached))
    scene.journal(facts.metered(3), facts.stopped(3))
    scene.open()
    scene.accept()
    assert scene.state.kept.open == ()
    scene.journal(facts.stopped(4))
    assert scene.troubles() == ["quarantined"]


def test_a_person_settles_what_is_open_and_nothing_is_sent_for_it(scene_with, facts):
    scene = scene_with(attempts_max=1)
    scene.connect()
    scene.journal(facts.started(5), facts.metered(5), facts.started(6))
    scene.fail("InternalError")
    scene.fail("InternalError")
    named = [(one.trouble, one.messages) for one in scene.state.kept.open]
    assert named == [(Trouble.QUARANTINED, 2), (Trouble.QUARANTINED, 1)]
    sent = len(scene.frames)
    first, second = scene.state.kept.open
    scene.settle(first.trouble, first.incarnation, first.seq)
    assert scene.state.kept.open == (second,)
    scene.settle(first.trouble, first.incarnation, first.seq)
    scene.settle(Trouble.DOUBLE_START, second.incarnation, second.seq)
    assert scene.state.kept.open == (second,), "only what it says"
    assert len(scene.frames) == sent
