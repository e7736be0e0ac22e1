"""Goal: which word about a driver token counts: whitelist kinds, what was said since, groups, validity, sessions
that run already, and what becomes of strangers. The same inputs give the same verdict (I5).

Method: tables, one per rule, then Hypothesis over all inputs for what may never happen.
"""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contracts.decision import (
    AuthMethod,
    AuthoriseInputs,
    Basis,
    CachedToken,
    CloudAnswer,
    DecisionMade,
    Revocation,
    RunningSession,
    auth_method,
)
from holdfast.contracts.driver_tokens import (
    ListedToken,
    TokenStatus,
    TokenType,
    Whitelist,
)
from holdfast.contracts.mode import Mode
from holdfast.contracts.rules import (
    AuthoriseByMode,
    AuthoriseRules,
    Concurrent,
    GroupStatus,
    Rules,
    UnknownToken,
)
from rule_service.domain.authorise import Asking, asking, evaluate
from rule_service.domain.reevaluate import holds
from rule_service.domain.sources import whitelist

AT_MS = 1_750_000_000_000
DAY_MS = 86_400_000
HASH = "5f" * 16
MARGIN_MS = Rules(version=1).modes.clock_offset_ms_max
ACCEPTED, BLOCKED, EXPIRED, INVALID, CONCURRENT = TokenStatus
NEGATIVE = (BLOCKED, EXPIRED, INVALID)
ALWAYS, ALLOWED, ALLOWED_OFFLINE, NEVER = Whitelist
STRANGERS = (Basis.UNKNOWN_POLICY, Basis.FREE_VEND)


def rules_with(unknown=UnknownToken.REFUSE, *, more=None, **by_mode):
    modes = {
        mode.value: AuthoriseRules(
            ask_cloud=mode is not Mode.AUTONOMOUS, unknown=unknown, **by_mode
        )
        for mode in Mode
    }
    return Rules(version=3, authorise=AuthoriseByMode(**modes, **(more or {})))


RULES = rules_with()
ALL_RULES = [
    rules_with(
        unknown, concurrent=concurrent, unknown_energy_wh_max=cap, more={"group_status": group}
    )
    for unknown, concurrent, cap, group in product(
        UnknownToken, Concurrent, (None, 5_000), GroupStatus
    )
]


def inputs(mode=Mode.AUTONOMOUS, *, said=None, cloud=None, **more):
    answer = cloud or (CloudAnswer.ANSWERED if said else CloudAnswer.NOT_ASKED)
    filled = {"listed": None, "cached": None, "list_version": 7, **more}
    return AuthoriseInputs(
        at_ms=AT_MS,
        mode=mode,
        driver_token_hash=HASH,
        cloud=answer,
        cloud_status=said,
        **filled,
    )


def listed(status=ACCEPTED, *, as_of_ms=AT_MS - DAY_MS, **more):
    return ListedToken(driver_token=HASH, status=status, as_of_ms=as_of_ms, **more)


def cached(status=ACCEPTED, age_ms=DAY_MS, **more):
    return CachedToken(status=status, answered_at_ms=AT_MS - age_ms, **more)


def revoked(status=BLOCKED, age_ms=60_000, known=True):
    return Revocation(status=status, said_at_ms=AT_MS - age_ms, known=known)


def verdict_of(rules, given_inputs):
    return evaluate(rules, given_inputs).verdict


# --- whitelist kinds ---

