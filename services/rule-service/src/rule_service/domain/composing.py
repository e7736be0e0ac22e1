"""One draft for all sites, composed for one of them into the whole text of its bundle: what is signed is what is read.

    built-in rules  <-  default  <-  the site's groups  <-  the site

Mappings are merged clause by clause, everything else is replaced. In a mapping by name (`commands`) null takes an
entry out. Whatever is wrong anywhere in a draft refuses all of it: half of a change is nobody's intention.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from holdfast import rules_text, subjects
from holdfast.contracts.command_rules import check_row
from holdfast.contracts.envelope import ContractError
from holdfast.contracts.rollout import Clauses, RulesDraft
from holdfast.contracts.rules import Rules
from holdfast.rules_text import Document, Path
from rule_service.domain.bundle_text import read_rules
from rule_service.domain.composed_text import BUNDLE, Origins, composed_text, written_out
from rule_service.domain.draft_text import (
    DraftRefused,
    Lines,
    read_document,
    read_draft,
)

DRAFT_PARTS = frozenset({"default", "groups", "sites"})
"""What a draft has and a bundle has not."""
OF_THE_DRAFT = ("version", "name", "site")
"""Set once for all, never by a layer."""
TOP_ONLY = (*OF_THE_DRAFT, "valid_until_ms", "after_expiry")
"""Nor by `default`: for every site they stand at the top of the draft."""
BY_NAME = frozenset(
    name
    for name, field in Rules.model_fields.items()
    if typing.get_origin(field.annotation) is dict
)
ANY_SITE = "*"
BUILT_IN = Rules(version=1).model_dump(mode="json")


@dataclass(frozen=True, slots=True)
class Layer:
    name: str
    path: Path
    """Where its clauses stand in the draft."""
    clauses: Clauses


@dataclass(frozen=True, slots=True)
class Composed:
    """The bundle of one site."""

    site: str
    text: str
    rules: Rules


@dataclass(frozen=True, slots=True)
class Plain:
    """A bundle: the same text for every site that it is for, written out where it leaves clauses out."""

    text: str
    rules: Rules

    @property
    def version(self) -> int:
        return self.rules.version

    @property
    def sites(self) -> tuple[str, ...]:
        return () if self.rules.site == ANY_SITE else (self.rules.site,)

    def group(self, name: str) -> tuple[str, ...]:
        raise ContractError(f"there is no group {name!r}: this is a plain bundle, not a draft")

    def composed(self, site: str) -> Composed:
        if self.rules.site not in (ANY_SITE, site):
            raise ContractError(f"the rules are for site {self.rules.site!r}, not {site!r}")
        return Composed(site, self.text, self.rules)


def plain(text: str) -> Plain:
    """What decides must stand in what is signed: a clause left out would be whatever its reader has built in. Raise
    ContractError.
    """
    try:
        document = rules_text.read_document(text)
    except rules_text.NotRead as error:
        raise ContractError(f"rules refused as a whole: {error}") from error
    return _plain(text, document)


def _plain(text: str, document: Document) -> Plain:
    rules = rules_text.rules_in(document)
    stated = {path for path, _ in leaves(document.value)}
    if stated >= {path for path, _ in leaves(rules.model_dump(mode="json"))}:
        return Plain(text, rules)
    whole = written_out(rules, dict.fromkeys(stated, BUNDLE))
    return Plain(_as_meant(whole, rules), rules)


def _as_meant(text: str, rules: Rules) -> str:
    """Raise ContractError: also where it became too long."""
    if read_rules(text) != rules:
        raise ContractError(
            f"the text composed of {rules.name[:80]!r} does not read as it was meant"
        )
    return text


@dataclass(frozen=True, slots=True)
class Draft:
    """Checked for every site that it names, and for one that it does not."""

    written: RulesDraft
    lines: Lines
    groups_of: Mapping[str, tuple[str, ...]]
    """Of each site that is in any, in the order of the draft."""

    @classmethod
    def of(cls, written: RulesDraft, lines: Lines) -> Draft:
        found: dict[str, dict[str, None]] = {}
        for name, group in written.groups.items():
            for site in group.sites:
                found.setdefault(site, {})[name] = None
        return cls(written, lines, {site: tuple(names) for site, names in found.items()})

    @property
    def version(self) -> int:
        return self.written.version

    @property
    def sites(self) -> tuple[str, ...]:
        """That it names, in the order of their names."""
        return tuple(sorted(set(self.groups_of) | set(self.written.sites)))

    def group(self, name: str) -> tuple[str, ...]:
        """Its sites. Raise ContractError."""
        if name not in self.written.groups:
            known = ", ".join(list(self.written.groups)[:20]) or "none"
            raise ContractError(f"there is no group {name!r} in the draft: there are {known}")
        return tuple(dict.fromkeys(self.written.groups[name].sites))

    def composed(self, site: str) -> Composed:
        layers = self.layers(site)
        rules, origins = self.merged(site, layers)
        above = [layer.name for layer in layers if layer.clauses]
        text = composed_text(rules, origins, site, above)
        return Composed(site, _as_meant(text, rules), rules)

    def layers(self, site: str) -> list[Layer]:
        written = self.written
        found = [Layer("default", ("default",), written.default)]
        found += [_of_group(name, self) for name in self.groups_of.get(site, ())]
        own = Layer(f"site {site}", ("sites", site), written.sites.get(site, {}))
        return [*found, own]

    def merged(self, site: str, layers: Iterable[Layer]) -> tuple[Rules, Origins]:
        """Raise DraftRefused."""
        written = self.written
        top = {
            "version": written.version,
            "name": written.name,
            "site": site,
            "valid_until_ms": written.valid_until_ms,
            "after_expiry": written.after_expiry.value,
        }
        document = BUILT_IN | top
        origins: Origins = {}
        where: dict[Path, Path] = {}
        for layer in layers:
            self._check_taken_out(layer)
            document = _laid_over(document, layer.clauses, layer, (), origins, where)
        try:
            return rules_text.rules_of(document), origins
        except ValidationError as error:
            problem = rules_text.first_of(error)
            path = _in_draft(tuple(str(part) for part in problem["loc"]), where)
            raise DraftRefused(rules_text.said(problem), path, self.lines.of(path)) from error

    # --- what must hold of the whole ---

    def check(self, known_sites: frozenset[str]) -> None:
        """Empty `known_sites`: any. Raise DraftRefused."""
        self._check_names(known_sites)
        default = Layer("default", ("default",), self.written.default)
        self._check_reserved(default, TOP_ONLY)
        self.merged(ANY_SITE, [default])
        for name in self.written.groups:
            group = _of_group(name, self)
            self._check_reserved(group, OF_THE_DRAFT)
            self.merged(ANY_SITE, [default, group])
        checked = set[tuple[str, ...]]()
        for site in self.sites:
            layers = self.layers(site)
            self._check_reserved(layers[-1], OF_THE_DRAFT)
            groups = self.groups_of.get(site, ())
            if groups in checked and not layers[-1].clauses:
                continue  # the same for it as for another one
            self._check_groups_agree(site, layers[1:-1])
            self.merged(site, layers)
            checked.add(groups)

    def _check_taken_out(self, layer: Layer) -> None:
        """What was never there can't be taken out: most likely something else was meant, and stays allowed."""
        rows = layer.clauses.get("commands")
        for row, value in rows.items() if isinstance(rows, dict) else ():
            if value is None:
                try:
                    check_row(row)
                except ValueError as error:
                    path = (*layer.path, "commands", row)
                    raise DraftRefused(str(error), path, self.lines.of(path)) from error

    def _check_names(self, known_sites: frozenset[str]) -> None:
        for path, site in self._named():
            try:
                subjects.check_site(site)
            except subjects.SubjectError as error:
                raise DraftRefused(str(error), path, self.lines.of(path)) from error
            if known_sites and site not in known_sites:
                why = f"there is no site {site!r}: known are {', '.join(sorted(known_sites))}"
                raise DraftRefused(why, path, self.lines.of(path))

    def _named(self) -> Iterator[tuple[Path, str]]:
        for name, group in self.written.groups.items():
            for number, site in enumerate(group.sites):
                yield ("groups", name, "sites", str(number)), site
        for site in self.written.sites:
            yield ("sites", site), site

    def _check_reserved(self, layer: Layer, reserved: Iterable[str]) -> None:
        for name in reserved:
            if name in layer.clauses:
                path = (*layer.path, name)
                why = "stands at the top of the draft, for all of it"
                raise DraftRefused(why, path, self.lines.of(path))

    def _check_groups_agree(self, site: str, groups: Iterable[Layer]) -> None:
        """One about the whole of which another sets a part counts as setting it otherwise, too."""
        said: dict[Path, tuple[Any, str]] = {}
        parts: dict[Path, str] = {}
        """Above what was said: by whom."""
        for group in groups:
            own = dict(leaves(group.clauses))
            for path, value in own.items():
                other = _said_otherwise(path, value, said, parts)
                if other is not None:
                    here = (*group.path, *path)
                    why = (
                        f"{site} is in {other} too, which sets this otherwise: "
                        "set it alike in both, or take the site out of one of them"
                    )
                    raise DraftRefused(why, here, self.lines.of(here))
            for path, value in own.items():
                said[path] = (value, group.name)
                parts.update(dict.fromkeys((path[:n] for n in range(len(path))), group.name))


