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
    return yaml.safe_dump(_laid_over(yaml.safe_load(text), clauses), sort_keys=False)


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _laid_over(old, value) if both and isinstance(old, dict) else value
    return merged