WHITELIST_TABLE = [
    # kind, mode, asked how, status and basis without an answer, status and basis when the cloud says Blocked
    (ALWAYS, Mode.CONNECTED, Asking.NOT, (ACCEPTED, Basis.LIST), (ACCEPTED, Basis.LIST)),
    (ALWAYS, Mode.DEGRADED, Asking.NOT, (ACCEPTED, Basis.LIST), (ACCEPTED, Basis.LIST)),
    (ALWAYS, Mode.AUTONOMOUS, Asking.NOT, (ACCEPTED, Basis.LIST), (ACCEPTED, Basis.LIST)),
    (ALWAYS, Mode.RECOVERY, Asking.NOT, (ACCEPTED, Basis.LIST), (ACCEPTED, Basis.LIST)),
    (ALLOWED, Mode.CONNECTED, Asking.BESIDE, (ACCEPTED, Basis.LIST), (ACCEPTED, Basis.LIST)),
    (ALLOWED, Mode.DEGRADED, Asking.BESIDE, (ACCEPTED, Basis.LIST), (ACCEPTED, Basis.LIST)),
    (ALLOWED, Mode.AUTONOMOUS, Asking.NOT, (ACCEPTED, Basis.LIST), (ACCEPTED, Basis.LIST)),
    (ALLOWED, Mode.RECOVERY, Asking.BESIDE, (ACCEPTED, Basis.LIST), (ACCEPTED, Basis.LIST)),
    (
        ALLOWED_OFFLINE,
        Mode.CONNECTED,
        Asking.AWAITED,
        (ACCEPTED, Basis.LIST),
        (BLOCKED, Basis.CLOUD),
    ),
    (
        ALLOWED_OFFLINE,
        Mode.DEGRADED,
        Asking.AWAITED,
        (ACCEPTED, Basis.LIST),
        (BLOCKED, Basis.CLOUD),
    ),
    (ALLOWED_OFFLINE, Mode.AUTONOMOUS, Asking.NOT, (ACCEPTED, Basis.LIST), (BLOCKED, Basis.CLOUD)),
    (
        ALLOWED_OFFLINE,
        Mode.RECOVERY,
        Asking.AWAITED,
        (ACCEPTED, Basis.LIST),
        (BLOCKED, Basis.CLOUD),
    ),
    (NEVER, Mode.CONNECTED, Asking.AWAITED, (INVALID, Basis.LIST), (BLOCKED, Basis.CLOUD)),
    (NEVER, Mode.DEGRADED, Asking.AWAITED, (INVALID, Basis.LIST), (BLOCKED, Basis.CLOUD)),
    (NEVER, Mode.AUTONOMOUS, Asking.NOT, (INVALID, Basis.LIST), (BLOCKED, Basis.CLOUD)),
    (NEVER, Mode.RECOVERY, Asking.AWAITED, (INVALID, Basis.LIST), (BLOCKED, Basis.CLOUD)),
    (None, Mode.CONNECTED, Asking.AWAITED, (ACCEPTED, Basis.LIST), (BLOCKED, Basis.CLOUD)),
    (None, Mode.DEGRADED, Asking.BESIDE, (ACCEPTED, Basis.LIST), (ACCEPTED, Basis.LIST)),
]


@pytest.mark.parametrize(("kind", "mode", "asks", "alone", "said_blocked"), WHITELIST_TABLE)
def test_each_whitelist_kind_in_each_mode(kind, mode, asks, alone, said_blocked):
    token = listed(whitelist=kind)
    assert asking(RULES, inputs(mode, listed=token)) is asks
    unanswered = verdict_of(RULES, inputs(mode, listed=token, cloud=CloudAnswer.TOO_LATE))
    assert (unanswered.status, unanswered.basis) == alone
    answered = verdict_of(RULES, inputs(mode, listed=token, said=BLOCKED))
    assert (answered.status, answered.basis) == said_blocked
    if kind is not None:
        assert kind in evaluate(RULES, inputs(mode, listed=token)).explanation
        assert kind in evaluate(RULES, inputs(mode, listed=token, said=BLOCKED)).explanation


@pytest.mark.parametrize("mode", Mode)
def test_never_is_accepted_by_the_cloud_and_by_nobody_else(mode):
    token = listed(whitelist=NEVER)
    assert verdict_of(RULES, inputs(mode, listed=token, said=ACCEPTED)).basis is Basis.CLOUD
    ruling = evaluate(rules_with(UnknownToken.FREE_VEND), inputs(mode, listed=token))
    assert (ruling.verdict.status, ruling.verdict.basis) == (INVALID, Basis.LIST)
    assert ruling.clause == f"authorise.{mode}.whitelist"
    assert "NEVER" in ruling.explanation


def test_an_answer_that_says_never_does_not_age_into_a_stranger():
    old = cached(age_ms=30 * DAY_MS, whitelist=NEVER)
    verdict = verdict_of(rules_with(UnknownToken.ACCEPT_FLAGGED), inputs(cached=old))
    assert (verdict.status, verdict.basis) == (INVALID, Basis.CACHE)


