"""House rules that a linter does not know. Each failure says which file and what now."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from holdfast.contracts.rules import Rules

ROOT = Path(__file__).resolve().parents[1]
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
SERVICES = sorted(path for path in (ROOT / "services").iterdir() if path.is_dir())
SUBJECT_LITERAL = re.compile(r"""["'](?:hf\.|\$JS\.|\$KV\.|sync\.(?:up|down)\.)""")
SUBJECT_HOMES = {
    "libs/common/src/holdfast/subjects.py",
    "libs/common/src/holdfast/asyncapi.py",  # documents them
    "cli/src/holdfast_cli/provision/nats_conf.py",  # permissions are written in NATS' own words
}


def tracked(pattern: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return [ROOT / name for name in listed if (ROOT / name).exists()]


PYTHON = tracked("*.py")
SOURCES = [path for path in PYTHON if "src" in path.parts]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_files_and_functions_stay_readable():
    long_files = [
        f"{relative(path)}: {count} lines, look for a missing noun"
        for path in PYTHON
        if (count := len(path.read_text().splitlines())) > FILE_LINES_MAX
    ]
    assert not long_files


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_functions_stay_short(path: Path):
    tree = ast.parse(path.read_text())
    long = [
        f"{relative(path)}:{node.lineno} {node.name}: {node.end_lineno - node.lineno} lines"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno > FUNCTION_LINES_MAX
    ]
    assert not long


def test_subject_strings_live_in_one_place():
    strays = [
        f"{relative(path)}:{number}: build it in holdfast/subjects.py"
        for path in SOURCES
        if relative(path) not in SUBJECT_HOMES and "nats_bus" not in relative(path)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if SUBJECT_LITERAL.search(line)
    ]
    assert not strays


def test_nothing_is_left_for_later():
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    left = [relative(path) for path in SOURCES if marks.search(path.read_text())]
    assert not left


@pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.name)
def test_every_service_has_its_table(service: Path):
    text = (service / "README.md").read_text().lower()
    for word in ("consumes", "publishes", "keeps", "configured by"):
        assert word in text, f"{relative(service)}/README.md: its table lacks {word!r}"


def test_every_service_has_tests():
    assert all(list((service / "tests").glob("test_*.py")) for service in SERVICES)


def test_adr_headers_are_valid():
    adrs = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
    assert adrs
    index = (ROOT / "docs" / "adr" / "README.md").read_text()
    for number, path in enumerate(adrs, 1):
        text = path.read_text()
        assert path.name.startswith(f"{number:04d}-"), f"{path.name}: numbers have no holes"
        for field in (
            "| Date |",
            "| Status |",
            "| Tags |",
            "## Context",
            "## Decision",
            "## Rejected",
            "## Consequences",
        ):
            assert field in text, f"{path.name} lacks {field!r}"
        assert path.name in index, f"{path.name} is missing in docs/adr/README.md"


def test_locks_name_no_registry():
    for path in tracked("requirements/*.txt"):
        assert not re.search(r"https?://|--index-url|--find-links", path.read_text()), relative(
            path
        )


def test_simulators_share_no_code_with_the_product():
    product = re.compile(
        r"^\s*(?:from|import) (holdfast|ocpp_edge|journal|reconciler|monitor|mode_manager|rule_service)\b",
        re.M,
    )
    strays = [
        relative(path)
        for path in SOURCES
        if path.is_relative_to(ROOT / "simulators") and product.search(path.read_text())
    ]
    assert not strays


def test_every_clause_of_the_rules_is_read_by_something():
    """By its name, as an attribute, outside the contracts and the mode card (which only tells of it)."""
    told = ("contracts", "mode_card", "tests")
    homes = (ROOT / "services", ROOT / "libs/common/src")
    readers = "\n".join(
        path.read_text()
        for path in SOURCES
        if any(path.is_relative_to(home) for home in homes)
        and not set(told) & set(path.relative_to(ROOT).parts)
    )
    unread = {
        ".".join(path)
        for path in _clauses(Rules(version=1))
        if not re.search(rf"\.{path[-1]}\b", readers)
    }
    assert not unread, f"a clause that nothing reads is no rule: {unread}"


def _clauses(part: BaseModel, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name in type(part).model_fields:
        value = getattr(part, name)
        rows = list(value.values())[:1] if isinstance(value, dict) else [value]
        for row in rows:
            if isinstance(row, BaseModel):
                yield from _clauses(row, (*path, name))
            else:
                yield (*path, name)
