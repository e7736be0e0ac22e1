"""Goal: docs/spec/commands.md is what the default rules and the services say."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from holdfast.contracts.command import Action
from holdfast.contracts.command_rules import CommandKind, Precondition
from holdfast.ocpp.actions import same_as
from holdfast_cli import command_table

DOCUMENT = Path(__file__).parents[2] / "docs" / "spec" / "commands.md"


def test_the_document_is_current():
    assert DOCUMENT.read_text() == command_table.render(), (
        "run: python -m holdfast_cli.command_table > docs/spec/commands.md"
    )


def test_every_action_kind_and_precondition_is_told():
    text = command_table.render()
    shared = {same_as(action) for action in get_args(Action)}
    named = [*shared, *(one for one in Precondition if one is not Precondition.NONE)]
    assert not [one for one in named if f"`{one}`" not in text]
    assert not [kind for kind in CommandKind if f"| {kind} |" not in text]
