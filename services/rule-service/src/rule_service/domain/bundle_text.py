"""The text of a bundle, as people write it and as it is signed."""

from __future__ import annotations

from typing import Any, NoReturn

import yaml

from holdfast.contracts.envelope import ContractError
from holdfast.contracts.rules import Rules
from holdfast.standing import parse_rules


def read_rules(text: str) -> Rules:
    """Stricter than the parser of what is already active: a clause written twice is refused too."""
    rules = parse_rules(text)
    try:
        Strict(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ContractError(f"rules refused as a whole: {line}{error.problem}") from error
    except RecursionError as error:
        raise ContractError("rules refused as a whole: nested too deeply") from error
    return rules


class Strict(yaml.SafeLoader):
    """YAML takes the last of two equal keys without a word; rules must not."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, list | dict | set):
                _wrong("a clause is named by a word", key_node)
            if key in seen:
                _wrong(f"{key!r} stands twice", key_node)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _wrong(what: str, node: yaml.Node) -> NoReturn:
    raise yaml.MarkedYAMLError(problem=what, problem_mark=node.start_mark)


def with_version(text: str, version: int) -> str:
    """The same text under another version, and nothing else of it touched. Raise ContractError."""
    rules = read_rules(text)
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)  # else there were no rules in it
    [node] = [value for key, value in root.value if key.value == "version"]
    raised = text[: node.start_mark.index] + str(version) + text[node.end_mark.index :]
    if read_rules(raised) != rules.model_copy(update={"version": version}):
        raise ContractError("its version can't be raised: write it as a plain number")
    return raised
