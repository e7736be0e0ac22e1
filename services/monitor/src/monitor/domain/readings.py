"""A reading: a value, when it was true, who said it. What is not fresh is unknown, with its age."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading(Generic[T]):
    last: T | None
    """The last value known, however old: shown as such, never as what is."""
    as_of_ms: int | None
    source: str
    fresh: bool
    problem: str = ""
    """Why there is no newer one."""

    @property
    def value(self) -> T | None:
        """What is so now, None when that is unknown."""
        return self.last if self.fresh else None

    def age_ms(self, now_ms: int) -> int | None:
        return None if self.as_of_ms is None else max(0, now_ms - self.as_of_ms)

    def map(self, change: Callable[[T], U | None]) -> Reading[U]:
        last = None if self.last is None else change(self.last)
        return Reading(
            last=last,
            as_of_ms=self.as_of_ms,
            source=self.source,
            fresh=self.fresh and last is not None,
            problem=self.problem,
        )

    def no_fresher_than(self, other: Reading[U]) -> Reading[T]:
        """What was learnt through another reading is as old as that one."""
        if other.as_of_ms is None:
            return replace(self, fresh=False, problem=other.problem or self.problem)
        as_of_ms = other.as_of_ms if self.as_of_ms is None else min(self.as_of_ms, other.as_of_ms)
        return replace(
            self,
            as_of_ms=as_of_ms,
            fresh=self.fresh and other.fresh,
            problem=self.problem or ("" if other.fresh else other.problem),
        )


def never(source: str, problem: str = "") -> Reading[T]:
    return Reading(last=None, as_of_ms=None, source=source, fresh=False, problem=problem)


def read_at(
    value: T | None, as_of_ms: int | None, now_ms: int, *, fresh_ms: int, source: str, problem: str
) -> Reading[T]:
    fresh = value is not None and as_of_ms is not None and now_ms - as_of_ms <= fresh_ms
    return Reading(
        last=value, as_of_ms=as_of_ms, source=source, fresh=fresh, problem="" if fresh else problem
    )
