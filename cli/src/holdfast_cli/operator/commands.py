"""`holdfast command ...`: send one, follow it to its disposition, say a word about one that waits."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any, get_args

from holdfast.clock import SystemClock
from holdfast.contracts.command import Action
from holdfast.ids import RandomIds
from holdfast.ocpp.actions import Sender, rows
from holdfast.ocpp.versions import OcppVersion
from holdfast_cli.operator.arguments import (
    add_by,
    add_site,
    add_site_option,
    add_verb,
    at_most,
    duration_ms,
    in_name_of,
    payload,
)
from holdfast_cli.operator.client import Client, Document
from holdfast_cli.operator.output import clean, fields, moment, print_json, table
from holdfast_cli.operator.problem import DONE, NO, UNCERTAIN, OperatorError

ANSWERED = ("delivered", "from known")
SHOWN = 20
POLL_S = 0.5
AFTER_DEADLINE_S = 30.0
"""So long after its deadline a command is still waited for: the site ends it, and the cloud hears of it later."""


def add_verbs(verbs: Any) -> None:
    it = add_verb(
        verbs, "send", _send,
        help="send a command to a charge point",
        says="Sends one command, in the words of the OCPP version that the charge point speaks: "
        "RemoteStartTransaction for 1.6, RequestStartTransaction for 2.x; who sends the wrong one is told the "
        "right one. It is not delivered after its deadline. With --wait: until its disposition; exit code 0 only when "
        "it was answered. The same --id twice is one command.",
        examples=(
            "holdfast command send CP-01 RemoteStartTransaction connectorId=1 idTag=04AB --wait",
            "holdfast command send CS-02 RequestStopTransaction transactionId=7d1f --wait",
            "holdfast command send CP-01 Reset --payload '{\"type\": \"Soft\"}' --deadline 2min",
            "holdfast command send CP-01 ChangeAvailability connectorId=0 type=Inoperative --at berlin01",
        ),
    )  # fmt: skip
    it.add_argument("charge_point", metavar="CHARGE_POINT")
    it.add_argument("action", metavar="ACTION", choices=get_args(Action),
                    help=_actions())  # fmt: skip
    it.add_argument("fields", nargs="*", metavar="key=value",
                    help="fields of the payload; a value is JSON, where OCPP wants no text")  # fmt: skip
    it.set_defaults(late="fields")
    add_site_option(it)
    it.add_argument("--payload", metavar="JSON", help="the whole payload, one JSON object")
    it.add_argument("--deadline", type=duration_ms, default=60_000, metavar="DURATION",
                    help="from now: 30s, 5min, 2h (default: 60s)")  # fmt: skip
    it.add_argument("--id", metavar="ID", help="of the command (default: a new one)")
    it.add_argument("--wait", action="store_true", help="until it has its disposition")
    add_by(it)
    it = add_verb(verbs, "list", _list, help="a site's newest commands",
                  examples=("holdfast command list berlin01 --open",))  # fmt: skip
    add_site(it)
    it.add_argument("--open", action="store_true", help="only those that are not at their end")
    it.add_argument("--limit", type=at_most(1_000), default=None, metavar="N",
                    help=f"so many, the newest (default: {SHOWN}; with --json all that the monitor has)")  # fmt: skip
    it = add_verb(verbs, "show", _show, help="one command whole")
    it.add_argument("id", metavar="ID")
    add_site_option(it)
    for word, says in (
        ("confirm", "let a command go that waits for an operator's word"),
        ("cancel", "end a command that has not been sent"),
    ):
        it = add_verb(verbs, word, _word(word), help=says,
                      examples=(f"holdfast command {word} fw-update-7 --by 'night desk'",))  # fmt: skip
        it.add_argument("id", metavar="ID")
        add_site_option(it)
        add_by(it)


def _actions() -> str:
    """Which there are, by version: who sends the wrong one is told which is right."""
    told: list[str] = []
    before: frozenset[str] = frozenset()
    for version in OcppVersion:
        here = frozenset(one.action for one in rows(version, Sender.CSMS))
        new = sorted(here - before)
        told.append(f"OCPP {version}{' also' if before & here else ''}: {', '.join(new)}")
        before |= here
    return "; ".join(told)


async def _send(client: Client, arguments: argparse.Namespace) -> int:
    site = await client.site(arguments.site)
    body = {
        "id": arguments.id or RandomIds().new(),
        "charge_point": arguments.charge_point,
        "action": arguments.action,
        "payload": _payload(arguments),
        "deadline_ms": SystemClock().now_ms() + arguments.deadline,
        "by": in_name_of(arguments),
    }
    if not arguments.wait:
        receipt = await _once(client, site, body)
        if arguments.json:
            print_json(receipt)
        else:
            print(
                f"{clean(receipt['id'])} is on its way to {clean(arguments.charge_point)} of {site}"
            )
            print(f"follow it: holdfast command show {clean(receipt['id'])} --site {site}")
        return DONE
    receipt = await _once(client, site, body)
    id = str(receipt["id"])
    try:
        row = await _until_settled(client, site, id, body)
    except asyncio.CancelledError:  # Ctrl-C ends the waiting, and nothing else
        print(
            f"\n{clean(id)} keeps its way: `holdfast command show {clean(id)} --site {site}` follows it, "
            f"`command cancel {clean(id)} --site {site}` ends it while it has not been sent",
            file=sys.stderr,
        )
        raise
    if arguments.json:
        print_json(row)
    else:
        print(_whole(row))
    return DONE if row["disposition"] in ANSWERED else NO


async def _once(client: Client, site: str, body: Document) -> Document:
    """An answer that did not come says with which id the same may be sent again."""
    try:
        return await client.post("sites", site, "commands", body=body)
    except OperatorError as error:
        if error.code != UNCERTAIN or body["id"] in str(error):
            raise
        raise OperatorError(f"{error}: send it again with --id {body['id']}", UNCERTAIN) from error


def _payload(arguments: argparse.Namespace) -> Document:
    if arguments.payload is not None and arguments.fields:
        raise OperatorError("--payload has the whole payload: give it, or key=value, not both")
    words = [arguments.payload] if arguments.payload is not None else arguments.fields
    try:
        return payload(words)
    except ValueError as error:
        raise OperatorError(str(error)) from error


async def _until_settled(client: Client, site: str, id: str, body: Document) -> Document:
    """With a line on standard error at each change. Raise OperatorError when none came long after the deadline, or the
    site knows the id as another command's.
    """
    clock, told, deadline_ms = SystemClock(), "", body["deadline_ms"]
    while True:
        row = await _find(client, site, id)
        if row is not None and any(row[name] != body[name] for name in ("charge_point", "action")):
            known = f"{clean(row['action'])} for {clean(row['charge_point'])}"
            raise OperatorError(
                f"{id} is another command there ({known}), and yours is not taken: send it with a new --id",
                NO,
            )
        now = _stage(row)
        if now != told:
            print(f"{id}: {now}", file=sys.stderr)
            told = now
        if row is not None and row["disposition"] is not None:
            return row
        if clock.now_ms() > deadline_ms + AFTER_DEADLINE_S * 1000:
            raise OperatorError(
                f"{id} has no disposition {AFTER_DEADLINE_S:.0f} s after its deadline (is {site} cut off?): "
                f"it keeps its way; look again with `holdfast command show {id} --site {site}`",
                UNCERTAIN,
            )
        await asyncio.sleep(POLL_S)


def _stage(row: Document | None) -> str:
    if row is None:
        return "on its way to the site"
    if row["disposition"] is not None:
        return str(row["disposition"])
    if row["dispatched_at_ms"]:
        return "sent to the charge point, which has not answered yet"
    return clean(row.get("held") or "at the site, not sent yet")


async def _find(client: Client, site: str, id: str) -> Document | None:
    rows = await client.all("commands", "sites", site)
    return next((row for row in reversed(rows) if row["id"] == id), None)


async def _list(client: Client, arguments: argparse.Namespace) -> int:
    site = await client.site(arguments.site)
    rows, age = await client.all_told("commands", "sites", site)
    if arguments.open:
        rows = [row for row in rows if row["open"]]
    if arguments.json:
        shown = rows[-arguments.limit :] if arguments.limit else rows
        print_json({"commands": shown, "next": None})
        return DONE
    newest = rows[-(arguments.limit or SHOWN) :][::-1]
    told = (
        (
            moment(row["issued_at_ms"]),
            row["charge_point"],
            row["action"],
            row["disposition"] or _stage(row),
            _given_by(row),
            row["id"],
            row["reason"],
        )
        for row in newest
    )
    if age:
        print(age)
    headers = ("given", "charge point", "command", "disposition", "by", "id", "why")
    print(table(headers, told, "no command"))
    return DONE


async def _show(client: Client, arguments: argparse.Namespace) -> int:
    site = await client.site(arguments.site)
    row = await _find(client, site, arguments.id)
    if row is None:
        raise OperatorError(
            f"{site} has not heard of command {arguments.id!r}, or it is older than its last 1,000: "
            "one that was just sent from the cloud may be on its way"
        )
    if arguments.json:
        print_json(row)
    else:
        print(_whole(row))
    return DONE


def _given_by(row: Document) -> str:
    """The kind of issuer, and the name where one was told."""
    return f"{row['issuer']}, {row['by']}" if row.get("by") else str(row["issuer"])


def _whole(row: Document) -> str:
    observed = None
    if row["took_effect"] is not None:
        observed = f"{'took effect' if row['took_effect'] else 'no effect'} ({row['evidence']})"
    return fields(
        [
            ("command", row["id"]),
            ("charge point", row["charge_point"]),
            ("action", row["action"]),
            ("payload", json.dumps(row["payload"], ensure_ascii=False)),
            ("disposition", row["disposition"] or f"none yet: {_stage(row)}"),
            ("reason", row["reason"]),
            ("answer", row["answer"]),
            ("observed", observed),
            ("words", "; ".join(row["words"])),
            ("given by", _given_by(row)),
            ("issued", moment(row["issued_at_ms"])),
            ("deadline", moment(row["deadline_ms"])),
            ("received", moment(row["received_at_ms"])),
            ("sent", moment(row["dispatched_at_ms"])),
            ("settled", moment(row["settled_at_ms"])),
            ("decision", row["decision"]),
        ]
    )


def _word(word: str) -> Any:
    async def run(client: Client, arguments: argparse.Namespace) -> int:
        site = await client.site(arguments.site)
        body = {"by": in_name_of(arguments)}
        receipt = await client.post("sites", site, "commands", arguments.id, word, body=body)
        if arguments.json:
            print_json(receipt)
        else:
            id = clean(receipt["id"])
            print(f"{word} {id}: on its way to whoever holds the command")
            print(f"what becomes of it: holdfast command show {id} --site {site}")
        return DONE

    return run
