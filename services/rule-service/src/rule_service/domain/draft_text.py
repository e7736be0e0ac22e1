"""The text of a draft: every clause of it found again by its line."""

from __future__ import annotations

import json

from pydantic import ValidationError

from holdfast import rules_text
from holdfast.contracts.envelope import ContractError
from holdfast.contracts.rollout import DRAFT_BYTES_MAX, RulesDraft
from holdfast.rules_text import Document, NotRead, Path, first_of, said
from holdfast.rules_text import Lines as Lines


class DraftRefused(ContractError):
    """The whole draft, and where in it."""

    def __init__(self, why: str, path: Path = (), line: int | None = None) -> None:
        self.path, self.line = path, line
        named = ".".join(part[:80] for part in path)
        where = " ".join(part for part in ("" if line is None else f"line {line}:", named) if part)
        super().__init__(f"{where.removesuffix(':')}: {why}" if where else why)


def read_document(text: str) -> Document:
    """Raise DraftRefused."""
    try:
        return rules_text.read_document(text, bytes_max=DRAFT_BYTES_MAX)
    except NotRead as error:
        raise DraftRefused(error.why, (), error.line) from error


def read_draft(document: Document) -> RulesDraft:
    """Raise DraftRefused."""
    if not isinstance(document.value, dict):
        raise DraftRefused("a draft is a mapping: version, default, groups, sites")
    try:
        return RulesDraft.model_validate_json(json.dumps(document.value))
    except ValidationError as error:
        problem = first_of(error)
        path = tuple(str(part) for part in problem["loc"])
        raise DraftRefused(said(problem), path, document.lines.of(path)) from error
