"""Local overrides: what people said about the site's mode, from when to when.

They are held against the wall clock, as people name it; the mode itself goes by monotonic time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from holdfast.contracts.mode import BeginOverride, EndOverride, Override, OverrideKind

AHEAD_MS_MAX = 7 * 86_400_000
LASTS_MS_MAX = 7 * 86_400_000
"""Beyond these it is no override any more, but another way of running the site: that is what rules are for."""

GRAVEST_FIRST = (OverrideKind.MAINTENANCE, OverrideKind.PLANNED_DISRUPTION)

Overrides = tuple[Override, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Of what people asked for, in a sentence that says what now."""

    why: str


@dataclass(frozen=True, slots=True)
class Beginning:
    override: Override
    replaced: Override | None
    standing: Overrides


def begin(known: Overrides, asked: BeginOverride, at_ms: int, id: str) -> Beginning | Refusal:
    """What becomes of the request; one of a kind at a time, the newer in place of the older."""
    from_ms = max(at_ms, asked.from_ms if asked.from_ms is not None else at_ms)
    problem = _problem(asked, from_ms, at_ms)
    if problem:
        return Refusal(problem)
    override = Override(
        id=id,
        kind=asked.kind,
        from_ms=from_ms,
        until_ms=asked.until_ms,
        by=asked.by.strip(),
        why=asked.why.strip(),
    )
    # One whose time is just up stays among the others: its own end is still to be written.
    same_kind = (one for one in known if one.kind is asked.kind and not is_over(one, at_ms))
    replaced = next(same_kind, None)
    others = tuple(one for one in known if one is not replaced)
    return Beginning(override, replaced, sort((*others, override)))


def end(known: Overrides, asked: EndOverride, at_ms: int) -> Overrides | Refusal:
    """Those that are to be over now."""
    if not asked.by.strip():
        return Refusal("`by` is empty: say who ends it")
    named = tuple(
        one for one in known if asked.kind in (None, one.kind) and not is_over(one, at_ms)
    )
    if not named:
        what = asked.kind.value if asked.kind else "override"
        return Refusal(f"no {what} is announced or stands: there is nothing to end")
    return named


def _problem(asked: BeginOverride, from_ms: int, at_ms: int) -> str | None:
    if not asked.by.strip() or not asked.why.strip():
        return "`by` and `why` must say something: who decided this, and what for"
    if asked.until_ms <= at_ms:
        return f"it would be over already: the site's clock says {moment(at_ms)}, name a later end"
    if asked.until_ms <= from_ms:
        return f"it would end at {moment(asked.until_ms)}, before it begins at {moment(from_ms)}"
    if from_ms - at_ms > AHEAD_MS_MAX:
        return f"it begins over {_days(AHEAD_MS_MAX)} days from now: announce it later"
    if asked.until_ms - from_ms > LASTS_MS_MAX:
        return (
            f"it lasts over {_days(LASTS_MS_MAX)} days: name an earlier end, and begin it anew then"
        )
    return None


def standing(known: Overrides, kind: OverrideKind, at_ms: int) -> Override | None:
    return next(
        (one for one in known if one.kind is kind and one.from_ms <= at_ms < one.until_ms), None
    )


def is_over(override: Override, at_ms: int) -> bool:
    return at_ms >= override.until_ms


def ended_id(override: Override) -> str:
    """Of the entry that says it is over: the same whoever, or whatever, ended it."""
    return f"{override.id}-ended"


def sort(known: Iterable[Override]) -> Overrides:
    return tuple(sorted(known, key=lambda one: GRAVEST_FIRST.index(one.kind)))


def foremost(known: Overrides, at_ms: int) -> Override | None:
    """The gravest that stands, else the next to come."""
    for kind in GRAVEST_FIRST:
        found = standing(known, kind, at_ms)
        if found:
            return found
    return min(known, key=lambda one: one.from_ms, default=None)


def moment(at_ms: int) -> str:
    """As people read it; also of numbers that are no moment at all."""
    try:
        return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"


def said(override: Override) -> str:
    return f"until {moment(override.until_ms)}, by {override.by}: {override.why}"


def _days(duration_ms: int) -> int:
    return duration_ms // 86_400_000
