"""Commands of several parts (SetVariables of 2.x): part by part, a newer command takes the place of an older one.

What is left of the older is sent, and it is said what was not, and because of which command. With nothing left it is
superseded. A part is one key of 1.6, or one variable of 2.x with its attribute.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from holdfast.contracts.command import Command
from holdfast.ocpp import payloads
from holdfast.ocpp.actions import same_as

if TYPE_CHECKING:
    from ocpp_edge.domain.known import Pending

NAMED_MAX = 5


def keys(command: Command) -> tuple[str, ...]:
    """Of a SetVariables with its attribute: Actual and Target are two."""
    data = _data(command.payload)
    if data is None:
        return tuple(f"{name} ".casefold() for name in payloads.keys_set(command.payload))
    return tuple(_key(one) for one in data)


def shared(older: Command, newer: Command) -> frozenset[str]:
    """Parts that both are about."""
    if not (_is_of_parts(older) and _is_of_parts(newer)):
        return frozenset()
    return frozenset(keys(older)) & frozenset(keys(newer))


def left_of(pending: Pending) -> dict[str, Any] | None:
    """The payload that is still to be sent; None: all of it."""
    data = _data(pending.command.payload)
    if not pending.overtaken or data is None:
        return None
    left = [one for one in data if _key(one) not in pending.overtaken]
    return {**pending.command.payload, "setVariableData": left}


def is_gone(pending: Pending) -> bool:
    """Newer commands have taken the place of all of it."""
    taken = pending.overtaken
    return bool(taken) and all(key in taken for key in keys(pending.command))


def without(pending: Pending) -> str:
    """What is not sent, and by which commands it is set anew; empty where all of it is."""
    if not pending.overtaken:
        return ""
    named = [f"{key.split(' ')[0]} (command {id})" for key, id in pending.overtaken.items()]
    more = len(named) - NAMED_MAX
    listed = ", ".join(named[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
    return f"without what newer commands set: {listed}"


def _is_of_parts(command: Command) -> bool:
    return same_as(command.action) == "ChangeConfiguration"


def _data(payload: Mapping[str, Any]) -> list[Any] | None:
    found = payload.get("setVariableData")
    return found if isinstance(found, list) else None


def _key(one: Any) -> str:
    kind = one.get("attributeType", "Actual") if isinstance(one, dict) else ""
    return f"{payloads.variable_name(one)} {kind}".casefold()
