"""What each recovery step's evidence is worth: reached, not applicable, not comparable, or not yet."""

from __future__ import annotations

import pytest

from holdfast.contracts.mode import CsmsState
from holdfast.contracts.recovery import Digest, StepOutcome
from holdfast.contracts.rules import SiteLimit
from reconciler.domain.evidence import (
    CsmsSeen,
    DigestsSeen,
    Evidence,
    LanesSeen,
    LimitSeen,
    LinkSeen,
    RulesSeen,
    Silent,
    WatermarkSeen,
    judge,
)


def digest(text: str | None = "d1", version: int = 1, reason: str = "", seq: int = 3) -> Digest:
    return Digest(
        incarnation="aaaaaaaa",
        seq=seq,
        fold_version=version,
        digest=text,
        sessions=2,
        reason=reason,
    )


HELD = SiteLimit(id="L1", limit_a=32.0, valid_until_ms=100)


@pytest.mark.parametrize(
    ("evidence", "outcome", "words"),
    [
        (Silent("the cloud"), None, "no answer from the cloud"),
        (LinkSeen(False), None, "pulses still fail"),
        (WatermarkSeen(9), None, "up to 9, asked for 10"),
        (WatermarkSeen(10), StepOutcome.DONE, "up to 10, asked for 10"),
        (RulesSeen(3, 0), StepOutcome.NOT_APPLICABLE, "published no rules"),
        (RulesSeen(3, 4), None, "version 3 active, 4 desired"),
        (RulesSeen(4, 4), StepOutcome.DONE, "version 4 active"),
        (LimitSeen(50, None, HELD), StepOutcome.NOT_APPLICABLE, "no current limit"),
        (LimitSeen(50, "L1", None), None, "none held"),
        (LimitSeen(50, "L2", HELD), None, "'L1' held"),
        (LimitSeen(100, "L1", HELD), None, "expired"),
        (LimitSeen(50, "L1", HELD), StepOutcome.DONE, "32 A"),
        (LanesSeen(tuple("abcdefg"), 0, 0), None, "and 2 more"),
        (LanesSeen((), 3, 5), None, "up to 3 of 5"),
        (LanesSeen((), 5, 5), StepOutcome.DONE, "every command"),
        (CsmsSeen(CsmsState.NONE), StepOutcome.NOT_APPLICABLE, "no CSMS"),
        (CsmsSeen(CsmsState.DOWN), None, "down"),
        (CsmsSeen(CsmsState.UP), StepOutcome.DONE, "up"),
        (DigestsSeen(digest(), digest(version=2)), StepOutcome.NOT_COMPARABLE, "fold version 1"),
        (
            DigestsSeen(digest(), digest(None, reason="a hole at 4")),
            StepOutcome.NOT_COMPARABLE,
            "hole",
        ),
        (DigestsSeen(digest(), digest(None, seq=8)), None, "the cloud has folded up to 8 of 10"),
        (DigestsSeen(digest("a"), digest("b")), None, "digests differ at 10"),
        (DigestsSeen(digest(), digest()), StepOutcome.DONE, "2 sessions"),
    ],
)
def test_each_kind_of_evidence_is_judged_by_its_rule(
    evidence: Evidence, outcome: StepOutcome | None, words: str
) -> None:
    judged, sentence = judge(evidence, 10)
    assert judged is outcome
    assert words in sentence
