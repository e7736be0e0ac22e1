"""What several verbs take: a verb with help and examples, a site, a time, a payload."""

from __future__ import annotations

import argparse
import getpass
import json
import math
import re
import sys
import textwrap
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from holdfast.clock import SystemClock
from holdfast_cli.operator import client
from holdfast_cli.operator.client import Client
from holdfast_cli.operator.problem import EXIT_CODES, OperatorError

Subparsers = argparse._SubParsersAction
Run = Callable[[Client, argparse.Namespace], Awaitable[int]]

UNITS_MS = {"ms": 1, "s": 1_000, "min": 60_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
DURATION = re.compile(r"^(\d{1,9})(ms|s|min|m|h|d)\Z")
REGISTRY = "registry"
REGISTRY_VERBS = ("list", "add", "remove", "accept", "reject", "pending", "password", "profile")
"""No site can be asked about by one of these names without --site."""
DIGITS_MAX = 30
"""Of a number that is typed."""
DURATION_MS_MAX = 366 * 86_400_000


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Examples and exit codes keep their lines."""


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Argparse takes a list of words only in one piece: those that come after an option are added to it here, where a
    verb says to what (`late`). `charge-points add` is a verb of its own, beside `charge-points SITE`.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["charge-points"]:
        at = _first_word(parser, words)
        if at is not None and words[at] in REGISTRY_VERBS:
            words = [REGISTRY, words[at], *words[1:at], *words[at + 1 :]]
    arguments, late = parser.parse_known_args(words)
    if late:
        into = getattr(arguments, "late", None)
        if into is None or any(word.startswith("-") for word in late):
            parser.error(f"unrecognized arguments: {' '.join(late)}")
        setattr(arguments, into, [*getattr(arguments, into), *late])
    return arguments


def _first_word(parser: argparse.ArgumentParser, words: list[str]) -> int | None:
    """Where the first one after the verb stands that is neither an option nor its value."""
    groups = (one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
    verb = next(group.choices[words[0]] for group in groups if words[0] in group.choices)
    valued = {name for one in verb._actions if one.nargs != 0 for name in one.option_strings}
    at = 1
    while at < len(words):
        word = words[at]
        if not word.startswith("-"):
            return at
        # Argparse takes a long option's beginning for it.
        takes = any(name == word or (word[:2] == "--" and name.startswith(word)) for name in valued)
        at += 2 if takes else 1
    return None


def add_verb(
    subparsers: Any,
    name: str,
    run: Run,
    *,
    help: str,
    says: str = "",
    examples: tuple[str, ...] = (),
) -> argparse.ArgumentParser:
    """A verb that asks the monitor; it is given the client and its own arguments."""
    shown = "".join(f"\n  {line}" for line in examples)
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=help,
        description=textwrap.fill(says or help, 100),
        epilog=(f"examples:{shown}\n\n" if shown else "") + EXIT_CODES,
        formatter_class=Formatter,
    )
    client.add_arguments(parser)

    async def asked(arguments: argparse.Namespace) -> int:
        async with client.client_of(arguments) as opened:
            try:
                return await run(opened, arguments)
            except (LookupError, TypeError, AttributeError, ValueError) as error:
                raise opened.gave_up(error) from error

    parser.set_defaults(run=asked)
    return parser


def add_group(subparsers: Any, name: str, *, help: str) -> Any:
    """`holdfast NAME VERB`."""
    parser = subparsers.add_parser(name, help=help, description=help)
    return parser.add_subparsers(required=True, metavar="VERB")


def add_site(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "site", nargs="?", metavar="SITE", help="may be left out where there is one"
    )


def add_site_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--site", metavar="SITE", help="may be left out where there is one")


def add_by(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--by", metavar="NAME", default=None,
                        help="in whose name (default: who runs this command)")  # fmt: skip


def duration_ms(text: str) -> int:
    """60s, 5min, 2h, 1d: an argparse type."""
    match = DURATION.match(text)
    if match is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no duration: write it like 60s, 5min, 2h, 1d"
        )
    for_ms = int(match[1]) * UNITS_MS[match[2]]
    if not 0 < for_ms <= DURATION_MS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is out of range: over 0 and up to a year")
    return for_ms


def some_text(text: str) -> str:
    """An argparse type."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty")
    return text


def at_most(most: int) -> Callable[[str], int]:
    """A whole number from 1 on: an argparse type."""

    def number(text: str) -> int:
        is_number = text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX
        if not is_number or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text[:40]!r} is no number from 1 to {most}")
        return int(text)

    return number


def moment_ms(text: str) -> int:
    """2026-11-25, 2026-11-25T10:00:00Z (UTC where no zone is said), or an age like 12h: an argparse type."""
    if DURATION.match(text):
        return SystemClock().now_ms() - duration_ms(text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time: write it like 2026-11-25, 2026-11-25T10:00:00Z or 12h (ago)"
        ) from error
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def future_ms(text: str) -> int:
    """As `moment_ms`, but a duration is from now: an argparse type."""
    if DURATION.match(text):
        return SystemClock().now_ms() + duration_ms(text)
    return moment_ms(text)


def in_name_of(arguments: argparse.Namespace) -> str:
    """As --by says, else who runs this. Raise OperatorError."""
    if arguments.by is not None:
        return str(arguments.by)
    try:
        return getpass.getuser()[:100]
    except (OSError, KeyError) as error:
        raise OperatorError("in whose name? this system names no user: give --by NAME") from error


TEXTS = frozenset(
    {
        "idTag", "parentIdTag", "key", "value", "vendorId", "messageId", "data", "location", "type", "requestedMessage",
        "updateType", "expiryDate", "retrieveDate", "startTime", "stopTime", "chargingProfilePurpose",
        "chargingRateUnit",
    }
)  # fmt: skip
"""Fields of OCPP 1.6 that are texts, whatever they look like: an idTag of digits alone, the value of a key."""


def payload(words: list[str]) -> dict[str, Any]:
    """One JSON object, or key=value pairs whose value is JSON where it reads as JSON, and OCPP wants no text. Raise
    ValueError.
    """
    if len(words) == 1 and words[0].lstrip().startswith("{"):
        try:
            document = json.loads(words[0], parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the payload is no JSON ({error})") from error
        if not isinstance(document, dict):
            raise ValueError("the payload is no JSON object")
        return document
    given: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ValueError(
                f"{word[:80]!r} is no key=value: write connectorId=1, or one JSON object"
            )
        if key in given:
            raise ValueError(f"{key!r} is given twice")
        try:
            read = json.loads(value, parse_constant=_no_number)
        except (ValueError, RecursionError):
            read = value
        is_text = key in TEXTS and not isinstance(read, str | list | dict)
        given[key] = value if is_text else read
    return given


def _no_number(text: str) -> None:
    """Python reads NaN and Infinity; JSON has neither."""
    raise ValueError(f"{text} is no number of JSON")


def amperes(text: str) -> float:
    """An argparse type."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no number of amperes, 0 or more")
    return value
