"""Goal: at its cap a stranger's session is stopped by the site, once whatever dies, and again only if that failed."""

from __future__ import annotations

import pytest

from holdfast.contracts.command import (
    CommandObserved,
    CommandReceived,
    CommandSettled,
    Issuer,
    Word,
)
from holdfast.contracts.decision import AuthoriseVerdict, Basis
from holdfast.contracts.rules import TokenStatus
from holdfast.contracts.session import SessionCapNotKept
from holdfast.records import replace
from ocpp_edge.domain import events
from ocpp_edge.domain.text import utc_text


def capped(bench, cap_wh=500, status=TokenStatus.ACCEPTED):
    """The rule for strangers lets it begin; its transaction id."""
    bench.authorises = False
    bench.start("m1", meter=1_000)
    usual = bench.asked[-1]
    verdict = AuthoriseVerdict(
        status=status, basis=Basis.UNKNOWN_POLICY, flagged=True, energy_wh_max=cap_wh
    )
    bench.authorise(usual)
    event = bench._queue.pop()
    authorisation = event.authorisation.model_copy(update={"verdict": verdict})
    bench.feed(replace(event, authorisation=authorisation))
    return bench.told("m1")["transactionId"]


def test_the_site_stops_the_session_when_its_readings_reach_the_cap(bench):
    transaction = capped(bench)
    bench.meter("m2", transaction, wh=1_499)
    assert not bench.sent
    bench.meter("m3", transaction, wh=1_500)
    ((_, action, payload),) = bench.sent
    assert (action, payload) == ("RemoteStopTransaction", {"transactionId": transaction})
    (received,) = bench.facts(CommandReceived)
    assert received.command.issuer is Issuer.SITE
    assert received.command.by_rule == "authorise.unknown_energy_wh_max"
    assert received.command.why == "500 Wh of 500 Wh that a stranger may take"


@pytest.mark.parametrize("crash_before", range(8))
def test_it_is_stopped_once_whatever_dies(bench, crash_before):
    transaction = capped(bench)
    bench.crash_before = crash_before
    bench.meter("m2", transaction, wh=1_600)
    bench.connect()
    bench.meter("m2", transaction, wh=1_600)
    bench.meter("m3", transaction, wh=1_700)
    bench.crash()
    bench.connect()
    bench.meter("m4", transaction, wh=1_800)
    bench.tick()
    assert len(bench.facts(CommandReceived)) == 1
    assert len(bench.sent) <= 1
    if not bench.sent:  # it died between the dispatch and the sending: uncertain, never sent again
        assert bench.facts(CommandSettled)[0].disposition == "uncertain"


def test_not_again_at_the_next_reading_even_when_the_command_is_long_forgotten(bench):
    transaction = capped(bench)
    bench.meter("m2", transaction, wh=1_600)
    bench.answer(bench.sent[0][0], {"status": "Rejected"})
    known = bench.state.known
    forgotten = replace(known, settled=replace(known.settled, held={}))
    bench.state = replace(bench.state, known=forgotten)
    bench.meter("m3", transaction, wh=1_700)
    assert len(bench.sent) == 1


@pytest.mark.parametrize(
    ("cap_wh", "status"), [(None, TokenStatus.ACCEPTED), (500, TokenStatus.INVALID)]
)
def test_a_session_without_cap_or_not_accepted_is_left_alone(bench, cap_wh, status):
    transaction = capped(bench, cap_wh, status)
    bench.meter("m2", transaction, wh=90_000)
    assert not bench.facts(CommandReceived)


def test_a_charge_point_that_is_away_is_stopped_when_it_comes(bench):
    transaction = capped(bench)
    bench.admit, usual = (lambda _: None), bench.admit
    bench.meter("m2", transaction, wh=1_600)
    bench.disconnect()
    bench.admit = usual
    bench.connect()
    assert len(bench.sent) == 1


def test_a_disk_that_refuses_only_delays_it(bench):
    transaction = capped(bench)
    bench.journal_takes = None
    bench.meter("m2", transaction, wh=1_600)
    bench.journal_takes = True
    bench.resolve(stored=True)
    bench.connect()
    assert len(bench.sent) == 1


def test_the_lane_is_not_too_full_for_it(bench):
    transaction = capped(bench)
    bench.admit = lambda _: None
    for number in range(bench.policy.commands_max):
        bench.command(f"c{number}")
    bench.meter("m2", transaction, wh=1_600)
    assert not [one for one in bench.facts(CommandSettled) if one.command.issuer is Issuer.SITE]
    assert isinstance(bench.admits[-1], events.AskAdmit)


# --- when a stop does nothing ---


def goes_on(bench, transaction, after_s):
    """A reading of now, so much later."""
    bench.tick(after_s * 1_000)
    number = len(bench.journal)
    bench.meter(f"later-{number}", transaction, wh=2_000 + number, at=utc_text(bench.at_ms))


def stopped_in_vain(bench):
    transaction = capped(bench)
    bench.meter("m2", transaction, wh=1_600)
    bench.answer(bench.sent[-1][0], {"status": "Rejected"})
    return transaction


