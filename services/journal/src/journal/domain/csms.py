"""How a site's CSMS is, as the csms-bridge's records and their age say.

    csms_of(ownership | None, beat | None, mono_ms) -> none | up | down

A bridge instance that dies can't say so: what it last wrote is believed only while its beat goes on. Ages are
those of our reading, by our monotonic clock: nobody's wall clock decides whether an instance lives.
"""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.contracts.csms import InstanceAlive, SiteOwned
from holdfast.contracts.mode import CsmsState

BEAT_MS_MAX = 10_000
"""Ten beats missed: a takeover by another instance is done in less."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """What the bucket says of a site, and since when we have known its owner."""

    record: SiteOwned
    named_mono_ms: int


@dataclass(frozen=True, slots=True)
class Beat:
    """An instance's newest beat, and when we first read it."""

    beat: int
    read_mono_ms: int


def owned(before: Ownership | None, record: SiteOwned, mono_ms: int) -> Ownership:
    same = before is not None and _term(before.record) == _term(record)
    return Ownership(record, before.named_mono_ms if before and same else mono_ms)


def heard(before: Beat | None, alive: InstanceAlive, mono_ms: int) -> Beat:
    """The same beat read again, after the stream came back, is no sign of life."""
    return before if before and before.beat == alive.beat else Beat(alive.beat, mono_ms)


def csms_of(ownership: Ownership | None, beat: Beat | None, mono_ms: int) -> CsmsState:
    """`beat` is the owner's. One whose beat was not read yet has as long as one whose beat was."""
    if ownership is None:
        return CsmsState.NONE
    record = ownership.record
    if record.owner is None:
        return CsmsState.DOWN
    since_ms = max(ownership.named_mono_ms, beat.read_mono_ms if beat else 0)
    return record.csms if mono_ms - since_ms < BEAT_MS_MAX else CsmsState.DOWN


def _term(record: SiteOwned) -> tuple[str | None, int]:
    return record.owner, record.epoch
