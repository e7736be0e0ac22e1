"""Goal: each command ends in exactly one disposition, is sent at most once, and never after its deadline."""

from __future__ import annotations

import pytest

from holdfast.contracts.charge_point import AvailabilityChanged, ChargingProfileInstalled
from holdfast.contracts.command import (
    Command,
    CommandDispatched,
    CommandObserved,
    CommandReceived,
    CommandSettled,
    Disposition,
    Issuer,
)
from holdfast.contracts.decision import AdmitVerdict
from holdfast.ocpp import frames
from holdfast.records import replace
from ocpp_edge.domain import events
from ocpp_edge.domain.commands import message_id_of


def settled(bench, id="c1"):
    (fact,) = [fact for fact in bench.facts(CommandSettled) if fact.command.id == id]
    return fact


def refuse(bench, disposition=Disposition.EXPIRED):
    usual = bench.admit

    def admit(command):
        verdict = AdmitVerdict(admitted=False, disposition=disposition, reason="by rule")
        return usual(command).model_copy(update={"verdict": verdict})

    bench.admit = admit


def test_an_admitted_command_is_journaled_sent_and_delivered(bench):
    command = bench.command("c1")
    assert bench.taken == ["c1"]
    ((message_id, action, payload),) = bench.sent
    assert (message_id, action) == (message_id_of(command), "TriggerMessage")
    assert payload == {"requestedMessage": "Heartbeat"}
    assert bench.facts(CommandDispatched)[0].message_id == message_id
    bench.answer(message_id, {"status": "Rejected"})
    fact = settled(bench)
    assert (fact.disposition, fact.answer) == (Disposition.DELIVERED, '{"status": "Rejected"}')
    assert fact.decision is None
    assert not bench.state.known.commands


def test_a_call_error_is_an_answer_too(bench):
    bench.command("c1")
    error = frames.Error(message_id=bench.sent[0][0], code="NotImplemented", description="no")
    bench.feed(events.CallAnswered(**bench.now, connection="connection-1", answer=error))
    assert settled(bench).disposition is Disposition.DELIVERED
    assert "NotImplemented" in settled(bench).reason


def test_a_command_that_came_before_is_not_taken_twice(bench):
    bench.command("c1")
    bench.command("c1")
    bench.answer(bench.sent[0][0], {"status": "Accepted"})
    bench.command("c1")
    assert len(bench.facts(CommandReceived)) == len(bench.sent) == 1
    assert bench.taken == ["c1", "c1", "c1"]


@pytest.mark.parametrize(
    "disposition", [Disposition.REFUSED, Disposition.EXPIRED, Disposition.OBSOLETE]
)
def test_what_the_rules_do_not_admit_ends_as_they_say(bench, disposition):
    refuse(bench, disposition)
    bench.command("c1")
    assert (settled(bench).disposition, settled(bench).reason) == (disposition, "by rule")
    assert settled(bench).decision == "decision-1"
    assert not bench.sent


def test_one_call_at_a_time(bench):
    bench.command("c1")
    bench.command("c2", requestedMessage="StatusNotification")
    assert len(bench.sent) == 1
    bench.answer(bench.sent[0][0], {"status": "Accepted"})
    assert len(bench.sent) == 2


def test_no_answer_makes_it_uncertain_and_it_is_never_sent_again(bench):
    bench.command("c1")
    bench.tick(bench.policy.answer_ms_max)
    assert settled(bench).disposition is Disposition.UNCERTAIN
    bench.tick()
    bench.disconnect()
    bench.connect()
    bench.tick()
    assert len(bench.sent) == 1


def test_a_connection_lost_before_the_answer_makes_it_uncertain(bench):
    bench.command("c1")
    bench.disconnect()
    assert settled(bench).disposition is Disposition.UNCERTAIN
    assert "connection" in settled(bench).reason


def test_a_restart_after_the_dispatch_makes_it_uncertain(bench):
    bench.command("c1")
    bench.crash()
    assert settled(bench).disposition is Disposition.UNCERTAIN
    bench.connect()
    assert len(bench.sent) == 1


def test_a_late_answer_settles_by_observation(bench):
    bench.command("c1")
    bench.tick(bench.policy.answer_ms_max)
    bench.answer(bench.sent[0][0], {"status": "Accepted"})
    (observed,) = bench.facts(CommandObserved)
    assert observed.took_effect
    assert not bench.state.known.uncertain


