"""What stood at a charge point at an earlier moment, and what changed between two."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from holdfast.contracts.envelope import Fact
from holdfast.local_state.fold import fold
from holdfast.local_state.state import LocalState, Stand, aspect_of

CHANGES_MAX = 2_000
"""Per charge point. Beyond it the oldest become what stood at the beginning of what is remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    key: str
    before: str | None
    """None: nothing was known, or there was none."""
    after: str | None
    at_ms: int
    """When the site heard of it."""

    @property
    def aspect(self) -> str:
        return aspect_of(self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    begin: Mapping[str, Stand] = field(default_factory=dict)
    """What stood before the first of `changes`."""
    begins_ms: int | None = None
    """Nothing is known of before; None: nothing was forgotten, the journal itself begins there."""
    changes: tuple[Change, ...] = ()
    state: LocalState = field(default_factory=LocalState)

    def taking(self, at_ms: int, fact: Fact) -> History:
        return self._passed(at_ms)._taking(at_ms, fact)

    def now(self, at_ms: int) -> Mapping[str, Stand]:
        """What stands, by the site's clock, with when it was told last."""
        return self.state.passed(at_ms).stands

    def _passed(self, at_ms: int) -> History:
        """What has ended by then by itself has ended when it said, not when the next fact came."""
        passed = self.state.passed(at_ms)
        if passed is self.state:
            return self
        over = [(end, key) for key, end in self.state.ends.items() if key not in passed.ends]
        new = tuple(
            Change(key=key, before=stand.value, after=None, at_ms=max(end, stand.heard_ms))
            for end, key in sorted(over)
            for stand in [self.state.stands.get(key)]
            if stand is not None
        )
        return replace(self, state=passed)._with(new)

    def _taking(self, at_ms: int, fact: Fact) -> History:
        after = fold(self.state, at_ms, fact)
        if after.stands is self.state.stands:
            return self if after is self.state else replace(self, state=after)
        new = tuple(_differing(self.state.stands, after.stands, at_ms))
        return replace(self, state=after)._with(new) if new else replace(self, state=after)

    def at(self, at_ms: int) -> Mapping[str, Stand]:
        """What stood then, by the site's clock."""
        stands = dict(self.begin)
        for change in self.changes:
            if change.at_ms <= at_ms:
                _apply(stands, change)
        for key, end in self.state.ends.items():
            if end <= at_ms:
                stands.pop(key, None)
        return stands

    def between(self, from_ms: int, to_ms: int) -> tuple[Change, ...]:
        """Which values differ: what changed and changed back is none."""
        return diff(self.at(from_ms), self.at(to_ms))

    def _with(self, new: tuple[Change, ...]) -> History:
        changes = (*self.changes, *new)
        over = len(changes) - CHANGES_MAX
        if over <= 0:
            return replace(self, changes=changes)
        begin = dict(self.begin)
        for change in changes[:over]:
            _apply(begin, change)
        return replace(self, begin=begin, begins_ms=changes[over - 1].at_ms, changes=changes[over:])


def diff(before: Mapping[str, Stand], after: Mapping[str, Stand]) -> tuple[Change, ...]:
    """By key. What is gone has the time of what stood before."""
    return tuple(sorted(_differing(before, after, None), key=lambda change: change.key))


def _differing(
    before: Mapping[str, Stand], after: Mapping[str, Stand], at_ms: int | None
) -> Iterable[Change]:
    for key, old in before.items():
        if key not in after:
            yield Change(
                key=key,
                before=old.value,
                after=None,
                at_ms=old.since_ms if at_ms is None else at_ms,
            )
    for key, new in after.items():
        was = before.get(key)
        if not new.is_as(was):
            yield Change(
                key=key,
                before=was.value if was else None,
                after=new.value,
                at_ms=new.since_ms if at_ms is None else at_ms,
            )


def _apply(stands: dict[str, Stand], change: Change) -> None:
    if change.after is None:
        stands.pop(change.key, None)
    else:
        stands[change.key] = Stand(change.after, change.at_ms, change.at_ms)
