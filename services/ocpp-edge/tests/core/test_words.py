"""Goal: a command that the rules want confirmed waits, within its deadline, for an operator's word, over any crash;
one that was cancelled is never sent, and one that was sent is never said to be cancelled.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.contracts.command import (
    CommandHeld,
    CommandSettled,
    CommandWorded,
    Disposition,
    Word,
)
from holdfast.contracts.decision import AdmitVerdict, WaitsFor
from holdfast.records import replace


def wants(bench, waits_for):
    """The rules admit nothing that has not this word, or not this mode."""
    usual = bench.admit

    def admit(command):
        ask = bench.admits[-1]
        is_fine = ask.confirmed_by if waits_for is WaitsFor.WORD else bench.policy.mode == "good"
        if bench.at_ms > command.deadline_ms:
            end = AdmitVerdict(admitted=False, disposition=Disposition.EXPIRED, reason="late")
            return usual(command).model_copy(update={"verdict": end})
        if is_fine:
            return usual(command)
        verdict = AdmitVerdict(
            admitted=False, disposition=None, reason="by rule", waits_for=waits_for
        )
        return usual(command).model_copy(update={"verdict": verdict})

    bench.admit = admit


@pytest.fixture
def wary(bench):
    wants(bench, WaitsFor.WORD)
    return bench


def ends(bench):
    return {one.command.id: (one.disposition, one.reason) for one in bench.facts(CommandSettled)}


def test_a_command_that_wants_a_word_is_held_and_sent_once_it_is_confirmed(wary):
    wary.command("c1", "Reset", type="Hard")
    (held,) = wary.facts(CommandHeld)
    assert (held.command.id, held.reason, held.decision) == ("c1", "by rule", "decision-1")
    wary.tick()
    assert not wary.sent
    assert len(wary.admits) == 1
    assert wary.word("c1", Word.CONFIRM) == (True, "")
    assert wary.admits[-1].confirmed_by == "Ada"
    assert [action for _, action, _ in wary.sent] == ["Reset"]


def test_without_a_word_it_expires_at_its_deadline(wary):
    wary.command("c1", "Reset", type="Hard")
    wary.tick(60_001)
    assert ends(wary) == {"c1": (Disposition.EXPIRED, "late")}


def test_held_and_confirmed_survive_a_crash(wary):
    wary.command("c1", "Reset", type="Hard")
    wary.crash()
    wary.connect()
    assert len(wary.admits) == 1, "it is known to be held"
    wary.admit, usual = (lambda _: None), wary.admit  # rule-service is away
    wary.word("c1", Word.CONFIRM)
    wary.crash()
    wary.admit = usual
    wary.connect()
    assert len(wary.sent) == 1


def test_a_word_that_comes_before_it_is_held_counts(wary):
    wary.admit, usual = (lambda _: None), wary.admit
    wary.command("c1", "Reset", type="Hard")
    wary.word("c1", Word.CONFIRM)
    wary.admit = usual
    wary.tick()
    assert len(wary.sent) == 1
    assert not wary.facts(CommandHeld)


def test_one_that_is_held_does_not_hold_up_the_next(wary):
    wary.command("c1", "Reset", type="Hard")
    wary.admit = lambda _: None
    wary.command("c2")
    assert wary.admits[-1].command.id == "c2"


def test_a_cancelled_command_is_never_sent(wary):
    wary.command("c1", "Reset", type="Hard")
    assert wary.word("c1", Word.CANCEL, "Bob") == (True, "")
    assert ends(wary) == {"c1": (Disposition.SUPERSEDED, "cancelled by Bob")}
    assert wary.word("c1", Word.CONFIRM) == (False, "the command has ended: superseded")
    assert not wary.sent


def test_a_command_of_a_charge_point_that_is_away_can_be_cancelled(new_bench):
    bench = new_bench()
    bench.command("c1")
    bench.word("c1", Word.CANCEL)
    bench.connect()
    assert not bench.sent


def test_what_was_sent_can_not_be_cancelled_and_the_journal_says_who_tried(bench):
    bench.command("c1")
    assert bench.word("c1", Word.CANCEL) == (False, "the command was sent already")
    bench.answer(bench.sent[0][0], {"status": "Accepted"})
    assert ends(bench)["c1"][0] is Disposition.DELIVERED
    (worded,) = bench.facts(CommandWorded)
    assert (worded.taken, worded.by) == (False, "Ada")


def test_a_word_said_again_is_the_same_word(wary):
    wary.command("c1", "Reset", type="Hard")
    wary.admit = lambda _: None
    assert wary.word("c1", Word.CONFIRM) == wary.word("c1", Word.CONFIRM) == (True, "")
    assert len(wary.facts(CommandWorded)) == 1


def test_a_word_that_the_disk_refuses_changes_nothing(wary):
    wary.command("c1", "Reset", type="Hard")
    wary.journal_takes = False
    wary.word("c1", Word.CONFIRM)
    assert wary.not_taken == ["word about c1: disk full"]
    wary.journal_takes = True
    wary.tick()
    assert not wary.sent


def test_nothing_is_sent_while_it_is_not_clear_whether_it_was_cancelled(wary):
    wary.command("c1", "Reset", type="Hard")
    wary.admit, usual = (lambda _: None), wary.admit
    wary.word("c1", Word.CONFIRM)
    wary.journal_takes, wary.admit = None, usual
    wary.word("c1", Word.CANCEL)
    wary.tick()
    assert not wary.sent
    wary.journal_takes = True
    wary.resolve(stored=True)
    assert ends(wary)["c1"][0] is Disposition.SUPERSEDED
    assert not wary.sent


def test_what_waits_for_a_better_time_is_asked_about_anew_when_something_has_changed(bench):
    wants(bench, WaitsFor.TIME)
    bench.command("c1", "ChangeAvailability", connectorId=1, type="Inoperative")
    for _ in range(5):
        bench.tick()
    assert len(bench.admits) == 1
    assert not bench.facts(CommandHeld)
    status = {"connectorId": 1, "errorCode": "NoError", "status": "Finishing"}
    bench.call("StatusNotification", status, "s1")
    assert len(bench.admits) == 2
    bench.policy = replace(bench.policy, mode="good")
    bench.tick()
    assert len(bench.sent) == 1


def test_what_waits_for_a_better_time_is_asked_about_now_and_then_and_at_its_end(bench):
    wants(bench, WaitsFor.TIME)
    bench.command("c1", "ClearCache", deadline_in_ms=400_000)
    bench.tick(300_000)
    assert len(bench.admits) == 2
    bench.tick(100_001)
    assert ends(bench)["c1"][0] is Disposition.EXPIRED


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_confirmed_before_sent_and_cancelled_never_sent_whatever_dies(new_bench, data):  # noqa: C901
    bench = new_bench()
    wants(bench, WaitsFor.WORD)
    ids: list[str] = []
    steps = st.sampled_from(
        ["command", "confirm", "cancel", "connect", "disconnect", "answer", "tick", "long", "die"]
    )
    for step in data.draw(st.lists(steps, max_size=40)):
        match step:
            case "command":
                ids.append(f"c{len(ids)}")
                bench.command(ids[-1], "UnlockConnector", connectorId=len(ids))
            case "confirm" | "cancel" if ids:
                bench.word(data.draw(st.sampled_from(ids)), Word(step))
            case "connect":
                bench.connect()
            case "disconnect" if bench.state.live.connection:
                bench.disconnect()
            case "answer" if bench.sent and bench.state.live.connection:
                bench.answer(bench.sent[-1][0], {"status": "Unlocked"})
            case "tick":
                bench.tick()
            case "long":
                bench.tick(40_000)
            case "die":
                bench.crash_before = data.draw(st.integers(0, 3))
    bench.crash_before = None
    bench.crash()
    bench.connect()
    for _ in ids:
        bench.tick(70_000)
    said = {(one.command_id, one.word) for one in bench.facts(CommandWorded) if one.taken}
    settled = [one.command.id for one in bench.facts(CommandSettled)]
    assert len(settled) == len(set(settled))
    sent = {f"c{payload['connectorId'] - 1}" for _, _, payload in bench.sent}
    assert len(bench.sent) == len(sent)
    assert all((id, Word.CONFIRM) in said for id in sent)
    assert not {id for id, word in said if word is Word.CANCEL} & sent
    for id, (disposition, reason) in ends(bench).items():
        if reason.startswith("cancelled"):
            assert (id, Word.CANCEL) in said
            assert disposition is Disposition.SUPERSEDED