def test_allowed_waits_for_the_cloud_where_the_site_itself_would_refuse():
    given_inputs = inputs(Mode.CONNECTED, listed=listed(whitelist=ALLOWED), revoked=revoked())
    assert asking(RULES, given_inputs) is Asking.AWAITED
    lifted = given_inputs.model_copy(
        update={"cloud": CloudAnswer.ANSWERED, "cloud_status": ACCEPTED}
    )
    assert verdict_of(RULES, lifted).basis is Basis.CLOUD


def test_the_kind_of_the_list_goes_before_the_kind_of_an_answer_but_for_never():
    for of_list, of_cache, expected in (
        (ALLOWED, ALWAYS, ALLOWED),
        (None, ALWAYS, ALWAYS),
        (ALWAYS, NEVER, NEVER),
        (NEVER, ALWAYS, NEVER),
    ):
        given_inputs = inputs(listed=listed(whitelist=of_list), cached=cached(whitelist=of_cache))
        assert whitelist(RULES, given_inputs) is expected


# --- which word is newer ---


@pytest.mark.parametrize("status", NEGATIVE)
@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"listed": listed(as_of_ms=AT_MS - DAY_MS)}, False),
        ({"listed": listed(as_of_ms=AT_MS - 60_000 + MARGIN_MS)}, False),
        ({"listed": listed(as_of_ms=AT_MS - 60_000 + MARGIN_MS + 1)}, True),
        ({"listed": listed(as_of_ms=0)}, False),
        ({"cached": cached(age_ms=60_001)}, False),
        ({"cached": cached(age_ms=60_000)}, False),
        ({"cached": cached(age_ms=59_999)}, True),
        ({"listed": listed(), "cached": cached(age_ms=59_999)}, True),
        ({}, False),
    ],
    ids=[
        "older list",
        "list within what clocks differ",
        "newer list",
        "list without a time",
        "older answer",
        "answer of the same moment",
        "newer answer",
        "older list and newer answer",
        "neither",
    ],
)
def test_a_revocation_stands_until_a_newer_word_for_the_token(status, known, expected):
    ruling = evaluate(rules_with(UnknownToken.FREE_VEND), inputs(revoked=revoked(status), **known))
    assert (ruling.verdict.status is ACCEPTED) == expected
    if not expected:
        assert ruling.verdict.status is status
        assert ruling.clause == "authorise.autonomous.revoked"


def test_a_revocation_does_not_age_as_an_answer_does():
    old = revoked(age_ms=400 * DAY_MS)
    assert (
        verdict_of(rules_with(UnknownToken.ACCEPT_FLAGGED), inputs(revoked=old)).status is BLOCKED
    )


def test_a_refusing_answer_newer_than_the_list_goes_before_it_also_from_an_older_store():
    newer = cached(BLOCKED, age_ms=60_000)
    assert verdict_of(RULES, inputs(listed=listed(), cached=newer)).status is BLOCKED
    since = listed(as_of_ms=AT_MS)
    assert verdict_of(RULES, inputs(listed=since, cached=newer)).status is ACCEPTED


def test_a_stranger_whom_the_cloud_did_not_know_stays_one():
    stranger = revoked(INVALID, known=False)
    by_policy = verdict_of(rules_with(UnknownToken.ACCEPT_FLAGGED), inputs(revoked=stranger))
    assert (by_policy.status, by_policy.basis) == (ACCEPTED, Basis.UNKNOWN_POLICY)
    of_old = inputs(revoked=stranger, listed=listed())
    assert verdict_of(rules_with(UnknownToken.ACCEPT_FLAGGED), of_old).status is INVALID


def test_a_decision_of_before_lists_had_a_time_still_gives_its_verdict():
    then = inputs(Mode.DEGRADED, listed=listed(as_of_ms=None), cached=cached(BLOCKED))
    assert (verdict_of(RULES, then).status, verdict_of(RULES, then).basis) == (ACCEPTED, Basis.LIST)


# --- validity, groups ---


