"""Goal: the checker of I11 is awake. A short quiet life with a CSMS passes it; then the CSMS's ledger is altered in one
place, and the checker must say what is wrong there, unless the bridge itself has named it.
"""

import copy
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from holdfast.contracts.csms import OpenDelivery, Trouble
from holdfast.contracts.session import SessionMetered, SessionStarted
from simulation.checkers import csms_matches_ledgers
from simulation.csms import Asked, Ledger, Said, Transaction
from simulation.evidence import Evidence
from simulation.judging import judge
from simulation.planting import first, without
from simulation.scripted import tell
from simulation.story import Lived


@pytest.fixture(scope="module")
def lived_with_csms() -> Lived:
    return tell(csms=True)


Plant = Callable[[Callable[[Ledger], None]], Evidence]


@pytest.fixture
def plant(lived_with_csms: Lived) -> Plant:
    """The evidence with another ledger of the CSMS."""

    def planted(alter: Callable[[Ledger], None]) -> Evidence:
        evidence = lived_with_csms.evidence
        ledger = copy.deepcopy(evidence.csms)
        assert ledger is not None
        alter(ledger)
        return replace(evidence, csms=ledger)

    return planted


def one(ledger: Ledger) -> Transaction:
    """Its first transaction: a start, a meter value, a stop."""
    transaction = next(iter(ledger.transactions.values()))
    assert [said.action for said in transaction.told] == ["MeterValues", "StopTransaction"]
    return transaction


def again(ledger: Ledger) -> Transaction:
    """A second transaction with the same start."""
    double = Transaction(7, one(ledger).start)
    ledger.transactions[double.id] = double
    return double


def named(evidence: Evidence, trouble: Trouble, kind: type) -> OpenDelivery:
    """As the bridge names what happened to the first entry of that kind."""
    entry = first(evidence.archive, kind)
    return OpenDelivery(
        backend="main",
        charge_point="CP-01",
        trouble=trouble,
        what="planted",
        transaction=json.loads(entry.data)["body"]["transaction_id"],
        incarnation=entry.incarnation,
        seq=entry.seq,
    )


def test_a_quiet_life_with_a_csms_breaks_nothing(lived_with_csms: Lived) -> None:
    assert judge(lived_with_csms) == []
    csms = lived_with_csms.evidence.csms
    assert csms is not None
    assert len(csms.transactions) == 2


def test_a_transaction_that_the_csms_lacks_is_found(plant: Plant) -> None:
    planted = plant(lambda ledger: ledger.transactions.pop(one(ledger).id))
    assert any("has no transaction" in it for it in csms_matches_ledgers.check(planted))


@pytest.mark.parametrize("place", [0, 1])
def test_a_message_that_the_csms_lacks_is_found(plant: Plant, place: int) -> None:
    planted = plant(lambda ledger: one(ledger).told.pop(place))
    assert any("the CSMS lacks" in it for it in csms_matches_ledgers.check(planted))


def test_a_message_that_the_bridge_names_may_be_lacking(plant: Plant) -> None:
    planted = plant(lambda ledger: one(ledger).told.pop(0))
    open_delivery = named(planted, Trouble.QUARANTINED, SessionMetered)
    assert csms_matches_ledgers.check(replace(planted, open_deliveries=(open_delivery,))) == []
    other = open_delivery.model_copy(update={"transaction": 1})
    assert csms_matches_ledgers.check(replace(planted, open_deliveries=(other,))) != []


def test_no_more_may_be_lacking_than_the_bridge_names(plant: Plant) -> None:
    planted = plant(lambda ledger: one(ledger).told.clear())
    open_delivery = named(planted, Trouble.QUARANTINED, SessionMetered)
    assert csms_matches_ledgers.check(replace(planted, open_deliveries=(open_delivery,))) != []
    both = open_delivery.model_copy(update={"messages": 2})
    assert csms_matches_ledgers.check(replace(planted, open_deliveries=(both,))) == []


