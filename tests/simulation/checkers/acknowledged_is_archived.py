"""I1: what was acknowledged is in the cloud's archive, exactly once in effect, or its loss is named.

Two promises: to charge points (a transactional CALL that got its answer) and to services (an entry that the
site's disk took). Only the disk itself may break them, and then a named gap covers the place; unless that life of
the disk was over before the cloud had heard of it, so that nobody is left who could name it.

Exactly once is promised within one life of the disk: with a lost disk goes the memory of what was answered,
so a charge point that never saw the answer may tell the next life again what the archive has from the last.
"""

from __future__ import annotations

from collections import defaultdict

from holdfast.contracts.session import (
    SessionMessageUnmatched,
    SessionMetered,
    SessionStarted,
    SessionStopped,
    SessionStopRepeated,
)
from simulation.evidence import Evidence, Written

Transactional = (
    SessionStarted | SessionMetered | SessionStopped | SessionStopRepeated | SessionMessageUnmatched
)
TRANSACTIONAL_ACTIONS = ("StartTransaction", "MeterValues", "StopTransaction", "TransactionEvent")

Call = tuple[str, str, str]
"""(charge point, action, payload): what makes a CALL the same one, whatever its message id."""


def check(evidence: Evidence) -> list[str]:
    return [
        *_entries_lost(evidence),
        *_calls_lost(evidence),
        *_calls_refused(evidence),
        *_recorded_twice(evidence),
        *_told_of_nothing(evidence),
    ]


def _entries_lost(evidence: Evidence) -> list[str]:
    archive = {entry.place: entry for entry in evidence.archive}
    found = []
    for entry in evidence.written:
        kept = archive.get(entry.place)
        if kept is None:
            if not evidence.is_excused(*entry.place):
                found.append(f"entry {_named(entry)} is not in the archive, and in no named gap")
        elif (kept.subject, kept.id, kept.data) != (entry.subject, entry.id, entry.data):
            found.append(f"entry {_named(entry)} is another one in the archive")
    return found


def _calls_lost(evidence: Evidence) -> list[str]:
    archived = _calls(evidence.archive)
    written = _calls(evidence.written)
    found = []
    for said in evidence.acknowledged:
        call = (said.charge_point, said.action, said.payload)
        if call in archived:
            continue
        places = [entry.place for entry in written.get(call, ())]
        if not places:
            found.append(f"{_told(call)} was acknowledged and never written")
        elif not any(evidence.is_excused(*place) for place in places):
            found.append(f"{_told(call)} was acknowledged and is not in the archive")
    return found


def _calls_refused(evidence: Evidence) -> list[str]:
    """A charge point may delete what got an error: stored or the socket closed, never that."""
    return [
        f"{_told((said.charge_point, said.action, said.payload))} was answered {said.code}"
        for said in evidence.refused
        if said.action in TRANSACTIONAL_ACTIONS
    ]


def _recorded_twice(evidence: Evidence) -> list[str]:
    found = []
    for call, entries in _calls(evidence.archive).items():
        lives: dict[str, list[int]] = defaultdict(list)
        for entry in entries:
            lives[entry.incarnation].append(entry.seq)
        found += [
            f"{_told(call)} is recorded {len(seqs)} times, at {seqs}"
            for seqs in lives.values()
            if len(seqs) > 1
        ]
    return found


def _told_of_nothing(evidence: Evidence) -> list[str]:
    written = {entry.place for entry in evidence.written}
    return [
        f"entry {_named(entry)} is in the archive, and the site never wrote it"
        for entry in evidence.archive
        if entry.place not in written
    ]


def _calls(entries: tuple[Written, ...]) -> dict[Call, list[Written]]:
    calls: dict[Call, list[Written]] = defaultdict(list)
    for entry in entries:
        fact = entry.fact
        if isinstance(fact, Transactional):
            calls[fact.charge_point, fact.action, fact.raw].append(entry)
    return calls


def _named(entry: Written) -> str:
    return f"{entry.incarnation}:{entry.seq} ({entry.envelope.type})"


def _told(call: Call) -> str:
    return f"{call[1]} {call[2]} of {call[0]}"
