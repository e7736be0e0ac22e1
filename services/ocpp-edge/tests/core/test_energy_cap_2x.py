"""Goal: a stranger's 2.x session is stopped by the site at its cap, too, wherever in it the driver token came."""

from __future__ import annotations

import pytest

from holdfast.contracts.command import CommandReceived
from holdfast.contracts.decision import AuthoriseVerdict, Basis
from holdfast.contracts.rules import TokenStatus
from holdfast.ocpp.versions import OcppVersion
from holdfast.records import replace

TX = "tx-1"


def send(bench, seq, kind, wh, token=None):
    at = f"2025-06-15T15:{seq:02d}:00Z"
    payload = {
        "eventType": kind,
        "timestamp": at,
        "triggerReason": "MeterValuePeriodic",
        "seqNo": seq,
        "transactionInfo": {"transactionId": TX},
        "evse": {"id": 1},
    }
    if wh is not None:
        payload["meterValue"] = [{"timestamp": at, "sampledValue": [{"value": wh}]}]
    if token:
        payload["idToken"] = {"idToken": token, "type": "ISO14443"}
    bench.call("TransactionEvent", payload, f"m{seq}")


def authorise_with_a_cap(bench):
    verdict = AuthoriseVerdict(
        status=TokenStatus.ACCEPTED, basis=Basis.UNKNOWN_POLICY, flagged=True, energy_wh_max=500
    )
    bench.authorise(bench.asked[-1])
    event = bench._queue.pop()
    authorisation = event.authorisation.model_copy(update={"verdict": verdict})
    bench.feed(replace(event, authorisation=authorisation))


@pytest.fixture(params=["with its start", "after the cable", "start without a register"])
def capped(new_bench, request):
    bench = new_bench()
    bench.connect(OcppVersion.V201)
    bench.authorises = False
    first_wh = None if request.param == "start without a register" else 1_000
    if request.param == "after the cable":
        send(bench, 0, "Started", first_wh)
        send(bench, 1, "Updated", 1_000, "STRANGER")
    else:
        send(bench, 0, "Started", first_wh, "STRANGER")
    authorise_with_a_cap(bench)
    send(bench, 2, "Updated", 1_000)
    return bench


def test_the_site_stops_it_by_its_own_id_when_the_cap_is_reached(capped):
    send(capped, 3, "Updated", 1_499)
    assert not capped.sent
    send(capped, 4, "Updated", 1_500)
    ((_, action, payload),) = capped.sent
    assert (action, payload) == ("RequestStopTransaction", {"transactionId": TX})


def test_it_is_stopped_once_over_a_crash(capped):
    send(capped, 3, "Updated", 1_600)
    capped.crash()
    capped.connect(OcppVersion.V201)
    send(capped, 4, "Updated", 1_700)
    assert len(capped.facts(CommandReceived)) == 1


def test_a_stop_that_did_nothing_is_tried_again(capped):
    send(capped, 3, "Updated", 1_600)
    capped.answer(capped.sent[0][0], {"status": "Rejected"})
    capped.tick(61_000)
    send(capped, 4, "Updated", 1_700)
    assert [action for _, action, _ in capped.sent] == ["RequestStopTransaction"] * 2
