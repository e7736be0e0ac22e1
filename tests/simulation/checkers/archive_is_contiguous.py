"""I2: per life of the site's disk the archive is contiguous from 1, or the hole is a named gap.

The same holds for CLOUD_JOURNAL, which further keeps the order: of entries within a life, and of lives.
"""

from __future__ import annotations

from collections import defaultdict

from simulation.evidence import Evidence, Written


def check(evidence: Evidence) -> list[str]:
    return [
        *_holes(evidence, evidence.archive, "archive"),
        *_holes(evidence, evidence.published, "CLOUD_JOURNAL"),
        *_out_of_order(evidence),
        *_differing(evidence),
    ]


def _holes(evidence: Evidence, entries: tuple[Written, ...], where: str) -> list[str]:
    seqs: dict[str, set[int]] = defaultdict(set)
    for entry in entries:
        seqs[entry.incarnation].add(entry.seq)
    return [
        f"{where} lacks {incarnation}:{seq}, and no gap is named there"
        for incarnation, held in seqs.items()
        for seq in range(1, max(held))
        if seq not in held and not evidence.in_gap(incarnation, seq)
    ]


def _out_of_order(evidence: Evidence) -> list[str]:
    lives = {name: number for number, name in enumerate(evidence.incarnations)}
    found = []
    before = (-1, 0)
    for entry in evidence.published:
        place = (lives.get(entry.incarnation, -1), entry.seq)
        if place <= before:
            found.append(
                f"CLOUD_JOURNAL has {entry.incarnation}:{entry.seq} behind what comes after it"
            )
        before = max(before, place)
    return found


def _differing(evidence: Evidence) -> list[str]:
    archive = {entry.place: entry for entry in evidence.archive}
    found = []
    for entry in evidence.published:
        kept = archive.get(entry.place)
        if kept is None or (kept.subject, kept.data) != (entry.subject, entry.data):
            found.append(
                f"CLOUD_JOURNAL has {entry.incarnation}:{entry.seq} otherwise than the archive"
            )
    return found
