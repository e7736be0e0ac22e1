"""Goal: a site's charge points together say if the CSMS is up, what it has, what it refuses and what is read again."""

from __future__ import annotations

from csms_bridge.domain.outgoing import Place
from csms_bridge.domain.site import caught_up, csms_state, open_deliveries, unhandled_since, view
from holdfast.contracts.csms import Phase
from holdfast.contracts.mode import CsmsState

UP, DOWN, NONE = CsmsState.UP, CsmsState.DOWN, CsmsState.NONE
START = {"transactionId": 1000042, "idTagInfo": {"status": "Accepted"}}
LIFE = "aaaaaaaa"


def named(scene, charge_point: str):
    return scene.state.__class__(
        backend="main",
        site="berlin01",
        charge_point=charge_point,
        kept=scene.state.kept,
        live=scene.state.live,
    )


def judged(*scenes, before=UP, down_after_ms: int = 3_000) -> CsmsState:
    return csms_state(before, [s.state for s in scenes], scenes[0].mono_ms, down_after_ms)


# --- is it up ---


def test_while_nobody_tries_it_is_as_it_was(scene):
    assert judged(scene, before=DOWN) is DOWN
    assert judged(scene, before=UP) is UP
    assert judged(scene, before=NONE) is UP


def test_it_is_down_once_it_answers_nobody_for_long_enough(scene, facts):
    scene.journal(facts.connected(), facts.booted())
    scene.refused("no route", refused=False)
    assert judged(scene) is UP
    scene.wait(2_999)
    assert judged(scene) is UP
    scene.wait(1)
    assert judged(scene) is DOWN


def test_one_that_was_not_even_asked_for_says_nothing_of_the_csms(scene, scene_with, facts):
    scene.journal(facts.connected(), facts.booted())
    scene.refused("no route", refused=False)
    scene.wait(3_000)
    without_password = scene_with()
    without_password.journal(facts.connected(), facts.booted())
    without_password.refused("no password", local=True)
    assert judged(scene, without_password) is DOWN
    assert [one.trouble.value for one in open_deliveries(without_password.state)] == ["rejected"]


def test_one_that_it_answers_is_enough(scene, scene_with, facts):
    other = scene_with()
    scene.journal(facts.connected(), facts.booted())
    scene.refused("no route", refused=False)
    scene.wait(60_000)
    other.connect()
    assert judged(scene, other, before=DOWN) is UP


def test_one_that_rejects_is_up(scene, facts):
    scene.journal(facts.connected(), facts.booted())
    scene.refused()
    assert judged(scene, before=DOWN) is UP
    scene.wait(60_000)
    scene.open()
    scene.accept("Rejected")
    assert judged(scene, before=DOWN) is UP


def test_a_black_hole_is_down_though_its_sockets_stand(scene, facts):
    scene.connect()
    scene.journal(facts.started())
    scene.wait(9_999)
    assert judged(scene) is UP
    scene.wait(1)
    assert judged(scene) is DOWN
    scene.answer(START)
    assert judged(scene, before=DOWN) is UP


def test_a_handshake_alone_is_no_answer_where_there_was_none_before(scene, facts):
    scene.journal(facts.connected(), facts.booted())
    scene.refused("no route", refused=False)
    scene.wait(60_000)
    scene.open()
    assert judged(scene, before=DOWN) is DOWN
    scene.accept()
    assert judged(scene, before=DOWN) is UP


# --- has it everything ---


def test_behind_is_who_has_messages_up_to_where_it_is_asked(scene, facts):
    scene.connect()
    scene.journal(facts.started(), facts.metered(), facts.stopped())
    asked = Place(LIFE, 4)
    said = caught_up(UP, [scene.state], Place(LIFE, 5), asked)
    assert (said.read, said.behind, said.waiting) == (True, ("CP-1",), 2)
    scene.answer(START)
    scene.answer({})
    said = caught_up(UP, [scene.state], Place(LIFE, 5), asked)
    assert (said.behind_count, said.waiting) == (0, 0)


