"""How a charge point of any version obeys: what it can't read, it says so; what it does not know, too. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from holdfast_simulators.charge_points.body.device import C
from holdfast_simulators.charge_points.body.reply import Reply, Situation

S = TypeVar("S", bound=Situation[Any])


def obeyed(
    commands: Mapping[str, Callable[[S, dict[str, Any]], Reply]],
    situation: S,
    action: str,
    payload: dict[str, Any],
    *,
    malformed: str,
) -> Reply:
    """`malformed`: the version's code for a payload that can't be read."""
    command = commands.get(action)
    if command is None:
        return Reply(payload=None, code="NotImplemented")
    try:
        return command(situation, payload)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
        return Reply(payload=None, code=malformed)


def place_for(free: list[C], driver_token: str) -> C | None:
    """Where a remote start begins: what is reserved for this driver comes before what is free for all."""
    open_to_it = [
        one for one in free if one.reservation is None or one.reservation.id_tag == driver_token
    ]
    return max(open_to_it, key=lambda one: one.reservation is not None, default=None)
