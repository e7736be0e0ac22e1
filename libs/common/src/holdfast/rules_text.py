"""The one reader of rules as people write them: bundle, draft, what was composed, what was activated.

    text --events--> values, each clause with its line --strictly--> Rules

Of YAML it takes what every reader understands alike: mappings, lists, words, `true`, `false`, `null`, decimal numbers,
anchors and aliases. Tags, keys that stand twice and words that YAML 1.1 makes something else of (`on`, `1:30`) are
refused. Whatever it is given, it ends soon and with ContractError.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError

from holdfast.contracts.envelope import ContractError, problem_field, problem_said
from holdfast.contracts.rules import Rules

RULES_TEXT_BYTES_MAX = 256 * 1024
NODES_MAX = 50_000
"""Clauses and values, aliases followed: they make much of little, and nobody writes so many."""
EXPANDED_MAX = 1024 * 1024
"""Characters, aliases followed."""
DEPTH_MAX = 32
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Its events only; ten times faster where it was built."""

Path = tuple[str, ...]

_RESOLVER = yaml.resolver.Resolver()
_TAG = "tag:yaml.org,2002:"
_WHOLE = re.compile(r"-?(0|[1-9][0-9]*)\Z")
_FRACTION = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+([eE][-+]?[0-9]+)?\Z")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
DIGITS_MAX = 400


class NotRead(ContractError):
    """What is wrong with a text, and in which line; before anything is known of what it means."""

    def __init__(self, why: str, line: int | None = None) -> None:
        self.why, self.line = why, line
        super().__init__(why if line is None else f"line {line}: {why}")


@dataclass(frozen=True, slots=True)
class Node:
    value: Any
    line: int
    below: dict[str, Node]
    """The parts of a mapping or of a list by name or place."""
    key_lines: dict[str, int]
    nodes: int
    """Of it and all below, aliases followed."""
    characters: int
    depth: int


class Lines:
    """Where each clause of a document stands."""

    def __init__(self, root: Node) -> None:
        self._root = root

    def of(self, path: Path) -> int | None:
        """Of the clause itself, or of the nearest one above it."""
        node, line = self._root, None
        for part in path:
            if part not in node.below:
                break
            line, node = node.key_lines[part], node.below[part]
        return line


@dataclass(frozen=True, slots=True)
class Document:
    value: Any
    lines: Lines


