"""Goal: which rules are active is always known, signed, newer than before, pinned while cut off (F12, F16).

Method: bundles signed with real keys are offered to the pure core; Hypothesis offers them in any order and mode.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contracts.envelope import ContractError
from holdfast.contracts.life import RefusedFor
from holdfast.contracts.mode import Mode
from holdfast.contracts.rules import RulesActivated, RulesRefused
from rule_service.domain.bundle import (
    Bundle,
    ModeStands,
    Offered,
    Policy,
    Recalled,
    RecalledRefusal,
    Record,
    Refusal,
    SafePoint,
    State,
    Unreadable,
    decide,
    read_rules,
    why_not_now,
)
from rule_service.domain.bundle_text import with_version
from rule_service.domain.signatures import public_hex, sign

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(32))
POLICY = Policy(site="berlin01", trusted_keys=frozenset({public_hex(KEY)}))
CONNECTED = State(mode=Mode.CONNECTED)


def text(version, **more):
    return f"version: {version}\n" + "".join(f"{key}: {value}\n" for key, value in more.items())


def signed(version, key=KEY, **more):
    return sign(key, version, text(version, **more))


def bundle(version):
    return Bundle(text(version), read_rules(text(version)))


def play(state, *events, policy=POLICY):
    """The state after all, and every fact on the way; a safe point after each event."""
    facts = []
    for event in events:
        for one in (event, SafePoint(event.mode if isinstance(event, ModeStands) else state.mode)):
            state, effects = decide(policy, state, one)
            facts += [effect.fact for effect in effects if isinstance(effect, Record)]
    return state, facts


def test_the_first_bundle_is_activated_in_any_mode_with_its_text():
    for mode in Mode:
        state, [fact] = play(State(mode=mode), Offered(signed(1), provisioned=True))
        assert state.version == 1
        assert fact == RulesActivated(
            version=1, hash=bundle(1).hash, text=text(1), previous_version=0, key=public_hex(KEY)
        )


def test_a_newer_bundle_replaces_the_active_one():
    state, facts = play(CONNECTED, Offered(signed(1)), Offered(signed(2)))
    assert state.version == 2
    assert [fact.previous_version for fact in facts] == [0, 1]


@pytest.mark.parametrize("mode", [Mode.CONNECTED, Mode.DEGRADED, Mode.RECOVERY])
def test_while_autonomous_a_newer_bundle_is_staged_and_activated_afterwards(mode):
    state, facts = play(State(), Offered(signed(1)), Offered(signed(2)), Offered(signed(3)))
    assert (state.version, state.staged.version) == (1, 3)
    assert len(facts) == 1
    state, facts = play(state, ModeStands(Mode.AUTONOMOUS), ModeStands(mode))
    assert (state.version, state.staged) == (3, None)
    assert [fact.version for fact in facts] == [3]


def refusal(signed_rules, state=CONNECTED):
    state, facts = play(state, Offered(signed_rules))
    assert isinstance(facts[-1], RulesRefused)
    assert state.refused == facts[-1].reason
    return facts[-1].reason


def test_an_untrusted_key_is_refused():
    assert "does not trust" in refusal(signed(1, key=STRANGER))


def test_a_stranger_who_claims_a_trusted_key_is_refused():
    claimed = signed(1, key=STRANGER).model_copy(update={"key": public_hex(KEY)})
    assert "signature" in refusal(claimed)


@pytest.mark.parametrize("field", ["text", "signature", "key"])
def test_what_was_altered_is_refused(field):
    good = signed(1)
    value = getattr(good, field)
    altered = good.model_copy(update={field: value[:-1] + ("0" if value[-1] != "0" else "1")})
    refusal(altered)


@pytest.mark.parametrize("wrong", ["", "zz", "00"])
def test_a_malformed_signature_is_refused(wrong):
    refusal(signed(1).model_copy(update={"signature": wrong}))


def test_an_unknown_clause_refuses_the_whole_bundle():
    assert "charity" in refusal(signed(1, charity="true"))


def test_a_clause_that_stands_twice_refuses_the_whole_bundle():
    twice = "version: 1\nmodes: {pulse_ms: 500}\nmodes: {pulse_ms: 900}\n"
    assert "stands twice" in refusal(sign(KEY, 1, twice))


def test_a_bundle_for_another_site_is_refused():
    assert "munich01" in refusal(signed(1, site="munich01"))
    state, _ = play(CONNECTED, Offered(signed(1, site="berlin01")))
    assert state.version == 1


def test_a_roll_back_is_refused_and_the_last_good_one_stays():
    state, _ = play(CONNECTED, Offered(signed(5)))
    assert "not newer" in refusal(signed(4), state)
    state, _ = play(state, Offered(signed(4)))
    assert state.version == 5


def test_another_text_under_the_same_version_is_refused():
    state, _ = play(CONNECTED, Offered(signed(5)))
    assert "not newer" in refusal(signed(5, name="other"), state)


def test_the_same_again_is_no_event():
    state, facts = play(CONNECTED, Offered(signed(5)), Offered(signed(5)))
    assert len(facts) == 1
    assert state.refused is None


def test_an_older_provisioned_bundle_is_no_event():
    state, facts = play(CONNECTED, Offered(signed(5)), Offered(signed(1), provisioned=True))
    assert len(facts) == 1
    assert state.refused is None


def test_a_good_bundle_clears_the_refusal():
    state, _ = play(CONNECTED, Offered(signed(1)), Offered(signed(2, key=STRANGER)))
    assert state.refused
    state, _ = play(state, Offered(signed(2)))
    assert state.refused is None


def test_what_is_no_bundle_at_all_is_refused():
    _, [fact] = play(CONNECTED, Unreadable("not a SignedRules"))
    assert fact == RulesRefused(
        version=None, reason="not a SignedRules", kind=RefusedFor.UNREADABLE
    )


def test_recalled_rules_stand_without_a_word_unless_the_journal_forgot_them():
    state, facts = play(State(), Recalled(bundle(3), journaled=True))
    assert (state.version, facts) == (3, [])
    state, [fact] = play(State(), Recalled(bundle(3), journaled=False))
    assert (fact.version, fact.previous_version) == (3, 3)


@pytest.mark.parametrize(
    "wrong", ["", "[]", "version: 0", "version: 1\nmodes: &a {x: *a}", "version: {", "- " * 40_000]
)
def test_texts_that_are_no_rules_are_refused(wrong):
    with pytest.raises(ContractError):
        read_rules(wrong)


offers = st.builds(
    Offered,
    st.builds(signed, st.integers(1, 6), st.sampled_from([KEY, KEY, KEY, STRANGER])),
    provisioned=st.booleans(),
)


@given(events=st.lists(offers | st.builds(ModeStands, st.sampled_from(Mode)), max_size=20))
def test_versions_only_rise_and_every_activation_is_journaled(events):
    state, version = State(), 0
    for event in events:
        pinned = state.mode is Mode.AUTONOMOUS and state.active
        after, facts = play(state, event)
        activated = [fact for fact in facts if isinstance(fact, RulesActivated)]
        assert [fact.previous_version for fact in activated] == [version] * len(activated)
        assert after.version == (activated[-1].version if activated else version) >= version
        if pinned and not isinstance(event, ModeStands):
            assert after.active == state.active
        if after.staged:
            assert after.staged.version > after.version
        state, version = after, after.version


# --- safe points, refusals ---


def test_a_staged_bundle_waits_for_a_safe_point_and_for_a_mode_that_the_active_rules_allow():
    strict = "{modes: [connected, degraded]}"
    state, _ = play(CONNECTED, Offered(signed(1, activation=strict)))
    state, _ = play(state, ModeStands(Mode.RECOVERY), Offered(signed(2)))
    assert (state.version, state.staged.version) == (1, 2)
    assert "activation.modes" in why_not_now(state)
    state, effects = decide(POLICY, state, ModeStands(Mode.DEGRADED))
    assert (state.version, effects) == (1, ())
    assert why_not_now(state) is None
    state, _ = decide(POLICY, state, SafePoint(Mode.DEGRADED, 7))
    assert (state.version, state.active_since_ms) == (2, 7)


def test_a_site_that_is_cut_off_while_a_safe_point_is_waited_for_stays_with_its_rules():
    state, _ = play(CONNECTED, Offered(signed(1)))
    state, _ = decide(POLICY, state, Offered(signed(2)))
    state, effects = decide(POLICY, state, SafePoint(Mode.AUTONOMOUS))
    assert (state.version, state.staged.version, effects) == (1, 2, ())


@pytest.mark.parametrize(
    ("modes", "why"),
    [("[connected, degraded, autonomous]", "pinned"), ("[connected]", "stale"), ("[]", "stale")],
)
def test_modes_in_which_rules_must_not_or_must_be_replaced_are_no_choice(modes, why):
    assert why in refusal(signed(1, activation=f"{{modes: {modes}}}"))


@pytest.mark.parametrize(
    ("offer", "kind"),
    [
        (Unreadable("x"), RefusedFor.UNREADABLE),
        (Offered(signed(9, key=STRANGER)), RefusedFor.UNTRUSTED_KEY),
        (Offered(signed(9).model_copy(update={"text": text(10)})), RefusedFor.BAD_SIGNATURE),
        (Offered(signed(9, charity="true")), RefusedFor.INVALID_RULES),
        (Offered(sign(KEY, 9, text(10))), RefusedFor.INVALID_RULES),
        (Offered(signed(9, site="munich01")), RefusedFor.WRONG_SITE),
        (Offered(signed(1)), RefusedFor.NOT_NEWER),
        (Offered(signed(9, signing=f"{{keys: ['{'ab' * 32}']}}")), RefusedFor.LOCK_OUT),
    ],
)
def test_a_refusal_has_its_kind_stands_until_a_newer_bundle_is_taken_and_outlives_a_restart(
    offer, kind
):
    state, _ = play(CONNECTED, Offered(signed(2)))
    refused, [fact] = play(state, replace(offer, at_ms=5))
    assert fact.kind is kind
    assert (refused.version, refused.refusal) == (2, Refusal(fact, 5))
    again, facts = play(refused, ModeStands(Mode.DEGRADED), replace(offer, at_ms=9))
    assert (again.refusal, facts) == (refused.refusal, [])
    restarted, facts = play(
        CONNECTED, Recalled(state.active, True), RecalledRefusal(refused.refusal), offer
    )
    assert (restarted.refusal, facts) == (refused.refusal, [])
    taken, _ = play(again, Offered(signed(10)))
    assert (taken.version, taken.refusal) == (10, None)


def test_a_provisioned_file_that_is_no_bundle_matters_only_to_a_site_without_rules():
    state, facts = play(CONNECTED, Unreadable("x", provisioned=True))
    assert (state.refused, len(facts)) == ("x", 1)
    state, _ = play(CONNECTED, Offered(signed(1)))
    assert play(state, Unreadable("x", provisioned=True)) == (state, [])


@pytest.mark.parametrize(
    "written",
    ["version: 3\nname: a # version: 3\n", '{"name": "version", "version": 3}', "{version: 3}"],
)
def test_a_text_gets_another_version_and_nothing_else(written):
    raised = with_version(written, 17)
    assert raised.replace("17", "3") == written
    assert read_rules(raised).version == 17


def test_a_version_that_other_clauses_refer_to_is_not_raised():
    with pytest.raises(ContractError):
        with_version("version: &v 3\nname: a\ncheckpoints: {every_entries: *v}\n", 4)
