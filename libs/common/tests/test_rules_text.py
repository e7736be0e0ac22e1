"""Goal: whatever text somebody signs or sends, the reader of rules ends soon, with rules or with one short sentence.

Method: the texts that once got out as something else; Hypothesis makes YAML of tags, aliases, nesting and odd numbers.
"""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from holdfast.contracts.envelope import ContractError, first_problem
from holdfast.rules_text import DEPTH_MAX, parse_rules, read_document

BOMB = "a: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('version: !!int ""', "line 1: tags"),
        ('version: 1\nname: !!bool "x"', "line 2: tags"),
        ('version: 1\nname: !!timestamp "x"', "line 2: tags"),
        ("version: 1\nx: !!set [a]", "line 2: tags"),
        ("version: 1\nx: !!python/object/apply:os.system [a]", "line 2: tags"),
        ("version: 1\nname: ! x", "line 2: tags"),
        ("version: 1\nname: 2001-99-99", "line 2: '2001-99-99' is a word to some"),
        ("version: 1\nname: 0x_", "line 2: '0x_' is a word to some"),
        ("version: 1\nname: =", "line 2: '=' is a word to some"),
        ("version: 1\nname: yes", "line 2: 'yes' is a word to some"),
        ("version: " + "9" * 5_000, "line 1: a number of over"),
        ("version: 1\nstorage: {soft_fraction: " + "9" * 390 + ".5}", "line 2: .* too large"),
        ("version: 1\nversion: 2", "line 2: 'version' stands twice"),
        ("version: 1\n1: 2", "line 2: a clause is named by a word"),
        ("version: 1\n[a]: 2", "line 2: a clause is named by a word"),
        ("version: 1\n<<: {name: a}", "line 2: `<<`"),
        ("version: 1\nname: *a", "line 2: .a refers to nothing"),
        ("version: 1\n--- {}", "line 2: it is more than one document"),
        ("", "there is nothing in it"),
        ("version: {", "line [12]: is not YAML"),
        ("version: 1\nmodes:\n  pulse_ms: 1\n", "line 3: modes.pulse_ms"),
        ("version: 1\nname: " + "[" * 10_000, f"line 2: nested more than {DEPTH_MAX}"),
        ("version: 1\nname: '\x00'", "not YAML"),
        ("version: 1\nname: '\ud800'", "characters that no text has"),
    ],
)
def test_a_text_that_is_no_bundle_is_refused_with_its_line(text: str, why: str):
    with pytest.raises(ContractError, match=why) as refused:
        parse_rules(text)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    "text",
    [
        f"{BOMB}version: 1\nmodes:\n  pulse_ms: *a8\n",
        "version: 1\nx: &a " + "y" * 200_000 + "\nz: [" + "*a, " * 1_000 + "]\n",
        "version: 1\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1}' if n else 1}]\n" for n in range(99)),
    ],
)
def test_aliases_that_make_much_of_little_are_refused_in_a_moment(text: str):
    began = time.process_time()
    with pytest.raises(ContractError, match="alias"):
        parse_rules(text)
    assert time.process_time() - began < 1


def test_what_was_given_is_told_without_building_all_of_it():
    class Numbered(BaseModel):
        number: int

    much: list[object] = ["x"] * 9
    for _ in range(8):
        much = [much] * 9
    for given_what in (much, "y" * 10**6, {"key": 10**5_000}, [10**5_000], {"k" * 10**6: much}):
        with pytest.raises(ValidationError) as error:
            Numbered.model_validate({"number": given_what})
        assert len(first_problem(error.value)) < 300
    with pytest.raises(ValidationError) as error:
        Numbered.model_validate({"n": 10**5_000})
    assert len(first_problem(error.value)) < 300


def test_an_anchor_and_its_alias_say_the_same_twice():
    text = "version: 3\nauthorise:\n  degraded: &a {ask_cloud: false}\n  recovery: *a\n"
    rules = parse_rules(text)
    assert rules.authorise.degraded == rules.authorise.recovery
    assert read_document(text).lines.of(("authorise", "recovery", "ask_cloud")) == 3


TAGS = st.sampled_from(["", "", "", "!!int ", "!!bool ", "!!set ", "!!binary ", "! ", "!x ", "&a ", "&b "])  # fmt: skip
SCALARS = st.sampled_from(
    ["1", "''", "*a", "*b", "~", "yes", "1:59:59", "0b_", "2001-99-99", "2001-01-01 25:61:61", ".inf", "-.nan", "<<",
     "=", "9" * 500, "1e999", "'\\ud800'", '"\\ud800"', "%", "@", "`", "\t", "\x00", "\ud800", "version", "modes"]
) | st.text(max_size=6)  # fmt: skip


def nested(below: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    several = st.lists(below, max_size=4)
    lists = st.builds(lambda tag, parts: f"{tag}[{', '.join(parts)}]", TAGS, several)
    pairs = st.lists(st.tuples(below, below), max_size=4)
    return lists | st.builds(
        lambda tag, parts: f"{tag}{{{', '.join(f'{k}: {v}' for k, v in parts)}}}", TAGS, pairs
    )


YAML = st.recursive(st.builds(lambda tag, text: f"{tag}{text}", TAGS, SCALARS), nested)
CLAUSES = st.sampled_from(["version", "name", "modes", "commands", "valid_until_ms", "storage"])


@given(st.lists(st.tuples(CLAUSES, YAML), max_size=5), YAML)
def test_hostile_yaml_is_read_or_refused_and_nothing_else(clauses: list[tuple[str, str]], end: str):
    for text in (end, "version: 1\n" + "".join(f"{name}: {value}\n" for name, value in clauses)):
        began = time.process_time()
        try:
            parse_rules(text)
        except ContractError as error:
            assert len(str(error)) < 1_000  # noqa: PT017
        assert time.process_time() - began < 1
