"""`holdfast rules ...`: what is wanted at a site, what stands there, what waits; publishing, and going back."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from holdfast.contracts.envelope import first_problem
from holdfast.contracts.rules import SignedRules
from holdfast_cli.operator.arguments import (
    add_by,
    add_site,
    add_site_option,
    add_verb,
    at_most,
    in_name_of,
)
from holdfast_cli.operator.client import ROLLOUT_TIMEOUT_S, Client, Document
from holdfast_cli.operator.document import text_of
from holdfast_cli.operator.output import clean, fields, moment, print_json, table
from holdfast_cli.operator.problem import DONE, NO, OperatorError
from holdfast_cli.operator.rules_test import add_verb_test


def add_verbs(verbs: Any) -> None:
    it = add_verb(
        verbs, "status", _status,
        help="what is wanted, what stands, what waits, what was refused; of every site, or of one",
        examples=("holdfast rules status", "holdfast rules status berlin01"),
    )  # fmt: skip
    add_site(it)
    it = add_verb(verbs, "history", _history, help="the bundles that were published to a site")
    add_site(it)
    it = add_verb(verbs, "show", _show, help="the text of a bundle that was published to a site",
                  examples=("holdfast rules show 7 --site berlin01 > seven.yaml",))  # fmt: skip
    it.add_argument("version", type=at_most(1 << 53), metavar="VERSION")
    add_site_option(it)
    it = add_verb(
        verbs, "publish", _publish,
        help="a draft to sites, a group or a percentage; or a bundle that was signed elsewhere",
        says="The cloud composes the draft for each site, checks and signs it, and sends it down. A site activates it "
        "at a safe point: `holdfast rules status` tells when. Exit code 1 when it was not published to every site.",
        examples=(
            "holdfast rules publish rules.yaml --site berlin01 --site munich01",
            "holdfast rules publish rules.yaml --percent 20",
            "holdfast rules publish --signed seven.signed.json --site berlin01",
        ),
    )  # fmt: skip
    it.add_argument(
        "draft", nargs="?", type=Path, metavar="DRAFT", help="YAML: a draft, or a bundle"
    )
    it.add_argument("--signed", type=Path, metavar="FILE", help="JSON: a bundle signed elsewhere")
    it.add_argument(
        "--site", action="append", default=[], metavar="SITE", help="may be given several times"
    )
    it.add_argument("--group", metavar="NAME", help="a group of the draft")
    it.add_argument("--percent", type=at_most(100), metavar="N", help="of all sites")
    add_by(it)
    it = add_verb(
        verbs, "rollback", _rollback,
        help="an earlier text again, under a new version",
        examples=("holdfast rules rollback berlin01", "holdfast rules rollback berlin01 --to 6"),
    )  # fmt: skip
    add_site(it)
    it.add_argument(
        "--to", type=at_most(1 << 53), metavar="VERSION", help="(default: the one before)"
    )
    add_by(it)
    add_verb_test(verbs)


# --- what stands ---


async def _status(client: Client, arguments: argparse.Namespace) -> int:
    named = arguments.site or client.monitor.site
    sites = [named] if named else await client.sites()
    answers = await client.of_each(sites, "rules")
    if arguments.json:
        print_json(answers[0] if named or len(answers) == 1 else {"sites": answers, "next": None})
    elif named or len(answers) == 1:
        print(fields(_standing(answers[0])))
    else:
        headers = ("site", "wanted", "stands", "waits", "refused")
        print(table(headers, map(_row, answers), "no site is known here yet"))
    return DONE


def _row(of: Document) -> tuple[Any, ...]:
    return of["site"], _wanted(of), _active(of), _staged(of), _refused(of)


def _standing(of: Document) -> list[tuple[str, Any]]:
    keys = of["trusted_keys"]
    told = None if keys is None else f"{', '.join(keys) or 'none'} ({of['trusted_by']})"
    active = of["active"] or {}
    until = active.get("valid_until_ms")
    return [
        ("site", of["site"]),
        ("wanted", _wanted(of)),
        ("stands", _active(of)),
        ("since", moment(active.get("since_ms"))),
        ("valid until", f"{moment(until)}, then {active.get('after_expiry')}" if until else None),
        ("waits", _staged(of)),
        ("refused", _refused(of)),
        ("trusted keys", told),
    ]


def _wanted(of: Document) -> Any:
    return of["desired"] and f"version {of['desired']['version']}"


def _active(of: Document) -> str:
    active, last = of["active"], of["last_known"]
    if active is not None:
        name = f"version {active['version']}" if active["version"] else "built-in"
        return f"{name} ({active['name']})"
    known = f"; last known: version {last['version']}" if last else ""
    return f"unknown: {of['problem']}{known}"


def _staged(of: Document) -> Any:
    staged = of["staged"]
    return staged and f"version {staged['version']}: {staged['why'] or 'for a safe point'}"


def _refused(of: Document) -> Any:
    refused = of["refused"]
    return refused and f"version {refused['version']}: {refused['reason']}"


async def _history(client: Client, arguments: argparse.Namespace) -> int:
    site = await client.site(arguments.site)
    answer = await client.get("sites", site, "rules")
    if answer["history"] is None:
        raise OperatorError(clean(answer["history_problem"]))
    if arguments.json:
        print_json({"history": answer["history"], "next": None})
        return DONE
    active = (answer["active"] or {}).get("version")
    rows = (
        (
            row["version"],
            "stands" if row["version"] == active else "",
            moment(row["published_at_ms"]),
            row["by"],
            row["name"],
            f"of {row['rollback_of']}" if row["rollback_of"] else "",
            row["key"][:16],
            row["hash"][:16],
        )
        for row in answer["history"]
    )
    headers = ("version", "", "published", "by", "name", "again", "key", "hash")
    print(table(headers, rows, f"nothing was published to {site} yet"))
    return DONE


async def _show(client: Client, arguments: argparse.Namespace) -> int:
    site = await client.site(arguments.site)
    record = await client.get("sites", site, "rules", str(arguments.version))
    if arguments.json:
        print_json(record)
    else:
        print("\n".join(map(_line, str(record["text"]).splitlines())))
    return DONE


def _line(line: str) -> str:
    return clean(line) if line else ""


# --- what changes ---


async def _publish(client: Client, arguments: argparse.Namespace) -> int:
    if (arguments.draft is None) == (arguments.signed is None):
        raise OperatorError("what? give a DRAFT, or --signed FILE")
    if arguments.signed is not None:
        return await _publish_signed(client, arguments)
    chosen = [bool(arguments.site), arguments.group is not None, arguments.percent is not None]
    if sum(chosen) != 1:
        raise OperatorError("where? give one of --site (once or more), --group, --percent")
    body: Document = {"draft": text_of(arguments.draft), "by": in_name_of(arguments)}
    if arguments.site:
        body["sites"] = list(dict.fromkeys(arguments.site))
    elif arguments.group is not None:
        body["group"] = arguments.group
    else:
        body["percent"] = arguments.percent
    done = await client.post("rules", "rollouts", body=body, timeout_s=ROLLOUT_TIMEOUT_S)
    results = done["results"]
    failed = [row for row in results if row["problem"]]
    if arguments.json:
        print_json(done)
    else:
        rows = (
            (row["site"], row["version"], row["hash"][:16], row["problem"] or "published")
            for row in results
        )
        print(table(("site", "version", "hash", "what became of it"), rows, "it is for no site"))
        if len(failed) < len(results):
            print("\nwhether it stands there: holdfast rules status")
    return NO if failed or not results else DONE


async def _publish_signed(client: Client, arguments: argparse.Namespace) -> int:
    if arguments.group is not None or arguments.percent is not None or len(arguments.site) > 1:
        raise OperatorError("a signed bundle goes to one site: give --site once")
    site = await client.site(arguments.site[0] if arguments.site else None)
    try:
        signed = SignedRules.model_validate_json(text_of(arguments.signed))
    except ValidationError as error:
        raise OperatorError(
            f"{arguments.signed}: no signed bundle: {first_problem(error)}"
        ) from error
    body = {"signed": signed.model_dump(mode="json"), "by": in_name_of(arguments)}
    return _published(site, await client.post("sites", site, "rules", body=body), arguments)


async def _rollback(client: Client, arguments: argparse.Namespace) -> int:
    site = await client.site(arguments.site)
    body = {"to_version": arguments.to, "by": in_name_of(arguments)}
    done = await client.post("sites", site, "rules", "rollback", body=body)
    return _published(site, done, arguments)


def _published(site: str, done: Document, arguments: argparse.Namespace) -> int:
    if arguments.json:
        print_json(done)
    else:
        print(f"published to {site}: version {clean(done['version'])}")
        print(f"whether it stands there: holdfast rules status {site}")
    return DONE
