"""What became of rule bundles in a drill: read off the journal, and each thing that must not be is found."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.contracts.envelope import ContractError, Envelope, Fact, body_of
from holdfast.contracts.mode import Mode, ModeChanged, Reason
from holdfast.contracts.rules import RulesActivated, RulesRefused, SignedRules
from holdfast.standing import parse_rules
from holdfast_cli.drill import rules
from holdfast_cli.drill.bundles import Bundle, bundles, signed
from holdfast_cli.drill.scenario import ExpectRules
from holdfast_cli.drill.steps import PublishRules
from rule_service.domain.bundle import Policy, State, verified
from rule_service.domain.signatures import public_hex

PUBLISHED_MS = {"newer": 40, "forged": 5, "outdated": 6}
EXPECT = ExpectRules(
    activated={"newer": ("recovery", "connected")},
    refused={"forged": "altered", "outdated": "not newer"},
)


def step(id: str, how: str = "good", **more: object) -> PublishRules:
    return PublishRules.model_validate(
        {"at_s": 1, "do": "publish-rules", "id": id, "how": how, **more}
    )


BUNDLES = bundles(
    {"version": 3}, [step("forged", "tampered"), step("outdated", "older"), step("newer")]
)


def mode(name: str) -> ModeChanged:
    return ModeChanged(
        previous=None,
        mode=Mode(name),
        reasons=(Reason.STARTED,),
        since_ms=0,
        disruption="d",
        detail="",
    )


def activated(version: int, previous: int) -> RulesActivated:
    return RulesActivated(version=version, hash="h", text="", previous_version=previous)


FORGED = RulesRefused(version=4, reason="it was altered")
OUTDATED = RulesRefused(version=2, reason="version 2 is not newer than 3")
GOOD: tuple[Fact, ...] = (
    activated(3, 0), mode("connected"), FORGED, OUTDATED, mode("autonomous"), mode("recovery"), activated(5, 3),
)  # fmt: skip


def journal(*facts: Fact) -> list[Envelope]:
    """Ten milliseconds apart."""
    return [
        Envelope(
            id=f"e{seq}", type=fact.TYPE, at_ms=10 * seq, site="berlin01", incarnation="aaaaaaaa", source="s",
            body=body_of(fact),
        )
        for seq, fact in enumerate(facts)
    ]  # fmt: skip


def found(*facts: Fact) -> list[str]:
    account = rules.account(journal(*facts), BUNDLES, PUBLISHED_MS)
    return list(rules.problems(account, BUNDLES, EXPECT))


def test_versions_go_up_with_each_bundle_and_down_with_each_older_one():
    assert {it.id: it.version for it in BUNDLES.values()} == {
        "forged": 4,
        "outdated": 2,
        "newer": 5,
    }
    with pytest.raises(ValueError, match="a higher version than 1"):
        bundles({}, [step("outdated", "older")])


def test_a_bundle_activated_after_the_cut_and_two_refused_pass_with_their_figures():
    assert found(*GOOD) == []
    account = rules.account(journal(*GOOD), BUNDLES, PUBLISHED_MS)
    newer = account.activations[1]
    assert (newer.id, newer.mode, newer.waited_ms) == ("newer", "recovery", 20)
    assert [(one.id, one.version) for one in account.refusals] == [("forged", 4), ("outdated", 2)]


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        (GOOD[:-1], "rules newer (version 5) were never activated"),
        ((*GOOD[:5], activated(5, 3)), "activated while the site was autonomous"),
        ((*GOOD[:4], mode("degraded"), activated(5, 3)), "were activated in degraded"),
        ((*GOOD[:2], activated(5, 3), FORGED, OUTDATED), "20 ms before they were published"),
        ((*GOOD, activated(4, 5)), "rules forged (tampered) were activated"),
        ((*GOOD, activated(4, 5)), "took the place of the newer 5"),
        (tuple(one for one in GOOD if one is not FORGED), "rules forged (version 4) were never"),
        ((*GOOD[:2], RulesRefused(version=4, reason="x"), *GOOD[3:]), "expected 'altered' in it"),
        ((*GOOD[:-1], RulesRefused(version=5, reason="x")), "newer, which are good, were refused"),
    ],
)
def test_each_thing_that_must_not_be_is_found(facts: tuple[Fact, ...], word: str):
    assert any(word in problem for problem in found(*facts)), found(*facts)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("good", ""),
        ("tampered", "altered"),
        ("wrong-site", "not-this-site"),
        ("unknown-clause", "a_clause_that_nobody_knows"),
        ("foreign-key", "does not trust"),
    ],
)
def test_each_hostile_bundle_is_hostile_for_the_reason_it_is_named_for(how: str, why: str):
    key, stranger = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    made: Bundle = bundles({}, [step("it", how)])["it"]
    policy = Policy(site="berlin01", trusted_keys=frozenset({public_hex(key)}))
    whole: SignedRules = signed(made, key, stranger)
    if not why:
        assert verified(policy, State(), whole).version == parse_rules(made.text).version == 2
        return
    with pytest.raises(ContractError, match=why):
        verified(policy, State(), whole)
