"""Goal: the default bundle is the defaults, complete; the published schema is the contract's."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from holdfast.contracts.envelope import ContractError
from holdfast.contracts.rules import Rules
from rule_service import schema
from rule_service.domain.bundle import read_rules
from rule_service.domain.composing import read_source

TEXT = (files("rule_service") / "default_rules.yaml").read_text()
SPEC = Path(__file__).parents[3] / "docs" / "spec"
SCHEMA, DRAFT_SCHEMA = SPEC / "rules.schema.json", SPEC / "rules-draft.schema.json"


def test_the_default_bundle_is_the_built_in_rules():
    assert read_rules(TEXT) == Rules(version=1)


def test_every_clause_stands_in_the_default_bundle():
    def check(written, rules, path):
        assert set(written) == set(type(rules).model_fields), path
        for name in written:
            part = getattr(rules, name)
            if isinstance(part, BaseModel):
                check(written[name], part, f"{path}{name}.")
            elif name == "commands":
                for action, command in part.items():
                    check(written[name][action], command, f"{path}{name}.{action}.")

    check(yaml.safe_load(TEXT), read_rules(TEXT), "")


def test_the_published_schema_is_current():
    assert SCHEMA.read_text() == schema.render(), (
        "run: python -m rule_service.schema > docs/spec/rules.schema.json"
    )


def test_the_published_schema_of_drafts_is_current():
    assert DRAFT_SCHEMA.read_text() == schema.render_draft(), (
        "run: python -m rule_service.schema draft > docs/spec/rules-draft.schema.json"
    )


@pytest.mark.parametrize(
    ("draft", "is_valid"),
    [
        ("{version: 1}", True),
        ("{version: 1, default: , groups: {a: {sites: [x]}}, sites: {x: }}", True),
        ("{version: 1, default: {modes: {pulse_ms: 500}}}", True),
        ("{version: 1, default: {commands: {Reset: {age_ms_max: 5}, TriggerMessage: null}}}", True),
        ("{version: 1, groups: {a: {sites: [x], rules: {valid_until_ms: 5}}}}", True),
        ("{version: 1, default: {valid_until_ms: 5}}", False),
        ("{version: 1, sites: {x: {version: 2}}}", False),
        ("{version: 1, sites: {x: {modes: {pulze_ms: 500}}}}", False),
        ("{version: 1, sites: {x: {modes: null}}}", False),
        ("{version: 1, groups: {a: {members: [x]}}}", False),
        ("{default: {}}", False),
        ("{version: 1, charity: true}", False),
    ],
)
def test_the_schema_of_drafts_takes_what_composing_takes(draft, is_valid):
    validator = jsonschema.Draft202012Validator(json.loads(DRAFT_SCHEMA.read_text()))
    assert validator.is_valid(yaml.safe_load(draft)) == is_valid
    if is_valid:
        read_source(draft)
    elif "default" in draft or "groups" in draft or "sites" in draft:
        with pytest.raises(ContractError):
            read_source(draft)


def test_the_schema_accepts_the_default_and_refuses_an_unknown_clause():
    document = yaml.safe_load(TEXT)
    validator = jsonschema.Draft202012Validator(json.loads(schema.render()))
    validator.validate(document)
    one = {"modes": ["connected"], "age_ms_max": 0, "precondition": "no-session"}
    validator.validate({**document, "commands": {"Reset": one}})
    assert not validator.is_valid({**document, "charity": True})
    assert not validator.is_valid({**document, "modes": {"pulse_s": 2}})
