"""Goal: what is stored of a password is sound, and tells nothing else."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from holdfast.passwords import (
    PasswordHash,
    as_bytes,
    hash_password,
    is_plausible,
    matches,
    random_password,
)

KEY = "0001020304050607FFFFFFFFFFFFFFFFFFFFFFFF"
ADAPTER = TypeAdapter(PasswordHash)


def test_only_the_password_matches():
    stored = hash_password("secret")
    assert matches(stored, "secret")
    assert matches(stored, b"secret")
    assert not matches(stored, "Secret")
    assert not matches(stored, "")


def test_an_authorization_key_is_the_same_in_hex_and_in_bytes():
    for stored in (hash_password(KEY), hash_password(bytes.fromhex(KEY))):
        assert all(matches(stored, it) for it in (KEY, KEY.lower(), bytes.fromhex(KEY)))
        assert not matches(stored, KEY[:-2])


@pytest.mark.parametrize("text", ["ab" * 15, "ab" * 21, "a" * 33, "xy" * 18])
def test_other_texts_are_themselves(text):
    assert as_bytes(text) == text.encode()


@pytest.mark.parametrize(
    "stored",
    [
        "plain-secret",
        "scrypt$4096$8$1$$" + "00" * 64,
        f"scrypt$4096$8$1${'00' * 16}${'00' * 32}",
        f"scrypt$4095$8$1${'00' * 16}${'00' * 64}",  # no power of two
        f"scrypt$1048576$8$1${'00' * 16}${'00' * 64}",  # a gigabyte
        f"scrypt$4096$0$1${'00' * 16}${'00' * 64}",
        f"scrypt$4096$8$99${'00' * 16}${'00' * 64}",
        f"scrypt$4096$8$1${'00' * 16}${'00' * 64}\n",
    ],
)
def test_what_is_no_sound_hash_is_refused(stored):
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(stored)


def test_a_hash_can_be_made_like_another():
    other = f"scrypt$1024$8$2${'00' * 16}${'00' * 64}"
    assert hash_password("x", like=other).startswith("scrypt$1024$8$2$")
    assert ADAPTER.validate_python(hash_password("x", like=other))


@pytest.mark.parametrize(
    ("length", "plausible"), [(0, False), (15, False), (16, True), (64, True), (65, False)]
)
def test_ocpp_s_passwords_have_16_to_64_bytes(length, plausible):
    assert is_plausible(b"x" * length) is plausible


def test_a_made_password_suits_every_version_and_every_shell():
    made = {random_password() for _ in range(500)}
    assert len(made) == 500
    assert all(
        len(one) == 20 and one[0].isalpha() and as_bytes(one) == one.encode() for one in made
    )
