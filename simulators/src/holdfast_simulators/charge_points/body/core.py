"""What a version gives the body: how it decides, and its names for what the body asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from holdfast_simulators.charge_points.body.config import Behaviour
from holdfast_simulators.charge_points.body.device import D
from holdfast_simulators.charge_points.body.events import Effect, Event, Happened
from holdfast_simulators.charge_points.body.settings import Setting, Switch

E = TypeVar("E", bound=Event)
"""What can happen to a charge point of this version only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Core(Generic[D, E]):
    decide: Callable[[Behaviour, D, Happened | E], tuple[D, list[Effect]]]
    settings: Mapping[str, Setting]
    switches: Mapping[Switch, str]
    """The settings that the body looks at."""
    reading: str
    """The action of what is left out when the queue is full."""
