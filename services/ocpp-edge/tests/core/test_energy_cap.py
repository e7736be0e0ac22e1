"""Goal: a stranger's session with a cap is stopped by the site, once, whatever dies; no other session is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast.contracts.command import CommandReceived, CommandSettled, Issuer
from holdfast.contracts.decision import AuthoriseVerdict, Basis
from holdfast.contracts.rules import TokenStatus
from ocpp_edge.domain import events


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


def test_once_also_when_the_charge_point_refuses_and_the_command_is_long_forgotten(bench):
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
