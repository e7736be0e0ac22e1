"""The uplink as its pulses show it.

    late      no answered pulse for `degraded_after_ms`
    lost      no answered pulse for `autonomous_after_ms`
    unstable  it broke more than `breaks_max` times in `changes_window_ms`, and has not held for its latch since
    stable    every pulse of the last `stable_for_ms` was answered

A link that falls again after it was believed in has a latch: it must hold for `latch_ms`, twice as long
with each relapse, before it is believed in again. To hold is to be neither late nor, more often than
`breaks_max` allows, broken. All times here are monotonic.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from holdfast.contracts.rules import ModeRules

FALLS_MAX = 40
"""More are not counted: the latch has long reached its maximum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    heard_ms: int
    """The last answer; before the first one, the start."""
    heard_once: bool = False
    unbroken_since_ms: int | None = None
    """The first answer after the last miss; None from a miss until the next answer."""
    alive_since_ms: int | None = None
    """Since then it was never late."""
    holds_since_ms: int | None = None
    """Since then it was never late, nor broke once too often."""
    breaks_ms: tuple[int, ...] = ()
    """When an answered pulse was followed by a missed one: the newest in the window, `breaks_max` + 1 at most."""
    falls: int = 0
    """How often it took the site to a worse mode, until it was sound for long enough to forget."""
    fallen: bool = False
    """It fell, and the site's mode has not improved since: the same fall goes on."""


def answered(policy: ModeRules, link: Link, mono_ms: int) -> Link:
    since_ms = mono_ms if link.unbroken_since_ms is None else link.unbroken_since_ms
    return passed(
        policy,
        replace(link, heard_ms=mono_ms, heard_once=True, unbroken_since_ms=since_ms),
        mono_ms,
    )


def missed(policy: ModeRules, link: Link, mono_ms: int) -> Link:
    return passed(policy, _broken(policy, link, mono_ms), mono_ms)


def _broken(policy: ModeRules, link: Link, mono_ms: int) -> Link:
    """Only the first miss is a break: a long cut is one, however many pulses it swallows."""
    if link.unbroken_since_ms is None:
        return link
    newest = (*link.breaks_ms, mono_ms)[-(policy.breaks_max + 1) :]
    link = replace(link, unbroken_since_ms=None, breaks_ms=newest)
    return replace(link, holds_since_ms=None) if broke_too_often(policy, link) else link


def passed(policy: ModeRules, link: Link, mono_ms: int) -> Link:
    """What the time alone changes."""
    window_begins_ms = mono_ms - policy.changes_window_ms
    link = replace(
        link, breaks_ms=tuple(at_ms for at_ms in link.breaks_ms if at_ms > window_begins_ms)
    )
    late = is_late(policy, link, mono_ms)
    if late:
        link = _broken(policy, link, mono_ms)  # silence without a miss: this process was stopped
    alive = link.heard_once and not late
    link = replace(
        link,
        alive_since_ms=_since(link.alive_since_ms, alive, mono_ms),
        holds_since_ms=_since(link.holds_since_ms, alive, mono_ms),
    )
    forgotten_after_ms = max(policy.latch_ms_max, policy.changes_window_ms)
    if link.falls and _lasted(link.holds_since_ms, forgotten_after_ms, mono_ms):
        return replace(link, falls=0)
    return link


def fell(link: Link) -> Link:
    """It took the site to a worse mode. Degraded and then autonomous is one fall."""
    if link.fallen:
        return link
    return replace(link, falls=min(link.falls + 1, FALLS_MAX), fallen=True)


def trusted(link: Link) -> Link:
    """The site's mode improved: the next fall is a new one."""
    return replace(link, fallen=False)


def is_late(policy: ModeRules, link: Link, mono_ms: int) -> bool:
    return mono_ms - link.heard_ms >= policy.degraded_after_ms


def is_lost(policy: ModeRules, link: Link, mono_ms: int) -> bool:
    return mono_ms - link.heard_ms >= policy.autonomous_after_ms


def is_unstable(policy: ModeRules, link: Link, mono_ms: int) -> bool:
    needed_ms = max(latch_of(policy, link), policy.latch_ms)
    return broke_too_often(policy, link) and not _lasted(link.holds_since_ms, needed_ms, mono_ms)


def is_stable(policy: ModeRules, link: Link, mono_ms: int) -> bool:
    return _lasted(link.unbroken_since_ms, policy.stable_for_ms, mono_ms)


def is_latched(policy: ModeRules, link: Link, mono_ms: int) -> bool:
    """It has relapsed and not yet held long enough to be believed in again."""
    latch_ms = latch_of(policy, link)
    return latch_ms > 0 and not _lasted(link.holds_since_ms, latch_ms, mono_ms)


def limps(policy: ModeRules, link: Link, mono_ms: int) -> bool:
    """Answers keep coming, though never without breaks for long: better than no cloud at all."""
    needed_ms = max(policy.changes_window_ms, latch_of(policy, link))
    return _lasted(link.alive_since_ms, needed_ms, mono_ms)


def latch_of(policy: ModeRules, link: Link) -> int:
    """The first fall has none: an ordinary cut is no flapping."""
    if link.falls < 2:
        return 0
    return int(min(policy.latch_ms * 2 ** (link.falls - 2), policy.latch_ms_max))


def broke_too_often(policy: ModeRules, link: Link) -> bool:
    """In the window: also when it holds again."""
    return len(link.breaks_ms) > policy.breaks_max


def _since(since_ms: int | None, holds: bool, mono_ms: int) -> int | None:
    if not holds:
        return None
    return mono_ms if since_ms is None else since_ms


def _lasted(since_ms: int | None, duration_ms: int, mono_ms: int) -> bool:
    return since_ms is not None and mono_ms - since_ms >= duration_ms
