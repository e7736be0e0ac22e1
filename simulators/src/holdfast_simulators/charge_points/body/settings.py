"""What can be set at a charge point: the configuration keys of 1.6, the variables of 2.x.

Which there are, a version says; a changed one outlives a reboot, and one that `needs_boot` takes effect with the next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from holdfast_simulators.charge_points.body.config import Behaviour


class Switch(Enum):
    """What the body itself asks of the settings; each version has its own name for it."""

    CACHE = "the cache of driver tokens is used"
    LOCAL_LIST = "the local list is used"
    PRE_AUTHORISES = "who is known to be accepted does not wait for the central system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    value: Callable[[Behaviour], str]
    """As long as nobody has changed it."""
    is_valid: Callable[[str], bool] | None = None
    """None: it is read only."""
    applied: Callable[[Behaviour, str], Behaviour] | None = None
    """None: nothing but what reads the setting itself looks at it."""
    needs_boot: bool = False
    type: str = "string"
    """As 2.x reports it."""


def fixed(value: str, type: str = "string") -> Setting:
    return Setting(value=lambda _: value, type=type)


def switch(default: bool) -> Setting:
    return Setting(value=lambda _: shown(default), type="boolean", is_valid=is_bool)


def flag(
    value: Callable[[Behaviour], bool], applied: Callable[[Behaviour, bool], Behaviour]
) -> Setting:
    """A switch of the behaviour."""
    return Setting(
        value=lambda it: shown(value(it)),
        type="boolean",
        is_valid=is_bool,
        applied=lambda it, text: applied(it, is_true(text)),
    )


def whole(
    value: Callable[[Behaviour], float],
    applied: Callable[[Behaviour, int], Behaviour],
    is_valid: Callable[[str], bool],
    *,
    needs_boot: bool = False,
) -> Setting:
    """A number of the behaviour: whole where it can be set, rounded where it is read."""
    return Setting(
        value=lambda it: str(round(value(it))),
        type="integer",
        is_valid=is_valid,
        applied=lambda it, text: applied(it, int(text)),
        needs_boot=needs_boot,
    )


def is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 6


def is_positive(text: str) -> bool:
    return is_whole(text) and int(text) > 0


def is_bool(text: str) -> bool:
    return text.lower() in ("true", "false")


def is_true(text: str) -> bool:
    return text.lower() == "true"


def shown(value: bool) -> str:
    return "true" if value else "false"


def configured(
    settings: Mapping[str, Setting],
    behaviour: Behaviour,
    changed: dict[str, str],
    *,
    at_boot: dict[str, str],
) -> Behaviour:
    """The behaviour that the changed settings make of the given one; `at_boot`: as they were when it booted."""
    for name, setting in settings.items():
        value = (at_boot if setting.needs_boot else changed).get(name)
        if setting.applied is not None and value is not None:
            behaviour = setting.applied(behaviour, value)
    return behaviour


def is_on(settings: Mapping[str, Setting], changed: dict[str, str], name: str) -> bool:
    """A boolean setting whose default does not come from the behaviour."""
    return is_true(changed.get(name, settings[name].value(Behaviour())))
