"""All verbs of operators, put together."""

from __future__ import annotations

import argparse
from typing import Any

from holdfast_cli.operator import completion, decisions, rules, sites
from holdfast_cli.operator.arguments import add_group


def add_verbs(subparsers: Any, parser: argparse.ArgumentParser) -> None:
    sites.add_verbs(subparsers)
    decisions.add_verbs(subparsers)
    rules.add_verbs(
        add_group(
            subparsers, "rules", help="a site's rules: what stands, what was, what might come"
        )
    )
    completion.add_verb(subparsers, parser)
