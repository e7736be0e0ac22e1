"""Goal: what decides after the rules' end is itself a rule, is named, and evaluates the same for ever (I5).

Method: the same questions shortly before and from the end on, under bundles that let strangers charge.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contracts.command import Command
from holdfast.contracts.decision import (
    AdmitInputs,
    AuthoriseInputs,
    CloudAnswer,
    ConnectorState,
    DecisionMade,
)
from holdfast.contracts.driver_tokens import TokenStatus
from holdfast.contracts.life import AfterExpiry
from holdfast.contracts.mode import Mode
from holdfast.contracts.rules import (
    AuthoriseByMode,
    AuthoriseRules,
    Rules,
    UnknownToken,
)
from rule_service.domain import admit, authorise
from rule_service.domain.expiry import CLAUSE
from rule_service.domain.reevaluate import holds, reevaluate

END_MS = 1_750_000_000_000
GENEROUS = AuthoriseByMode(
    autonomous=AuthoriseRules(ask_cloud=False, unknown=UnknownToken.FREE_VEND),
    connected=AuthoriseRules(ask_cloud=False, unknown=UnknownToken.FREE_VEND),
)


def rules(after_expiry, until_ms=END_MS):
    return Rules(
        version=3,
        valid_until_ms=until_ms,
        after_expiry=after_expiry,
        authorise=GENEROUS,
        commands={},
    )


def stranger(at_ms, mode=Mode.AUTONOMOUS):
    return AuthoriseInputs(
        at_ms=at_ms,
        mode=mode,
        driver_token_hash="5f" * 16,
        listed=None,
        list_version=1,
        cached=None,
        cloud=CloudAnswer.NOT_ASKED,
        cloud_status=None,
    )


def reset(at_ms):
    target = ConnectorState(
        connected=True, status="Available", transaction_id=None, booted_at_ms=None
    )
    command = Command(
        id="c-1",
        charge_point="CP-01",
        action="TriggerMessage",
        payload={"requestedMessage": "Heartbeat"},
        issued_at_ms=at_ms - 1,
        deadline_ms=at_ms + 60_000,
    )
    return AdmitInputs(at_ms=at_ms, mode=Mode.CONNECTED, command=command, target=target)


def status(after_expiry, at_ms, until_ms=END_MS):
    return authorise.evaluate(rules(after_expiry, until_ms), stranger(at_ms)).verdict.status


def test_kept_rules_decide_as_ever():
    for at_ms in (END_MS - 1, END_MS, END_MS + 10**9):
        assert status(AfterExpiry.KEEP, at_ms) is TokenStatus.ACCEPTED


def test_from_the_end_on_the_safe_rules_decide_where_the_bundle_says_so():
    assert status(AfterExpiry.SAFE, END_MS - 1) is TokenStatus.ACCEPTED
    ruling = authorise.evaluate(rules(AfterExpiry.SAFE), stranger(END_MS))
    assert (ruling.verdict.status, ruling.clause) == (TokenStatus.INVALID, CLAUSE)
    assert "authorise.autonomous.unknown" in ruling.explanation
    assert status(AfterExpiry.SAFE, END_MS + 10**9, until_ms=None) is TokenStatus.ACCEPTED


def test_commands_too():
    before = admit.evaluate(rules(AfterExpiry.SAFE), reset(END_MS - 1))
    assert (before.verdict.admitted, before.clause) == (False, "commands")
    after = admit.evaluate(rules(AfterExpiry.SAFE), reset(END_MS))
    assert (after.verdict.admitted, after.clause) == (True, CLAUSE)


def test_whether_the_cloud_is_asked_is_then_said_by_the_safe_rules_too():
    asked = authorise.Asking.AWAITED
    by_safe = rules(AfterExpiry.SAFE)
    assert authorise.asking(by_safe, stranger(END_MS - 1, Mode.CONNECTED)) is authorise.Asking.NOT
    assert authorise.asking(by_safe, stranger(END_MS, Mode.CONNECTED)) is asked


@pytest.mark.parametrize("after_expiry", AfterExpiry)
@given(at_ms=st.integers(END_MS - 5, END_MS + 5), mode=st.sampled_from(Mode))
def test_a_decision_around_the_end_evaluates_to_itself(after_expiry, at_ms, mode):
    by = rules(after_expiry)
    for inputs in (stranger(at_ms, mode), reset(at_ms)):
        evaluate = authorise.evaluate if isinstance(inputs, AuthoriseInputs) else admit.evaluate
        ruling = evaluate(by, inputs)
        decision = DecisionMade(
            decision="d",
            charge_point="CP-01",
            rules_version=3,
            clause=ruling.clause,
            inputs=inputs,
            verdict=ruling.verdict,
            explanation=ruling.explanation,
        )
        assert holds(by, decision)
        assert reevaluate(by, decision) == ruling


def test_one_clause_is_said_to_have_decided_and_it_is_the_one_that_is_named():
    """After the end, too: and what the safe rules looked at stands behind it."""
    for at_ms in (END_MS - 1, END_MS):
        ruling = authorise.evaluate(rules(AfterExpiry.SAFE), stranger(at_ms))
        assert [one.clause for one in ruling.considered if one.decided] == [ruling.clause]
    assert ruling.clause == CLAUSE
    assert "authorise.autonomous.unknown" in [one.clause for one in ruling.considered]
