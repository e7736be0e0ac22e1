"""The text of a rule bundle: the default one, with a scenario's or a customer's clauses laid over it."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import yaml


def default_rules_text() -> str:
    return (files("rule_service") / "default_rules.yaml").read_text()


def laid_over_default(clauses: dict[str, Any]) -> str:
    """The default bundle's text itself when there is nothing to lay over."""
    text = default_rules_text()
    if not clauses:
        return text
    return yaml.safe_dump(merged(yaml.safe_load(text), clauses), sort_keys=False)


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Mappings clause by clause, everything else as it stands above."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        result[key] = merged(old, value) if both and isinstance(old, dict) else value
    return result
