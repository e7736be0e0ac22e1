"""`holdfast rules test`: is every journaled decision explained, and what would a candidate have decided?"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from holdfast.contracts.decision import DecisionMade
from holdfast.contracts.envelope import ContractError, Envelope
from holdfast.contracts.rules import Rules, RulesActivated
from holdfast_cli.operator.arguments import add_site_option, add_verb, moment_ms
from holdfast_cli.operator.client import Client, Document
from holdfast_cli.operator.document import text_of
from holdfast_cli.operator.events import Progress, envelopes
from holdfast_cli.operator.output import clean, moment, print_json, table
from holdfast_cli.operator.problem import DONE, NO, OperatorError
from holdfast_cli.operator.retest import Retested, retest
from rule_service.domain.composing import ANY_SITE, Plain, read_source


def add_verb_test(verbs: Any) -> None:
    it = add_verb(
        verbs, "test", _test,
        help="decide every journaled decision again: by its own rules, or by a candidate",
        says="Without --candidate: every journaled decision of the period, decided again by the rules that it "
        "names; exit code 1 when any differs or can't be decided again. With --candidate: which decisions "
        "these rules would have given otherwise; exit code 0, whatever it shows.",
        examples=(
            "holdfast rules test --since 2026-11-01",
            "holdfast rules test --site berlin01 --candidate stricter.yaml",
        ),
    )  # fmt: skip
    add_site_option(it)
    it.add_argument("--since", type=moment_ms, metavar="TIME",
                    help="decisions from here on: 2026-11-25, 2026-11-25T10:00:00Z, or an age like 12h")  # fmt: skip
    it.add_argument("--until", type=moment_ms, metavar="TIME", help="and before this")
    it.add_argument(
        "--candidate",
        type=Path,
        metavar="FILE",
        help="rules that might come: a bundle, or a draft, YAML",
    )


def rules_of(file: Path, site: str | None) -> Rules:
    """A bundle, or a draft composed for that site (None: for one that it does not name). Raise OperatorError."""
    try:
        source = read_source(text_of(file))
        if site is None and isinstance(source, Plain):
            return source.rules
        return source.composed(site or ANY_SITE).rules
    except ContractError as error:
        raise OperatorError(f"{file}: {error}") from error


async def _test(client: Client, arguments: argparse.Namespace) -> int:
    site = await client.site(arguments.site)
    candidate = rules_of(arguments.candidate, site) if arguments.candidate else None
    found: list[Envelope] = []
    with Progress(f"reading the journal of {site}") as progress:
        async for _, envelope in envelopes(client, site, progress):
            if envelope.type in (DecisionMade.TYPE, RulesActivated.TYPE):
                found.append(envelope)
    result = retest(found, candidate, since_ms=arguments.since, until_ms=arguments.until)
    if arguments.json:
        print_json(_document(site, result))
    else:
        print(_told(site, result, candidate))
    if candidate is not None or not (result.differing or result.unexplained):
        return DONE
    return NO


def _document(site: str, result: Retested) -> Document:
    return {
        "site": site,
        "total": result.total,
        "equal": result.equal,
        "differing": [asdict(one) for one in result.differing],
        "unexplained": [asdict(one) for one in result.unexplained],
    }


def _told(site: str, result: Retested, candidate: Rules | None) -> str:
    by = f"rules version {candidate.version}" if candidate else "the rules that each names"
    lines = [
        f"{result.total} decisions of {clean(site)}, decided again by {by}: {result.equal} equal, "
        f"{len(result.differing)} different, {len(result.unexplained)} not evaluable"
    ]
    differing = [
        (
            moment(one.at_ms),
            one.charge_point,
            one.mode,
            one.was.outcome,
            one.was.clause,
            one.now.outcome,
            one.now.clause,
            one.decision,
        )
        for one in result.differing
    ]
    if differing:
        headers = ("at", "charge point", "mode", "was", "by", "now", "by", "decision")
        lines += ["", table(headers, differing, "")]
    whys = [(moment(one.at_ms), one.why, one.decision) for one in result.unexplained]
    if whys:
        lines += ["", table(("at", "not evaluable, because", "decision"), whys, "")]
    return "\n".join(lines)
