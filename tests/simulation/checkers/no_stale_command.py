"""I7: no obsolete command takes effect, and each ends in exactly one disposition.

What a charge point executed was dispatched for it before, once, within its deadline, and is not said to have
been refused, expired, superseded or obsolete.

Over every life of the disk: with a lost one goes the memory of what was sent, so the next life sends nothing that
is older than itself. It tells that by the two clocks: with a disk lost and a clock stepped, nothing is asked of it.
The disposition itself is once per life: the next one tells its own end, `uncertain`.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from holdfast.contracts.command import (
    CommandDispatched,
    CommandReceived,
    CommandSettled,
    Disposition,
)
from simulation.evidence import Evidence

ON_ITS_WAY_MS = 1_000
"""From the edge's last look at the clock to the charge point."""
NOT_SENT = {
    Disposition.REFUSED,
    Disposition.EXPIRED,
    Disposition.SUPERSEDED,
    Disposition.OBSOLETE,
}


def check(evidence: Evidence) -> list[str]:
    return [*_executed(evidence), *_dispositions(evidence), *_forgotten(evidence)]


def _executed(evidence: Evidence) -> list[str]:
    found = []
    dispatched: dict[str, CommandDispatched] = {}
    settled: dict[str, set[Disposition]] = defaultdict(set)
    for entry in evidence.written:
        match entry.fact:
            case CommandDispatched() as fact:
                dispatched[fact.message_id] = fact
            case CommandSettled(command=command, disposition=disposition):
                settled[command.id].add(disposition)
    forgot = evidence.clocks_apart and len(evidence.lives()) > 1
    times = Counter(done.message_id for done in evidence.executed)
    found += [
        f"CALL {id} was executed {count} times"
        for id, count in times.items()
        if count > 1 and not forgot
    ]
    for done in evidence.executed:
        told = f"{done.action} {done.message_id} at {done.charge_point}"
        sent = dispatched.get(done.message_id)
        if sent is None:
            found.append(f"{told} was executed and never dispatched")
            continue
        command = sent.command
        if command.charge_point != done.charge_point:
            found.append(f"{told} was meant for {command.charge_point}")
        late_ms = done.at_ms - command.deadline_ms
        if late_ms > ON_ITS_WAY_MS and not evidence.clock_stepped:
            found.append(f"{told} ({command.id}) was executed {late_ms} ms after its deadline")
        found += [
            f"{told} ({command.id}) was executed and is said to be {disposition}"
            for disposition in settled[command.id] & NOT_SENT
            if not forgot
        ]
    return found


def _dispositions(evidence: Evidence) -> list[str]:
    """Per life of the disk: with a lost one goes the memory of what was received."""
    found = []
    for incarnation in evidence.lives():
        received: set[str] = set()
        ends: Counter[str] = Counter()
        for entry in evidence.written:
            if entry.incarnation != incarnation:
                continue
            match entry.fact:
                case CommandReceived(command=command):
                    received.add(command.id)
                case CommandSettled(command=command):
                    ends[command.id] += 1
        found += [f"command {id} has {count} ends" for id, count in ends.items() if count > 1]
        if incarnation == evidence.lives()[-1]:
            found += [f"command {id} has no end" for id in sorted(received - set(ends))]
    return found


def _forgotten(evidence: Evidence) -> list[str]:
    """What the cloud gave a receipt for ends, and the cloud is told: over every life of the disk."""
    ended = {
        entry.fact.command.id
        for entry in evidence.archive
        if isinstance(entry.fact, CommandSettled)
    }
    return [
        f"command {id} was accepted, and the archive has no end of it"
        for id in evidence.accepted
        if id not in ended
    ]
