"""What the site's mode rests on: the mode in force, and everything known that can change it."""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast.contracts.journal import StorageLevel
from holdfast.contracts.mode import CsmsState, Mode, Override, Reason
from holdfast.contracts.recovery import OpenPoint
from holdfast.contracts.rules import ModeRules
from mode_manager.domain import link
from mode_manager.domain.link import Link
from mode_manager.domain.sync import Sync

RELAPSE_FALLS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A recovery that is done, waiting for the moment the site may go on."""

    open_points: tuple[OpenPoint, ...]
    cause: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Times are monotonic but for those ending in `at_ms` and `valid_until_ms`."""

    # the mode in force
    mode: Mode
    reasons: tuple[Reason, ...]
    """Of the change that began it."""
    since_at_ms: int
    disruption: str | None
    unmentioned: tuple[Reason, ...] = ()
    """What stood meanwhile and no change has named yet: the next one does."""
    counted_ms: tuple[int, ...] = ()
    """When the changes that the rule counts were: the newest `changes_max`."""
    fell_ms: tuple[int, ...] = ()
    """When the site fell out of connected or recovery: the newest `RELAPSE_FALLS`."""

    # what is known
    incarnation: str
    link: Link
    sync: Sync = field(default_factory=Sync)
    head_seq: int | None = None
    head_ms: int
    """When the journal service last gave a head; before the first, the start."""
    storage: StorageLevel = StorageLevel.OK
    csms: CsmsState = CsmsState.NONE
    clock_offset_ms: int = 0
    """Cloud clock less ours."""
    rules_version: int = 0
    rules_valid_until_ms: int | None = None
    desired_rules_version: int = 0
    rules_differ_since_ms: int | None = None
    answered_at_ms: int | None = None
    """Wall clock of the last answered pulse."""

    # what people said
    overrides: tuple[Override, ...] = ()
    """Announced or standing."""
    overrides_seq: int = 0
    """Of the newest entry that said so: an older one says nothing any more."""

    # on the way out of a disruption
    clear_since_ms: int | None = None
    """Since then nothing has stood against `connected`."""
    clear_head_seq: int | None = None
    """The head at that moment: below it is what was written during the disruption."""
    has_open: bool = False
    """Something was buffered or decided locally: the way back leads through recovery."""
    waived: frozenset[Reason] = frozenset()
    """Named as open points when recovery ended; they count again once they have been over."""
    ended: Ended | None = None


def counts(mode: Mode) -> bool:
    """Changes to autonomous are not counted: nothing may hold them up, whatever the bound says."""
    return mode is not Mode.AUTONOMOUS


def impaired(mode: Mode) -> bool:
    return mode in (Mode.DEGRADED, Mode.AUTONOMOUS)


def falls(previous: Mode | None, mode: Mode, reasons: tuple[Reason, ...]) -> bool:
    """Out of connected or recovery, for the worse. Degraded and then autonomous is one fall.

    Maintenance is none: people wanted it, and it says nothing against the site.
    """
    if reasons and reasons[0] is Reason.MAINTENANCE:
        return False
    return previous in (Mode.CONNECTED, Mode.RECOVERY) and mode in (Mode.DEGRADED, Mode.AUTONOMOUS)


def has_relapsed(policy: ModeRules, state: State, mono_ms: int) -> bool:
    """It fell again within `latch_ms_max`. A single fall is an ordinary disruption, not an unstable site."""
    begins_ms = mono_ms - policy.latch_ms_max
    return sum(at_ms > begins_ms for at_ms in state.fell_ms) >= RELAPSE_FALLS


def has_room(policy: ModeRules, state: State, mono_ms: int) -> bool:
    """An improvement leaves room in the window for the change for the worse that may follow.

    So at most `changes_max` counted changes fall into any `changes_window_ms`, and none for the worse waits.
    Not asked of an ordinary cut: one that went through autonomous is over as fast as its recovery is.
    """
    flaps = has_relapsed(policy, state, mono_ms) or link.broke_too_often(policy, state.link)
    if not flaps and state.mode is not Mode.DEGRADED:
        return True
    begins_ms = mono_ms - policy.changes_window_ms
    recent = sum(at_ms > begins_ms for at_ms in state.counted_ms)
    return recent + 2 <= policy.changes_max
