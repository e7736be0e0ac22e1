"""`state` and `changes`: what stands or stood at a charge point, and which local states changed."""

from __future__ import annotations

import argparse
from typing import Any

from holdfast_cli.operator.arguments import (
    add_site,
    add_site_option,
    add_verb,
    moment_ms,
    some_text,
)
from holdfast_cli.operator.client import Client, Document
from holdfast_cli.operator.output import clean, duration, moment, print_json, table
from holdfast_cli.operator.problem import DONE


def add_verbs(subparsers: Any) -> None:
    it = add_verb(
        subparsers, "state", _state,
        help="what stands at a charge point, or stood at a moment: connection, configuration, profiles, list, firmware",
        examples=("holdfast state CP-01", "holdfast state CP-01 --site berlin01 --then 12h"),
    )  # fmt: skip
    it.add_argument("charge_point", type=some_text, metavar="CHARGE_POINT")
    it.add_argument("--then", type=moment_ms, default=None, metavar="TIME",
                    help="2026-11-25T10:00:00Z, or an age like 12h (default: now)")  # fmt: skip
    add_site_option(it)
    it = add_verb(
        subparsers, "changes", _changes,
        help="which local states changed between two moments, or during a disruption",
        says="Which local states changed: configuration, availability, profiles, lists, reservations, firmware. "
        "Without --from: since the newest disruption began.",
        examples=("holdfast changes", "holdfast changes berlin01 --from 24h --to 12h",
                  "holdfast changes berlin01 --disruption 01KB… --charge-point CP-01"),
    )  # fmt: skip
    add_site(it)
    it.add_argument("--from", type=moment_ms, default=None, metavar="TIME", dest="begin",
                    help="2026-11-25T10:00:00Z, or an age like 24h")  # fmt: skip
    it.add_argument("--to", type=moment_ms, default=None, metavar="TIME", dest="end",
                    help="(default: now, or the disruption's end)")  # fmt: skip
    it.add_argument("--disruption", type=some_text, metavar="ID", default=None)
    it.add_argument("--charge-point", type=some_text, metavar="CHARGE_POINT", default=None)
    it.add_argument("--all", action="store_true",
                    help="also what comes and goes by itself: connection, status, sessions, clock")  # fmt: skip


async def _state(client: Client, arguments: argparse.Namespace) -> int:
    site = await client.site(arguments.site)
    asked = {} if arguments.then is None else {"at": arguments.then}
    found = await client.get(
        "sites", site, "charge-points", arguments.charge_point, "state", **asked
    )
    if arguments.json:
        print_json(found)
        return DONE
    print(f"{clean(found['charge_point'])} of {site}, {moment(found['at_ms'])}")
    if not found["known"]:
        print(f"not fresh: {clean(found['problem'])}; what was last known:")
    rows = (
        (one["key"], one["value"], moment(one["since_ms"]), duration(one["age_ms"]))
        for one in found["state"]
    )
    print(table(("what", "value", "since", "heard before"), rows, "nothing was known of it then"))
    return DONE


async def _changes(client: Client, arguments: argparse.Namespace) -> int:
    site = await client.site(arguments.site)
    asked: Document = {
        "from": arguments.begin,
        "to": arguments.end,
        "disruption": arguments.disruption,
        "charge_point": arguments.charge_point,
        "all": 1 if arguments.all else None,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    rows: list[Document] = []
    after: str | None = ""
    page: Document = {}
    while after is not None:
        page = await client.get("sites", site, "state-changes", limit=1_000, after=after, **given)
        rows += page["changes"]
        after = page["next"]
    if arguments.json:
        print_json({**page, "changes": rows, "next": None})
        return DONE
    print(f"{site}, {moment(page['from_ms'])} to {moment(page['to_ms'])}")
    if not page["known"]:
        print(f"not fresh: {clean(page['problem'])}; by what was last known:")
    told = (
        (
            row["charge_point"],
            row["key"],
            row["before"] if row["before"] is not None else "-",
            row["after"] if row["after"] is not None else "-",
            moment(row["at_ms"]),
        )
        for row in rows
    )
    headers = ("charge point", "what", "before", "after", "heard at")
    print(table(headers, told, "no local state changed"))
    return DONE
