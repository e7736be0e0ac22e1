"""`holdfast charge-points list|add|remove|accept|reject|pending|password|profile`: who may connect to a site.

A password is made here, or read from a file or standard input, never from the command line; it is shown once, and only
its hash leaves this process.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from holdfast.passwords import LONGEST, SHORTEST, as_bytes, hash_password, random_password
from holdfast_cli.operator.arguments import add_by, add_site_option, add_verb, in_name_of
from holdfast_cli.operator.client import Client, Document
from holdfast_cli.operator.output import clean, moment, print_json, table
from holdfast_cli.operator.problem import DONE, OperatorError
from holdfast_cli.operator.sites import charge_points

PROFILES = (0, 1, 2, 3)
STANDARD_INPUT = "-"


def add_verbs(verbs: Any) -> None:
    it = _verb(
        verbs, "add", _add,
        help="register a charge point; its password is made and shown once",
        says="Registers a charge point. A password is made for it and shown once, unless it comes from a file, or "
        "needs none (profiles 0 and 3). The CSMS must know it, too: by the password that csms-bridge's backends file "
        "has for it (in a world of holdfast up: secrets/csms.passwords.json, and start it again).",
        examples=(
            "holdfast charge-points add CP-09",
            "holdfast charge-points add CP-09 --profile 3 --certificate-cn SN-0815",
            "pass cp-09 | holdfast charge-points add CP-09 --password-file -",
        ),
    )  # fmt: skip
    _profile_argument(it, default=1)
    _password_argument(it)
    _cn_argument(it)
    it = _verb(verbs, "remove", _remove, help="it may not connect any more; its connection is closed",
               examples=("holdfast charge-points remove CP-09",))  # fmt: skip
    it = _verb(
        verbs, "password", _password,
        help="another password, made and shown once; whoever came by the old one is disconnected",
        examples=("holdfast charge-points password CP-09",),
    )  # fmt: skip
    _password_argument(it)
    it = _verb(
        verbs, "profile", _profile,
        help="another security profile",
        says="Raises a charge point's security profile: it may come by the old one until it first came by the new one, "
        "which then is its only one. --at-once: the old one is refused from now on; the only way to lower it.",
        examples=(
            "holdfast charge-points profile CP-09 2",
            "holdfast charge-points profile CP-09 1 --at-once",
        ),
    )  # fmt: skip
    it.add_argument("profile", type=int, choices=PROFILES)
    it.add_argument("--at-once", action="store_true")
    _cn_argument(it)
    _verb(verbs, "accept", _accept, help="register one that waits, with the credential it shows",
          examples=("holdfast charge-points accept CP-09",))  # fmt: skip
    _verb(verbs, "reject", _reject, help="turn one away that waits",
          examples=("holdfast charge-points reject CP-09",))  # fmt: skip
    it = add_verb(verbs, "list", charge_points, help="who may connect, and by which security profile",
                  examples=("holdfast charge-points list", "holdfast charge-points list --json"))  # fmt: skip
    add_site_option(it)
    it = add_verb(verbs, "pending", _pending, help="who waits to be accepted",
                  examples=("holdfast charge-points pending",))  # fmt: skip
    add_site_option(it)


def _verb(verbs: Any, name: str, run: Any, **more: Any) -> argparse.ArgumentParser:
    it = add_verb(verbs, name, run, **more)
    it.add_argument("charge_point", metavar="CHARGE_POINT")
    add_site_option(it)
    add_by(it)
    return it


def _profile_argument(parser: argparse.ArgumentParser, default: int) -> None:
    parser.add_argument("--profile", type=int, choices=PROFILES, default=default,
                        help="OCPP's security profile (default: %(default)s)")  # fmt: skip


def _password_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--password-file", metavar="FILE",
                        help="take it from there (-: standard input) and make none")  # fmt: skip


def _cn_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--certificate-cn", metavar="NAME",
                        help="common name of its certificate (default: its identity)")  # fmt: skip


async def _add(client: Client, arguments: argparse.Namespace) -> int:
    secret: str | None = None
    body: Document = {}
    if arguments.profile in (1, 2) or arguments.password_file:
        secret, body = _secret(arguments)
    body |= {
        "charge_point": arguments.charge_point,
        "security_profile": arguments.profile,
        "certificate_cn": arguments.certificate_cn,
    }
    site = await client.site(arguments.site)
    reply = await client.post("sites", site, "charge-points", body=_in_name(arguments, body))
    return _told(arguments, site, reply, "registered", secret)


async def _password(client: Client, arguments: argparse.Namespace) -> int:
    secret, body = _secret(arguments)
    site, reply = await _changed(client, arguments, "password", body)
    return _told(arguments, site, reply, "has another password", secret)


async def _profile(client: Client, arguments: argparse.Namespace) -> int:
    body = {
        "security_profile": arguments.profile,
        "at_once": arguments.at_once,
        "certificate_cn": arguments.certificate_cn,
    }
    site, reply = await _changed(client, arguments, "profile", body)
    when = "from now on" if arguments.at_once else "from when it first comes by it"
    return _told(arguments, site, reply, f"has security profile {arguments.profile}, {when}")


async def _accept(client: Client, arguments: argparse.Namespace) -> int:
    site, reply = await _changed(client, arguments, "accept", {})
    return _told(arguments, site, reply, "registered: it comes again by itself")


async def _reject(client: Client, arguments: argparse.Namespace) -> int:
    site, reply = await _changed(client, arguments, "reject", {})
    return _told(arguments, site, reply, "turned away")


async def _remove(client: Client, arguments: argparse.Namespace) -> int:
    site = await client.site(arguments.site)
    where = ("sites", site, "charge-points", arguments.charge_point)
    reply = await client.post(*where, body=_in_name(arguments, {}), method="DELETE")
    return _told(arguments, site, reply, "not registered any more")


async def _pending(client: Client, arguments: argparse.Namespace) -> int:
    site = await client.site(arguments.site)
    reply = await client.get("sites", site, "pending-charge-points")
    if arguments.json:
        print_json(reply)
        return DONE
    rows = (
        (
            clean(one["charge_point"]),
            clean(one["address"]),
            one["version"],
            one["security_profile"],
            " ".join(clean(one[part]) for part in ("vendor", "model", "serial") if one[part]),
            moment(one["since_ms"]),
            "connected" if one["connected"] else f"gone since {moment(one['heard_ms'])}",
        )
        for one in reply["pending"]
    )
    headers = ("charge point", "address", "OCPP", "profile", "says it is", "since", "connection")
    print(table(headers, rows, "no charge point waits"))
    return DONE


async def _changed(
    client: Client, arguments: argparse.Namespace, verb: str, body: Document
) -> tuple[str, Document]:
    site = await client.site(arguments.site)
    where = ("sites", site, "charge-points", arguments.charge_point, verb)
    return site, await client.post(*where, body=_in_name(arguments, body))


def _in_name(arguments: argparse.Namespace, body: Document) -> Document:
    return {**body, "by": in_name_of(arguments)}


def _secret(arguments: argparse.Namespace) -> tuple[str | None, Document]:
    """The password to show, and what is sent of it."""
    if arguments.password_file is None:
        made = random_password()
        return made, {"password_scrypt": hash_password(made), "password_random": True}
    try:
        file = arguments.password_file
        text = sys.stdin.read() if file == STANDARD_INPUT else Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"{arguments.password_file} can't be read: {error}") from None
    password = text.rstrip("\r\n")
    if not SHORTEST <= len(as_bytes(password)) <= LONGEST:
        raise OperatorError(
            f"the password has {len(password)} characters: OCPP wants {SHORTEST} to {LONGEST} "
            "(1.6: 20 at most, or 32 to 40 hex digits)"
        )
    return None, {"password_scrypt": hash_password(password)}


def _told(
    arguments: argparse.Namespace, site: str, reply: Document, what: str, secret: str | None = None
) -> int:
    if reply["status"] == "unchanged":
        what, secret = "stands like that already", None
    if arguments.json:
        shown = {"password": secret} if secret else {}
        print_json({"status": reply["status"], "charge_point": arguments.charge_point, **shown})
        return DONE
    print(f"{site}: {clean(arguments.charge_point)} {what}")
    if secret:
        print(f"password, shown once: {secret}")
    return DONE
