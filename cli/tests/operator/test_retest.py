"""Goal: a journal's decisions decided again: equal by their own rules; by a candidate, exactly those that differ.

Method: decisions made by the rule-service's own functions, laid into envelopes as the journal has them.
"""

from __future__ import annotations

import json
from typing import Any

from holdfast.contracts.command import Command
from holdfast.contracts.decision import (
    AdmitInputs,
    AuthoriseInputs,
    CloudAnswer,
    ConnectorState,
    DecisionMade,
)
from holdfast.contracts.driver_tokens import ListedToken
from holdfast.contracts.envelope import Envelope, Fact, body_of
from holdfast.contracts.mode import Mode
from holdfast.contracts.rules import Rules, RulesActivated
from holdfast.standing import parse_rules
from holdfast_cli.operator.retest import Said, retest
from rule_service.domain import admit, authorise
from rule_service.domain.bundle import BUILT_IN

AT_MS = 1_750_000_000_000
OPEN = {mode.value: {"ask_cloud": False, "unknown": "accept-flagged"} for mode in Mode}


def envelope(fact: Fact, id: str, *, at_ms: int = AT_MS, life: str = "aaaaaaaa") -> Envelope:
    return Envelope(
        id=id, type=fact.TYPE, at_ms=at_ms, site="berlin01", incarnation=life, source="test",
        body=body_of(fact),
    )  # fmt: skip


def bundle(version: int, **clauses: Any) -> tuple[Rules, RulesActivated]:
    text = json.dumps({"version": version, **clauses})
    activated = RulesActivated(version=version, hash=str(version), text=text, previous_version=0)
    return parse_rules(text), activated


def asked(mode: Mode = Mode.AUTONOMOUS, *, listed: bool = False, **more: Any) -> AuthoriseInputs:
    word = ListedToken(driver_token="5f" * 16) if listed else None
    given = {"cloud": CloudAnswer.NOT_ASKED, "cloud_status": None, "cached": None, **more}
    return AuthoriseInputs(
        at_ms=AT_MS, mode=mode, driver_token_hash="5f" * 16, listed=word, list_version=1, **given
    )


def decided(rules: Rules, version: int, inputs: AuthoriseInputs | AdmitInputs) -> DecisionMade:
    ruling = (
        authorise.evaluate(rules, inputs)
        if isinstance(inputs, AuthoriseInputs)
        else admit.evaluate(rules, inputs)
    )
    return DecisionMade(
        decision="d", charge_point="CP-01", rules_version=version, clause=ruling.clause,
        inputs=inputs, verdict=ruling.verdict, explanation=ruling.explanation,
    )  # fmt: skip


def command_asked(age_ms: int) -> AdmitInputs:
    command = Command(
        id="c", charge_point="CP-01", action="TriggerMessage", payload={},
        issued_at_ms=AT_MS - age_ms, deadline_ms=AT_MS + 60_000,
    )  # fmt: skip
    target = ConnectorState(connected=True, status=None, transaction_id=None, booted_at_ms=None)
    return AdmitInputs(at_ms=AT_MS, mode=Mode.CONNECTED, command=command, target=target)


def test_what_was_decided_by_rules_of_the_journal_is_decided_so_again():
    first, activated = bundle(1)
    second, again = bundle(2, authorise=OPEN)
    entries = [
        envelope(decided(BUILT_IN, 0, asked()), "e0"),
        envelope(activated, "e1"),
        envelope(decided(first, 1, asked(listed=True)), "e2"),
        envelope(again, "e3"),
        envelope(decided(second, 2, asked()), "e4"),
        envelope(decided(second, 2, command_asked(1)), "e5"),
        envelope(decided(second, 2, command_asked(1)), "e5"),
    ]
    result = retest(entries)
    assert (result.total, result.equal, result.differing, result.unexplained) == (4, 4, (), ())