def read_document(text: str, *, bytes_max: int = RULES_TEXT_BYTES_MAX) -> Document:
    """Raise NotRead."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise NotRead("it has characters that no text has (half of a pair)") from error
    if size > bytes_max:
        raise NotRead(f"over {bytes_max} bytes are not read")
    try:
        root = _Builder(yaml.parse(text, Loader=LOADER)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise NotRead(
            f"is not YAML: {error.problem or error.context}", mark.line + 1 if mark else None
        ) from error
    except yaml.YAMLError as error:
        raise NotRead(f"is not YAML: {str(error)[:200]}") from error
    return Document(root.value, Lines(root))


def parse_rules(text: str) -> Rules:
    """YAML to rules; raise ContractError naming the first wrong clause and its line."""
    try:
        document = read_document(text)
    except NotRead as error:
        raise ContractError(f"rules refused as a whole: {error}") from error
    return rules_in(document)


def rules_in(document: Document) -> Rules:
    """Raise ContractError."""
    try:
        return rules_of(document.value)
    except ValidationError as error:
        problem = first_of(error)
        line = document.lines.of(tuple(str(part) for part in problem["loc"]))
        where = "" if line is None else f"line {line}: "
        what = f"{problem_field(problem)}: {said(problem)}"
        raise ContractError(f"rules refused as a whole: {where}{what}") from error


def rules_of(value: Any) -> Rules:
    """Strictly, as the schema has it: true is no 1, and "2" no number. Raise ValidationError."""
    return Rules.model_validate_json(json.dumps(value), strict=True)


def said(problem: Any) -> str:
    """What pydantic says is wrong, in words of rules."""
    if problem["type"] == "extra_forbidden":
        return "there is no such clause"
    if problem["type"] == "missing":
        return f"{str(problem['loc'][-1])[:80]} is missing"
    return problem_said(problem)


def first_of(error: ValidationError) -> Any:
    return error.errors(include_url=False)[0]


class _Builder:
    """Values out of events: nothing of what a tag could construct."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self._events = events
        self._anchors: dict[str, Node] = {}
        self._read = 0

    def document(self) -> Node:
        next(self._events)  # of the stream
        begin = next(self._events)
        if not isinstance(begin, yaml.DocumentStartEvent):
            raise NotRead("there is nothing in it")
        root = self._node(next(self._events), 0)
        next(self._events)  # of the document
        another = next(self._events)
        if not isinstance(another, yaml.StreamEndEvent):
            raise NotRead("it is more than one document", _line(another))
        return root

    def _node(self, event: Any, depth: int) -> Node:
        self._read += 1
        if depth > DEPTH_MAX:
            raise NotRead(f"nested more than {DEPTH_MAX} deep", _line(event))
        if isinstance(event, yaml.AliasEvent):
            name = str(event.anchor)
            known = self._anchors.get(name)
            if known is None:
                why = f"*{name[:40]} refers to nothing that ended before it"
                raise NotRead(why, _line(event))
            return known
        if event.tag is not None:
            raise NotRead(
                f"tags such as {event.tag[:40]!r} are not taken: leave it out", _line(event)
            )
        match event:
            case yaml.ScalarEvent():
                node = _scalar(event)
            case yaml.MappingStartEvent():
                node = self._mapping(event, depth)
            case _:
                node = self._list(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _mapping(self, begin: yaml.Event, depth: int) -> Node:
        below, lines = dict[str, Node](), dict[str, int]()
        whole = _Whole(_line(begin), depth)
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key, line = self._node(event, depth + 1), _line(event)
            if not isinstance(key.value, str):
                raise NotRead("a clause is named by a word; a number needs quotes", line)
            if key.value in below:
                raise NotRead(f"{key.value[:80]!r} stands twice", line)
            if key.value == "<<" and isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
                raise NotRead("`<<` is not taken: repeat with an alias what is repeated", line)
            below[key.value] = self._node(next(self._events), depth + 1)
            lines[key.value] = line
            whole.add(key, line)
            whole.add(below[key.value], line)
        value = {name: node.value for name, node in below.items()}
        return whole.node(value, below, lines)

    def _list(self, begin: yaml.Event, depth: int) -> Node:
        below, lines = dict[str, Node](), dict[str, int]()
        whole = _Whole(_line(begin), depth)
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            place, line = str(len(below)), _line(event)
            below[place], lines[place] = self._node(event, depth + 1), line
            whole.add(below[place], line)
        return whole.node([node.value for node in below.values()], below, lines)


class _Whole:
    """What a mapping or a list amounts to with everything below it."""

    def __init__(self, line: int, depth: int) -> None:
        self._line, self._above = line, depth
        self._nodes, self._characters, self._depth = 1, 0, 0

    def add(self, part: Node, line: int) -> None:
        self._nodes += part.nodes
        self._characters += part.characters
        self._depth = max(self._depth, part.depth + 1)
        if self._nodes > NODES_MAX:
            raise NotRead(f"more than {NODES_MAX} clauses, or aliases that repeat them", line)
        if self._characters > EXPANDED_MAX:
            raise NotRead(f"more than {EXPANDED_MAX} characters, aliases followed", line)
        if self._above + self._depth > DEPTH_MAX:
            raise NotRead(f"nested more than {DEPTH_MAX} deep, aliases followed", line)

    def node(self, value: Any, below: dict[str, Node], lines: dict[str, int]) -> Node:
        return Node(value, self._line, below, lines, self._nodes, self._characters, self._depth)


def _scalar(event: yaml.ScalarEvent) -> Node:
    text, line = event.value, _line(event)
    value = _plain(text, line) if event.implicit[0] else text
    return Node(value, line, {}, {}, 1, len(text), 0)


def _plain(text: str, line: int) -> Any:
    """What stands without quotes."""
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.match(text) or _FRACTION.match(text):
        if len(text) > DIGITS_MAX:
            raise NotRead(f"a number of over {DIGITS_MAX} digits", line)
        value = int(text) if _WHOLE.match(text) else float(text)
        if value in (float("inf"), float("-inf")):
            raise NotRead(f"{text[:40]} is too large a number", line)
        return value
    read_as = str(_RESOLVER.resolve(yaml.ScalarNode, text, (True, False)))  # type: ignore[no-untyped-call]
    if read_as not in (f"{_TAG}str", f"{_TAG}merge"):
        kind = read_as.removeprefix(_TAG)
        raise NotRead(
            f"{text[:40]!r} is a word to some readers of YAML, and of kind {kind} to others: "
            "put it in quotes, or write true, false, null or a plain number",
            line,
        )
    return text


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
