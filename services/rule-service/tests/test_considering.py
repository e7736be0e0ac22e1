"""Goal: "why not?" has an answer for every source: what it would have said alone, and why it did not decide.

Method: a table of drivers, each with the sentence of the source that did not decide; Hypothesis for what always holds.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contracts.decision import (
    AuthoriseInputs,
    CachedToken,
    CloudAnswer,
    Revocation,
    RunningSession,
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
from rule_service.domain.authorise import evaluate

AT_MS = 1_750_000_000_000
HOUR_MS = 3_600_000
HASH = "5f" * 16
RULES = Rules(version=3)
LOOSE = Rules(
    version=4,
    authorise=AuthoriseByMode(
        autonomous=AuthoriseRules(
            ask_cloud=False, unknown=UnknownToken.ACCEPT_FLAGGED, concurrent=Concurrent.ALLOW
        ),
        group_status=GroupStatus.IGNORE,
    ),
)
ACCEPTED, BLOCKED = TokenStatus.ACCEPTED, TokenStatus.BLOCKED


def listed(status=ACCEPTED, whitelist=None, as_of_ms=None, parent=None):
    return ListedToken(
        driver_token=HASH, status=status, whitelist=whitelist, as_of_ms=as_of_ms, parent=parent
    )


def asked(mode=Mode.AUTONOMOUS, **more):
    given = {
        "listed": None,
        "cached": None,
        "cloud": CloudAnswer.NOT_ASKED,
        "cloud_status": None,
        **more,
    }
    return AuthoriseInputs(at_ms=AT_MS, mode=mode, driver_token_hash=HASH, list_version=7, **given)


def said(inputs, rules=RULES):
    """By the last part of the clause."""
    return {one.clause.rpartition(".")[2]: one.said for one in evaluate(rules, inputs).considered}


CACHED = CachedToken(status=ACCEPTED, answered_at_ms=AT_MS - HOUR_MS)
REVOKED = Revocation(status=BLOCKED, said_at_ms=AT_MS - HOUR_MS)
RUNNING = (
    RunningSession(session="CP-02/9", charge_point="CP-02", connector=1, started_at_ms=AT_MS - 1),
)


@pytest.mark.parametrize(
    ("inputs", "rules", "part", "sentence"),
    [
        (asked(), RULES, "revoked", "nothing was said against"),
        (asked(), RULES, "list", "not on the local list (version 7)"),
        (asked(), RULES, "cache", "no earlier answer"),
        (asked(), RULES, "ask_cloud", "not asked: the rules ask nobody in autonomous"),
        (asked(), RULES, "concurrent", "no session begins"),
        (
            asked(cached=CACHED, listed=listed()),
            RULES,
            "cache",
            "alone Accepted: the cloud said so 60 minutes ago; list comes before it",
        ),
        (
            asked(cached=CachedToken(status=ACCEPTED, answered_at_ms=1)),
            RULES,
            "cache",
            "is older than 10080 minutes",
        ),
        (
            asked(revoked=REVOKED, listed=listed()),
            RULES,
            "list",
            "alone Accepted: the local list (version 7) says so; revoked comes before it",
        ),
        (
            asked(revoked=REVOKED, listed=listed(as_of_ms=AT_MS)),
            RULES,
            "revoked",
            "Blocked was said, and a newer word",
        ),
        (
            asked(revoked=Revocation(status=TokenStatus.INVALID, said_at_ms=1, known=False)),
            RULES,
            "revoked",
            "a stranger, no more",
        ),
        (
            asked(listed=listed(whitelist=Whitelist.NEVER)),
            RULES,
            "list",
            "its whitelist kind goes over it",
        ),
        (
            asked(
                Mode.CONNECTED,
                listed=listed(whitelist=Whitelist.NEVER),
                cloud=CloudAnswer.ANSWERED,
                cloud_status=ACCEPTED,
            ),
            RULES,
            "whitelist",
            "only the cloud may accept this driver token (NEVER); ask_cloud comes before it",
        ),
        (asked(listed=listed(BLOCKED, Whitelist.NEVER)), RULES, "whitelist", "and did not"),
        (
            asked(Mode.CONNECTED, listed=listed(whitelist=Whitelist.ALWAYS)),
            RULES,
            "ask_cloud",
            "the whitelist kind is ALWAYS",
        ),
        (
            asked(Mode.CONNECTED, listed=listed(), cloud=CloudAnswer.TOO_LATE),
            RULES,
            "ask_cloud",
            "no answer within 800 ms",
        ),
        (
            asked(Mode.DEGRADED, listed=listed(), cloud=CloudAnswer.NOT_AWAITED),
            RULES,
            "ask_cloud",
            "did not wait",
        ),
        (
            asked(
                Mode.DEGRADED,
                listed=listed(BLOCKED),
                cloud=CloudAnswer.ANSWERED,
                cloud_status=ACCEPTED,
            ),
            RULES,
            "ask_cloud",
            "alone Accepted: the cloud says so; list comes before it",
        ),
        (
            asked(listed=listed(parent="g"), group=listed(BLOCKED)),
            RULES,
            "list",
            "its group goes over it",
        ),
        (asked(listed=listed(parent="g"), group=listed(BLOCKED)), LOOSE, "group_status", "by rule"),
        (
            asked(listed=listed(parent="g"), group=listed()),
            RULES,
            "group_status",
            "the group is accepted",
        ),
        (
            asked(listed=listed()),
            LOOSE,
            "unknown",
            "alone Accepted: the rule for unknown driver tokens in autonomous is accept-flagged; list comes before it",
        ),
        (
            asked(listed=listed(), starts_session=True, running=RUNNING),
            RULES,
            "list",
            "the session that runs goes over it",
        ),
        (
            asked(listed=listed(), starts_session=True, running=RUNNING),
            LOOSE,
            "concurrent",
            "by rule one driver token may",
        ),
        (
            asked(
                Mode.CONNECTED,
                cloud=CloudAnswer.ANSWERED,
                cloud_status=ACCEPTED,
                starts_session=True,
                running=RUNNING,
            ),
            RULES,
            "concurrent",
            "its word stands",
        ),
        (
            asked(
                listed=listed(),
                starts_session=True,
                running=(RUNNING[0].model_copy(update={"started_at_ms": 0}),),
            ),
            RULES,
            "concurrent",
            "taken for lost",
        ),
        (
            asked(starts_session=True, running=RUNNING),
            RULES,
            "concurrent",
            "not accepted in any case",
        ),
    ],
)
def test_a_source_that_did_not_decide_says_why(inputs, rules, part, sentence):
    assert sentence in said(inputs, rules)[part]


def test_the_order_is_that_in_which_the_sources_count():
    local = ["revoked", "list", "cache", "whitelist", "group_status"]
    last = ["unknown", "concurrent"]
    assert list(said(asked(Mode.DEGRADED))) == [*local, "ask_cloud", *last]
    assert list(said(asked(Mode.CONNECTED))) == ["ask_cloud", *local, *last]


def test_a_group_is_no_driver_token_and_nothing_else_is_looked_at():
    (one,) = evaluate(RULES, asked(token_type=TokenType.GROUP)).considered
    assert (one.decided, one.said) == (True, "Invalid: a group is no driver token")


words = st.sampled_from(TokenStatus)
moments = st.integers(AT_MS - 10 * 24 * HOUR_MS, AT_MS + HOUR_MS)
on_list = st.none() | st.builds(
    ListedToken,
    driver_token=st.just(HASH),
    status=words,
    whitelist=st.none() | st.sampled_from(Whitelist),
    as_of_ms=st.none() | moments,
    valid_until_ms=st.none() | moments,
)
any_inputs = st.builds(
    AuthoriseInputs,
    at_ms=st.just(AT_MS),
    mode=st.sampled_from(Mode),
    driver_token_hash=st.just(HASH),
    token_type=st.sampled_from(TokenType),
    listed=on_list,
    list_version=st.just(7),
    group=on_list,
    cached=st.none()
    | st.builds(
        CachedToken,
        status=words,
        answered_at_ms=moments,
        whitelist=st.none() | st.sampled_from(Whitelist),
    ),
    cloud=st.sampled_from(CloudAnswer),
    cloud_status=st.none() | words,
    revoked=st.none()
    | st.builds(Revocation, status=words, said_at_ms=moments, known=st.booleans()),
    starts_session=st.booleans(),
    running=st.sampled_from([(), RUNNING]),
)


@given(inputs=any_inputs, rules=st.sampled_from([RULES, LOOSE]))
def test_exactly_one_source_decided_and_it_is_the_clause_that_is_named(inputs, rules):
    ruling = evaluate(rules, inputs)
    deciders = [one for one in ruling.considered if one.decided]
    assert [(one.clause, one.said) for one in deciders] == [(ruling.clause, ruling.explanation)]
    clauses = [one.clause for one in ruling.considered]
    assert len(set(clauses)) == len(clauses)
    assert len(clauses) == (1 if inputs.token_type is TokenType.GROUP else 8)
    for one in ruling.considered:
        assert HASH not in one.said
        assert one.said == one.said.strip("; ")
