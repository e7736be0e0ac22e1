"""`holdfast rules keygen | check | compose | diff | sign`: drafts and keys at one's own desk, without a server, by the
same functions that the cloud and the sites apply.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast import subjects
from holdfast.clock import SystemClock
from holdfast.contracts.envelope import ContractError
from holdfast.contracts.rollout import DRAFT_BYTES_MAX
from holdfast.contracts.rules import Rules, SignedRules
from holdfast.settings import ConfigError
from holdfast_cli.operator.arguments import Formatter
from holdfast_cli.operator.output import clean, print_json, table
from holdfast_cli.operator.problem import DONE, EXIT_CODES, NO, OperatorError
from holdfast_cli.provision.rules import default_rules_text
from holdfast_cli.provision.secrets import write_whole
from rule_service.adapters.files import signing_key
from rule_service.domain.bundle import BUILT_IN
from rule_service.domain.clauses import Change, difference
from rule_service.domain.composing import Composed, Draft, Plain, Source, read_source
from rule_service.domain.signatures import public_hex, sign

DEFAULT = "default"
FILE_BYTES_MAX = 4 * DRAFT_BYTES_MAX
"""A signed bundle is JSON of its text: escaped, it is longer."""
OTHER_SITE = "any-other-site"
OF_THE_BUNDLE = ("version", "name", "site")
"""Not worth a line where a bundle is compared with the built-in rules."""

Run = Callable[[argparse.Namespace], Awaitable[int]]


def add_local_verbs(verbs: Any) -> None:
    it = _verb(
        verbs, "keygen", _keygen,
        help="make a key that signs rules, and print its public half",
        says="An existing file is never overwritten. Only its owner can read it: keep it away from any cloud. The "
        "public half goes into `signing.keys` of a bundle, or `trusted_rule_keys` of the rule-services.",
        examples=("holdfast rules keygen --out rules-2027.key",),
    )  # fmt: skip
    it.add_argument("--out", type=Path, required=True, metavar="FILE")

    it = _verb(
        verbs, "check", _check,
        help="is a draft, or a bundle, sound, and what does each site get?",
        says="Says what is wrong, in which line (exit code 1); or ok, and for each site which clauses it would have "
        "otherwise than the built-in rules.",
        examples=("holdfast rules check rules.yaml", "holdfast rules check rules.yaml --site berlin01"),
    )  # fmt: skip
    _file(it)
    _sites(it, required=False, help="only this one; may be given several times")
    it.add_argument("--json", action="store_true", help="for programs")

    it = _verb(
        verbs, "compose", _compose,
        help="the whole bundle that a site would get",
        examples=("holdfast rules compose rules.yaml --site berlin01",),
    )  # fmt: skip
    _file(it)
    it.add_argument("--site", required=True, metavar="SITE")

    it = _verb(
        verbs, "diff", _diff,
        help="two sets of rules, clause by clause",
        says=f"Each is a draft, a bundle, a signed bundle, or `{DEFAULT}` for the built-in rules. Exit code 1 when "
        "they differ.",
        examples=(
            "holdfast rules diff default rules.yaml --site berlin01",
            "holdfast rules diff old.yaml new.yaml --site berlin01",
        ),
    )  # fmt: skip
    it.add_argument("old", metavar="A")
    it.add_argument("new", metavar="B")
    it.add_argument("--site", metavar="SITE", help="of a draft; needed where it has layers")
    it.add_argument("--json", action="store_true", help="for programs")

    it = _verb(
        verbs, "sign", _sign,
        help="sign the bundles of some sites with a key that no cloud has",
        says="Composes the draft for each site and writes DIR/SITE.signed.json, for `holdfast rules publish --signed`. "
        "Nothing is written unless all of them can be.",
        examples=("holdfast rules sign rules.yaml --key rules-2027.key --site berlin01 --out signed/",),
    )  # fmt: skip
    _file(it)
    it.add_argument("--key", type=Path, required=True, metavar="FILE")
    _sites(it, required=True, help="may be given several times")
    it.add_argument("--out", type=Path, required=True, metavar="DIR")


def _verb(
    verbs: Any, name: str, run: Run, *, help: str, says: str = "", examples: tuple[str, ...] = ()
) -> argparse.ArgumentParser:
    shown = "".join(f"\n  {line}" for line in examples)
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=help,
        description=says or help,
        epilog=f"examples:{shown}\n\n{EXIT_CODES}",
        formatter_class=Formatter,
    )
    parser.set_defaults(run=run)
    return parser


def _file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="YAML: a draft, or a bundle")


def _sites(parser: argparse.ArgumentParser, *, required: bool, help: str) -> None:
    parser.add_argument(
        "--site", action="append", required=required, default=None, metavar="SITE", help=help
    )


# --- keys ---


async def _keygen(arguments: argparse.Namespace) -> int:
    key, path = Ed25519PrivateKey.generate(), arguments.out
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise OperatorError(
            f"{path} is there already, and a key is never overwritten: choose another name"
        ) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    print(public_hex(key))
    return DONE


async def _sign(arguments: argparse.Namespace) -> int:
    try:
        key = signing_key(arguments.key)
    except ConfigError as error:
        raise OperatorError(str(error)) from error
    source = _source(arguments.file)
    composed = [_composed(source, site) for site in dict.fromkeys(arguments.site)]
    for one in composed:
        named = one.rules.signing.keys
        if named and public_hex(key) not in named:
            raise OperatorError(
                f"signing.keys of {one.site} does not name {public_hex(key)[:16]}..., the key given: every site would "
                "refuse it, for it locks itself out; name both keys first, then sign with the new one"
            )
    for one in composed:
        path = arguments.out / f"{one.site}.signed.json"
        signed = sign(key, one.rules.version, one.text)
        write_whole(path, (signed.model_dump_json(indent=2) + "\n").encode())
        print(f"{path}: version {one.rules.version}, signed by {public_hex(key)[:16]}...")
    return DONE


# --- drafts ---


async def _check(arguments: argparse.Namespace) -> int:
    try:
        source = read_source(_text(arguments.file))
        composed = [source.composed(site) for site in _of_interest(source, arguments.site)]
        _check_not_expired(composed)
    except ContractError as error:
        if arguments.json:
            print_json({"ok": False, "problem": str(error), "sites": []})
        else:
            print(f"{arguments.file}: {clean(error)}")
        return NO
    if arguments.json:
        sites = [
            {"site": one.site, "version": one.rules.version, "changes": _as_json(_gets(one))}
            for one in composed
        ]
        print_json({"ok": True, "problem": None, "sites": sites})
        return DONE
    what = "draft" if isinstance(source, Draft) else "bundle"
    print(f"ok: a {what}, version {source.version}")
    for one in composed:
        name = "any other site" if one.site == OTHER_SITE else one.site
        print(f"\n{name}, otherwise than the built-in rules:")
        print(_table(_gets(one)))
    return DONE


def _check_not_expired(composed: list[Composed]) -> None:
    """As the cloud does: such rules would degrade every site at once. Raise ContractError."""
    now_ms = SystemClock().now_ms()
    for one in composed:
        until_ms = one.rules.valid_until_ms
        if until_ms is not None and until_ms <= now_ms:
            raise ContractError(
                f"valid_until_ms: {until_ms} has passed (it is milliseconds since 1970): name a later one, or null"
            )


def _of_interest(source: Source, named: list[str] | None) -> list[str]:
    for site in named or ():
        _check_site(site)
    if named:
        return list(dict.fromkeys(named))
    if isinstance(source, Plain) and source.sites:
        return list(source.sites)
    return [*source.sites, OTHER_SITE]


def _gets(one: Composed) -> tuple[Change, ...]:
    changes = difference(BUILT_IN, one.rules)
    return tuple(change for change in changes if change.clause not in OF_THE_BUNDLE)


async def _compose(arguments: argparse.Namespace) -> int:
    print(_composed(_source(arguments.file), arguments.site).text, end="")
    return DONE


async def _diff(arguments: argparse.Namespace) -> int:
    changes = difference(
        _rules(arguments.old, arguments.site), _rules(arguments.new, arguments.site)
    )
    if arguments.json:
        print_json({"changes": _as_json(changes)})
    else:
        print(_table(changes, "no difference"))
    return NO if changes else DONE


def _rules(name: str, site: str | None) -> Rules:
    source = _from_text(default_rules_text(), name) if name == DEFAULT else _source(Path(name))
    if isinstance(source, Plain):
        return source.rules
    if site is None:
        raise OperatorError(f"{name} is a draft: say with --site for which site")
    return _composed(source, site).rules


# --- parts ---


def _source(path: Path) -> Source:
    return _from_text(_text(path), str(path))


def _from_text(text: str, name: str) -> Source:
    try:
        return read_source(text)
    except ContractError as error:
        raise OperatorError(f"{name}: {clean(error)}") from error


def _text(path: Path) -> str:
    """Of a signed bundle what was signed."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"{path}: can't be read ({error})") from error
    if len(data) > FILE_BYTES_MAX:
        raise OperatorError(f"{path}: over {FILE_BYTES_MAX} bytes are not read")
    try:
        return SignedRules.from_bytes(data).text
    except ContractError:
        return text


def _composed(source: Source, site: str) -> Composed:
    _check_site(site)
    try:
        return source.composed(site)
    except ContractError as error:
        raise OperatorError(clean(error)) from error


def _check_site(site: str) -> None:
    try:
        subjects.check_site(site)
    except subjects.SubjectError as error:
        raise OperatorError(str(error)) from error


def _table(changes: tuple[Change, ...], empty: str = "nothing") -> str:
    rows = [(change.clause, _shown(change.old), _shown(change.new)) for change in changes]
    return table(("clause", "old", "new"), rows, empty)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(str(part) for part in value) + "]"
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )


def _as_json(changes: tuple[Change, ...]) -> list[dict[str, Any]]:
    return [{"clause": change.clause, "old": change.old, "new": change.new} for change in changes]
