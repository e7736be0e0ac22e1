"""Goal: a CSMS behind Holdfast hears what it would hear from the charge point itself.

The same scripted conversation takes place twice: the charge point's line ends at a simulated CSMS, and it ends
at ocpp-edge with journal, cloud journal and csms-bridge between it and a CSMS of the same kind. What the two CSMSs
took is compared CALL by CALL: the action, and the payload as the text it is. A third time the WAN is cut in the middle.
"""

import json
from collections.abc import Callable

import pytest

from simulation.csms import Said
from transparency.conversation import NOTICE, OUTSIDE, Heard, Told, directly, through

TRANSACTIONAL = ("StartTransaction", "MeterValues", "StopTransaction")


# --- what is by design not the same ---


def is_repeated_status(told: Told, said: Said) -> bool:
    """Like the one that its connector said before."""
    if said.action != "StatusNotification":
        return False
    every = [
        one for one in told.upstream("StatusNotification") if _connector(one) == _connector(said)
    ]
    place = every.index(said)
    return place > 0 and every[place - 1].payload == said.payload


NOT_TOLD: dict[str, Callable[[Told, Said], bool]] = {
    # The charge point's ends at its site, which answers it also while it is cut off. Upstream the bridge sends its own,
    # in the interval of the CSMS, and only where nothing else was said.
    "Heartbeat": lambda _, said: said.action == "Heartbeat",
    # The journal records what changes.
    "repeated status": is_repeated_status,
}
"""Said by the charge point, and not told to the CSMS."""

# Further: an Authorize is asked anew (same driver token, own spelling, and it overtakes what goes through the journal),
# and so is the driver token of each StartTransaction while the site is connected, since its answer needs a verdict.
ASKED_ANEW = "Authorize"
RELAYED = "DataTransfer"
"""Only the CSMS can answer it: asked live, before what goes through the journal, and only while it is there."""
LIVE = (ASKED_ANEW, RELAYED)
OWN = ("Heartbeat",)
"""Said by the bridge of its own accord."""


# --- the comparison ---


@pytest.fixture(scope="module")
def direct() -> Told:
    return directly()


@pytest.fixture(scope="module")
def bridged() -> Told:
    return through()


@pytest.fixture(scope="module")
def cut() -> Told:
    return through(cuts=True)


def calls(every: list[Said]) -> list[tuple[str, str]]:
    return [(one.action, one.payload) for one in every]


def is_of_transaction(said: Said) -> bool:
    of_none = said.action == "MeterValues" and "transactionId" not in json.loads(said.payload)
    return said.action in TRANSACTIONAL and not of_none


def to_be_told(direct: Told) -> list[Said]:
    return [
        said
        for said in direct.upstream()
        if said.action not in LIVE and not any(is_(direct, said) for is_ in NOT_TOLD.values())
    ]


def told(bridged: Told) -> list[Said]:
    return [said for said in bridged.upstream() if said.action not in (*LIVE, *OWN)]


def test_the_csms_is_told_the_same_in_the_same_order_byte_for_byte(direct, bridged):
    assert calls(told(bridged)) == calls(to_be_told(direct))


def test_what_is_not_told_is_just_what_is_listed(direct, bridged):
    for name, is_ in NOT_TOLD.items():
        assert any(is_(direct, said) for said in direct.upstream()), f"{name}: the script lacks it"
        if name not in OWN:
            assert not any(is_(bridged, said) for said in bridged.upstream()), name
    assert bridged.upstream("Heartbeat")
    assert ("MeterValues", OUTSIDE) in calls(direct.upstream())


def test_every_driver_token_is_asked_about_and_the_verdict_comes_back(direct, bridged):
    tokens = [
        json.loads(said.payload)["idTag"]
        for said in direct.upstream(ASKED_ANEW, "StartTransaction")
    ]
    asked = [json.loads(said.payload) for said in bridged.upstream(ASKED_ANEW)]
    assert asked == [{"idTag": token} for token in tokens]
    verdicts = [json.loads(verdict) for verdict in bridged.verdicts]
    assert verdicts == [json.loads(verdict) for verdict in direct.verdicts]
    assert [one["idTagInfo"]["status"] for one in verdicts] == ["Accepted", "Blocked", "Invalid"]


def test_what_only_the_csms_can_answer_is_relayed_byte_for_byte(direct, bridged):
    assert calls(bridged.upstream(RELAYED)) == calls(direct.upstream(RELAYED)) != []


def test_message_ids_are_our_own_and_never_used_twice(bridged):
    ids = [said.message_id for said in bridged.upstream()]
    assert len(set(ids)) == len(ids)
    assert not set(ids) & set(bridged.said_ids)


def test_transaction_ids_are_the_csmss_upstream_and_the_sites_at_the_charge_point(direct, bridged):
    assert list(direct.ledger.transactions) == list(bridged.ledger.transactions)
    assert direct.local_ids == tuple(direct.ledger.transactions)
    assert not set(bridged.local_ids) & set(direct.local_ids)
    assert not bridged.ledger.strays


def test_a_remote_stop_reaches_the_charge_point_and_its_own_bytes_come_back(direct, bridged):
    assert direct.heard == (Heard("RemoteStopTransaction", '{ "transactionId": 1000001}'),)
    [heard] = bridged.heard
    assert heard.action == "RemoteStopTransaction"
    assert json.loads(heard.payload) == {"transactionId": bridged.local_ids[0]}
    assert direct.remote.answer == bridged.remote.answer == '[3,"csms-1",{ "status" :"Accepted"}]'


def test_there_is_one_connection_and_one_call_at_a_time(bridged, cut):
    for seen in (bridged, cut):
        assert {said.connection for said in seen.upstream()} == {1}
        assert seen.ledger.overlapping == seen.ledger.doubled == []


# --- with a cut in the middle ---


def test_transactions_are_the_same_after_a_cut(direct, cut):
    due = [said for said in to_be_told(direct) if is_of_transaction(said)]
    assert calls([said for said in cut.upstream() if is_of_transaction(said)]) == calls(due)


def test_what_only_its_newest_counts_of_is_told_too(direct, cut):
    """Before the cut; of what is said in one the core's own tests say that it is the newest."""
    for call in (("FirmwareStatusNotification", NOTICE), ("MeterValues", OUTSIDE)):
        assert calls(direct.upstream()).count(call) == calls(cut.upstream()).count(call) == 1


def test_statuses_of_a_cut_collapse_to_the_newest_and_errors_are_all_there(direct, cut):
    due = calls([said for said in to_be_told(direct) if said.action == "StatusNotification"])
    got = calls(cut.upstream("StatusNotification"))
    left_out = [call for call in due if call not in got]
    assert [call for call in due if call in got] == got
    assert [json.loads(payload)["status"] for _, payload in left_out] == ["Preparing", "Charging"]
    assert {json.loads(payload)["connectorId"] for _, payload in left_out} == {2}


def test_nothing_is_asked_about_drivers_while_the_site_is_cut_off(direct, cut):
    assert len(cut.upstream(ASKED_ANEW)) == len(direct.upstream(ASKED_ANEW, "StartTransaction")) - 1
    assert calls(cut.upstream("BootNotification")) == calls(direct.upstream("BootNotification"))


def _connector(said: Said) -> int:
    return int(json.loads(said.payload)["connectorId"])