def test_uncertain_commands_are_settled_by_what_the_charge_point_does(bench):
    bench.start("m1", connector=2)
    transaction = bench.told("m1")["transactionId"]
    bench.command("start", "RemoteStartTransaction", connectorId=1, idTag="TAG")
    bench.tick(bench.policy.answer_ms_max)
    bench.command("stop", "RemoteStopTransaction", transactionId=transaction)
    bench.tick(bench.policy.answer_ms_max)
    bench.command("reset", "Reset", type="Soft")
    bench.tick(bench.policy.answer_ms_max)
    assert {fact.disposition for fact in bench.facts(CommandSettled)} == {Disposition.UNCERTAIN}

    bench.start("m2", connector=1, at="2020-01-01T00:00:00Z")  # out of an offline queue
    assert not bench.facts(CommandObserved)
    bench.start("m3", connector=1, at="2026-01-01T00:00:00Z")
    bench.stop("m4", transaction)
    bench.call("BootNotification", {"chargePointVendor": "v", "chargePointModel": "m"}, "m5")
    observed = [fact.command_id for fact in bench.facts(CommandObserved)]
    assert observed == ["start", "stop", "reset"]


def test_a_command_waits_for_its_charge_point_until_the_deadline(new_bench):
    bench = new_bench()
    bench.command("c1", deadline_in_ms=60_000)
    bench.tick()
    assert len(bench.admits) == 1
    assert not bench.admits[0].target.connected
    assert bench.taken == ["c1"]
    refuse(bench)
    bench.tick(60_001)
    assert settled(bench).disposition is Disposition.EXPIRED
    assert bench.admits[0].request != bench.admits[1].request


def test_a_command_that_waited_is_asked_about_anew_and_sent_when_its_charge_point_comes(new_bench):
    bench = new_bench()
    bench.command("c1")
    bench.connect()
    assert len(bench.admits) == 2
    assert len(bench.sent) == 1


def test_one_waiting_command_does_not_block_the_next_asking(new_bench):
    bench = new_bench()
    bench.command("c1")
    bench.command("c2", requestedMessage="StatusNotification")
    assert [one.command.id for one in bench.admits] == ["c1", "c2"]


def test_while_rule_service_is_away_the_next_tick_asks_again(bench):
    usual, bench.admit = bench.admit, lambda _: None
    bench.command("c1")
    bench.tick()
    assert len(bench.admits) == 2
    bench.admit = usual
    bench.tick()
    assert len(bench.sent) == 1


def test_a_dispatch_the_disk_refuses_is_not_sent_until_it_is_stored(bench):
    bench.command("c0")
    bench.command("c1", requestedMessage="StatusNotification")
    bench.journal_takes = False
    bench.answer(bench.sent[0][0], {"status": "Accepted"})
    assert len(bench.sent) == 1
    bench.journal_takes = True
    bench.tick()
    bench.tick()
    assert settled(bench, "c0").disposition is Disposition.DELIVERED
    assert len(bench.sent) == 2


def test_a_charge_point_that_left_before_the_sending_was_not_reached(bench):
    bench.journal_takes = None
    bench.command("c1")
    assert bench.not_taken == ["c1"]
    bench.resolve(stored=True)
    assert bench.taken == ["c1"]
    assert not bench.sent  # its dispatch is in doubt now
    bench.disconnect()
    bench.journal_takes = True
    bench.resolve(stored=True)
    assert settled(bench).disposition is Disposition.REFUSED
    assert not bench.sent


def test_a_dispatch_that_took_longer_than_the_deadline_is_not_sent(bench):
    bench.journal_takes = None
    bench.command("c1", deadline_in_ms=1_000)
    bench.resolve(stored=True)
    bench.at_ms += 1_001
    bench.journal_takes = True
    bench.resolve(stored=True)
    assert settled(bench).disposition is Disposition.EXPIRED
    assert not bench.sent


def test_a_newer_command_supersedes_a_waiting_one_that_sets_the_same(new_bench):
    bench = new_bench()
    bench.command("c1", "ChangeAvailability", connectorId=1, type="Inoperative")
    bench.command("c2", "ChangeAvailability", connectorId=2, type="Inoperative")
    bench.command("c3", "ChangeAvailability", connectorId=1, type="Operative")
    assert settled(bench, "c1").disposition is Disposition.SUPERSEDED
    bench.connect()
    bench.answer(bench.sent[0][0], {"status": "Accepted"})
    assert [payload["connectorId"] for _, _, payload in bench.sent] == [2, 1]


