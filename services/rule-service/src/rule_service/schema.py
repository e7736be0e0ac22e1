"""The JSON schemas of a bundle and of a draft: what an editor or a pipeline checks one against.

python -m rule_service.schema > docs/spec/rules.schema.json
python -m rule_service.schema draft > docs/spec/rules-draft.schema.json
"""

from __future__ import annotations

import json
import sys
from typing import Any

from holdfast.contracts.rollout import RulesDraft
from holdfast.contracts.rules import Rules
from rule_service.domain.composing import BY_NAME, OF_THE_DRAFT, TOP_ONLY

Schema = dict[str, Any]
DIALECT = {"$schema": "https://json-schema.org/draft/2020-12/schema"}


def render() -> str:
    return _text({**DIALECT, **Rules.model_json_schema()})


def render_draft() -> str:
    """A layer has the clauses of a bundle, any of them left out: what is missing comes from the layer below."""
    draft, rules = RulesDraft.model_json_schema(), Rules.model_json_schema()
    parts = {name: _partial(part) for name, part in rules.pop("$defs").items()}
    bundle = _partial(rules)
    for name in BY_NAME:
        entry = bundle["properties"][name]["additionalProperties"]
        bundle["properties"][name]["additionalProperties"] = {"anyOf": [entry, {"type": "null"}]}
    layer = {"$ref": "#/$defs/Layer"}
    definitions = {
        **parts,
        **draft.pop("$defs", {}),
        "Layer": _without(bundle, OF_THE_DRAFT),
        "Default": _without(bundle, TOP_ONLY),
    }
    definitions["DraftGroup"]["properties"]["rules"] = layer
    draft["properties"]["default"] = {"anyOf": [{"$ref": "#/$defs/Default"}, {"type": "null"}]}
    layers = {"type": "object", "additionalProperties": {"anyOf": [layer, {"type": "null"}]}}
    draft["properties"]["sites"] = layers
    return _text({**DIALECT, **draft, "$defs": definitions})


def _partial(part: Schema) -> Schema:
    """Nothing of it has to be there, and nothing left out has a value of its own."""
    part = {key: value for key, value in part.items() if key != "required"}
    if "properties" in part:
        part["properties"] = {
            name: {key: value for key, value in field.items() if key != "default"}
            for name, field in part["properties"].items()
        }
    return part


def _without(part: Schema, names: tuple[str, ...]) -> Schema:
    kept = {name: field for name, field in part["properties"].items() if name not in names}
    return {**part, "properties": kept}


def _text(schema: Schema) -> str:
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render_draft() if sys.argv[1:] == ["draft"] else render())