@pytest.mark.parametrize(
    ("from_ms", "until_ms", "status", "expected"),
    [
        (None, None, ACCEPTED, ACCEPTED),
        (AT_MS, AT_MS + 1, ACCEPTED, ACCEPTED),
        (AT_MS + 1, None, ACCEPTED, INVALID),
        (None, AT_MS, ACCEPTED, EXPIRED),
        (AT_MS + 1, None, BLOCKED, BLOCKED),
        (None, AT_MS, BLOCKED, BLOCKED),
    ],
)
def test_validity_of_a_listed_token(from_ms, until_ms, status, expected):
    token = listed(status, valid_from_ms=from_ms, valid_until_ms=until_ms)
    assert verdict_of(RULES, inputs(listed=token)).status is expected
    member = inputs(listed=listed(parent="FLEET"), group=token)
    assert verdict_of(RULES, member).status is expected


@pytest.mark.parametrize(
    "known", [{"listed": listed(parent="FLEET")}, {"cached": cached(parent="FLEET")}]
)
def test_a_blocked_group_blocks_its_members_by_rule(known):
    given_inputs = inputs(group=listed(BLOCKED), **known)
    ruling = evaluate(RULES, given_inputs)
    assert (ruling.verdict.status, ruling.clause) == (BLOCKED, "authorise.group_status")
    assert ruling.verdict.parent == "FLEET"
    ignoring = rules_with(more={"group_status": GroupStatus.IGNORE})
    assert verdict_of(ignoring, given_inputs).status is ACCEPTED


def test_a_group_that_is_accepted_saves_no_blocked_member():
    assert verdict_of(RULES, inputs(listed=listed(BLOCKED), group=listed())).status is BLOCKED


def test_a_group_is_no_driver_token():
    free = rules_with(UnknownToken.FREE_VEND)
    posing = inputs(listed=listed(), token_type=TokenType.GROUP)
    assert verdict_of(free, posing).status is INVALID


# --- sessions that run already ---

RUNNING = RunningSession(
    session="CP-02/7", charge_point="CP-02", connector=1, started_at_ms=AT_MS - 3_600_000
)
LOST = RUNNING.model_copy(update={"started_at_ms": AT_MS - DAY_MS - 1})


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"running": (RUNNING,)}, CONCURRENT),
        ({"running": (RUNNING,), "starts_session": False}, ACCEPTED),
        ({"running": ()}, ACCEPTED),
        ({"running": (LOST,)}, ACCEPTED),
        ({"running": (LOST, RUNNING)}, CONCURRENT),
        ({"running": (RUNNING,), "token_type": TokenType.NO_AUTHORIZATION}, ACCEPTED),
    ],
)
def test_a_second_session_of_a_driver_token(mode, more, expected):
    given_inputs = inputs(mode, listed=listed(), **{"starts_session": True, **more})
    ruling = evaluate(RULES, given_inputs)
    assert ruling.verdict.status is expected
    if expected is CONCURRENT:
        assert ruling.clause == f"authorise.{mode}.concurrent"
    assert verdict_of(rules_with(concurrent=Concurrent.ALLOW), given_inputs).status is ACCEPTED


def test_whoever_answers_for_the_driver_may_allow_a_second_session():
    given_inputs = inputs(
        Mode.CONNECTED, listed=listed(), said=ACCEPTED, starts_session=True, running=(RUNNING,)
    )
    assert verdict_of(RULES, given_inputs).basis is Basis.CLOUD


# --- strangers ---


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(
    ("policy", "cap_wh", "expected"),
    [
        (UnknownToken.REFUSE, 5_000, (INVALID, Basis.UNKNOWN_POLICY, False, None)),
        (UnknownToken.ACCEPT_FLAGGED, 5_000, (ACCEPTED, Basis.UNKNOWN_POLICY, True, 5_000)),
        (UnknownToken.ACCEPT_FLAGGED, None, (ACCEPTED, Basis.UNKNOWN_POLICY, True, None)),
        (UnknownToken.FREE_VEND, 5_000, (ACCEPTED, Basis.FREE_VEND, True, 5_000)),
    ],
)
def test_what_becomes_of_a_stranger(mode, policy, cap_wh, expected):
    verdict = verdict_of(rules_with(policy, unknown_energy_wh_max=cap_wh), inputs(mode))
    assert (verdict.status, verdict.basis, verdict.flagged, verdict.energy_wh_max) == expected