Source = Draft | Plain


def read_source(text: str, known_sites: frozenset[str] = frozenset()) -> Source:
    """A draft, or a plain bundle, checked throughout. Raise ContractError."""
    document = read_document(text)
    if not isinstance(document.value, dict) or not DRAFT_PARTS & set(document.value):
        return plain(text)
    draft = Draft.of(read_draft(document), document.lines)
    draft.check(known_sites)
    return draft


# --- parts ---


def _of_group(name: str, draft: Draft) -> Layer:
    return Layer(f"group {name}", ("groups", name, "rules"), draft.written.groups[name].rules)


def _laid_over(
    below: Mapping[str, Any],
    above: Mapping[str, Any],
    layer: Layer,
    path: Path,
    origins: Origins,
    where: dict[Path, Path],
) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        here = (*path, str(key))
        where[here] = (*layer.path, *here)
        old = result.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            result[key] = _laid_over(old, value, layer, here, origins, where)
            continue
        origins.pop(here, None)
        if key in result:
            for known in [known for known in origins if known[: len(here)] == here]:
                del origins[known]
        if value is None and len(path) == 1 and path[0] in BY_NAME:
            result.pop(key, None)
            origins[here] = layer.name
            continue
        result[key] = value
        for leaf, _ in leaves({key: value}):
            origins[(*path, *leaf)] = layer.name
            where[(*path, *leaf)] = (*layer.path, *path, *leaf)
    return result


def _in_draft(path: Path, where: Mapping[Path, Path]) -> Path:
    """Where in the draft stands what is wrong in the composed rules: the last layer that said anything about it."""
    while path:
        if path in where:
            return where[path]
        path = path[:-1]
    return ()


def leaves(clauses: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every clause that is no mapping, by its path. A list is one clause."""
    for key, value in clauses.items():
        here = (*path, str(key))
        if isinstance(value, dict) and value:
            yield from leaves(value, here)
        else:
            yield here, value


def _said_otherwise(
    path: Path, value: Any, said: Mapping[Path, tuple[Any, str]], parts: Mapping[Path, str]
) -> str | None:
    """By which group. True is no 1, whatever Python says."""
    if path in parts:
        return parts[path]
    for above in (path[:length] for length in range(1, len(path))):
        if above in said:
            return said[above][1]
    if path not in said:
        return None
    other, name = said[path]
    return name if type(value) is not type(other) or value != other else None
