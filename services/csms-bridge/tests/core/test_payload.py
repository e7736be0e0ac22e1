"""Goal: one value of a payload changes and no other byte, whatever JSON it is; what is none is Malformed or stays."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms_bridge.domain.payload import (
    Malformed,
    document_of,
    moment_ms,
    object_of,
    whole,
    with_transaction,
    with_value,
)
from holdfast.ocpp import frames

KEYS = st.sampled_from(
    ["transactionId", "meterStop", "a", 'q"uote', "back\\slash", "", "é", "{", "]", ":"]
)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
SPACE = st.text(" \t\r\n", max_size=3)


@st.composite
def spelled(draw: st.DrawFn, value: object) -> str:
    """The value as JSON with arbitrary spaces and escapes."""

    def put(one: object) -> str:
        if isinstance(one, dict):
            members = [f"{gap()}{text(key)}{gap()}:{gap()}{put(one[key])}{gap()}" for key in one]
            return "{" + (",".join(members) or gap()) + "}"
        if isinstance(one, list):
            return "[" + (",".join(f"{gap()}{put(each)}{gap()}" for each in one) or gap()) + "]"
        return text(one) if isinstance(one, str) else json.dumps(one)

    def text(one: str) -> str:
        if draw(st.booleans()):
            return json.dumps(one, ensure_ascii=draw(st.booleans()))
        return (
            '"'
            + "".join(f"\\u{ord(char):04X}" if ord(char) < 0x10000 else char for char in one)
            + '"'
        )

    def gap() -> str:
        return draw(SPACE)

    return gap() + put(value) + gap()


@st.composite
def objects(draw: st.DrawFn) -> tuple[dict, str]:
    value = draw(st.dictionaries(KEYS, VALUES, max_size=5))
    return value, draw(spelled(value))


@given(objects(), st.integers(-(2**63), 2**63))
def test_exactly_one_value_changes(made, number):
    value, raw = made
    changed = with_transaction(raw, number)
    if "transactionId" not in value:
        assert changed == raw
        return
    assert json.loads(changed) == {**value, "transactionId": number}


@given(objects(), objects())
def test_what_stands_around_it_is_the_same_bytes(before, after):
    """Built around the value, so that every other byte is known."""
    head = before[1].strip(" \t\r\n")[1:-1]
    tail = after[1].strip(" \t\r\n")[1:-1]
    head = f"{head}," if head.strip(" \t\r\n") else ""
    tail = f",{tail}" if tail.strip(" \t\r\n") else ""
    if "transactionId" in before[0] or "transactionId" in after[0]:
        return
    raw = f'{{{head} "transactionId"\t: -1 {tail}}}'
    assert with_transaction(raw, 1000042) == f'{{{head} "transactionId"\t: 1000042 {tail}}}'


@given(objects(), st.sampled_from(["transactionId", "absent"]))
def test_back_again_it_is_what_it_was(made, key):
    value, raw = made
    if isinstance(value.get(key), list | dict | str | float):
        return  # their spelling is not known here
    there = with_value(raw, key, "1")
    assert with_value(there, key, json.dumps(value.get(key))) == raw


@given(st.text(st.sampled_from('{}[]",:\\ntrue1-e ransctioId\n\x00é'), max_size=60))
def test_hostile_texts_raise_malformed_or_stay_what_json_they_were(text):
    with suppress(Malformed):
        changed = with_transaction(text, 7)
        try:
            value = json.loads(text)
        except ValueError:
            return
        assert {**value, "transactionId": 7} == {**json.loads(changed), "transactionId": 7}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "[]",
        "{",
        '{"a"',
        '{"a":',
        '{"a":1',
        '{"a":[1}',
        "{a:1}",
        '{"a" 1}',
        '{"\\x":1}',
        '{"a\n":1}',
        '{"\\u12":1}',
    ],
)
def test_texts_that_are_no_object_are_malformed(text):
    with pytest.raises(Malformed):
        with_transaction(text, 7)


@pytest.mark.parametrize(
    ("raw", "changed"),
    [
        ('{"transactionId":1,"transactionId":2}', '{"transactionId":1,"transactionId":7}'),
        ('{"a":{"transactionId":1}}', '{"a":{"transactionId":1}}'),
        ('{"a":"\\"transactionId\\":1"}', '{"a":"\\"transactionId\\":1"}'),
        ('{"transaction\\u0049d":1}', '{"transaction\\u0049d":7}'),
        ('{"transactionId":{"a":[1,"]}"]}}', '{"transactionId":7}'),
        ('{ "transactionId" : "1" }', '{ "transactionId" : 7 }'),
        ("{}", "{}"),
    ],
)
def test_only_the_outermost_key_is_meant_and_the_last_counts(raw, changed):
    assert with_transaction(raw, 7) == changed


@pytest.mark.parametrize("text", ["", "{", "null", "[" * 100_000, "9" * 5_000, '"x"'])
def test_what_is_no_object_is_none(text):
    with pytest.raises(Malformed):
        object_of(text)
    assert document_of(frames.Result(message_id="x", raw=text)) == {}


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (7, 7),
        (7.0, 7),
        (-1, -1),
        (0, 0),
        (True, None),
        (False, None),
        (7.5, None),
        ("7", None),
        (None, None),
        (float("inf"), None),
        (float("nan"), None),
        (2**63 - 1, 2**63 - 1),
        (2**63, None),
        ([], None),
    ],
)
def test_whole_numbers_are_told_from_what_looks_like_them(value, number):
    assert whole(value) == number
    assert type(whole(value)) in (int, type(None))


@given(st.text() | st.none() | st.integers())
def test_no_text_is_too_strange_for_a_moment(text):
    assert moment_ms(text) is None or isinstance(moment_ms(text), int)


def test_a_moment_needs_its_zone():
    assert moment_ms("1970-01-01T00:00:01Z") == 1_000
    assert moment_ms("1970-01-01T02:00:01.5+02:00") == 1_500
    assert moment_ms("1970-01-01T00:00:01") is None
