"""The way back to connected: eight steps in their order, each a fact with its evidence.

    decide(policy, state, event) -> (state, effects)

Facts of the journal change the state and ask for nothing; a tick changes nothing that lasts and says
what is to be done now. So a restart folds the journal with the same function, throws no effect away
that mattered, and the next tick takes the procedure up where its last fact left it. Every fact written
names as its cause the one that began the attempt, so what an abandoned attempt still wrote late is
never taken for a part of the next.

    mode.changed (recovery) -> recovery.started -> recovery.stepped x 7 -> disruption.reported
                            -> recovery.stepped (report written) -> recovery.finished

At the bound the remaining steps end open; and one whose evidence says that waiting won't help ends open at once.
What is open is named, and looked at again now and then once the site is connected: a later step of the same
attempt settles its point.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from holdfast.contracts.envelope import Fact
from holdfast.contracts.mode import Mode, ModeChanged
from holdfast.contracts.recovery import (
    DisruptionReported,
    OpenPoint,
    RecoveryFinished,
    RecoveryStarted,
    RecoveryStepped,
    Step,
    StepOutcome,
)
from holdfast.contracts.rules import RecoveryRules
from reconciler.domain.disruption import Ended, Tally, count, report
from reconciler.domain.evidence import STEPS, Evidence, judge

STATE_VERSION = 1
"""Raised when an older stored state can't go on: the journal is then folded again."""

SETTLE_EVERY_MS = 10_000
"""How often an open point is looked at again: it costs a request over the uplink."""

UNREPORTED_MAX = 16
"""Disruptions that ended without recovery and wait for their report while the disk refuses; beyond it the
oldest goes unreported, its entries stand in the journal all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Procedure:
    """One attempt, from RecoveryStarted on."""

    id: str
    """Of the RecoveryStarted: the cause of all that follows."""
    disruption: str
    head_seq: int
    bound_at_ms: int
    steps: tuple[RecoveryStepped, ...] = ()
    reported: bool = False
    finished: bool = False

    @property
    def next_step(self) -> Step | None:
        return STEPS[len(self.steps)] if len(self.steps) < len(STEPS) else None

    @property
    def open_points(self) -> tuple[OpenPoint, ...]:
        return tuple(
            OpenPoint(step=stepped.step, what=stepped.evidence)
            for stepped in self.steps
            if stepped.outcome is StepOutcome.OPEN
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settling:
    """What the last finished recovery left open."""

    id: str
    disruption: str
    head_seq: int
    points: tuple[OpenPoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What this process life knows and the next finds out again."""

    procedure: str | None = None
    deadline_mono_ms: int = 0
    """The bound on the monotonic clock: a wall clock that steps neither ends nor prolongs recovery."""
    last_seen: str = ""
    settle_mono_ms: int = 0
    turn: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    mode: Mode | None = None
    entered_id: str = ""
    """Id and sequence of the last mode change."""
    entered_seq: int = 0
    seq: int = 0
    tally: Tally | None = None
    """Of the disruption that runs."""
    unreported: tuple[Ended, ...] = ()
    procedure: Procedure | None = None
    settling: Settling | None = None
    live: Live = Live()


