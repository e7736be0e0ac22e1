"""`holdfast driver-tokens ...`: who may charge at a site while nobody can be asked. Full lists and changes to them.

CSV has a line of column names: driver_token, and any of token_type, status, parent, valid_from_ms, valid_until_ms,
whitelist. JSON is a list of such objects, or a whole DriverTokenList.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from holdfast.contracts.driver_tokens import (
    DriverTokenList,
    ListedToken,
    TokenIdentity,
    TokenStatus,
    TokenType,
    Whitelist,
)
from holdfast.contracts.envelope import first_problem
from holdfast_cli.operator.arguments import add_by, add_site, add_site_option, add_verb, in_name_of
from holdfast_cli.operator.client import Client, Document
from holdfast_cli.operator.output import clean, fields, print_json
from holdfast_cli.operator.problem import DONE, OperatorError

FILE_BYTES_MAX = 16 * 1024 * 1024
NUMBERS = ("valid_from_ms", "valid_until_ms", "as_of_ms")


def add_verbs(verbs: Any) -> None:
    it = add_verb(
        verbs, "publish", _publish,
        help="a whole list, in place of the one that stands",
        says="Publishes a whole list to a site. The cloud fills in its time and its hash.",
        examples=(
            "holdfast driver-tokens publish tokens.csv --site berlin01",
            "holdfast driver-tokens publish list.json --version 12",
        ),
    )  # fmt: skip
    it.add_argument("file", type=Path, metavar="FILE", help="CSV or JSON")
    _change_arguments(it)
    it = add_verb(
        verbs, "add", _add,
        help="driver tokens added to the list, or put in place of what it says of them",
        examples=(
            "holdfast driver-tokens add 04AB12CD --parent fleet-7 --whitelist ALLOWED",
            "holdfast driver-tokens add 04AB12CD --status Blocked",
            "holdfast driver-tokens add --file more.csv",
        ),
    )  # fmt: skip
    it.add_argument("tokens", nargs="*", metavar="DRIVER_TOKEN")
    it.set_defaults(late="tokens")
    it.add_argument("--file", type=Path, metavar="FILE", help="CSV or JSON")
    it.add_argument(
        "--type", default=TokenType.ID_TAG.value, choices=[one.value for one in TokenType]
    )
    it.add_argument("--status", default=TokenStatus.ACCEPTED.value,
                    choices=[one.value for one in TokenStatus])  # fmt: skip
    it.add_argument("--parent", metavar="GROUP")
    it.add_argument("--whitelist", choices=[one.value for one in Whitelist])
    _change_arguments(it)
    it = add_verb(verbs, "remove", _remove, help="driver tokens taken off the list",
                  examples=("holdfast driver-tokens remove 04AB12CD",))  # fmt: skip
    it.add_argument("tokens", nargs="*", metavar="DRIVER_TOKEN")
    it.set_defaults(late="tokens")
    it.add_argument("--file", type=Path, metavar="FILE", help="CSV or JSON")
    it.add_argument(
        "--type", default=TokenType.ID_TAG.value, choices=[one.value for one in TokenType]
    )
    _change_arguments(it)
    it = add_verb(verbs, "status", _status, help="which list stands, and which is wanted")
    add_site(it)


def _change_arguments(parser: argparse.ArgumentParser) -> None:
    add_site_option(parser)
    parser.add_argument("--version", type=int, metavar="N",
                        help="of the list that results (default: one above the last that was published)")  # fmt: skip
    add_by(parser)


async def _publish(client: Client, arguments: argparse.Namespace) -> int:
    site = await client.site(arguments.site)
    document = _document_in(arguments.file)
    full = document if isinstance(document, dict) else {"tokens": document}
    if arguments.version is not None:
        full["version"] = arguments.version
    if "version" not in full:
        full["version"] = await _highest_version(client, site) + 1
    tokens = _checked(DriverTokenList, full, arguments.file)
    _each_once(tokens.tokens, arguments.file)
    body = {"full": json.loads(tokens.model_dump_json(exclude_defaults=True))}
    body["full"]["version"] = tokens.version
    body["full"].setdefault("tokens", [])
    return await _send(client, arguments, site, body, f"{len(tokens.tokens)} driver tokens")


async def _add(client: Client, arguments: argparse.Namespace) -> int:
    given: list[Document] = [
        {
            "driver_token": token,
            "token_type": arguments.type,
            "status": arguments.status,
            "parent": arguments.parent,
            "whitelist": arguments.whitelist,
        }
        for token in arguments.tokens
    ]
    changed = [_checked(ListedToken, row, "driver token") for row in _with_file(given, arguments)]
    _each_once(changed, arguments.file or "driver tokens")
    rows = [json.loads(one.model_dump_json(exclude_defaults=True)) for one in changed]
    return await _change(client, arguments, {"changed": rows}, f"{len(rows)} added or changed")


async def _remove(client: Client, arguments: argparse.Namespace) -> int:
    given: list[Document] = [
        {"driver_token": token, "token_type": arguments.type} for token in arguments.tokens
    ]
    removed = [_checked(TokenIdentity, row, "driver token") for row in _with_file(given, arguments)]
    rows = [json.loads(one.model_dump_json()) for one in removed]
    return await _change(client, arguments, {"removed": rows}, f"{len(rows)} removed")


def _with_file(given: list[Document], arguments: argparse.Namespace) -> list[Document]:
    if arguments.file is not None:
        document = _document_in(arguments.file)
        given = given + (document["tokens"] if isinstance(document, dict) else document)
    if not given:
        raise OperatorError("which driver tokens? name them, or give --file FILE")
    return given


async def _change(
    client: Client, arguments: argparse.Namespace, changes: Document, what: str
) -> int:
    site = await client.site(arguments.site)
    base = await _last_version(client, site)
    if base == 0:
        raise OperatorError(
            f"no list was ever published to {site}: begin with `holdfast driver-tokens publish FILE`"
        )
    version = base + 1 if arguments.version is None else arguments.version
    body = {"changes": {"version": version, "base_version": base, **changes}}
    return await _send(client, arguments, site, body, what)


async def _highest_version(client: Client, site: str) -> int:
    """Of what was published, and of what stands: a site may have been provisioned with a list that no cloud knows, and
    takes none that is not above it.
    """
    status = await client.get("sites", site, "driver-tokens")
    wanted = _wanted(status)
    if not status["known"] and wanted == 0:
        raise OperatorError(
            f"no list was ever published to {site}, and which one it has is not known ({clean(status['problem'])}): "
            "give --version, above what stands there"
        )
    return max(wanted, int(status["version"] or 0))


async def _last_version(client: Client, site: str) -> int:
    """That was published, whether or not the site has it yet."""
    return _wanted(await client.get("sites", site, "driver-tokens"))


def _wanted(status: Document) -> int:
    if status["desired_version"] is None:
        raise OperatorError(
            f"which list was published last is not known ({clean(status['desired_problem'])}): "
            "ask the cloud's monitor, or try again shortly"
        )
    return int(status["desired_version"])


async def _send(
    client: Client, arguments: argparse.Namespace, site: str, body: Document, what: str
) -> int:
    done = await client.post(
        "sites", site, "driver-tokens", body={**body, "by": in_name_of(arguments)}
    )
    if arguments.json:
        print_json(done)
    else:
        print(f"published to {site}: version {clean(done['version'])}, {what}")
        print(f"whether it stands there: holdfast driver-tokens status {site}")
    return DONE


async def _status(client: Client, arguments: argparse.Namespace) -> int:
    site = await client.site(arguments.site)
    status = await client.get("sites", site, "driver-tokens")
    if arguments.json:
        print_json(status)
        return DONE
    at_site = status["version"] if status["known"] else f"unknown ({clean(status['problem'])})"
    wanted = status["desired_version"]
    print(
        fields(
            [
                ("at the site", at_site),
                ("wanted", f"unknown ({status['desired_problem']})" if wanted is None else wanted),
                ("refused", status["refused"]),
                ("full list asked for", status["full_wanted"]),
            ]
        )
    )
    return DONE


# --- files ---


def _document_in(file: Path) -> Any:
    """Rows, or an object that has them as `tokens`. Raise OperatorError."""
    try:
        with file.open("rb") as opened:
            data = opened.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise OperatorError(f"{file} can't be read: {error.strerror}") from error
    if len(data) > FILE_BYTES_MAX:
        raise OperatorError(f"{file} has over {FILE_BYTES_MAX} bytes: publish it in parts")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise OperatorError(f"{file} can't be read: it is no UTF-8 text") from error
    if text.lstrip()[:1] not in ("[", "{"):
        return _csv_rows(text, file)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise OperatorError(f"{file} is no JSON: {error}") from error
    rows = document.get("tokens") if isinstance(document, dict) else document
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise OperatorError(
            f"{file}: a list of objects is expected, or an object with it as `tokens`"
        )
    return document


def _csv_rows(text: str, file: Path) -> list[Document]:
    reader = csv.DictReader(io.StringIO(text), strict=True)
    known = set(ListedToken.model_fields)
    try:
        columns = [name.strip() for name in reader.fieldnames or ()]
    except csv.Error as error:
        raise OperatorError(f"{file}, line 1: {error}") from error
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise OperatorError(f"{file}: its first line names {twice[0]!r} twice")
    if "driver_token" not in columns or set(columns) - known:
        wrong = sorted(set(columns) - known)
        raise OperatorError(
            f"{file}: its first line must name columns, driver_token among them, of {', '.join(sorted(known))}"
            + (f"; not {', '.join(map(repr, wrong))}" if wrong else "")
        )
    reader.fieldnames = columns
    try:
        rows = [_csv_row(row, reader.line_num, file) for row in reader]
    except csv.Error as error:
        raise OperatorError(f"{file}, line {reader.line_num}: {error}") from error
    if not rows:
        raise OperatorError(
            f"{file} names no driver token: a list without any makes a stranger of everybody; "
            'if that is meant, publish a JSON file with {"tokens": []}'
        )
    return rows


def _csv_row(row: dict[Any, Any], line: int, file: Path) -> Document:
    if None in row or None in row.values():
        raise OperatorError(f"{file}, line {line}: it has more or fewer fields than the first line")
    told: Document = {key: value.strip() for key, value in row.items() if value.strip()}
    for name in NUMBERS:
        if name in told:
            try:
                told[name] = int(told[name])
            except ValueError as error:
                raise OperatorError(f"{file}, line {line}: {name} is no whole number") from error
    return told


def _each_once(tokens: Iterable[ListedToken], where: Path | str) -> None:
    """Two words about one driver token: the last would win, and which that is nobody means. Raise OperatorError."""
    said: dict[tuple[str, TokenType], ListedToken] = {}
    for one in tokens:
        before = said.setdefault((one.driver_token.casefold(), one.token_type), one)
        if before is not one:
            raise OperatorError(
                f"{where}: {one.driver_token[:40]!r} stands there twice "
                f"({before.status.value}, {one.status.value}): leave one"
            )


def _checked(kind: type[Any], document: Any, where: Path | str) -> Any:
    try:
        return kind.model_validate_json(json.dumps(document))
    except ValidationError as error:
        raise OperatorError(f"{where}: {first_problem(error)}") from error
