"""The text of a bundle, as people write it and as it is signed."""

from __future__ import annotations

import yaml

from holdfast.contracts.envelope import ContractError
from holdfast.rules_text import parse_rules

read_rules = parse_rules
"""No one reads rules less strictly than another."""


def with_version(text: str, version: int) -> str:
    """The same text under another version, and nothing else of it touched. Raise ContractError."""
    rules = read_rules(text)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:  # to another parser than the reader's
        raise ContractError("its version can't be found by every parser of YAML") from error
    assert isinstance(root, yaml.MappingNode)  # else there were no rules in it
    [node] = [value for key, value in root.value if key.value == "version"]
    raised = text[: node.start_mark.index] + str(version) + text[node.end_mark.index :]
    if read_rules(raised) != rules.model_copy(update={"version": version}):
        raise ContractError("its version can't be raised: write it as a plain number")
    return raised
