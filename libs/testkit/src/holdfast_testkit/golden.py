"""Golden files: one example of everything that crosses a process boundary, as it stands on the wire.

    python -m holdfast_testkit.golden libs/common/tests/golden

writes those that are missing or no longer what the contracts give. A changed golden file is a changed
contract: read the difference before it goes in. Examples are made of the fields' types and names.
"""

from __future__ import annotations

import json
import re
import sys
import types
import typing
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union

from annotated_types import Ge
from pydantic.fields import FieldInfo

import holdfast.contracts  # noqa: F401  registers every contract
from holdfast.contracts.envelope import (
    FACTS,
    ClockQuality,
    Contract,
    Envelope,
    Fact,
    body_of,
)

AT_MS = 1_750_000_000_000
MOMENT = re.compile(r"(^|_)(at|until|since|began|ended|deadline|from|to)_ms$")
TEXTS = {
    "site": "berlin01",
    "incarnation": "k3v9x2ab",
    "charge_point": "CP-01",
    "connection": "c-17",
    "session": "CP-01/1001",
    "message_id": "m-4711",
    "driver_token": "DRIVER-01",
    "command_id": "cmd-1",
    "id": "id-1",
    "action": "MeterValues",
    "at": "2025-06-15T15:06:40Z",
    "hash": "ab" * 32,
    "signature": "cd" * 64,
    "key": "ef" * 32,
    "raw": '{"connectorId":1}',
    "protocol": "ocpp1.6",
}
"""Text fields that say more with a value of their kind; the others hold their own name."""
ABSENT = {"RelayReply": ("code", "description", "reason")}
"""Fields that can't be there together with the others."""


def contracts() -> list[type[Contract]]:
    """Every contract of the common library but facts."""

    def below(kind: type[Contract]) -> Iterator[type[Contract]]:
        for sub in kind.__subclasses__():
            yield sub
            yield from below(sub)

    found = {
        kind.__name__: kind
        for kind in below(Contract)
        if not issubclass(kind, Fact) and kind.__module__.startswith("holdfast.contracts.")
    }
    return [found[name] for name in sorted(found)]


def facts() -> list[type[Fact]]:
    return [FACTS[kind] for kind in sorted(FACTS)]


def example(kind: type[Contract]) -> Contract:
    if kind is Envelope:
        return envelope_of(FACTS["session.stopped"])
    fields = {
        name: _value(name, field)
        for name, field in kind.model_fields.items()
        if name not in ABSENT.get(kind.__name__, ())
    }
    return kind.model_validate(fields)


def envelope_of(kind: type[Fact]) -> Envelope:
    fact = example(kind)
    assert isinstance(fact, Fact)
    return Envelope(
        id="id-1",
        type=kind.TYPE,
        at_ms=AT_MS,
        clock=ClockQuality.SYNCHRONISED,
        site=TEXTS["site"],
        incarnation=TEXTS["incarnation"],
        source="golden",
        cause="id-0",
        body=body_of(fact),
    )


def _value(name: str, field: FieldInfo) -> Any:
    if isinstance(field.default, str) and field.default and field.annotation is str:
        return field.default
    least = max((part.ge for part in field.metadata if isinstance(part, Ge)), default=0)  # type: ignore[type-var]
    return _of(name, field.annotation, int(least))  # type: ignore[call-overload]


def _of(name: str, annotation: Any, least: int = 0) -> Any:
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _of(name, parts[0], least)
    if origin is Literal:
        return parts[0]
    if origin in (Union, types.UnionType):
        return _of(name, parts[0], least)  # of an optional field: the value, not its absence
    if origin is tuple and parts[-1] is not Ellipsis:
        return tuple(_of(name, part, least) for part in parts)
    if origin is tuple:
        return (_of(name.removesuffix("s"), parts[0], least),)
    if origin is dict:
        # `{"payload": "payload"}`, `{"expired": 1}`: a key that says where it stands.
        return {name: "value" if parts[1] is Any else _of(name, parts[1], least)}
    return _plain(name, annotation, least)


def _plain(name: str, annotation: Any, least: int) -> Any:
    if issubclass(annotation, Envelope):
        return envelope_of(FACTS["session.stopped"])
    if issubclass(annotation, Contract):
        return example(annotation)
    if issubclass(annotation, Enum):
        return next(iter(annotation))
    if annotation is bool:
        return True
    if annotation is int:
        return AT_MS if MOMENT.search(name) else max(least, 1)
    if annotation is float:
        return float(max(least, 16))
    assert annotation is str, f"no example for {name}: {annotation}"
    return TEXTS.get(name, name)


def as_text(contract: Contract) -> str:
    """Readable, and the same JSON as on the wire."""
    return json.dumps(json.loads(contract.to_bytes()), indent=2, ensure_ascii=False) + "\n"


def files() -> dict[str, str]:
    """Name to content, of what should be there."""
    of_facts = {f"{kind.TYPE}.json": as_text(envelope_of(kind)) for kind in facts()}
    of_others = {f"{kind.__name__}.json": as_text(example(kind)) for kind in contracts()}
    return of_facts | of_others


def main(arguments: Sequence[str]) -> None:
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    wanted = files()
    for path in folder.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
            sys.stdout.write(f"removed {path.name}\n")
    for name, content in wanted.items():
        path = folder / name
        if not path.exists() or path.read_text() != content:
            path.write_text(content)
            sys.stdout.write(f"wrote {name}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