def test_a_message_that_a_gap_took_may_be_lacking(plant: Plant) -> None:
    planted = plant(lambda ledger: one(ledger).told.pop(0))
    lost = first(planted.archive, SessionMetered)
    planted = replace(planted, archive=without(planted.archive, lost))
    assert csms_matches_ledgers.check(planted) == []


def test_messages_in_another_order_are_found(plant: Plant) -> None:
    planted = plant(lambda ledger: one(ledger).told.reverse())
    assert any("in another order" in it for it in csms_matches_ledgers.check(planted))


def test_a_message_that_comes_again_is_no_violation(plant: Plant) -> None:
    planted = plant(lambda ledger: one(ledger).told.append(one(ledger).told[0]))
    assert csms_matches_ledgers.check(planted) == []


def test_a_message_nobody_sent_is_found(plant: Plant) -> None:
    def alter(ledger: Ledger) -> None:
        said = one(ledger).told[0]
        one(ledger).told.append(replace(said, payload=said.payload.replace("Value", "VALUE")))

    found = csms_matches_ledgers.check(plant(alter))
    assert any("which its charge point never sent" in it for it in found)


def test_a_message_under_another_id_is_found(plant: Plant) -> None:
    def alter(ledger: Ledger) -> None:
        other = list(ledger.transactions.values())[1]
        other.told.append(one(ledger).told.pop(0))

    found = csms_matches_ledgers.check(plant(alter))
    assert any("the CSMS lacks MeterValues" in it for it in found)
    assert any("which its charge point never sent" in it for it in found)


def test_a_message_of_no_transaction_is_found(plant: Plant) -> None:
    stray = Said("CP-01", 1, "x", "MeterValues", '{"transactionId": -1}')
    found = csms_matches_ledgers.check(plant(lambda ledger: ledger.strays.append(stray)))
    assert any("is of no transaction of its own" in it for it in found)


def test_a_transaction_nobody_began_is_found(plant: Plant) -> None:
    def alter(ledger: Ledger) -> None:
        invented = replace(one(ledger).start, payload="{}")
        ledger.transactions[7] = Transaction(7, invented)

    found = csms_matches_ledgers.check(plant(alter))
    assert any("was begun by no charge point" in it for it in found)


def test_a_second_transaction_is_found_unless_it_is_named(plant: Plant) -> None:
    planted = plant(again)
    assert any("is 2 transactions" in it for it in csms_matches_ledgers.check(planted))
    double = named(planted, Trouble.DOUBLE_START, SessionStarted)
    assert csms_matches_ledgers.check(replace(planted, open_deliveries=(double,))) == []


def test_a_session_told_in_parts_is_found(plant: Plant) -> None:
    planted = plant(lambda ledger: again(ledger).told.append(one(ledger).told.pop()))
    double = named(planted, Trouble.DOUBLE_START, SessionStarted)
    planted = replace(planted, open_deliveries=(double,))
    assert any("is told in parts" in it for it in csms_matches_ledgers.check(planted))


@pytest.mark.parametrize("kind", ["overlapping", "doubled"])
def test_what_the_csms_saw_on_its_connections_is_found(plant: Plant, kind: str) -> None:
    planted = plant(lambda ledger: getattr(ledger, kind).append("two at once"))
    assert csms_matches_ledgers.check(planted) == ["two at once"]


def test_a_call_of_the_csms_without_an_answer_is_found(plant: Plant) -> None:
    asked = Asked("CP-01", "GetLocalListVersion", "{}", is_overdue=True)
    found = csms_matches_ledgers.check(plant(lambda ledger: ledger.asked.append(asked)))
    assert found == ["GetLocalListVersion of the CSMS to CP-01 got no answer"]


def test_a_yes_to_the_csms_that_nobody_kept_is_found(plant: Plant) -> None:
    asked = Asked("CP-01", "RemoteStopTransaction", "{}", '[3,"x",{"status":"Accepted"}]')
    found = csms_matches_ledgers.check(plant(lambda ledger: ledger.asked.append(asked)))
    assert any("called Accepted to the CSMS, 0 were carried out" in it for it in found)
