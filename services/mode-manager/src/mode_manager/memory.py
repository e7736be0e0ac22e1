"""What a restart needs of the mode: the journal's last word, and a copy of it in the service's own store.

The journal leads. The copy stands in where the journal was trimmed past its last mode change, and keeps
when the recent changes were, so that restarts do not loosen the bound on changes.
"""

from __future__ import annotations

from dataclasses import dataclass

from holdfast import subjects
from holdfast.bus import Bus
from holdfast.contracts.envelope import Contract
from holdfast.contracts.mode import ModeChanged, Override, OverrideBegun, OverrideEnded
from holdfast.entries import read
from holdfast.recorder import Incarnation
from holdfast.store import Snapshots
from mode_manager.domain.state import counts, falls

FOLD, FOLD_VERSION = "mode", 1
OVERRIDES_FOLD, OVERRIDES_FOLD_VERSION = "overrides", 1
RECENT_MAX = 10
"""As `changes_max` has it at most."""

MODE_CHANGED = tuple(ModeChanged.TYPE.split("."))


class _Kept(Contract):
    fact: ModeChanged
    counted_at_ms: tuple[int, ...] = ()
    fell_at_ms: tuple[int, ...] = ()


class KeptOverrides(Contract):
    overrides: tuple[Override, ...] = ()


@dataclass(frozen=True, slots=True)
class Recalled:
    last: ModeChanged | None
    counted_at_ms: tuple[int, ...]
    """Wall clock: when the recent counted changes were."""
    fell_at_ms: tuple[int, ...] = ()
    """Wall clock: when the site recently fell out of connected or recovery."""
    overrides: tuple[Override, ...] = ()
    overrides_seq: int = 0
    """Of the entry that says so; 0: none ever did."""


class Memory:
    def __init__(self, snapshots: Snapshots, incarnation: Incarnation) -> None:
        self._snapshots = snapshots
        self._incarnation = incarnation

    def keep(self, fact: ModeChanged, seq: int) -> None:
        """The fact is in the journal at `seq`."""
        kept = _after(self._load(), fact)
        self._snapshots.save(FOLD, self._incarnation.name, FOLD_VERSION, seq, kept.to_bytes())

    async def recall(self, bus: Bus) -> Recalled:
        """Raise RequestFailed while the server does not answer, ContractError when the fact is unreadable."""
        site, stream = self._incarnation.site, self._incarnation.journal
        message = await bus.last(stream, subjects.journal(site, *MODE_CHANGED))
        kept = self._load()
        if message is not None:
            fact = read(message).fact
            assert isinstance(fact, ModeChanged)
            # The process may have died between the journal and its own store.
            kept = _after(kept, fact)
        overrides, seq = await self._recall_overrides(bus)
        if kept is None:
            return Recalled(None, (), overrides=overrides, overrides_seq=seq)
        return Recalled(kept.fact, kept.counted_at_ms, kept.fell_at_ms, overrides, seq)

    def keep_overrides(self, overrides: tuple[Override, ...], seq: int) -> None:
        """The entry at `seq` says that these stand."""
        state = KeptOverrides(overrides=overrides).to_bytes()
        self._snapshots.save(
            OVERRIDES_FOLD, self._incarnation.name, OVERRIDES_FOLD_VERSION, seq, state
        )

    async def _recall_overrides(self, bus: Bus) -> tuple[tuple[Override, ...], int]:
        """By the newest entry that says it; the own store where the journal was trimmed past that."""
        snapshot = self._snapshots.load(
            OVERRIDES_FOLD, self._incarnation.name, OVERRIDES_FOLD_VERSION
        )
        overrides, newest = (
            (KeptOverrides.from_bytes(snapshot.state).overrides, snapshot.seq)
            if snapshot
            else ((), 0)
        )
        for kind in (OverrideBegun, OverrideEnded):
            subject = subjects.journal(self._incarnation.site, *kind.TYPE.split("."))
            message = await bus.last(self._incarnation.journal, subject)
            if message is None or message.seq <= newest:
                continue
            fact = read(message).fact
            assert isinstance(fact, OverrideBegun | OverrideEnded)
            overrides, newest = fact.standing, message.seq
        return overrides, newest

    def _load(self) -> _Kept | None:
        found = self._snapshots.load(FOLD, self._incarnation.name, FOLD_VERSION)
        return _Kept.from_bytes(found.state) if found else None


def _after(kept: _Kept | None, fact: ModeChanged) -> _Kept:
    counted, fell = (kept.counted_at_ms, kept.fell_at_ms) if kept else ((), ())
    if counts(fact.mode):
        counted = _with(counted, fact.since_ms)
    if falls(fact.previous, fact.mode, fact.reasons):
        fell = _with(fell, fact.since_ms)
    return _Kept(fact=fact, counted_at_ms=counted, fell_at_ms=fell)


def _with(times_ms: tuple[int, ...], at_ms: int) -> tuple[int, ...]:
    return times_ms if at_ms in times_ms else (*times_ms, at_ms)[-RECENT_MAX:]