def test_at_the_bound_further_commands_are_refused(new_bench):
    bench = new_bench()
    for number in range(bench.policy.commands_max + 1):
        bench.command(f"c{number}")
    (refused,) = bench.facts(CommandSettled)
    assert refused.disposition is Disposition.REFUSED
    assert refused.command.id == f"c{bench.policy.commands_max}"


def test_accepted_state_changes_are_facts_of_their_own_even_over_a_crash(bench):
    bench.command("c1", "ChangeAvailability", connectorId=1, type="Inoperative")
    bench.answer(bench.sent[0][0], {"status": "Scheduled"})
    (changed,) = bench.facts(AvailabilityChanged)
    assert (changed.connector, changed.availability) == (1, "Inoperative")
    profile = {
        "chargingProfileId": 1,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": {
            "chargingRateUnit": "A",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 6}],
        },
    }
    bench.command("c2", "SetChargingProfile", connectorId=0, csChargingProfiles=profile)
    bench.answer(bench.sent[1][0], {"status": "Accepted"})
    assert len(bench.facts(ChargingProfileInstalled)) == 1

    bench.journal = [one for one in bench.journal if not isinstance(one[2], AvailabilityChanged)]
    bench.crash()  # before that fact was stored
    assert len(bench.facts(AvailabilityChanged)) == 1


def test_the_rules_are_told_what_the_command_meets(bench):
    for connector in (1, 2):
        status = {"connectorId": connector, "errorCode": "NoError", "status": "Available"}
        bench.call("StatusNotification", status, f"s{connector}")
    bench.start("m1", connector=1)
    transaction = bench.told("m1")["transactionId"]
    bench.admit = lambda _: None
    for id, action, payload in (
        ("c1", "RemoteStartTransaction", {"connectorId": 1, "idTag": "T"}),
        ("c2", "RemoteStartTransaction", {"idTag": "T"}),
        ("c3", "RemoteStopTransaction", {"transactionId": transaction}),
        ("c4", "RemoteStopTransaction", {"transactionId": 5}),
        ("c5", "Reset", {"type": "Soft"}),
    ):
        fresh = len(bench.admits)
        bench.command(id, action, **payload)
        bench.state = bench.state.with_live(settling={}, admitting=None)
        bench.tick()
        assert len(bench.admits) > fresh
        bench.feed(events.NotAdmitted(**bench.now, command_id=id, reason="enough"))
    targets = {one.command.id: one.target for one in bench.admits}
    assert (targets["c1"].status, targets["c1"].transaction_id) == ("Available", transaction)
    assert (targets["c2"].status, targets["c2"].transaction_id) == (None, None)
    assert targets["c3"].transaction_id == transaction
    assert targets["c4"].transaction_id is None
    assert targets["c5"].transaction_id == transaction


def test_remote_starts_of_two_drivers_without_a_connector_do_not_supersede_each_other(new_bench):
    bench = new_bench()
    bench.command("c1", "RemoteStartTransaction", idTag="ONE")
    bench.command("c2", "RemoteStartTransaction", idTag="TWO")
    bench.command("c3", "RemoteStartTransaction", idTag="ONE")
    ends = {fact.command.id: fact.disposition for fact in bench.facts(CommandSettled)}
    assert ends == {"c1": Disposition.SUPERSEDED}


def test_a_command_of_an_earlier_life_of_the_disk_is_uncertain_and_never_sent(bench):
    bench.policy = replace(bench.policy, opened_at_ms=bench.at_ms + 1)
    bench.command("c1", "Reset", type="Soft")
    assert settled(bench).disposition is Disposition.UNCERTAIN
    assert "earlier life" in settled(bench).reason
    bench.at_ms += 1
    bench.command("c2", requestedMessage="Heartbeat")
    bench.crash()
    bench.connect()
    assert [action for _, action, _ in bench.sent] == ["TriggerMessage"]


def test_the_operator_at_the_sites_commands_are_of_now(bench):
    bench.policy = replace(bench.policy, opened_at_ms=bench.at_ms + 1)
    command = Command(
        id="c1",
        charge_point="CP-1",
        action="Reset",
        payload={"type": "Soft"},
        issued_at_ms=bench.at_ms,
        deadline_ms=bench.at_ms + 60_000,
        issuer=Issuer.OPERATOR_AT_SITE,
    )
    bench.feed(events.CommandArrived(**bench.now, command=command, downlink_seq=0))
    assert len(bench.sent) == 1
