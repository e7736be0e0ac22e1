"""`holdfast mode-card`: what holds at a site in each mode, from its rules, or from a file without any monitor."""

from __future__ import annotations

import argparse
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Any

from holdfast.clock import SystemClock
from holdfast.contracts.mode import Mode
from holdfast.mode_card import mode_card
from holdfast_cli.operator.arguments import add_site, add_verb
from holdfast_cli.operator.client import Client, Document
from holdfast_cli.operator.output import clean, print_json, width_now
from holdfast_cli.operator.problem import DONE
from holdfast_cli.operator.rules_test import rules_of

PARTS = {
    "rules": "rules that apply",
    "buffered": "what is buffered",
    "allowed": "what is allowed",
    "reconciled": "how it is reconciled",
}
TEXT_WIDTH = 110


def add_verbs(subparsers: Any) -> None:
    it = add_verb(
        subparsers, "mode-card", _from_monitor,
        help="for each mode: rules, what is buffered, what is allowed, how it is reconciled",
        says="By the rules that stand at a site; with --rules by those of a file, without asking anybody.",
        examples=(
            "holdfast mode-card berlin01 --mode autonomous",
            "holdfast mode-card --rules rules.yaml berlin01",
        ),
    )  # fmt: skip
    add_site(it)
    it.add_argument("--mode", choices=[mode.value for mode in Mode], help="(default: all)")
    it.add_argument(
        "--rules", type=Path, metavar="FILE", help="a bundle, or a draft (composed for SITE)"
    )
    _unless_offline(it)


def _unless_offline(parser: argparse.ArgumentParser) -> None:
    ask = parser.get_default("run")

    async def run(arguments: argparse.Namespace) -> int:
        if arguments.rules is None:
            code: int = await ask(arguments)
            return code
        rules = rules_of(arguments.rules, arguments.site)
        cards = [_plain(asdict(card)) for card in mode_card(rules, SystemClock().now_ms())]
        return _show({"version": rules.version, "modes": cards}, arguments)

    parser.set_defaults(run=run)


def _plain(card: Document) -> Document:
    return {**card, "mode": Mode(card["mode"]).value}


async def _from_monitor(client: Client, arguments: argparse.Namespace) -> int:
    site = await client.site(arguments.site)
    return _show(await client.get("sites", site, "mode-card"), arguments)


def _show(document: Document, arguments: argparse.Namespace) -> int:
    wanted = [card for card in document["modes"] if arguments.mode in (None, card["mode"])]
    if arguments.json:
        print_json({**document, "modes": wanted})
        return DONE
    version = document["version"]
    print(f"by {f'rules version {clean(version)}' if version else 'the built-in rules'}")
    for card in wanted:
        print(f"\n{clean(card['mode']).upper()}")
        for part, title in PARTS.items():
            print(f"\n  {title}")
            for row in card[part]:
                print(_row(row))
    return DONE


def _row(row: Document) -> str:
    """The sentence, then the clause that it comes from."""
    width = max(40, min(TEXT_WIDTH, width_now()))
    text = f"{clean(row['says'])} [{clean(row['clause'])}]"
    return textwrap.fill(text, width, initial_indent="    ", subsequent_indent="      ")
