"""Goal: no two sessions of a charge point share a key, whatever its station calls its transactions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contracts.session import session_key

TEXTS = st.one_of(
    st.text(max_size=36),
    st.text("0123456789=-", max_size=6),
    st.integers().map(str),
)
IDS = st.one_of(st.integers(), TEXTS)


@given(IDS, IDS)
def test_two_transactions_have_one_key_only_if_they_are_one(one: int | str, other: int | str):
    is_one = type(one) is type(other) and one == other
    assert (session_key("CP-01", one) == session_key("CP-01", other)) is is_one


@pytest.mark.parametrize("id", [1001, "0b8a3a5e-0000-4000-8000-000000000001", "T1001", "1001-a"])
def test_keys_that_journals_have_stay_as_they_are(id: int | str):
    assert session_key("CP-01", id) == f"CP-01/{id}"


def test_a_stations_number_is_marked():
    assert session_key("CP-01", "1001") == "CP-01/=1001"
