"""Goal: docs/spec/modes.md is what the code does."""

from __future__ import annotations

from pathlib import Path

from holdfast.contracts.mode import Mode, OverrideKind, Reason
from mode_manager import spec
from mode_manager.domain.table import OVERRIDES, TRANSITIONS

DOCUMENT = Path(__file__).parents[3] / "docs" / "spec" / "modes.md"


def test_the_written_table_is_current():
    assert DOCUMENT.read_text() == spec.render(), (
        "run: python -m mode_manager.spec > docs/spec/modes.md"
    )


def test_every_mode_can_be_reached_and_left():
    assert {after for _, after in TRANSITIONS} == set(Mode)
    assert {before for before, _ in TRANSITIONS if before} == set(Mode)


def test_every_reason_is_explained():
    text = spec.render()
    assert all(str(reason) in text for reason in Reason)


def test_every_override_is_in_the_table():
    assert set(OVERRIDES) == set(OverrideKind)