def test_not_read_so_far_is_not_caught_up(scene):
    assert not caught_up(UP, [scene.state], None, Place(LIFE, 1)).read
    assert not caught_up(UP, [scene.state], Place(LIFE, 1), Place(LIFE, 2)).read


def test_a_later_life_of_the_disk_is_read_beyond_an_earlier_one(scene, facts):
    scene.connect()
    scene.new_life("bbbbbbbb")
    scene.journal(facts.connected("k2"))
    states = [scene.state]
    assert caught_up(UP, states, Place("bbbbbbbb", 1), Place(LIFE, 900)).read
    assert not caught_up(UP, states, Place(LIFE, 900), Place("bbbbbbbb", 1)).read


def test_what_was_spilled_counts_until_it_is_known_to_lie_beyond(scene_with, facts):
    scene = scene_with(queue_max=10)
    scene.connect()
    for local in range(1, 9):
        scene.journal(facts.started(local), facts.stopped(local))
    end = Place(LIFE, scene.seq)
    assert caught_up(UP, [scene.state], end, end).waiting == 10
    early = Place(LIFE, 3)
    scene.answer(scene.word_on(*scene.called()))
    assert caught_up(UP, [scene.state], end, early).waiting == 0, "and what was spilled is later"


def test_a_charge_point_that_is_refused_is_an_open_point_and_nobody_waits_for_it(scene, facts):
    scene.journal(facts.connected(), facts.booted(), facts.started())
    scene.refused("handshake answered 401")
    said = caught_up(UP, [scene.state], Place(LIFE, 3), Place(LIFE, 3))
    assert said.behind == ()
    assert said.open_points == (
        "main, CP-1: not accepted: handshake answered 401; 1 messages wait",
    )
    scene.wait(60_000)
    scene.open()
    assert caught_up(UP, [scene.state], Place(LIFE, 3), Place(LIFE, 3)).open_points == (
        said.open_points
    )


def test_only_the_first_of_many_are_named(scene, facts):
    scene.connect()
    scene.journal(facts.started())
    states = [named(scene, f"CP-{number:02d}") for number in range(9)]
    said = caught_up(UP, states, Place(LIFE, 9), Place(LIFE, 9))
    assert said.behind == ("CP-00", "CP-01", "CP-02", "CP-03", "CP-04")
    assert (said.behind_count, said.waiting) == (9, 9)


def test_what_is_no_longer_named_is_counted(scene, facts):
    scene.connect()
    scene.journal(*(facts.stopped(local) for local in range(1, 104)))
    found = open_deliveries(scene.state)
    assert len(found) == 101
    assert found[-1].what == "3 further messages are in quarantine"


# --- what must be read again ---


def test_reading_goes_on_before_the_oldest_that_is_not_handled(scene, scene_with, facts):
    assert unhandled_since([scene.state], 40) == 40
    scene.connect()
    scene.journal(facts.started(), facts.stopped())
    assert unhandled_since([scene.state], 40) == 2
    scene.answer(START)
    assert unhandled_since([scene.state], 40) == 3
    scene.answer({})
    assert unhandled_since([scene.state], 40) == 40
    spilled = scene_with(queue_max=10)
    spilled.connect()
    spilled.lose()
    spilled.journal(*(facts.status(error=f"E{number}") for number in range(20)))
    assert unhandled_since([scene.state, spilled.state], 40) == 2


# --- what is shown ---


def test_the_view_shows_what_waits_and_which_sessions_run(scene, facts):
    scene.connect()
    scene.journal(facts.started(), facts.metered())
    scene.answer(START)
    shown = view(scene.state)
    assert (shown.phase, shown.waiting, shown.delivered) == (Phase.ACCEPTED, 1, 1)
    assert shown.transactions == {"5": 1000042}
    assert shown.oldest_at_ms is not None
    scene.answer({})
    scene.journal(facts.stopped())
    scene.take_all()
    shown = view(scene.state)
    assert (shown.waiting, shown.oldest_at_ms, shown.transactions) == (0, None, {})
