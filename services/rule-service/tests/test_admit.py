"""Goal: no obsolete, late or misplaced command is admitted (I7), each refusal has its own disposition.

Method: one table per rule of ocpp-outage-rules 3.5, then Hypothesis for what is always true.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contracts.command import Command, Disposition, Issuer
from holdfast.contracts.decision import AdmitInputs, ConnectorState, DecisionMade
from holdfast.contracts.mode import Mode
from holdfast.contracts.rules import CommandRules, Precondition, Rules
from rule_service.domain.admit import evaluate
from rule_service.domain.reevaluate import holds

AT_MS = 1_750_000_000_000
RULES = Rules(version=1)
START, STOP, RESET = "RemoteStartTransaction", "RemoteStopTransaction", "Reset"
FREE = ConnectorState(connected=True, status="Available", transaction_id=None, booted_at_ms=None)


def command(action, payload=None, *, age_ms=1_000, left_ms=30_000, issuer=Issuer.CLOUD):
    return Command(
        id="c-1",
        charge_point="CP-01",
        action=action,
        payload=payload or {},
        issued_at_ms=AT_MS - age_ms,
        deadline_ms=AT_MS + left_ms,
        issuer=issuer,
    )


def decide(given_command, mode=Mode.CONNECTED, target=FREE, rules=RULES):
    given_inputs = AdmitInputs(at_ms=AT_MS, mode=mode, command=given_command, target=target)
    return evaluate(rules, given_inputs)


def running(transaction_id, status="Charging"):
    return FREE.model_copy(update={"transaction_id": transaction_id, "status": status})


def test_a_timely_start_on_a_free_connector_is_admitted():
    verdict = decide(command(START, {"connectorId": 1})).verdict
    assert verdict.admitted
    assert verdict.disposition is None


def test_a_command_the_rules_do_not_name_is_refused():
    ruling = decide(command(RESET), rules=Rules(version=1, commands={}))
    assert (ruling.verdict.disposition, ruling.clause) == (Disposition.REFUSED, "commands")


def test_a_passed_deadline_is_expired():
    ruling = decide(command(START, left_ms=-1))
    assert ruling.verdict.disposition is Disposition.EXPIRED
    assert ruling.clause == f"commands.{START}.deadline"


def test_at_its_deadline_it_still_holds():
    assert decide(command(START, {"connectorId": 1}, left_ms=0)).verdict.admitted


def test_too_old_is_expired_whatever_deadline_it_carries():
    ruling = decide(command(START, age_ms=60_001, left_ms=3_600_000))
    assert ruling.verdict.disposition is Disposition.EXPIRED
    assert ruling.clause == f"commands.{START}.age_ms_max"


def test_an_age_of_zero_means_only_the_deadline_counts():
    assert decide(command("ChangeAvailability", age_ms=80_000_000)).verdict.admitted


def test_desired_state_kept_for_a_site_is_done_when_it_comes_before_the_site_believes_in_its_link():
    kept = decide(command("ChangeAvailability", age_ms=80_000_000), mode=Mode.AUTONOMOUS)
    assert kept.verdict.admitted


@pytest.mark.parametrize("mode", [Mode.DEGRADED, Mode.AUTONOMOUS, Mode.RECOVERY])
def test_a_start_is_refused_outside_its_modes(mode):
    ruling = decide(command(START), mode)
    assert (ruling.verdict.disposition, ruling.clause) == (
        Disposition.REFUSED,
        f"commands.{START}.modes",
    )


@pytest.mark.parametrize("mode", Mode)
def test_the_operator_at_the_site_is_admitted_in_every_mode(mode):
    assert decide(command(START, issuer=Issuer.OPERATOR_AT_SITE), mode).verdict.admitted


def test_even_the_operator_at_the_site_is_held_to_the_deadline():
    late = command(START, left_ms=-1, issuer=Issuer.OPERATOR_AT_SITE)
    assert decide(late, Mode.AUTONOMOUS).verdict.disposition is Disposition.EXPIRED


@pytest.mark.parametrize("status", ["Available", "Preparing"])
def test_a_connector_without_session_is_free(status):
    target = FREE.model_copy(update={"status": status})
    assert decide(command(START, {"connectorId": 1}), target=target).verdict.admitted


@pytest.mark.parametrize("status", ["Charging", "Faulted", "Reserved", "Unavailable", "Finishing"])
def test_a_start_on_a_connector_that_is_not_free_is_obsolete(status):
    target = FREE.model_copy(update={"status": status})
    verdict = decide(command(START, {"connectorId": 1}), target=target).verdict
    assert verdict.disposition is Disposition.OBSOLETE
    assert status in verdict.reason


def test_a_start_where_a_session_runs_is_obsolete_whatever_the_status_says():
    verdict = decide(command(START, {"connectorId": 1}), target=running(9, "Available")).verdict
    assert verdict.disposition is Disposition.OBSOLETE


def test_a_start_on_a_connector_nobody_knows_is_refused():
    target = FREE.model_copy(update={"status": None})
    verdict = decide(command(START, {"connectorId": 1}), target=target).verdict
    assert verdict.disposition is Disposition.REFUSED


def test_a_start_that_names_no_connector_may_be_placed_by_the_charge_point():
    target = FREE.model_copy(update={"status": None})
    assert decide(command(START, {"idTag": "A"}), target=target).verdict.admitted


def test_a_stop_of_the_running_session_is_admitted():
    assert decide(command(STOP, {"transactionId": 17}), target=running(17)).verdict.admitted


@pytest.mark.parametrize("target", [FREE, running(18)])
def test_a_stop_of_a_session_that_ended_or_is_another_is_obsolete(target):
    verdict = decide(command(STOP, {"transactionId": 17}), target=target).verdict
    assert verdict.disposition is Disposition.OBSOLETE


@pytest.mark.parametrize("booted_ago_ms", [0, 500, 1_000])
def test_a_reset_is_obsolete_once_the_charge_point_has_booted(booted_ago_ms):
    target = FREE.model_copy(update={"booted_at_ms": AT_MS - booted_ago_ms})
    assert decide(command(RESET), target=target).verdict.disposition is Disposition.OBSOLETE


@pytest.mark.parametrize("booted_at_ms", [None, AT_MS - 1_001])
def test_a_reset_for_a_fault_that_still_stands_is_admitted(booted_at_ms):
    target = FREE.model_copy(update={"booted_at_ms": booted_at_ms})
    assert decide(command(RESET), target=target).verdict.admitted


def test_a_running_session_stands_against_what_needs_none():
    rules = Rules(
        version=1,
        commands={
            RESET: CommandRules(
                modes=tuple(Mode), age_ms_max=0, precondition=Precondition.NO_SESSION
            )
        },
    )
    verdict = decide(command(RESET), target=running(4), rules=rules).verdict
    assert verdict.disposition is Disposition.OBSOLETE
    assert decide(command(RESET), rules=rules).verdict.admitted


all_inputs = st.builds(
    AdmitInputs,
    at_ms=st.just(AT_MS),
    mode=st.sampled_from(Mode),
    command=st.builds(
        command,
        st.sampled_from([START, STOP, RESET, "TriggerMessage", "SetChargingProfile"]),
        st.fixed_dictionaries({}, optional={"transactionId": st.integers(1, 3)}),
        age_ms=st.integers(-1_000, 1_000_000),
        left_ms=st.integers(-100, 100),
        issuer=st.sampled_from(Issuer),
    ),
    target=st.builds(
        ConnectorState,
        connected=st.booleans(),
        status=st.sampled_from([None, "Available", "Charging"]),
        transaction_id=st.none() | st.integers(1, 3),
        booted_at_ms=st.none() | st.integers(AT_MS - 10_000, AT_MS),
    ),
)


@given(given_inputs=all_inputs)
def test_a_journaled_admission_evaluates_to_itself_and_a_late_one_is_never_admitted(given_inputs):
    ruling = evaluate(RULES, given_inputs)
    fact = DecisionMade(
        decision="d",
        charge_point="CP-01",
        rules_version=1,
        clause=ruling.clause,
        inputs=given_inputs,
        verdict=ruling.verdict,
        explanation=ruling.explanation,
    )
    assert holds(RULES, DecisionMade.from_bytes(fact.to_bytes()))
    ends = ruling.verdict.disposition or ruling.verdict.waits_for
    assert ruling.verdict.admitted == (ends is None)
    assert [one.decided for one in ruling.considered].count(True) == 1
    if given_inputs.command.deadline_ms < AT_MS:
        assert not ruling.verdict.admitted
