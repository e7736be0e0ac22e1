"""A decision told to people: what was asked, what it was computed from and how old that was, what else was looked at,
and what came of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from holdfast.contracts.decision import AdmitInputs, AuthoriseInputs, Considered, DecisionMade
from monitor.domain.masking import masked
from monitor.domain.rows import DecisionRow, SiteState

VALUE_LENGTH_MAX = 300
MOMENTS = ("_at_ms", "_since_ms", "_until_ms", "_from_ms")
"""Fields that are points in time, by their names' ends."""


@dataclass(frozen=True, slots=True)
class Ground:
    """One thing that the verdict was computed from."""

    what: str
    value: str
    at_ms: int | None = None
    """When it was said, observed or issued; None: it has no age."""
    age_ms: int | None = None
    """At the decision. Negative: it lies ahead."""


@dataclass(frozen=True, slots=True)
class Explained:
    question: str
    grounds: tuple[Ground, ...]
    considered: tuple[Considered, ...]
    """Empty in a decision of an earlier version."""
    afterwards: str | None
    """None: nothing is known of it."""
    session: str | None = None
    """That began by this decision."""
    command: str | None = None
    """That it was about."""


def explained(row: DecisionRow, state: SiteState) -> Explained:
    fact = row.fact
    inputs = fact.inputs
    if isinstance(inputs, AuthoriseInputs):
        begun = state.begun.get(fact.decision)
        afterwards = None
        if begun is not None:
            afterwards = f"session {begun.session} began on connector {begun.connector}"
        return Explained(
            question=_question(fact, inputs),
            grounds=tuple(_of_driver(inputs)),
            considered=fact.considered,
            afterwards=afterwards,
            session=begun.session if begun else None,
        )
    return Explained(
        question=f"may {inputs.command.action} be sent to {fact.charge_point}?",
        grounds=tuple(_of_command(inputs)),
        considered=fact.considered,
        afterwards=_of_its_command(inputs.command.id, state),
        command=inputs.command.id,
    )


def _question(fact: DecisionMade, inputs: AuthoriseInputs) -> str:
    what = "start a session" if inputs.starts_session else "charge"
    return f"may this driver token {what} at {fact.charge_point}?"


def _of_its_command(id: str, state: SiteState) -> str | None:
    row = state.commands.get(id)
    if row is None:
        return None
    if row.disposition is None:
        return f"command {id} is on its way" if row.dispatched_at_ms else f"command {id} waits"
    said = f"command {id} ended {row.disposition.value}"
    if row.reason:
        said += f": {row.reason}"
    if row.took_effect is not None:
        said += f"; observed: {'it took effect' if row.took_effect else 'it had no effect'}"
    return said


# --- grounds ---


def _of_driver(inputs: AuthoriseInputs) -> Iterator[Ground]:
    at_ms = inputs.at_ms
    yield Ground("driver token", f"{inputs.token_type}, hash {inputs.driver_token_hash[:8]}…")
    listed, cached, revoked, group = inputs.listed, inputs.cached, inputs.revoked, inputs.group
    version = f"version {inputs.list_version}"
    if listed is None:
        yield Ground("local list", f"{version}: not on it")
    else:
        kind = f", {listed.whitelist}" if listed.whitelist else ""
        yield _aged("local list", f"{version}: {listed.status}{kind}", listed.as_of_ms, at_ms)
        yield from _validity(listed.valid_from_ms, listed.valid_until_ms, at_ms)
    if group is not None:
        yield _aged("its group on the list", group.status, group.as_of_ms, at_ms)
    if cached is None:
        yield Ground("earlier answer of the cloud", "none is kept")
    else:
        kind = f", {cached.whitelist}" if cached.whitelist else ""
        said = f"{cached.status}{kind}"
        yield _aged("earlier answer of the cloud", said, cached.answered_at_ms, at_ms)
        yield from _validity(None, cached.valid_until_ms, at_ms)
    if revoked is not None:
        yield _aged("word against it", revoked.status, revoked.said_at_ms, at_ms)
    status = f": {inputs.cloud_status}" if inputs.cloud_status else ""
    yield Ground("cloud", f"{inputs.cloud}{status}")
    for one in inputs.running:
        began_ms = one.started_at_ms or None
        yield _aged("runs already", f"{one.session} at {one.charge_point}", began_ms, at_ms)
    yield from _others(inputs, AuthoriseInputs, _KNOWN_OF_DRIVER)


def _validity(from_ms: int | None, until_ms: int | None, at_ms: int) -> Iterator[Ground]:
    if from_ms is not None:
        yield _aged("valid from", "", from_ms, at_ms)
    if until_ms is not None:
        yield _aged("valid until", "", until_ms, at_ms)


def _of_command(inputs: AdmitInputs) -> Iterator[Ground]:
    command, at_ms = inputs.command, inputs.at_ms
    said = f"{command.action} {masked(command.payload)}"[:VALUE_LENGTH_MAX]
    yield _aged("command", said, command.issued_at_ms, at_ms)
    yield Ground(
        "given by", f"{command.issuer.value}, {command.by}" if command.by else command.issuer.value
    )
    yield _aged("deadline", "", command.deadline_ms, at_ms)
    for name, value in inputs.target.model_dump(mode="json").items():
        yield from _told(name, value, at_ms)
    yield from _others(inputs, AdmitInputs, _KNOWN_OF_COMMAND)


_KNOWN_OF_DRIVER = frozenset(
    [
        "kind",
        "at_ms",
        "mode",
        "driver_token_hash",
        "listed",
        "list_version",
        "cached",
        "cloud",
        "cloud_status",
        "cloud_parent",
        "token_type",
        "revoked",
        "group",
        "starts_session",
        "running",
    ]
)
_KNOWN_OF_COMMAND = frozenset({"kind", "at_ms", "mode", "command", "target"})


def _others(
    inputs: AuthoriseInputs | AdmitInputs,
    kind: type[AuthoriseInputs] | type[AdmitInputs],
    known: frozenset[str],
) -> Iterator[Ground]:
    """Inputs that came later than this view: shown as they are, never left out."""
    for name in kind.model_fields:
        if name not in known:
            value = masked(inputs.model_dump(mode="json", include={name}))[name]
            yield from _told(name, value, inputs.at_ms)


def _told(name: str, value: Any, at_ms: int) -> Iterator[Ground]:
    if value is None or value == [] or value == {}:
        return
    if name.endswith(MOMENTS) and isinstance(value, int) and not isinstance(value, bool):
        what = name.removesuffix("_ms").removesuffix("_at").replace("_", " ")
        yield _aged(what, "", value, at_ms)
        return
    yield Ground(name.replace("_", " "), _words(value)[:VALUE_LENGTH_MAX])


def _words(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case dict():
            told = (f"{key}: {_words(inner)}" for key, inner in value.items() if inner is not None)
            return ", ".join(told)
        case list() | tuple():
            return "; ".join(_words(inner) for inner in value)
        case _:
            return str(value)


def _aged(what: str, value: str, said_at_ms: int | None, at_ms: int) -> Ground:
    """A list that never had a time counts as said at 0: it has no age that would tell anything."""
    said_at_ms = said_at_ms or None
    return Ground(what, value, said_at_ms, None if said_at_ms is None else at_ms - said_at_ms)
