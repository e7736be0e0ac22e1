"""Whether the cloud keeps up: the watermark must reach each reported head within `sync_lag_ms`.

Read off signed heads and the cloud's watermark, never off the lag a stream reports.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from holdfast.contracts.rules import ModeRules

REPORTED_MAX = 256
"""Heads remembered; at the bound newer ones wait until older ones are due. Judged a little later, never wrongly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    watermark: int = 0
    reported: tuple[tuple[int, int], ...] = ()
    """(when, head) of answered pulses, not yet due and above the watermark, oldest first."""
    due_seq: int = 0
    """The highest head reported at least `sync_lag_ms` ago: the watermark should be here."""
    is_stalled: bool = False


def answered(
    policy: ModeRules, sync: Sync, head_seq: int | None, watermark: int, mono_ms: int
) -> Sync:
    """Judged at answers only: while none come, it is the link that is late, not the copying."""
    reported, due_seq = sync.reported, sync.due_seq
    newest = reported[-1][1] if reported else due_seq
    if head_seq is not None and head_seq > newest and len(reported) < REPORTED_MAX:
        reported = (*reported, (mono_ms, head_seq))
    due = [seq for at_ms, seq in reported if mono_ms - at_ms >= policy.sync_lag_ms]
    due_seq = max([due_seq, *due])
    kept = tuple(entry for entry in reported if entry[1] > max(due_seq, watermark))
    return replace(
        sync,
        watermark=watermark,
        reported=kept,
        due_seq=due_seq,
        is_stalled=watermark < due_seq,
    )
