"""Goal: the id of a command belongs to that one command: another one is told so, whatever died in between."""

from __future__ import annotations

import pytest

from holdfast.contracts.command import CommandReceived, Issuer
from holdfast.records import replace
from ocpp_edge.domain.dedupe import Memory

USED = "id 'c1' was used for another command: choose a new one"


def unlock(bench, connector=1, **changes):
    return bench.command("c1", "UnlockConnector", connectorId=connector, **changes)


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("crashed", [False, True])
def test_another_command_with_the_id_of_one_that_is_known_is_refused(bench, ended, crashed):
    unlock(bench)
    if ended:
        bench.answer(bench.sent[0][0], {"status": "Unlocked"})
    if crashed:
        bench.crash()
        bench.connect()
    bench.command("c1", "RemoteStopTransaction", transactionId=7)
    assert bench.refused == [("c1", USED)]
    assert len(bench.facts(CommandReceived)) == 1
    assert [action for _, action, _ in bench.sent] == ["UnlockConnector"]


@pytest.mark.parametrize(
    "other",
    [{"connector": 2}, {"issuer": Issuer.OPERATOR_AT_SITE}],
)
def test_another_payload_or_issuer_makes_another_command(bench, other):
    unlock(bench)
    unlock(bench, **other)
    assert bench.refused == [("c1", USED)]


@pytest.mark.parametrize("ended", [False, True])
def test_the_very_same_command_later_is_a_repeat(bench, ended):
    unlock(bench)
    if ended:
        bench.answer(bench.sent[0][0], {"status": "Unlocked"})
    bench.tick(1_000)
    unlock(bench)
    assert (bench.taken, bench.refused) == (["c1", "c1"], [])
    assert len(bench.sent) == len(bench.facts(CommandReceived)) == 1


def test_one_that_comes_while_the_first_is_on_its_way_to_the_journal_is_refused(bench):
    bench.journal_takes = None
    unlock(bench)
    unlock(bench, connector=2)
    assert bench.refused == [("c1", USED)]
    bench.journal_takes = True
    bench.resolve(stored=True)
    (received,) = bench.facts(CommandReceived)
    assert received.command.payload == {"connectorId": 1}


def test_what_the_journal_has_under_the_id_counts_when_the_fold_has_forgotten_it(bench):
    unlock(bench)
    bench.answer(bench.sent[0][0], {"status": "Unlocked"})
    known = replace(bench.state.known, settled=Memory(limit=256), contents=Memory(limit=256))
    bench.state = replace(bench.state, known=known)
    unlock(bench, connector=2)
    assert bench.refused == [("c1", USED)]
    assert not bench.state.live.arriving


def test_a_snapshot_of_before_knows_the_id_alone_and_takes_it_for_a_repeat(bench):
    unlock(bench)
    bench.answer(bench.sent[0][0], {"status": "Unlocked"})
    known = replace(bench.state.known, contents=Memory(limit=256))
    bench.state = replace(bench.state, known=known)
    unlock(bench, connector=2)
    assert (bench.refused, len(bench.sent)) == ([], 1)
