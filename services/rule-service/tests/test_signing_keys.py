"""Goal: keys are changed by bundles alone, nobody locks himself out, and a retired key signs nothing any more (F12).

Method: the pure core gets bundles signed with real keys; Hypothesis signs any sequence of bundles with any keys.
"""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contracts.life import RefusedFor
from holdfast.contracts.mode import Mode
from holdfast.contracts.rules import RulesRefused
from rule_service.domain.bundle import (
    ModeStands,
    Offered,
    Policy,
    Recalled,
    RecalledStaged,
    SafePoint,
    State,
    decide,
    trusted,
)
from rule_service.domain.signatures import public_hex, sign

A, B, C = (Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2, 3))
POLICY = Policy(site="berlin01", trusted_keys=frozenset({public_hex(A)}))
CONNECTED = State(mode=Mode.CONNECTED)


def signed(version, by, *names):
    text = {"version": version, "signing": {"keys": [public_hex(key) for key in names]}}
    return sign(by, version, json.dumps(text))


def play(state, *events):
    for event in events:
        state, _ = decide(POLICY, state, event)
        state, _ = decide(POLICY, state, SafePoint(state.mode))
    return state


def offered(state, version, by, *names):
    return play(state, Offered(signed(version, by, *names)))


def names(*keys):
    return frozenset(public_hex(key) for key in keys)


ROTATED = offered(offered(CONNECTED, 1, A, A, B), 2, B, B)


def test_a_key_is_replaced_by_way_of_both():
    both = offered(CONNECTED, 1, A, A, B)
    assert trusted(POLICY, both) == names(A, B)
    assert (ROTATED.version, trusted(POLICY, ROTATED)) == (2, names(B))


def test_a_retired_key_signs_nothing_any_more():
    for keys in ((A,), (B,), (A, B), ()):
        state = offered(ROTATED, 3, A, *keys)
        assert state.version == 2
        assert state.refusal.fact.kind is RefusedFor.UNTRUSTED_KEY
    assert offered(ROTATED, 3, B, B).version == 3


def test_a_retired_key_signs_nothing_after_a_restart_either_though_the_provisioned_file_has_it():
    state = play(State(), Recalled(ROTATED.active, True), ModeStands(Mode.CONNECTED))
    state = play(state, Offered(signed(1, A), provisioned=True))
    assert (state.version, state.refused) == (2, None)
    assert offered(state, 3, A).version == 2
    assert offered(state, 3, B, B).version == 3


def test_a_bundle_that_would_lock_its_signer_out_is_refused():
    for keys in ((B,), (B, C)):
        state = offered(CONNECTED, 1, A, *keys)
        assert (state.version, state.refusal.fact.kind) == (0, RefusedFor.LOCK_OUT)


def test_naming_no_keys_gives_the_provisioned_ones_their_weight_back_unless_that_locks_the_signer_out():
    both = offered(CONNECTED, 1, A, A, B)
    assert trusted(POLICY, offered(both, 2, A)) == names(A)
    state = offered(both, 2, B)
    assert (state.version, state.refusal.fact.kind) == (1, RefusedFor.LOCK_OUT)
    assert "provisioned" in state.refused


def test_a_key_that_a_staged_bundle_names_signs_the_next_one_also_after_a_restart():
    cut_off = play(offered(CONNECTED, 1, A), ModeStands(Mode.AUTONOMOUS))
    staged = offered(cut_off, 2, A, A, B)
    assert (staged.version, staged.staged.version) == (1, 2)
    restarted = play(State(), Recalled(staged.active, True), RecalledStaged(staged.staged))
    for state in (staged, restarted):
        after = play(offered(state, 3, B, B), ModeStands(Mode.RECOVERY))
        assert (after.version, trusted(POLICY, after)) == (3, names(B))


def test_what_was_staged_before_an_activation_is_not_staged_again():
    state = play(State(), Recalled(ROTATED.active, True), RecalledStaged(ROTATED.active))
    assert state.staged is None


@pytest.mark.parametrize(
    "keys", [["zz" * 32], ["ab"], ["ab" * 32, "AB" * 32], ["ab" * 32] * 9, "ab" * 32]
)
def test_keys_that_are_none_refuse_the_whole_bundle(keys):
    text = json.dumps({"version": 1, "signing": {"keys": keys}})
    state = play(CONNECTED, Offered(sign(A, 1, text)))
    assert (state.version, state.refusal.fact.kind) == (0, RefusedFor.INVALID_RULES)
    assert "signing.keys" in state.refused


some_keys = st.lists(st.sampled_from([A, B, C]), unique=True, max_size=3)
offers = st.tuples(st.integers(1, 5), st.sampled_from([A, B, C]), some_keys)


@given(offers=st.lists(offers, max_size=8), modes=st.lists(st.sampled_from(Mode), max_size=8))
def test_whatever_is_signed_by_whomever_the_chain_of_keys_is_never_broken(offers, modes):
    """Every bundle taken was signed by a key that counted before it, and that counts after it."""
    state = State()
    for number, (version, by, keys) in enumerate(offers):
        if number < len(modes):
            state = play(state, ModeStands(modes[number]))
        counted, newest = trusted(POLICY, state), state.staged or state.active
        after, effects = decide(POLICY, state, Offered(signed(version, by, *keys)))
        if (after.staged or after.active) != newest:
            assert public_hex(by) in counted
            assert public_hex(by) in trusted(POLICY, after)
        else:
            assert trusted(POLICY, after) == counted
        refused = [
            one.fact for one in effects if isinstance(getattr(one, "fact", None), RulesRefused)
        ]
        assert all(fact.kind in RefusedFor for fact in refused)
        state, _ = decide(POLICY, after, SafePoint(after.mode))
        assert trusted(POLICY, state) == trusted(POLICY, after)
