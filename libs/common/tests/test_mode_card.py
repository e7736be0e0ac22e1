"""Goal: the card says everything that a bundle says of a mode, and says another thing when the bundle does.

Method: every leaf of the built-in rules is changed, one at a time, to another value that the bundle takes;
the card must change in a row that names the clause. What no mode depends on is listed here by name.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path

import pytest
from pydantic import ValidationError

from holdfast.contracts.command_rules import CommandKind
from holdfast.contracts.mode import Mode
from holdfast.contracts.rules import NOT_IMPOSED, Rules
from holdfast.expiry import SAFE
from holdfast.mode_card import mode_card
from holdfast.mode_card.__main__ import render

DOCUMENT = Path(__file__).parents[3] / "docs" / "spec" / "mode-card.md"

OF_NO_MODE = {
    "version",
    "name",
    "site",
    "signing.keys",
}
"""Who the bundle is for and who may sign it: alike in every mode."""
WITH_A_METERED_LINK = {
    "pulse_ms",
    "pulse_timeout_ms",
    "degraded_after_ms",
    "autonomous_after_ms",
    "stable_for_ms",
    "sync_lag_ms",
}
"""Of `modes`: those of `metered` stand in their place."""

BASE = {
    "version": 1,
    "authorise": {
        mode.value: {"ask_cloud": True, "unknown": "accept-flagged", "unknown_energy_wh_max": 5_000}
        for mode in Mode
    },
    "buffering": {
        mode.value: {"telemetry_every_ms": 30_000, "meter_values_every_ms": 60_000} for mode in Mode
    },
    "valid_until_ms": 1_900_000_000_000,
    "limits": {"fallback_a": 16, "degraded_a": 20},
}
"""Everything that can be said is said."""


def leaves(value, path=()):
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, (*path, name))
    else:
        yield path


def other(value):
    """Values that may stand in its place, nearest first."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1_000, value + 1, value - 1, value * 2]
    if isinstance(value, float):
        return [value / 2, value + 1]
    if isinstance(value, Enum):
        return [one for one in type(value) if one is not value]
    if isinstance(value, tuple):
        return [value[:-1], (*value, Mode.CONNECTED), (*value, "X"), ("records-safe",), ("Reset",)]
    if isinstance(value, str):
        return ["always", "never", value + "x"]
    return [1]


def with_changed(document, path):
    """The bundle with another value at the path."""
    at = document
    for name in path[:-1]:
        at = at[name]
    before = at[path[-1]]
    for value in other(before):
        if value == before:
            continue
        at[path[-1]] = value
        try:
            return Rules.model_validate(document)
        except ValidationError:
            continue
        finally:
            at[path[-1]] = before
    raise AssertionError(f"no other value was found for {path}")


def document_of(*, metered):
    return Rules.model_validate(BASE | {"metered": {"link": metered}}).model_dump()


def rows_of(rules):
    return {
        (card.mode, title, row.clause, row.says)
        for card in mode_card(rules)
        for title, rows in card.parts
        for row in rows
    }


def clauses_named(path):
    """As a row may name it: the clause, or the section (`commands.<action>`) it stands in."""
    return {".".join(path[:length]) for length in range(1, len(path) + 1)}


def hidden_if_metered(path):
    return (path[0] == "modes" and path[-1] in WITH_A_METERED_LINK) or (
        path[0] == "buffering" and path[-1] == "telemetry_every_ms"
    )


def of_no_command(path):
    """Refused on every row but the one that has keys, or is a question."""
    if path[-1] == "known_age_ms_max":
        return Rules(version=1).commands[path[1]].kind is not CommandKind.QUERY
    return path[-1] == "keys_refused" and "ChangeConfiguration" not in path


def hidden_if_not(path):
    return path[0] == "metered" and path[-1] != "link"


def cases():
    for metered in (False, True):
        document = document_of(metered=metered)
        for path in leaves(document):
            name = ".".join(path)
            hidden = hidden_if_metered(path) if metered else hidden_if_not(path)
            if name not in OF_NO_MODE and not hidden and not of_no_command(path):
                yield pytest.param(metered, path, id=f"{name}{'-metered' if metered else ''}")


@pytest.mark.parametrize(("metered", "path"), list(cases()))
def test_a_changed_clause_changes_its_row(metered, path):
    document = document_of(metered=metered)
    before, after = rows_of(Rules.model_validate(document)), rows_of(with_changed(document, path))
    changed = before ^ after
    assert changed, f"{'.'.join(path)} is on no card"
    if path[-1] == "link":
        return
    named = {clause for _, _, row, _ in changed for clause in row.split(", ")}
    assert named & clauses_named(path), f"{'.'.join(path)} changes a row that does not name it"


@pytest.mark.parametrize("name", sorted(OF_NO_MODE))
def test_what_no_mode_depends_on_is_a_clause_all_the_same(name):
    assert name in {".".join(path) for path in leaves(Rules(version=1).model_dump())}


@pytest.mark.parametrize("mode", Mode)
def test_each_mode_has_its_own_card_and_every_command_on_it(mode):
    [card] = [one for one in mode_card(Rules(version=1)) if one.mode is mode]
    named = {clause for row in card.allowed for clause in row.clause.split(", ")}
    assert {f"commands.{action}" for action in Rules(version=1).commands} < named
    assert all(row.says for _, rows in card.parts for row in rows)
    assert all(rows for _, rows in card.parts)


