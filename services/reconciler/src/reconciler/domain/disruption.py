"""What happened in one disruption, counted entry by entry from the one that left `connected` on.

count(tally, seq, fact) -> tally
report(tally, ended_ms, open points) -> DisruptionReported
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from holdfast.contracts.command import CommandSettled
from holdfast.contracts.decision import AuthoriseVerdict, DecisionMade
from holdfast.contracts.driver_tokens import TokenStatus
from holdfast.contracts.envelope import Fact
from holdfast.contracts.mode import ModeChanged
from holdfast.contracts.recovery import DisruptionReported, DriverImpact, OpenPoint
from holdfast.contracts.session import SessionStarted, SessionStopped

NAMES_MAX = 200
"""So many clauses and dispositions are counted by name (the rules know about thirty); further ones count
as `other`."""
OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    disruption: str
    began_ms: int
    from_seq: int
    to_seq: int
    entries: int = 0
    modes: tuple[str, ...] = ()
    """Those passed through, in the order first entered."""
    reasons: tuple[str, ...] = ()
    sessions_started: int = 0
    sessions_stopped: int = 0
    commands: Mapping[str, int] = field(default_factory=dict)
    served: int = 0
    refused_because: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A disruption that ended without recovery: nothing was buffered, its report is still due."""

    tally: Tally
    ended_ms: int
    id: str
    """Of the mode change that returned the site to connected."""


def count(tally: Tally, seq: int, fact: Fact | None) -> Tally:
    """One more entry; which of them belong to the disruption is the caller's to say."""
    tally = replace(tally, to_seq=seq, entries=tally.entries + 1)
    match fact:
        case ModeChanged():
            return replace(
                tally,
                modes=_with(tally.modes, fact.mode.value),
                reasons=_with(tally.reasons, *(reason.value for reason in fact.reasons)),
            )
        case SessionStarted():
            return replace(tally, sessions_started=tally.sessions_started + 1)
        case SessionStopped():
            return replace(tally, sessions_stopped=tally.sessions_stopped + 1)
        case CommandSettled():
            return replace(tally, commands=_counted(tally.commands, fact.disposition.value))
        case DecisionMade(verdict=AuthoriseVerdict(status=TokenStatus.ACCEPTED)):
            return replace(tally, served=tally.served + 1)
        case DecisionMade(verdict=AuthoriseVerdict(), clause=clause):
            return replace(tally, refused_because=_counted(tally.refused_because, clause))
        case _:
            return tally


def report(
    tally: Tally, *, ended_ms: int, open_points: tuple[OpenPoint, ...] = ()
) -> DisruptionReported:
    return DisruptionReported(
        disruption=tally.disruption,
        began_ms=tally.began_ms,
        ended_ms=ended_ms,
        modes=tally.modes,
        reasons=tally.reasons,
        from_seq=tally.from_seq,
        to_seq=tally.to_seq,
        entries=tally.entries,
        sessions_started=tally.sessions_started,
        sessions_stopped=tally.sessions_stopped,
        commands=dict(tally.commands),
        driver_impact=DriverImpact(
            served=tally.served,
            refused=sum(tally.refused_because.values()),
            refused_because=dict(tally.refused_because),
        ),
        open_points=open_points,
    )


def _with(names: tuple[str, ...], *more: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*names, *more)))


def _counted(counts: Mapping[str, int], name: str) -> dict[str, int]:
    if name not in counts and len(counts) >= NAMES_MAX:
        name = OTHER
    return {**counts, name: counts.get(name, 0) + 1}