@dataclass(frozen=True, slots=True, kw_only=True)
class Journaled:
    """An entry of the journal, in its order; `fact` is None where it could not be read."""

    seq: int
    id: str
    cause: str | None
    fact: Fact | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    at_ms: int
    mono_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What an Ask brought to light."""

    step: Step
    cause: str
    evidence: Evidence
    mono_ms: int


Event = Journaled | Tick | Answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Effect: look for the step's evidence."""

    step: Step
    cause: str
    head_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Effect: write the fact, with an id made of its type, its cause and its step."""

    fact: RecoveryStarted | RecoveryStepped | DisruptionReported | RecoveryFinished
    cause: str


Effect = Ask | Record


def decide(policy: RecoveryRules, state: State, event: Event) -> tuple[State, list[Effect]]:
    match event:
        case Journaled():
            return _fold(state, event), []
        case Tick():
            return _tick(policy, state, event)
        case Answered():
            return _answered(state, event)
        case _:
            assert_never(event)


# --- facts ---


def _fold(state: State, entry: Journaled) -> State:
    if entry.seq <= state.seq:
        return state
    state = replace(state, seq=entry.seq)
    fact = entry.fact
    if isinstance(fact, ModeChanged):
        return _mode_changed(state, entry, fact)
    if state.tally is not None:
        state = replace(state, tally=count(state.tally, entry.seq, fact))
    match fact:
        case RecoveryStarted() if entry.cause == state.entered_id and state.mode is Mode.RECOVERY:
            return _started(state, entry, fact)
        case RecoveryStepped():
            return _stepped(state, entry, fact)
        case DisruptionReported():
            return _reported(state, entry)
        case RecoveryFinished():
            return _finished(state, entry, fact)
        case _:
            return state


def _mode_changed(state: State, entry: Journaled, fact: ModeChanged) -> State:
    tally = state.tally
    if fact.mode is not Mode.CONNECTED:
        disruption = fact.disruption or (tally.disruption if tally else entry.id)
        if tally is None or tally.disruption != disruption:
            tally = Tally(
                disruption=disruption,
                began_ms=fact.since_ms,
                from_seq=entry.seq,
                to_seq=entry.seq,
            )
    if tally is not None:
        tally = count(tally, entry.seq, fact)
    unreported = state.unreported
    if fact.mode is Mode.CONNECTED and tally is not None:
        recovered = state.procedure is not None and state.procedure.reported
        if not recovered:
            ended = Ended(tally=tally, ended_ms=fact.since_ms, id=entry.id)
            unreported = (*unreported, ended)[-UNREPORTED_MAX:]
        tally = None
    return replace(
        state,
        mode=fact.mode,
        entered_id=entry.id,
        entered_seq=entry.seq,
        tally=tally,
        unreported=unreported,
        procedure=None,
    )


def _started(state: State, entry: Journaled, fact: RecoveryStarted) -> State:
    if state.procedure is not None:
        return state
    procedure = Procedure(
        id=entry.id,
        disruption=fact.disruption,
        head_seq=fact.head_seq,
        bound_at_ms=fact.bound_at_ms,
    )
    return replace(state, procedure=procedure)


def _stepped(state: State, entry: Journaled, fact: RecoveryStepped) -> State:
    procedure, settling = state.procedure, state.settling
    if procedure is not None and entry.cause == procedure.id and fact.step is procedure.next_step:
        return replace(state, procedure=replace(procedure, steps=(*procedure.steps, fact)))
    if settling is not None and entry.cause == settling.id and fact.outcome is not StepOutcome.OPEN:
        points = tuple(point for point in settling.points if point.step is not fact.step)
        return replace(state, settling=replace(settling, points=points) if points else None)
    return state


def _reported(state: State, entry: Journaled) -> State:
    procedure = state.procedure
    if procedure is not None and entry.cause == procedure.id:
        return replace(state, procedure=replace(procedure, reported=True))
    waiting = tuple(ended for ended in state.unreported if ended.id != entry.cause)
    return replace(state, unreported=waiting)


def _finished(state: State, entry: Journaled, fact: RecoveryFinished) -> State:
    procedure = state.procedure
    if procedure is None or entry.cause != procedure.id:
        return state
    settling = (
        Settling(
            id=procedure.id,
            disruption=fact.disruption,
            head_seq=procedure.head_seq,
            points=fact.open_points,
        )
        if fact.open_points
        else None
    )
    return replace(state, procedure=replace(procedure, finished=True), settling=settling)


# --- what is to be done now ---


def _tick(policy: RecoveryRules, state: State, tick: Tick) -> tuple[State, list[Effect]]:
    if state.unreported:
        ended = state.unreported[0]
        return state, [Record(fact=report(ended.tally, ended_ms=ended.ended_ms), cause=ended.id)]
    if state.mode is Mode.RECOVERY and state.tally is not None:
        return _go_on(policy, state, state.tally, tick)
    if state.settling is not None and state.mode in (Mode.CONNECTED, Mode.DEGRADED):
        return _look_again(state, state.settling, tick)
    return state, []


def _go_on(
    policy: RecoveryRules, state: State, tally: Tally, tick: Tick
) -> tuple[State, list[Effect]]:
    procedure = state.procedure
    if procedure is None:
        started = RecoveryStarted(
            disruption=tally.disruption,
            head_seq=state.seq,
            bound_at_ms=tick.at_ms + policy.bound_ms,
        )
        return state, [Record(fact=started, cause=state.entered_id)]
    if procedure.finished:
        return state, []
    if state.live.procedure != procedure.id:
        left_ms = min(max(procedure.bound_at_ms - tick.at_ms, 0), policy.bound_ms)
        live = replace(
            state.live,
            procedure=procedure.id,
            deadline_mono_ms=tick.mono_ms + left_ms,
            last_seen="",
        )
        state = replace(state, live=live)
    return state, [_next_effect(state, procedure, tally, tick)]


def _next_effect(state: State, procedure: Procedure, tally: Tally, tick: Tick) -> Effect:
    match procedure.next_step:
        case None:
            finished = RecoveryFinished(
                disruption=procedure.disruption, open_points=procedure.open_points
            )
            return Record(fact=finished, cause=procedure.id)
        case Step.REPORT_WRITTEN if procedure.reported:
            sentence = f"entries {tally.from_seq} to {tally.to_seq} are counted in the report"
            return _step(procedure, Step.REPORT_WRITTEN, StepOutcome.DONE, sentence)
        case Step.REPORT_WRITTEN:
            written = report(tally, ended_ms=tick.at_ms, open_points=procedure.open_points)
            return Record(fact=written, cause=procedure.id)
        case step if tick.mono_ms >= state.live.deadline_mono_ms:
            last_seen = state.live.last_seen or "not reached within the bound"
            return _step(procedure, step, StepOutcome.OPEN, last_seen)
        case step:
            return Ask(step=step, cause=procedure.id, head_seq=procedure.head_seq)


def _look_again(state: State, settling: Settling, tick: Tick) -> tuple[State, list[Effect]]:
    if tick.mono_ms < state.live.settle_mono_ms:
        return state, []
    turn = state.live.turn
    live = replace(state.live, settle_mono_ms=tick.mono_ms + SETTLE_EVERY_MS, turn=turn + 1)
    step = settling.points[turn % len(settling.points)].step
    ask = Ask(step=step, cause=settling.id, head_seq=settling.head_seq)
    return replace(state, live=live), [ask]


def _answered(state: State, answer: Answered) -> tuple[State, list[Effect]]:
    procedure, settling = state.procedure, state.settling
    if (
        state.mode is Mode.RECOVERY
        and procedure is not None
        and (answer.cause, answer.step) == (procedure.id, procedure.next_step)
    ):
        outcome, sentence = judge(answer.evidence, procedure.head_seq)
        if outcome is None:
            return replace(state, live=replace(state.live, last_seen=sentence)), []
        live = replace(state.live, last_seen="")
        return replace(state, live=live), [_step(procedure, answer.step, outcome, sentence)]
    if settling is not None and answer.cause == settling.id and state.mode is not Mode.RECOVERY:
        outcome, sentence = judge(answer.evidence, settling.head_seq)
        # Still open is no news: it stands in the journal as it is.
        if outcome is not None and outcome is not StepOutcome.OPEN:
            return state, [_step(settling, answer.step, outcome, sentence)]
    return state, []


def _step(of: Procedure | Settling, step: Step, outcome: StepOutcome, evidence: str) -> Record:
    stepped = RecoveryStepped(
        disruption=of.disruption, step=step, outcome=outcome, evidence=evidence
    )
    return Record(fact=stepped, cause=of.id)