@pytest.mark.parametrize(
    ("basis", "flagged", "status"),
    list(product([*Basis, None], [False, True], [*TokenStatus, None])),
)
def test_only_a_list_or_an_answer_ever_passes_as_a_whitelist_authorisation(basis, flagged, status):
    method = auth_method(basis, flagged=flagged, status=status)
    if method is AuthMethod.WHITELIST:
        assert (basis, flagged, status) in [
            (Basis.LIST, False, ACCEPTED),
            (Basis.CACHE, False, ACCEPTED),
        ]
    if flagged or basis in STRANGERS or status is not ACCEPTED:
        assert method is None


# --- always ---

statuses = st.sampled_from(TokenStatus)
kinds = st.none() | st.sampled_from(Whitelist)
times = st.one_of(st.none(), st.integers(AT_MS - 10 * DAY_MS, AT_MS + 10 * DAY_MS))
moments = st.integers(AT_MS - 10 * DAY_MS, AT_MS)
entries = st.builds(
    ListedToken,
    driver_token=st.just(HASH),
    status=statuses,
    valid_from_ms=times,
    valid_until_ms=times,
    whitelist=kinds,
    as_of_ms=moments,
)
all_inputs = st.builds(
    AuthoriseInputs,
    at_ms=st.just(AT_MS),
    mode=st.sampled_from(Mode),
    driver_token_hash=st.just(HASH),
    listed=st.none() | entries,
    list_version=st.integers(0, 9),
    cached=st.none()
    | st.builds(
        CachedToken, status=statuses, valid_until_ms=times, answered_at_ms=moments, whitelist=kinds
    ),
    cloud=st.sampled_from(CloudAnswer),
    cloud_status=st.none() | statuses,
    token_type=st.sampled_from(TokenType),
    revoked=st.none()
    | st.builds(
        Revocation, status=st.sampled_from(NEGATIVE), said_at_ms=moments, known=st.booleans()
    ),
    group=st.none() | entries,
    starts_session=st.booleans(),
    running=st.sampled_from([(), (RUNNING,), (LOST,)]),
)
some_rules = st.sampled_from(ALL_RULES)


@given(given_inputs=all_inputs, rules=some_rules)
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
    assert HASH not in ruling.explanation


@given(given_inputs=all_inputs, rules=some_rules)
def test_never_is_never_accepted_by_the_site(given_inputs, rules):
    said = [one.whitelist for one in (given_inputs.listed, given_inputs.cached) if one]
    verdict = verdict_of(rules, given_inputs)
    if NEVER in said and verdict.status is ACCEPTED:
        assert verdict.basis is Basis.CLOUD


@given(given_inputs=all_inputs, rules=some_rules)
def test_always_asks_nobody(given_inputs, rules):
    kind = whitelist(rules, given_inputs)
    if kind is ALWAYS:
        assert asking(rules, given_inputs) is Asking.NOT
    if given_inputs.mode is Mode.AUTONOMOUS:
        assert asking(rules, given_inputs) is Asking.NOT


@given(given_inputs=all_inputs, rules=some_rules)
def test_a_revoked_token_is_accepted_by_nothing_older(given_inputs, rules):
    word, verdict = given_inputs.revoked, verdict_of(rules, given_inputs)
    if word is None or verdict.status is not ACCEPTED or verdict.basis is Basis.CLOUD:
        return
    said_ms = word.said_at_ms
    newer_list = given_inputs.listed and given_inputs.listed.as_of_ms > said_ms + MARGIN_MS
    newer_answer = given_inputs.cached and given_inputs.cached.answered_at_ms > said_ms
    assert newer_list or newer_answer or (not word.known and verdict.basis in STRANGERS)


@given(given_inputs=all_inputs, rules=some_rules)
def test_strangers_and_whitelisted_are_never_mistaken_for_each_other(given_inputs, rules):
    verdict = verdict_of(rules, given_inputs)
    is_stranger = verdict.basis in STRANGERS
    assert verdict.flagged == (is_stranger and verdict.status is ACCEPTED)
    assert verdict.energy_wh_max is None or verdict.flagged
    if verdict.status is ACCEPTED and verdict.basis is Basis.LIST:
        assert given_inputs.listed is not None
    if verdict.status is ACCEPTED and verdict.basis is Basis.CACHE:
        assert given_inputs.cached is not None
    method = auth_method(verdict.basis, flagged=verdict.flagged, status=verdict.status)
    assert not (is_stranger and method)
