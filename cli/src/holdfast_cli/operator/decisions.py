"""`decisions` and `explain`: what was decided, by which rule, from what, and why not otherwise."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from holdfast.contracts.decision import DecisionMade
from holdfast.contracts.envelope import ContractError, Envelope, Fact
from holdfast_cli.operator.arguments import (
    add_site,
    add_site_option,
    add_verb,
    at_most,
    some_text,
)
from holdfast_cli.operator.client import Client, Document
from holdfast_cli.operator.events import Progress, envelopes
from holdfast_cli.operator.output import clean, duration, fields, moment, print_json, table
from holdfast_cli.operator.problem import DONE, OperatorError
from monitor import views
from monitor.domain.fold import take
from monitor.domain.rows import Place, SiteState

SHOWN = 20
WHOLE_ID = 26
"""Ids are so long: a whole one is not looked for as a beginning."""


def add_verbs(subparsers: Any) -> None:
    it = add_verb(
        subparsers, "decisions", _decisions,
        help="a site's newest decisions",
        examples=("holdfast decisions", "holdfast decisions berlin01 --limit 100 --json"),
    )  # fmt: skip
    add_site(it)
    it.add_argument("--limit", type=at_most(1_000), default=None, metavar="N",
                    help=f"so many, the newest (default: {SHOWN}; with --json all that the monitor has)")  # fmt: skip
    it = add_verb(
        subparsers, "explain", _explain,
        help="one decision whole: question, rule, inputs with their age, why not otherwise, what came of it",
        says="Shows one decision whole. One that is no longer among the last 1,000 is looked for in the journal.",
        examples=("holdfast explain 4f0c…", "holdfast explain 4f0c… --site berlin01 --json"),
    )  # fmt: skip
    it.add_argument("decision", type=some_text, metavar="DECISION", help="its id, or how it begins")
    add_site_option(it)


async def _decisions(client: Client, arguments: argparse.Namespace) -> int:
    site = await client.site(arguments.site)
    rows, age = await client.all_told("decisions", "sites", site)
    if arguments.json:
        shown = rows[-arguments.limit :] if arguments.limit else rows
        print_json({"decisions": shown, "next": None})
        return DONE
    newest = rows[-(arguments.limit or SHOWN) :][::-1]
    told = (
        (
            moment(row["at_ms"]),
            row["charge_point"],
            row["outcome"],
            row["mode"],
            row["clause"],
            row["id"],
            row["explanation"],
        )
        for row in newest
    )
    if age:
        print(age)
    headers = ("at", "charge point", "outcome", "mode", "clause", "decision", "why")
    print(table(headers, told, "no decision yet"))
    return DONE


async def _explain(client: Client, arguments: argparse.Namespace) -> int:
    named = arguments.site or client.monitor.site
    sites = [named] if named else await client.sites()
    wanted: str = arguments.decision
    for site in sites:
        id = await _kept_as(client, site, wanted)
        if id is not None:
            return _show(site, await client.get("sites", site, "decisions", id), arguments)
    for site in sites if len(wanted) >= WHOLE_ID else ():
        document = await _in_journal(client, site, wanted)
        if document is not None:
            return _show(site, document, arguments)
    raise OperatorError(
        f"there is no decision {wanted!r} at {', '.join(sites) or 'any site'}: "
        "`holdfast decisions SITE` has the newest, an older one is found by its whole id"
    )


async def _kept_as(client: Client, site: str, wanted: str) -> str | None:
    """The whole id, where the monitor still keeps it."""
    try:
        return str((await client.get("sites", site, "decisions", wanted))["id"])
    except OperatorError as error:
        if not error.is_missing:
            raise
    if len(wanted) >= WHOLE_ID:
        return None
    rows = await client.all("decisions", "sites", site)
    found = [str(row["id"]) for row in rows if str(row["id"]).startswith(wanted)]
    if len(found) > 1:
        raise OperatorError(
            f"{len(found)} decisions of {site} begin with {wanted!r}: write more of the id"
        )
    return found[0] if found else None


async def _in_journal(client: Client, site: str, wanted: str) -> Document | None:
    """An older one: by its whole id, told by the monitor's own function, so that it reads the same."""
    state, row = SiteState(site=site), None
    with Progress(f"looking through the journal of {site}") as progress:
        async for seq, envelope in envelopes(client, site, progress):
            fact = _fact(envelope)
            is_it = isinstance(fact, DecisionMade) and fact.decision == wanted
            if fact is None or (row is None and not is_it):
                continue
            state = take(state, Place(envelope.incarnation, seq), envelope, fact)
            row = row or state.decisions[-1]
    return None if row is None else views.decision_in_full(row, state)


def _fact(envelope: Envelope) -> Fact | None:
    try:
        return envelope.fact()
    except ContractError as error:
        print(f"passed over: {clean(error)}", file=sys.stderr)
        return None


def _show(site: str, document: Document, arguments: argparse.Namespace) -> int:
    if arguments.json:
        print_json(document)
        return DONE
    print(f"{clean(document['question'])}\n{clean(document['explanation'])}\n")
    place = f"{document['incarnation']}:{document['seq']} of {site}"
    print(
        fields(
            [
                ("outcome", document["outcome"]),
                ("at", moment(document["at_ms"])),
                ("mode", document["mode"]),
                ("rule", f"{document['clause']}, rules version {document['rules_version']}"),
                ("afterwards", document["afterwards"] or "nothing is known of it yet"),
                ("decision", document["id"]),
                ("in the journal", place),
            ]
        )
    )
    grounds = ((one["what"], one["value"], _age(one["age_ms"])) for one in document["grounds"])
    print("\n" + table(("computed from", "value", "age then"), grounds, "computed from nothing"))
    considered = (
        ("*" if one["decided"] else "", one["clause"], one["said"])
        for one in document["considered"]
    )
    unnoted = "it was made by a version that did not note what else it looked at"
    print("\n" + table(("", "looked at", "said"), considered, unnoted))
    if document["considered"]:
        print("\n* decided")
    return DONE


def _age(age_ms: int | None) -> str:
    if age_ms is None:
        return ""
    return f"in {duration(-age_ms)}" if age_ms < 0 else duration(age_ms)
