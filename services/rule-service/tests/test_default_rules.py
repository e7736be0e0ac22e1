"""Goal: the default bundle is the defaults, complete; the published schema is the contract's."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import yaml
from pydantic import BaseModel

from holdfast.contracts.rules import Rules
from rule_service import schema
from rule_service.domain.bundle import read_rules

TEXT = (files("rule_service") / "default_rules.yaml").read_text()
SCHEMA = Path(__file__).parents[3] / "docs" / "spec" / "rules.schema.json"


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


def test_the_schema_accepts_the_default_and_refuses_an_unknown_clause():
    document = yaml.safe_load(TEXT)
    validator = jsonschema.Draft202012Validator(json.loads(schema.render()))
    validator.validate(document)
    assert not validator.is_valid({**document, "charity": True})
    assert not validator.is_valid({**document, "modes": {"pulse_s": 2}})
