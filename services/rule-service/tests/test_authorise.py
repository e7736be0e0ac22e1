"""Goal: who may charge, in the order of OCPP 1.6 §3.5 and the mode table; the same inputs give the same verdict (I5).

Method: small tables of inputs for each rule, then Hypothesis over all inputs for what is always true.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contracts.decision import (
    AuthoriseInputs,
    Basis,
    CachedToken,
    CloudAnswer,
    DecisionMade,
)
from holdfast.contracts.driver_tokens import ListedToken, TokenStatus
from holdfast.contracts.mode import Mode
from holdfast.contracts.rules import (
    AuthoriseByMode,
    AuthoriseRules,
    Rules,
    UnknownToken,
)
from rule_service.domain.authorise import Asking, asking, evaluate
from rule_service.domain.reevaluate import holds

AT_MS = 1_750_000_000_000
DAY_MS = 86_400_000
RULES = Rules(version=3)
OPEN = Rules(
    version=4,
    authorise=AuthoriseByMode(
        **{
            mode.value: AuthoriseRules(
                ask_cloud=mode is not Mode.AUTONOMOUS, unknown=UnknownToken.ACCEPT_FLAGGED
            )
            for mode in Mode
        }
    ),
)
LOCAL_FIRST = (Mode.DEGRADED, Mode.AUTONOMOUS, Mode.RECOVERY)
ACCEPTED, BLOCKED, EXPIRED, INVALID = (
    TokenStatus.ACCEPTED,
    TokenStatus.BLOCKED,
    TokenStatus.EXPIRED,
    TokenStatus.INVALID,
)


def inputs(mode=Mode.AUTONOMOUS, *, listed=None, cached=None, cloud=None, said=None):
    answer = cloud or (CloudAnswer.ANSWERED if said else CloudAnswer.NOT_ASKED)
    return AuthoriseInputs(
        at_ms=AT_MS,
        mode=mode,
        driver_token_hash="5f" * 16,
        listed=listed,
        list_version=7,
        cached=cached,
        cloud=answer,
        cloud_status=said,
    )


def listed(status=ACCEPTED, until_ms=None):
    return ListedToken(driver_token="5f" * 16, status=status, valid_until_ms=until_ms, parent="G")


def cached(status=ACCEPTED, age_ms=DAY_MS, until_ms=None):
    return CachedToken(status=status, valid_until_ms=until_ms, answered_at_ms=AT_MS - age_ms)


@pytest.mark.parametrize("mode", LOCAL_FIRST)
def test_the_list_goes_before_the_cache_and_the_cloud(mode):
    ruling = evaluate(RULES, inputs(mode, listed=listed(), cached=cached(BLOCKED), said=BLOCKED))
    assert (ruling.verdict.status, ruling.verdict.basis) == (ACCEPTED, Basis.LIST)
    assert ruling.verdict.parent == "G"
    assert ruling.clause == f"authorise.{mode}.list"


@pytest.mark.parametrize("mode", LOCAL_FIRST)
def test_the_cache_goes_before_the_cloud(mode):
    ruling = evaluate(RULES, inputs(mode, cached=cached(BLOCKED), said=ACCEPTED))
    assert (ruling.verdict.status, ruling.verdict.basis) == (BLOCKED, Basis.CACHE)


def test_connected_the_cloud_goes_first():
    ruling = evaluate(RULES, inputs(Mode.CONNECTED, listed=listed(), said=BLOCKED))
    assert (ruling.verdict.status, ruling.verdict.basis) == (BLOCKED, Basis.CLOUD)


@pytest.mark.parametrize("cloud", [CloudAnswer.TOO_LATE, CloudAnswer.UNREACHABLE])
def test_connected_without_an_answer_the_local_list_stands(cloud):
    ruling = evaluate(RULES, inputs(Mode.CONNECTED, listed=listed(), cloud=cloud))
    assert (ruling.verdict.status, ruling.verdict.basis) == (ACCEPTED, Basis.LIST)
    assert "the cloud" in ruling.explanation


@pytest.mark.parametrize("mode", [Mode.DEGRADED, Mode.RECOVERY])
def test_whom_the_site_does_not_know_the_cloud_may_know(mode):
    ruling = evaluate(RULES, inputs(mode, said=ACCEPTED))
    assert (ruling.verdict.status, ruling.verdict.basis) == (ACCEPTED, Basis.CLOUD)


@pytest.mark.parametrize("mode", Mode)
def test_unknown_tokens_are_refused_by_default(mode):
    ruling = evaluate(RULES, inputs(mode))
    assert (ruling.verdict.status, ruling.verdict.flagged) == (INVALID, False)
    assert ruling.clause == f"authorise.{mode}.unknown"


@pytest.mark.parametrize("mode", Mode)
def test_unknown_tokens_accepted_by_rule_are_flagged(mode):
    verdict = evaluate(OPEN, inputs(mode)).verdict
    assert (verdict.status, verdict.basis, verdict.flagged) == (
        ACCEPTED,
        Basis.UNKNOWN_POLICY,
        True,
    )


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("status", [BLOCKED, EXPIRED, INVALID])
def test_a_listed_token_that_is_not_accepted_is_rejected_even_with_unknown_allowed(mode, status):
    assert evaluate(OPEN, inputs(mode, listed=listed(status))).verdict.status is status


@pytest.mark.parametrize("mode", Mode)
def test_an_expired_token_is_rejected_even_with_unknown_allowed(mode):
    for known in ({"listed": listed(until_ms=AT_MS)}, {"cached": cached(until_ms=AT_MS)}):
        assert evaluate(OPEN, inputs(mode, **known)).verdict.status is EXPIRED


def test_blocked_stays_blocked_after_its_end():
    assert evaluate(RULES, inputs(listed=listed(BLOCKED, AT_MS - 1))).verdict.status is BLOCKED


def test_an_answer_too_old_is_as_if_unknown():
    rules = RULES.authorise
    old = cached(age_ms=rules.cache_age_ms_max + 1)
    assert evaluate(RULES, inputs(cached=old)).verdict.basis is Basis.UNKNOWN_POLICY
    just = cached(age_ms=rules.cache_age_ms_max)
    assert evaluate(RULES, inputs(cached=just)).verdict.basis is Basis.CACHE


def test_a_clock_set_back_does_not_make_an_answer_too_old():
    assert evaluate(RULES, inputs(cached=cached(age_ms=-DAY_MS))).verdict.basis is Basis.CACHE


@pytest.mark.parametrize(
    ("mode", "known", "expected"),
    [
        (Mode.CONNECTED, True, Asking.AWAITED),
        (Mode.CONNECTED, False, Asking.AWAITED),
        (Mode.DEGRADED, True, Asking.BESIDE),
        (Mode.DEGRADED, False, Asking.AWAITED),
        (Mode.AUTONOMOUS, False, Asking.NOT),
        (Mode.AUTONOMOUS, True, Asking.NOT),
        (Mode.RECOVERY, True, Asking.BESIDE),
        (Mode.RECOVERY, False, Asking.AWAITED),
    ],
)
def test_whether_the_cloud_is_asked_and_awaited(mode, known, expected):
    assert asking(RULES, inputs(mode, listed=listed() if known else None)) is expected


def test_a_budget_of_nothing_asks_nobody():
    rules = Rules(
        version=1,
        authorise=AuthoriseByMode(connected=AuthoriseRules(ask_cloud=True, budget_ms=0)),
    )
    assert asking(rules, inputs(Mode.CONNECTED)) is Asking.NOT


statuses = st.sampled_from(TokenStatus)
times = st.one_of(st.none(), st.integers(AT_MS - 10 * DAY_MS, AT_MS + 10 * DAY_MS))
all_inputs = st.builds(
    AuthoriseInputs,
    at_ms=st.just(AT_MS),
    mode=st.sampled_from(Mode),
    driver_token_hash=st.just("5f" * 16),
    listed=st.none()
    | st.builds(
        ListedToken, driver_token=st.just("5f" * 16), status=statuses, valid_until_ms=times
    ),
    list_version=st.integers(0, 9),
    cached=st.none()
    | st.builds(
        CachedToken,
        status=statuses,
        valid_until_ms=times,
        answered_at_ms=st.integers(AT_MS - 10 * DAY_MS, AT_MS + DAY_MS),
    ),
    cloud=st.sampled_from(CloudAnswer),
    cloud_status=st.none() | statuses,
)


@given(given_inputs=all_inputs, rules=st.sampled_from([RULES, OPEN]))
def test_a_journaled_decision_evaluates_to_itself(given_inputs, rules):
    ruling = evaluate(rules, given_inputs)
    fact = DecisionMade(
        decision="d",
        charge_point="CP",
        rules_version=rules.version,
        clause=ruling.clause,
        inputs=given_inputs,
        verdict=ruling.verdict,
        explanation=ruling.explanation,
    )
    assert holds(rules, DecisionMade.from_bytes(fact.to_bytes()))


@given(given_inputs=all_inputs, rules=st.sampled_from([RULES, OPEN]))
def test_what_is_always_true_of_a_verdict(given_inputs, rules):
    verdict = evaluate(rules, given_inputs).verdict
    assert verdict.flagged == (verdict.basis is Basis.UNKNOWN_POLICY and verdict.status is ACCEPTED)
    if verdict.basis is Basis.CLOUD:
        assert given_inputs.cloud is CloudAnswer.ANSWERED
    if given_inputs.listed and given_inputs.mode is not Mode.CONNECTED:
        assert verdict.basis is Basis.LIST
    known = given_inputs.listed or given_inputs.cached
    if verdict.status is ACCEPTED and verdict.basis in (Basis.LIST, Basis.CACHE):
        assert known is not None
    assert given_inputs.driver_token_hash not in evaluate(rules, given_inputs).explanation
