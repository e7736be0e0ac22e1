"""A quirk that the simulated CSMS would refuse is refused before anything starts. The table of the cli stands in
`simulators/README.md`, too: names, fields and choices are held against it.
"""

import re
from pathlib import Path
from typing import get_args

import pytest

from holdfast_cli.drill import quirk

README = Path(__file__).parents[2] / "simulators" / "README.md"
WORD = re.compile(r"`([a-z_]+)`")


def told() -> dict[str, str]:
    """Quirk to what stands of its fields, as the table has it."""
    section = README.read_text().split("### Quirks\n")[1].split("\n### ")[0]
    rows = [re.split(r"(?<!\\)\|", line) for line in section.splitlines() if line.startswith("| `")]
    return {name: row[2] for row in rows for name in WORD.findall(row[1])}


def fields_told(name: str) -> set[str]:
    """Defaults in brackets and the fields of a list's rows are none of the quirk's own."""
    text = re.sub(r"\([^)]*\)|\{[^}]*\}", "", told()[name])
    same = fields_told("ignore") if "the same" in text else set()
    return same | set(WORD.findall(text)) - {"ignore"}


def test_the_quirks_are_those_of_the_table():
    assert set(quirk.FORMS) == set(told())


@pytest.mark.parametrize("name", quirk.FORMS)
def test_a_quirk_s_fields_are_those_of_the_table(name: str):
    assert set(quirk.FORMS[name].model_fields) == fields_told(name)


@pytest.mark.parametrize("name", ["older_connection", "dedupe"])
def test_a_quirk_s_choices_are_those_of_the_table(name: str):
    choices = get_args(quirk.FORMS[name].model_fields["value"].annotation)
    assert set(choices) == set(re.findall(r'"([a-z-]+)"', told()[name]))


@pytest.mark.parametrize(
    "given",
    [
        {"name": "lose_answer"},
        {"name": "ignore", "action": "StartTransaction", "count": "always", "containing": ""},
        {"name": "callerror", "charge_point": "*", "count": 0, "code": "GenericError"},
        {"name": "crash_on", "count": 2},
        {"name": "answer_delay_s", "value": 3, "action": "MeterValues"},
        {"name": "black_hole"},
        {"name": "black_hole", "value": False},
        {"name": "boot_status", "status": "Pending", "interval_s": None},
        {"name": "refuse_handshake", "code": 401},
        {"name": "refuse_handshake", "code": None, "charge_point": "CP-01"},
        {"name": "older_connection", "value": "keep"},
        {"name": "calls_after_boot", "value": [{"action": "Reset", "payload": {"type": "Soft"}}]},
        {"name": "calls_after_boot", "value": [{"action": "GetConfiguration"}]},
        {"name": "dedupe", "value": "message-id"},
        {"name": "future_stop_s", "value": None},
        {"name": "future_stop_s", "value": 300},
        {"name": "refuse_token", "id_tag": "DRIVER-01"},
        {"name": "bad_payload_code", "value": "FormatViolation"},
    ],
    ids=str,
)
def test_what_the_csms_takes_is_taken(given: dict[str, object]):
    quirk.check(given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"action": "StartTransaction"}, "must have a name such as {name: lose_answer, count: 1}"),
        ({"name": 5}, "must have a name"),
        ({"name": "loose_answer"}, "name: there is no quirk 'loose_answer': use one of ignore, "),
        ({"name": "ignore", "action": 5}, "action: Input should be a valid string (given '5')"),
        ({"name": "ignore", "code": "X"}, "code: there is no such field: remove it"),
        ({"name": "ignore", "do": "calm"}, "do: there is no such field"),
        ({"name": "ignore", "count": "twice"}, "count: must be a whole number from 0 to 1000000"),
        ({"name": "ignore", "count": True}, "or always (given 'True'): correct this field"),
        ({"name": "ignore", "count": -1}, "count: must be a whole number"),
        ({"name": "ignore", "charge_point": ""}, "charge_point: "),
        ({"name": "answer_delay_s"}, "value: is missing: add it"),
        ({"name": "answer_delay_s", "value": "3"}, "value: Input should be a valid number"),
        ({"name": "answer_delay_s", "value": float("nan")}, "value: "),
        ({"name": "black_hole", "value": 1}, "value: "),
        ({"name": "boot_status", "status": "Maybe"}, "status: "),
        ({"name": "boot_status", "interval_s": 5}, "status: is missing"),
        ({"name": "refuse_handshake"}, "code: is missing"),
        ({"name": "refuse_handshake", "code": 500}, "code: "),
        ({"name": "older_connection", "value": "drop"}, "value: "),
        ({"name": "calls_after_boot", "value": {}}, "value: must be a list"),
        ({"name": "calls_after_boot", "value": ["Reset"]}, "value.0: must be a mapping such as"),
        ({"name": "calls_after_boot", "value": [{}]}, "value.0.action: is missing"),
        ({"name": "refuse_token", "id_tag": ["T"]}, "id_tag: "),
    ],
    ids=str,
)
def test_what_the_csms_refuses_is_refused_here_with_field_and_remedy(
    given: dict[str, object], said: str
):
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        quirk.check(given)
    assert "\n" not in str(error.value)


def test_a_deed_that_never_happened_is_told():
    asked = [
        {"name": "lose_answer", "action": "StartTransaction", "charge_point": "CP-01"},
        {"name": "lose_answer", "action": "StartTransaction", "charge_point": "CP-01"},
        {"name": "crash_on", "action": "TransactionEvent", "count": 3},
        {"name": "ignore", "action": "Authorize", "count": 0},
        {"name": "black_hole"},
    ]
    once = {"name": "lose_answer", "action": "StartTransaction", "charge_point": "CP-01"}
    other = {"name": "crash_on", "action": "TransactionEvent", "charge_point": "CP-09"}
    assert list(quirk.never_happened(asked, [once, once, other])) == []
    missing = list(quirk.never_happened(asked, [once, {**once, "charge_point": "CP-02"}]))
    assert missing == [
        "the CSMS was to lose_answer StartTransaction of CP-01 2 times, and did 1 times",
        "the CSMS was to crash_on TransactionEvent of * 1 times, and did 0 times",
    ]
