"""Goal: what is on the wire today can be read tomorrow, and a change of it is seen in review.

Each contract has one golden file, written by `python -m holdfast_testkit.golden libs/common/tests/golden`.
"""

import json
from pathlib import Path

import pytest

from holdfast.contracts.envelope import Contract, ContractError, Envelope, Fact, Unknown
from holdfast.standing import parse_rules
from holdfast_testkit import golden

FOLDER = Path(__file__).parent / "golden"
REWRITE = "run `python -m holdfast_testkit.golden libs/common/tests/golden` and review the change"
FACTS = golden.facts()
CONTRACTS = golden.contracts()


def name(kind: type[Contract]) -> str:
    return kind.TYPE if issubclass(kind, Fact) else kind.__name__


def test_every_contract_has_its_golden_file_and_no_file_is_left_over():
    assert {path.name for path in FOLDER.glob("*.json")} == set(golden.files()), REWRITE


@pytest.mark.parametrize("kind", FACTS, ids=name)
def test_a_golden_fact_reads_and_writes_as_it_is(kind: type[Fact]):
    data = (FOLDER / f"{kind.TYPE}.json").read_bytes()
    envelope = Envelope.from_bytes(data)
    fact = envelope.fact()
    assert type(fact) is kind
    assert json.loads(envelope.to_bytes()) == json.loads(data)
    assert json.loads(fact.to_bytes()) == json.loads(data)["body"], REWRITE


@pytest.mark.parametrize("kind", CONTRACTS, ids=name)
def test_a_golden_message_reads_and_writes_as_it_is(kind: type[Contract]):
    data = (FOLDER / f"{kind.__name__}.json").read_bytes()
    assert json.loads(kind.from_bytes(data).to_bytes()) == json.loads(data), REWRITE


@pytest.mark.parametrize("kind", [*FACTS, *CONTRACTS], ids=name)
def test_a_field_of_tomorrow_does_not_stop_a_reader_of_today(kind: type[Contract]):
    document = json.loads((FOLDER / f"{name(kind)}.json").read_bytes())
    newer = document | {"a_field_of_tomorrow": {"x": 1}}
    if issubclass(kind, Fact):
        newer["body"] = document["body"] | {"a_field_of_tomorrow": [1]}
        read = Envelope.from_bytes(json.dumps(newer).encode())
        # The envelope keeps the whole body: whoever passes it on loses nothing.
        assert read.body["a_field_of_tomorrow"] == [1]
        assert read.fact() == Envelope.model_validate(document).fact()
    else:
        assert kind.from_bytes(json.dumps(newer).encode()) == kind.model_validate(document)


def test_a_fact_of_an_unknown_type_survives():
    document = json.loads((FOLDER / "mode.changed.json").read_bytes())
    document["type"] = "mode.dreamt"
    fact = Envelope.from_bytes(json.dumps(document).encode()).fact()
    assert isinstance(fact, Unknown)
    assert fact.body == document["body"]


def test_a_malformed_fact_names_its_type_its_id_and_the_field():
    document = json.loads((FOLDER / "session.stopped.json").read_bytes())
    document["body"]["meter_stop_wh"] = "much"
    envelope = Envelope.from_bytes(json.dumps(document).encode())
    with pytest.raises(ContractError, match=r"session\.stopped id-1: meter_stop_wh"):
        envelope.fact()


def test_rules_with_an_unknown_clause_are_refused_as_a_whole():
    with pytest.raises(ContractError, match=r"refused as a whole: line 3: modes\.pulze_ms"):
        parse_rules("version: 1\nmodes:\n  pulze_ms: 2000\n")
    assert parse_rules("version: 3\nname: tight\n").version == 3


@pytest.mark.parametrize("text", ["[", "a: &a [*a, *a", "3", "- version: 1", "version: 0"])
def test_what_is_no_bundle_is_refused_in_one_sentence(text: str):
    with pytest.raises(ContractError) as refused:
        parse_rules(text)
    assert str(refused.value).startswith("rules")
