"""docs/spec/rules.schema.json: what an editor or a pipeline checks a bundle against.

python -m rule_service.schema > docs/spec/rules.schema.json
"""

from __future__ import annotations

import json
import sys

from holdfast.contracts.rules import Rules


def render() -> str:
    schema = Rules.model_json_schema()
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())
