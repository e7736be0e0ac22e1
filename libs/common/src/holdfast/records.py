"""`dataclasses.replace` for frozen records with slots, at a quarter of its cost.

A core that changes its state a dozen times for one message spends most of its time in `replace`: it builds
the record anew through `__init__`, one `object.__setattr__` after the other. Here the fields are copied slot by
slot. Whatever has more to it (no slots, a `__post_init__`, a field that `__init__` does not take) goes the long way.
Records that no snapshot and no contract holds are `msgspec.Struct`s: made and replaced in C.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Record = TypeVar("Record", bound=DataclassInstance | msgspec.Struct)

Change = Callable[[Any, dict[str, Any]], Any]


def replace(record: Record, /, **changes: Any) -> Record:
    kind = type(record)
    change = _CHANGES.get(kind)
    if change is None:
        change = _CHANGES[kind] = _change_of(kind)
    try:
        changed: Record = change(record, changes)
    except KeyError as error:
        raise TypeError(f"{kind.__name__} has no field {error}") from None
    return changed


_CHANGES: dict[type, Change] = {}


def _change_of(kind: type[Any]) -> Change:
    if issubclass(kind, msgspec.Struct):
        return lambda record, changes: msgspec.structs.replace(record, **changes)
    fields = dataclasses.fields(kind)
    names = [field.name for field in fields]
    is_plain = (
        "__dict__" not in dir(kind)
        and not hasattr(kind, "__post_init__")
        and all(field.init for field in fields)
        and all(hasattr(getattr(kind, name, None), "__set__") for name in names)
    )
    if not is_plain:
        return lambda record, changes: dataclasses.replace(record, **changes)
    setters = {name: getattr(kind, name).__set__ for name in names}
    # Written out, as `dataclasses` writes its `__init__`: a loop over the fields costs as much again.
    lines = [
        "def change(record, changes):",
        "    changed = new(kind)",
        *(f"    set_{name}(changed, record.{name})" for name in names),
        "    for name, value in changes.items():",
        "        setters[name](changed, value)",
        "    return changed",
    ]
    names_there: dict[str, Any] = {f"set_{name}": put for name, put in setters.items()}
    names_there |= {"new": kind.__new__, "kind": kind, "setters": setters}
    exec("\n".join(lines), names_there)  # noqa: S102  names of fields, nothing from outside
    change: Change = names_there["change"]
    return change
