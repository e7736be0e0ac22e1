"""What each recovery step's evidence is worth: reached, not applicable, not comparable, or not yet."""

from __future__ import annotations

import pytest

from holdfast.contracts.csms import CaughtUp
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


def caught_up(**changes: object) -> CaughtUp:
    behind = changes.get("behind", ())
    assert isinstance(behind, tuple)
    fields: dict[str, object] = {
        "csms": CsmsState.UP,
        "read": True,
        "behind": behind,
        "behind_count": len(behind),
        "waiting": 0,
        "open_points": (),
    }
    return CaughtUp.model_validate(fields | changes)


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
        (LanesSeen((), 5, 5, ("c9",)), StepOutcome.DONE, "wait c9"),
        (CsmsSeen(None), StepOutcome.NOT_APPLICABLE, "no CSMS"),
        (CsmsSeen(caught_up(csms=CsmsState.NONE)), StepOutcome.NOT_APPLICABLE, "no CSMS"),
        (CsmsSeen(caught_up(csms=CsmsState.DOWN)), None, "the CSMS is down"),
        (
            CsmsSeen(caught_up(csms=CsmsState.DOWN, behind=("A",), waiting=1)),
            None,
            "down: 1 message waits of 1 charge point: A",
        ),
        (CsmsSeen(caught_up(read=False)), None, "not read the site's journal up to 10"),
        (
            CsmsSeen(caught_up(behind=tuple("ABCDEF"), behind_count=40, waiting=900)),
            None,
            "900 messages wait of 40 charge points: A, B, C, D, E and 35 more",
        ),
        (
            CsmsSeen(caught_up(behind=("A",), waiting=2, open_points=("B is rejected",))),
            None,
            "2 messages wait of 1 charge point: A",
        ),
        (
            CsmsSeen(caught_up(open_points=("B is rejected", "a start of C in quarantine"))),
            StepOutcome.OPEN,
            "does not take everything: B is rejected; a start of C in quarantine",
        ),
        (CsmsSeen(caught_up()), StepOutcome.DONE, "everything of every charge point up to 10"),
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
