"""I4: a disruption is never called settled while the cloud still lacks something of it.

Two sides. At the moment `recovery.finished` is written without an open point about it, the archive holds,
verified, everything up to the head that the recovery began at, and the cloud's sessions are folded to it. And
what is settled stays told: each disruption that ended has its report, and its open points are in both.
"""

from __future__ import annotations

from holdfast.contracts.mode import Mode, ModeChanged
from holdfast.contracts.recovery import (
    DisruptionReported,
    RecoveryFinished,
    RecoveryStarted,
    RecoveryStepped,
    Step,
    StepOutcome,
)
from simulation.evidence import Evidence, Written

ORDER = tuple(Step)


def check(evidence: Evidence) -> list[str]:
    found: list[str] = []
    for incarnation in evidence.lives():
        life = [entry for entry in evidence.written if entry.incarnation == incarnation]
        found += _finished_too_early(evidence, life)
        found += _ended_without_finish(life)
    return found


def _finished_too_early(evidence: Evidence, life: list[Written]) -> list[str]:
    called = {(one.incarnation, one.seq): one for one in evidence.called_finished}
    found = []
    started: RecoveryStarted | None = None
    steps: dict[Step, StepOutcome] = {}
    reported: DisruptionReported | None = None
    for entry in life:
        match entry.fact:
            case RecoveryStarted() as fact:
                started, steps, reported = fact, {}, None
            case RecoveryStepped(step=step, outcome=outcome):
                steps[step] = outcome
            case DisruptionReported() as fact:
                reported = fact
            case RecoveryFinished() as fact:
                where = f"{entry.incarnation}:{entry.seq}"
                if started is None or started.disruption != fact.disruption:
                    found.append(f"{where} finishes a recovery that was not started")
                    continue
                found += _procedure(where, fact, steps, reported)
                at = called.get(entry.place)
                if at:
                    found += _behind(where, started, fact, steps, at.archived_seq, at.folded_seq)
    return found


def _procedure(
    where: str,
    finished: RecoveryFinished,
    steps: dict[Step, StepOutcome],
    reported: DisruptionReported | None,
) -> list[str]:
    found = [f"{where}: finished without step {step}" for step in ORDER if step not in steps]
    named = {point.step for point in finished.open_points}
    found += [
        f"{where}: step {step} is open, and no open point names it"
        for step, outcome in steps.items()
        if outcome is StepOutcome.OPEN and step not in named
    ]
    if reported is None or reported.disruption != finished.disruption:
        found.append(f"{where}: {finished.disruption} is finished without its report")
    elif reported.open_points != finished.open_points:
        found.append(f"{where}: report and finish name different open points")
    return found


def _behind(
    where: str,
    started: RecoveryStarted,
    finished: RecoveryFinished,
    steps: dict[Step, StepOutcome],
    archived_seq: int,
    folded_seq: int,
) -> list[str]:
    found = []
    head = started.head_seq
    if steps.get(Step.JOURNAL_COPIED) is StepOutcome.DONE and archived_seq < head:
        found.append(
            f"{where}: {finished.disruption} is called copied up to {head}, "
            f"and the archive has {archived_seq} verified"
        )
    if steps.get(Step.DIGESTS_AGREE) is StepOutcome.DONE and folded_seq < head:
        found.append(
            f"{where}: digests of {finished.disruption} are said to agree at {head}, "
            f"and the cloud has folded {folded_seq}"
        )
    return found


def _ended_without_finish(life: list[Written]) -> list[str]:
    """From recovery a site gets to connected only by a recovery that was finished since."""
    found = []
    finished: str | None = None
    running: str | None = None
    for entry in life:
        match entry.fact:
            case RecoveryFinished(disruption=disruption):
                finished = disruption
            case ModeChanged(previous=Mode.RECOVERY, mode=Mode.CONNECTED):
                if finished is None or (running is not None and finished != running):
                    found.append(
                        f"{entry.incarnation}:{entry.seq}: connected again, and the recovery of "
                        f"{running} is not finished"
                    )
                running = finished = None
            case ModeChanged(disruption=disruption):
                if disruption != running:
                    finished = None
                running = disruption
    return found
