"""Goal: S19: no text from outside steers an operator's terminal, nor breaks a table."""

from __future__ import annotations

import json

import pytest

from holdfast_cli.operator.output import clean, print_json, table
from holdfast_simulators.hostile.frames import TOKENS


@pytest.mark.parametrize("token", TOKENS)
def test_s19_a_driver_token_in_a_table_is_one_line_of_printable_text(token):
    assert clean(token).isprintable()
    lines = table(("driver token", "n"), [(token, 1), ("x", 2)], "none", 200).splitlines()
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("token", TOKENS)
def test_s19_in_json_it_is_escaped_and_whole(token, capsys):
    print_json({"driver_token": token})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"driver_token": token}
    assert all(letter.isprintable() or letter == "\n" for letter in printed)