def test_no_two_modes_are_alike():
    parts = [card.parts for card in mode_card(Rules(version=1))]
    assert all(one != two for index, one in enumerate(parts) for two in parts[index + 1 :])


def test_a_clause_of_one_mode_stands_on_its_card_only():
    card = {one.mode: one for one in mode_card(Rules(version=1))}
    for mode in Mode:
        clauses = {row.clause for row in card[mode].rules}
        others = [other for other in Mode if other is not mode]
        assert any(clause.startswith(f"authorise.{mode.value}") for clause in clauses)
        assert not any(
            clause.startswith(f"authorise.{other.value}") for clause in clauses for other in others
        )


def test_every_kind_of_command_is_told_apart():
    def says(kind):
        rules = Rules.model_validate(
            {
                "version": 1,
                "commands": {"Reset": {"kind": kind, "modes": ["connected"], "age_ms_max": 0}},
            }
        )
        return [row.says for card in mode_card(rules) for row in card.allowed]

    assert says(CommandKind.EXPIRING) != says(CommandKind.DESIRED) != says(CommandKind.QUERY)


def stop_row(rules, mode):
    [card] = [one for one in mode_card(rules) if one.mode is mode]
    [says] = [row.says for row in card.allowed if row.says.startswith("RemoteStopTransaction:")]
    return says


@pytest.mark.parametrize("mode", [Mode.DEGRADED, Mode.RECOVERY])
def test_no_card_promises_a_stop_from_afar_where_running_sessions_are_protected(mode):
    """It names a session that runs, and that is what `protection` keeps: whatever its row allows."""
    assert mode in Rules(version=1).commands["RemoteStopTransaction"].modes
    assert "For the operator at the site only" in stop_row(Rules(version=1), mode)
    safe = Rules.model_validate({"version": 1, "protection": {"safety": ["RemoteStopTransaction"]}})
    assert "Delivered for CSMS and cloud too" in stop_row(safe, mode)
    assert "Delivered for CSMS and cloud too" in stop_row(Rules(version=1), Mode.CONNECTED)


def test_a_card_says_where_protection_stands_against_a_command():
    cards = {one.mode: one for one in mode_card(Rules(version=1))}

    def says(mode, action):
        [found] = [row.says for row in cards[mode].allowed if row.says.startswith(f"{action}:")]
        return found

    assert "refused where it could end a running session" in says(Mode.DEGRADED, "UnlockConnector")
    assert "it waits where it could end" in says(Mode.DEGRADED, "ChangeAvailability")
    assert "below 6 A" in says(Mode.RECOVERY, "SetChargingProfile")
    assert "From afar" not in says(Mode.CONNECTED, "UnlockConnector")


END_MS = 1_750_000_000_000
GENEROUS = {
    "version": 7,
    "valid_until_ms": END_MS,
    "authorise": {
        **{mode.value: {"ask_cloud": False, "unknown": "free-vend"} for mode in Mode},
        "cache_age_ms_max": 1_000,
        "cache_entries_max": 7,
    },
    "commands": {"Reset": {"kind": "expiring", "modes": ["connected"], "age_ms_max": 5_000}},
    "protection": {"modes": [], "floor_a": 9.0},
    "limits": {"higher_ms_max": 7_000, "fallback_a": 16},
}


def said_by(cards, part, *sections):
    return {
        row.says for card in cards for row in getattr(card, part) if row.clause.startswith(sections)
    }


def test_after_the_end_of_rules_that_give_way_the_card_has_the_rows_that_decide_and_says_why():
    rules = Rules.model_validate(GENEROUS | {"after_expiry": "safe"})
    before, after = mode_card(rules, END_MS - 1), mode_card(rules, END_MS)
    assert before == mode_card(rules)
    for card in after:
        for part in (card.rules, card.allowed):
            assert part[0].clause == "valid_until_ms, after_expiry"
            assert "ended at 2025-06-15 15:06:40 UTC: the built-in safe ones decide" in part[0].says
    for part, sections in (
        ("allowed", ("commands",)),
        ("rules", ("protection",)),
        ("rules", tuple(f"authorise.{mode.value}" for mode in Mode)),
    ):
        assert said_by(after, part, *sections) == said_by(mode_card(SAFE), part, *sections)
        assert said_by(after, part, *sections) != said_by(before, part, *sections)


def test_what_does_not_give_way_stands_on_the_card_as_the_bundle_has_it():
    rules = Rules.model_validate(GENEROUS | {"after_expiry": "safe"})
    after = said_by(mode_card(rules, END_MS), "rules", "")
    assert any("16 A" in says for says in after)
    assert any("the newest 7 are kept" in says for says in after)


def test_rules_that_are_kept_after_their_end_go_on_standing_on_the_card():
    rules = Rules.model_validate(GENEROUS | {"after_expiry": "keep"})
    assert mode_card(rules, END_MS) == mode_card(rules)


@pytest.mark.parametrize("mode", Mode)
def test_every_card_says_that_the_sites_limit_is_not_imposed_yet(mode):
    [card] = [one for one in mode_card(Rules(version=1)) if one.mode is mode]
    assert [row.clause for row in card.rules if row.says == NOT_IMPOSED] == ["limits"]


def test_the_written_card_is_current():
    assert DOCUMENT.read_text() == render(), (
        "run: python -m holdfast.mode_card > docs/spec/mode-card.md"
    )
