"""All verbs of operators, put together."""

from __future__ import annotations

import argparse
from typing import Any

from holdfast_cli.operator import (
    commands,
    completion,
    decisions,
    driver_tokens,
    local_states,
    mode_cards,
    override,
    registry,
    rules,
    rules_local,
    sites,
)
from holdfast_cli.operator.arguments import REGISTRY, add_group


def add_verbs(subparsers: Any, parser: argparse.ArgumentParser) -> None:
    sites.add_verbs(subparsers)
    local_states.add_verbs(subparsers)
    mode_cards.add_verbs(subparsers)
    decisions.add_verbs(subparsers)
    commands.add_verbs(add_group(subparsers, "command", help="commands to charge points"))
    registry.add_verbs(
        add_group(
            subparsers, REGISTRY, help="who may connect (the same: holdfast charge-points add ...)"
        )
    )
    driver_tokens.add_verbs(add_group(subparsers, "driver-tokens", help="who may charge"))
    override.add_verbs(add_group(subparsers, "override", help="maintenance, planned disruptions"))
    override.add_limit(subparsers)
    of_rules = add_group(
        subparsers, "rules", help="a site's rules: what stands, what was, what might come"
    )
    rules.add_verbs(of_rules)
    rules_local.add_local_verbs(of_rules)
    completion.add_verb(subparsers, parser)
