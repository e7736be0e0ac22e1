"""What can happen to a site's mode, and what can be done about it.

Time is data: every event carries its `Moment`. Durations are differences of `mono_ms` only; `at_ms` is for
records and for what others wrote with a wall clock (their times, the end of the rules).
"""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.contracts.journal import StorageLevel
from holdfast.contracts.mode import Head, ModeChanged, Override, PulseReply
from holdfast.contracts.recovery import OpenPoint


@dataclass(frozen=True, slots=True)
class Moment:
    at_ms: int
    """Wall clock."""
    mono_ms: int
    fresh_id: str
    """For the entry, and the disruption, that begins at this moment should one do so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The process began. What stood before comes from the journal."""

    moment: Moment
    incarnation: str
    last: ModeChanged | None
    """The newest mode in the journal; None in a journal that has none yet."""
    changed_ago_ms: tuple[int, ...] = ()
    """How long ago the recent counted changes were: the bound on changes outlives a restart."""
    fell_ago_ms: tuple[int, ...] = ()
    """How long ago the site fell out of connected or recovery."""
    overrides: tuple[Override, ...] = ()
    overrides_seq: int = 0
    """Of the entry that says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PulseSent:
    """About to go out."""

    moment: Moment
    head: Head | None
    """None: the journal service gave none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PulseAnswered:
    moment: Moment
    sent_at_ms: int
    head: Head | None
    """The one that this pulse reported."""
    reply: PulseReply


@dataclass(frozen=True, slots=True, kw_only=True)
class PulseMissed:
    """No answer in time, or nobody there to answer."""

    moment: Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    moment: Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageChanged:
    moment: Moment
    level: StorageLevel
    cause: str | None = None
    """Id of the journal entry that said so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesStand:
    """These rules are active now."""

    moment: Moment
    version: int
    """0: the built-in ones."""
    valid_until_ms: int | None
    cause: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryEnded:
    """The reconciler finished its procedure."""

    moment: Moment
    disruption: str
    open_points: tuple[OpenPoint, ...]
    cause: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LocallyBuffered:
    """Something was decided or kept at the site that the cloud must hear of afterwards."""

    moment: Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class OverridesStand:
    """From this journal entry on these overrides are announced or stand, and no others."""

    moment: Moment
    seq: int
    overrides: tuple[Override, ...]
    cause: str | None = None


Lesson = (
    PulseSent
    | PulseAnswered
    | PulseMissed
    | Tick
    | StorageChanged
    | RulesStand
    | RecoveryEnded
    | LocallyBuffered
    | OverridesStand
)
Event = Started | Lesson


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeMode:
    """Effect: the mode is another from now on; write it, under this id however often it takes."""

    id: str
    fact: ModeChanged
    cause: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndOverride:
    """Effect: an override's time is up, and it is over; write it, under this id however often it takes."""

    id: str
    override: Override
    ended_at_ms: int


Effect = EndOverride | ChangeMode
