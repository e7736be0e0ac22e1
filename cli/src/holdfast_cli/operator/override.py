"""`holdfast override ...` and `holdfast limit`: what people say about a site's mode, and about its current."""

from __future__ import annotations

import argparse
from typing import Any

from holdfast.clock import SystemClock
from holdfast.contracts.mode import OverrideKind
from holdfast.contracts.rules import NOT_IMPOSED
from holdfast_cli.operator.arguments import (
    add_by,
    add_site,
    add_site_option,
    add_verb,
    amperes,
    duration_ms,
    future_ms,
    in_name_of,
)
from holdfast_cli.operator.client import Client, Document
from holdfast_cli.operator.output import clean, moment, print_json, table
from holdfast_cli.operator.problem import DONE

KINDS = [kind.value for kind in OverrideKind]


def add_verbs(verbs: Any) -> None:
    it = add_verb(
        verbs, "begin", _begin,
        help="make a site autonomous for maintenance, or announce a disruption",
        says="maintenance: the site is autonomous until the end. planned-disruption: announced; the reason is shown "
        "and nobody is alarmed. Both end by themselves.",
        examples=(
            "holdfast override begin maintenance --for 2h --why 'new fuse' --site berlin01",
            "holdfast override begin planned-disruption --from 2026-11-26T02:00:00Z --for 1h --why 'router update'",
        ),
    )  # fmt: skip
    it.add_argument("kind", choices=KINDS)
    add_site_option(it)
    it.add_argument("--from", dest="begins", type=future_ms, metavar="TIME",
                    help="2026-11-26T02:00:00Z, or from now like 30min (default: now)")  # fmt: skip
    it.add_argument("--for", dest="lasts", type=duration_ms, required=True, metavar="DURATION")
    it.add_argument("--why", required=True)
    add_by(it)
    it = add_verb(verbs, "end", _end, help="end what stands or is announced, before its time",
                  examples=("holdfast override end --site berlin01",))  # fmt: skip
    add_site_option(it)
    it.add_argument("--kind", choices=KINDS, help="only this kind (default: whatever there is)")
    add_by(it)
    it = add_verb(verbs, "show", _show, help="what stands or is announced")
    add_site(it)


def add_limit(subparsers: Any) -> None:
    it = add_verb(
        subparsers, "limit", _limit,
        help="give a site a current limit (not yet imposed on charge points)",
        says=f"Gives a site a current limit. {NOT_IMPOSED}",
        examples=("holdfast limit 63 --for 2h --site berlin01", "holdfast limit 32"),
    )  # fmt: skip
    it.add_argument("amperes", type=amperes, metavar="AMPERES")
    add_site_option(it)
    it.add_argument("--for", dest="lasts", type=duration_ms, metavar="DURATION",
                    help="then the rules' fallback counts (default: without an end)")  # fmt: skip
    add_by(it)


async def _begin(client: Client, arguments: argparse.Namespace) -> int:
    site = await client.site(arguments.site)
    begins = arguments.begins or SystemClock().now_ms()
    body = {
        "kind": arguments.kind,
        "from_ms": arguments.begins,
        "until_ms": begins + arguments.lasts,
        "why": arguments.why,
        "by": in_name_of(arguments),
    }
    receipt = await client.post("sites", site, "override", body=body)
    return _told(site, receipt, "begun, or announced", arguments)


async def _end(client: Client, arguments: argparse.Namespace) -> int:
    site = await client.site(arguments.site)
    body = {"kind": arguments.kind, "by": in_name_of(arguments)}
    receipt = await client.post("sites", site, "override", "end", body=body)
    return _told(site, receipt, "ended", arguments)


def _told(site: str, receipt: Document, what: str, arguments: argparse.Namespace) -> int:
    if arguments.json:
        print_json(receipt)
        return DONE
    one = receipt["override"] or {}
    span = f"{moment(one.get('from_ms'))} to {moment(one.get('until_ms'))}"
    print(f"{site}: {clean(one.get('kind'))}, {span}: {what}, and in its journal")
    if receipt["reason"]:
        print(clean(receipt["reason"]))
    return DONE


async def _show(client: Client, arguments: argparse.Namespace) -> int:
    site = await client.site(arguments.site)
    answer = await client.get("sites", site, "override")
    if arguments.json:
        print_json(answer)
        return DONE
    now_ms = SystemClock().now_ms()
    rows = (
        (
            one["kind"],
            "stands" if one["from_ms"] <= now_ms else "announced",
            moment(one["from_ms"]),
            moment(one["until_ms"]),
            one["by"],
            one["why"],
        )
        for one in answer["overrides"]
    )
    headers = ("kind", "", "from", "until", "by", "why")
    print(table(headers, rows, "no override stands or is announced"))
    return DONE


async def _limit(client: Client, arguments: argparse.Namespace) -> int:
    site = await client.site(arguments.site)
    until_ms = SystemClock().now_ms() + arguments.lasts if arguments.lasts else None
    body = {"limit_a": arguments.amperes, "valid_until_ms": until_ms, "by": in_name_of(arguments)}
    done = await client.post("sites", site, "limit", body=body)
    if arguments.json:
        print_json(done)
    else:
        end = f" until {moment(until_ms)}" if until_ms else ""
        print(f"published to {site}: {arguments.amperes:g} A{end}, limit {clean(done['version'])}")
        print(NOT_IMPOSED)
    return DONE