def test_one_that_the_charge_point_refused_is_tried_again_a_minute_later_and_not_before(bench):
    transaction = stopped_in_vain(bench)
    goes_on(bench, transaction, 59)
    assert len(bench.sent) == 1
    goes_on(bench, transaction, 1)
    assert bench.sent[1][1:] == ("RemoteStopTransaction", {"transactionId": transaction})
    first, second = (fact.command for fact in bench.facts(CommandReceived))
    assert second.id == f"{first.id}-2"
    assert second.why.endswith("a stranger may take; try 2 of 5")
    bench.answer(bench.sent[-1][0], {"status": "Accepted"})
    bench.stop("m9", transaction)
    bench.tick(3_600_000)
    assert len(bench.sent) == 2


@pytest.mark.parametrize("crash_before", range(9))
def test_the_second_one_is_given_once_whatever_dies(bench, crash_before):
    transaction = stopped_in_vain(bench)
    bench.crash_before = crash_before
    goes_on(bench, transaction, 61)
    bench.connect()
    goes_on(bench, transaction, 1)
    bench.crash()
    bench.connect()
    goes_on(bench, transaction, 1)
    assert len(bench.facts(CommandReceived)) == 2
    assert len(bench.sent) <= 2


def unanswered(bench):
    transaction = capped(bench)
    bench.meter("m2", transaction, wh=1_600)
    bench.tick(bench.policy.answer_ms_max)
    assert bench.facts(CommandSettled)[-1].disposition == "uncertain"
    return transaction


def test_an_uncertain_one_is_tried_again_once_newer_readings_show_that_the_session_goes_on(bench):
    transaction = unanswered(bench)
    goes_on(bench, transaction, 31)
    (seen,) = bench.facts(CommandObserved)
    assert (seen.took_effect, "goes on" in seen.evidence) == (False, True)
    assert len(bench.sent) == 1
    goes_on(bench, transaction, 30)
    assert len(bench.sent) == 2


def test_readings_out_of_the_charge_points_memory_show_nothing_of_an_uncertain_one(bench):
    transaction = unanswered(bench)
    sent_at = utc_text(bench.at_ms - bench.policy.answer_ms_max)
    for number in range(4):
        bench.tick(600_000)
        bench.meter(f"kept-{number}", transaction, wh=1_700 + number, at=sent_at)
    assert (bench.facts(CommandObserved), len(bench.sent)) == ([], 1)


def test_one_that_was_accepted_and_did_nothing_is_tried_again(bench):
    transaction = capped(bench)
    bench.meter("m2", transaction, wh=1_600)
    bench.answer(bench.sent[-1][0], {"status": "Accepted"})
    bench.tick(120_000)
    bench.meter("m3", transaction, wh=1_650, at="2025-06-15T15:06:41Z")
    assert len(bench.sent) == 1
    goes_on(bench, transaction, 1)
    assert len(bench.sent) == 2


def test_after_five_it_is_given_up_and_that_is_named_once(bench):
    transaction = stopped_in_vain(bench)
    waits = []
    for _ in range(4):
        sent, minutes = len(bench.sent), 0
        while len(bench.sent) == sent:
            minutes += 1
            goes_on(bench, transaction, 60)
        waits.append(minutes)
        bench.answer(bench.sent[-1][0], {"status": "Rejected"})
    assert waits == [1, 2, 4, 8]
    assert not bench.facts(SessionCapNotKept)
    for _ in range(40):
        goes_on(bench, transaction, 60)
    bench.crash()
    bench.connect()
    goes_on(bench, transaction, 3_600)
    (given_up,) = bench.facts(SessionCapNotKept)
    assert (given_up.stops, given_up.energy_wh_max) == (5, 500)
    assert given_up.session == f"CP-1/{transaction}"
    assert len(bench.sent) == 5
    assert bench.state.known.sessions[transaction].cap_given_up


def test_what_a_person_cancelled_is_not_tried_again(bench):
    transaction = capped(bench)
    bench.admit, usual = (lambda _: None), bench.admit
    bench.meter("m2", transaction, wh=1_600)
    (received,) = bench.facts(CommandReceived)
    bench.word(received.command.id, Word.CANCEL)
    bench.admit = usual
    bench.tick()
    assert bench.facts(CommandSettled)[-1].disposition == "superseded"
    goes_on(bench, transaction, 3_600)
    assert not bench.sent


def test_a_reading_shows_nothing_of_a_stop_that_an_earlier_life_may_send_later(bench):
    transaction = capped(bench)
    bench.policy = replace(bench.policy, opened_at_ms=bench.at_ms + 1)
    bench.command("c1", "RemoteStopTransaction", transactionId=transaction)
    assert bench.facts(CommandSettled)[-1].disposition == "uncertain"
    bench.tick(3_600_000)
    bench.meter("m2", transaction, wh=1_100, at=utc_text(bench.at_ms))
    assert not bench.facts(CommandObserved)
