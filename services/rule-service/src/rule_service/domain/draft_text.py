"""The text of a draft: read strictly, and every clause of it found again by its line."""

from __future__ import annotations

from typing import Any

import yaml
from pydantic import ValidationError

from holdfast.contracts.envelope import ContractError
from holdfast.contracts.rollout import DRAFT_BYTES_MAX, RulesDraft
from rule_service.domain.bundle_text import Strict

Path = tuple[str, ...]

NODES_MAX = 50_000
"""YAML's aliases make much of little; no draft that people wrote has so many clauses."""


class DraftRefused(ContractError):
    """The whole draft, and where in it."""

    def __init__(self, why: str, path: Path = (), line: int | None = None) -> None:
        self.path, self.line = path, line
        where = ("" if line is None else f"line {line}: ") + ".".join(path)
        super().__init__(f"{where}: {why}" if where else why)


class Lines:
    """Where each clause of a document stands."""

    def __init__(self, root: yaml.Node | None) -> None:
        self._lines: dict[Path, int] = {}
        self._left = NODES_MAX
        if root is not None:
            self._walk(root, ())

    def of(self, path: Path) -> int | None:
        """Of the clause itself, or of the nearest one above it."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path)

    def _walk(self, node: yaml.Node, path: Path) -> None:
        self._left -= 1
        if self._left < 0:
            raise DraftRefused(f"more than {NODES_MAX} clauses, or aliases that repeat them")
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                below = (*path, str(key.value))
                self._lines[below] = key.start_mark.line + 1
                self._walk(value, below)
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                self._lines[(*path, str(number))] = value.start_mark.line + 1
                self._walk(value, (*path, str(number)))


def read_document(text: str) -> tuple[Any, Lines]:
    """Raise DraftRefused."""
    if len(text.encode()) > DRAFT_BYTES_MAX:
        raise DraftRefused(f"drafts of over {DRAFT_BYTES_MAX} bytes are not read")
    try:
        lines = Lines(yaml.compose(text, Loader=yaml.SafeLoader))
        return Strict(text).get_single_data(), lines
    except RecursionError as error:
        raise DraftRefused("it is nested too deeply, or refers to itself") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise DraftRefused(f"is not YAML: {error.problem}", (), line) from error
    except (yaml.YAMLError, ValueError) as error:
        raise DraftRefused(f"is not YAML as a draft must be: {error}") from error


def read_draft(document: Any, lines: Lines) -> RulesDraft:
    """Raise DraftRefused."""
    if not isinstance(document, dict):
        raise DraftRefused("a draft is a mapping: version, default, groups, sites")
    try:
        return RulesDraft.model_validate(document)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        path = tuple(str(part) for part in problem["loc"])
        raise DraftRefused(said(problem), path, lines.of(path)) from error


def said(problem: Any) -> str:
    """What pydantic says is wrong, in words of rules."""
    if problem["type"] == "extra_forbidden":
        return "there is no such clause"
    if problem["type"] == "missing":
        return f"{problem['loc'][-1]} is missing"
    given = str(problem["input"])[:80]
    return f"{problem['msg']} (given {given!r})"
