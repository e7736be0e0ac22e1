"""Goal: payloads, times and numbers of any shape are read, changed in one place, or malformed; nothing fails.

Method: Hypothesis, on any text and on JSON torn somewhere.
"""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from csms_bridge.domain import payload
from csms_bridge.domain.payload import Malformed
from holdfast.ocpp import frames

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from(["transactionId", "a", '"', "\\", ""]), JSON, max_size=4)
TORN = st.builds(
    lambda value, at, piece: (text := json.dumps(value))[: at % (len(text) + 1)] + piece,
    OBJECTS,
    st.integers(0, 400),
    st.sampled_from(["", '"', "{", "}", "\\", "[" * 5_000, '{"a":' * 5_000, "\x00", ",,"]),
)


@given(st.text(max_size=60) | JSON)
@example("0001-01-01T00:00:00+14:00")
@example("9999-12-31T23:59:59-14:00")
@example("2025-06-15T15:00:00+99:99")
@example("9" * 5_000)
def test_any_time_is_one_or_none(said):
    found = payload.moment_ms(said)
    assert found is None or isinstance(found, int)


@given(JSON)
@example(float("nan"))
@example(float("inf"))
@example(10**400)
@example(True)
def test_any_number_is_whole_or_none(value):
    found = payload.whole(value)
    assert found is None or (type(found) is int and -(2**63) <= found < 2**63)


@given(OBJECTS, st.integers(-(2**31), 2**31))
def test_one_value_is_changed_and_no_other_byte(document, transaction_id):
    raw = json.dumps(document)
    changed = payload.with_transaction(raw, transaction_id)
    expected = {**document, "transactionId": transaction_id}
    if "transactionId" not in document:
        assert changed == raw
    else:
        assert json.dumps(json.loads(changed)) == json.dumps(expected)


@given(TORN | st.text(max_size=80))
def test_what_is_no_object_is_malformed_and_nothing_else_fails(raw):
    for read in (payload.object_of, lambda text: payload.with_transaction(text, 7)):
        with suppress(Malformed):
            read(raw)
    assert isinstance(payload.document_of(frames.Result(message_id="m", raw=raw)), dict)


@pytest.mark.parametrize("raw", ["[" * 100_000, '{"a":' * 100_000, '{"a":"' + "\\" * 99_999])
def test_what_is_nested_or_escaped_without_end_is_malformed(raw):
    with pytest.raises(Malformed):
        payload.object_of(raw)
    with pytest.raises(Malformed):
        payload.with_transaction(raw, 7)