def test_a_verdict_that_its_rules_do_not_give_is_named_with_both():
    _, activated = bundle(1)
    other, _ = bundle(9, authorise=OPEN)
    wrong = decided(other, 1, asked())
    result = retest([envelope(activated, "e1"), envelope(wrong, "e2")])
    (one,) = result.differing
    assert one.was == Said(
        "Accepted, by unknown-token policy, flagged", "authorise.autonomous.unknown"
    )
    assert one.now == Said("Invalid, by unknown-token policy", "authorise.autonomous.unknown")
    assert (result.total, result.equal) == (1, 0)


def test_rules_of_one_life_explain_nothing_of_another():
    rules, activated = bundle(1)
    result = retest(
        [envelope(activated, "e1"), envelope(decided(rules, 1, asked()), "e2", life="bbbbbbbb")]
    )
    assert "activation is not in this journal" in result.unexplained[0].why


def test_what_can_not_be_read_is_unexplained_with_its_reason():
    rules, activated = bundle(1)
    unknown = activated.model_copy(update={"version": 2, "text": '{"version": 2, "moods": {}}'})
    broken = envelope(decided(rules, 1, asked()), "e3")
    broken = broken.model_copy(update={"body": {**broken.body, "verdict": {"kind": "other"}}})
    entries = [
        envelope(activated, "e1"),
        envelope(unknown, "e2"),
        broken,
        envelope(decided(rules, 2, asked()), "e4"),
    ]
    whys = [one.why for one in retest(entries).unexplained]
    assert "verdict" in whys[0]
    assert "moods" in whys[1]


def test_only_decisions_of_the_period_count_but_rules_of_before_it_are_known():
    rules, activated = bundle(1)
    made = decided(rules, 1, asked())
    entries = [envelope(activated, "e0", at_ms=1)]
    entries += [envelope(made, f"e{at_ms}", at_ms=at_ms) for at_ms in (10, 20, 30)]
    assert retest(entries, since_ms=20, until_ms=30).equal == 1


def test_a_stricter_candidate_differs_exactly_where_it_is_stricter():
    rules, activated = bundle(1, authorise=OPEN)
    entries = [
        envelope(activated, "e1"),
        envelope(decided(rules, 1, asked(listed=True)), "e2"),
        envelope(decided(rules, 1, asked()), "e3"),
        envelope(decided(rules, 1, command_asked(8_000)), "e4"),
        envelope(decided(rules, 1, command_asked(1_000)), "e5"),
        envelope(decided(rules, 1, command_asked(20_000)), "e6"),
    ]
    stricter, _ = bundle(
        2,
        authorise={mode.value: {"ask_cloud": False} for mode in Mode},
        commands={"TriggerMessage": {"modes": ["connected"], "age_ms_max": 5_000}},
    )
    result = retest(entries, stricter)
    assert [(one.was.outcome, one.now.outcome) for one in result.differing] == [
        ("Accepted, by unknown-token policy, flagged", "Invalid, by unknown-token policy"),
        ("admitted", "expired"),
    ]
    assert (result.total, result.equal) == (5, 3)
    assert not result.unexplained


def test_what_the_cloud_would_have_said_is_not_made_up():
    rules, activated = bundle(1, authorise={mode.value: {"ask_cloud": False} for mode in Mode})
    candidate, _ = bundle(2)
    entries = [
        envelope(activated, "e1"),
        envelope(decided(rules, 1, asked(Mode.CONNECTED)), "e2"),
        envelope(decided(rules, 1, asked(Mode.AUTONOMOUS)), "e3"),
    ]
    result = retest(entries, candidate)
    assert (result.total, result.equal) == (2, 1)
    assert "not known" in result.unexplained[0].why


def test_an_answer_that_the_candidate_would_not_have_asked_for_is_left_out():
    rules, activated = bundle(1)
    told = asked(Mode.CONNECTED, cloud=CloudAnswer.ANSWERED, cloud_status="Accepted")
    deaf, _ = bundle(2, authorise={mode.value: {"ask_cloud": False} for mode in Mode})
    (one,) = retest(
        [envelope(activated, "e1"), envelope(decided(rules, 1, told), "e2")], deaf
    ).differing
    assert (one.was.outcome, one.now.outcome) == (
        "Accepted, by cloud",
        "Invalid, by unknown-token policy",
    )
