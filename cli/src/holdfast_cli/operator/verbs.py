"""All verbs of operators, put together."""

from __future__ import annotations

import argparse
from typing import Any

from holdfast_cli.operator import completion, sites


def add_verbs(subparsers: Any, parser: argparse.ArgumentParser) -> None:
    sites.add_verbs(subparsers)
    completion.add_verb(subparsers, parser)
