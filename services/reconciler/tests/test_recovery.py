"""The recovery procedure: its steps in order, its bound, its open points, and that a crash after any
effect changes nothing about what the journal says in the end.

Method: a small world of one journal and settable evidence runs the pure core as the shell does; the crash
test stops it after the nth effect for every n and goes on from a fold of the journal.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contracts.command import Command, CommandSettled, Disposition
from holdfast.contracts.csms import CaughtUp
from holdfast.contracts.decision import (
    AuthoriseInputs,
    AuthoriseVerdict,
    Basis,
    CloudAnswer,
    DecisionMade,
)
from holdfast.contracts.driver_tokens import TokenStatus
from holdfast.contracts.envelope import Fact, Unknown
from holdfast.contracts.mode import CsmsState, Mode, ModeChanged, Reason
from holdfast.contracts.recovery import (
    Digest,
    DisruptionReported,
    RecoveryFinished,
    RecoveryStarted,
    RecoveryStepped,
    Step,
    StepOutcome,
)
from holdfast.contracts.rules import RecoveryRules
from reconciler.domain.evidence import (
    CsmsSeen,
    DigestsSeen,
    Evidence,
    LanesSeen,
    LimitSeen,
    LinkSeen,
    RulesSeen,
    Silent,
    WatermarkSeen,
)
from reconciler.domain.recovery import (
    SETTLE_EVERY_MS,
    UNREPORTED_MAX,
    Answered,
    Ask,
    Effect,
    Journaled,
    Live,
    Record,
    State,
    Tick,
    decide,
)

POLICY = RecoveryRules(bound_ms=60_000, step_poll_ms=500)


def digest(text: str | None = "d1", version: int = 1, reason: str = "", seq: int = 3) -> Digest:
    return Digest(
        incarnation="aaaaaaaa",
        seq=seq,
        fold_version=version,
        digest=text,
        sessions=2,
        reason=reason,
    )


def all_well() -> dict[Step, Evidence]:
    return {
        Step.LINK_STABLE: LinkSeen(True),
        Step.JOURNAL_COPIED: WatermarkSeen(1_000_000),
        Step.RULES_CURRENT: RulesSeen(4, 4),
        Step.LIMITS_FRESH: LimitSeen(0, None, None),
        Step.COMMANDS_TRIAGED: LanesSeen((), 0, 0),
        Step.CSMS_CAUGHT_UP: CsmsSeen(None),
        Step.DIGESTS_AGREE: DigestsSeen(digest(), digest()),
    }


def csms(*open_points: str, read: bool = True) -> CsmsSeen:
    nobody = {"behind": (), "behind_count": 0, "waiting": 0}
    return CsmsSeen(CaughtUp(csms=CsmsState.UP, read=read, open_points=open_points, **nobody))


REFUSED = Step.CSMS_CAUGHT_UP
REFUSING = csms("CP-03 is rejected by main")


def changed(
    previous: Mode | None, mode: Mode, *reasons: Reason, disruption: str = "D1"
) -> ModeChanged:
    return ModeChanged(
        previous=previous,
        mode=mode,
        reasons=reasons or (Reason.PULSE_LOST,),
        since_ms=1,
        disruption=None if mode is Mode.CONNECTED else disruption,
    )


CUT = changed(Mode.CONNECTED, Mode.AUTONOMOUS)
BACK = changed(Mode.AUTONOMOUS, Mode.RECOVERY, Reason.PULSES_STABLE)
DONE = changed(Mode.RECOVERY, Mode.CONNECTED, Reason.RECOVERED)


class Crash(Exception):
    """The process is killed here."""


@dataclass
class World:
    """A journal, what the site's services would answer, and the shell's loop around the core."""

    seen: dict[Step, Evidence] = field(default_factory=all_well)
    journal: list[Journaled] = field(default_factory=list)
    state: State = field(default_factory=State)
    mono_ms: int = 0
    effects: list[Effect] = field(default_factory=list)
    crash_after: int | None = None

    def append(self, fact: Fact, *, id: str | None = None, cause: str | None = None) -> None:
        id = id or f"id-{len(self.journal) + 1}"
        if id not in [entry.id for entry in self.journal]:  # the stream's dedupe window
            entry = Journaled(seq=len(self.journal) + 1, id=id, cause=cause, fact=fact)
            self.journal.append(entry)

    def read(self) -> None:
        for entry in self.journal[self.state.seq :]:
            self.state, effects = decide(POLICY, self.state, entry)
            assert effects == []

    def restart(self) -> None:
        self.state = State()
        self.read()

    def tick(self, passed_ms: int = 0) -> list[Effect]:
        self.mono_ms += passed_ms
        self.read()
        tick = Tick(at_ms=1_000_000 + self.mono_ms, mono_ms=self.mono_ms)
        self.state, effects = decide(POLICY, self.state, tick)
        for effect in effects:
            self.perform(effect)
        self.read()
        return effects

    def perform(self, effect: Effect) -> None:
        self.effects.append(effect)
        match effect:
            case Ask():
                answer = Answered(
                    step=effect.step,
                    cause=effect.cause,
                    evidence=self.seen[effect.step],
                    mono_ms=self.mono_ms,
                )
                self.state, further = decide(POLICY, self.state, answer)
                for one in further:
                    self.perform(one)
            case Record():
                step = getattr(effect.fact, "step", None)
                outcome = getattr(effect.fact, "outcome", None)
                id = f"{effect.fact.TYPE} {effect.cause} {step} {outcome}"
                self.append(effect.fact, id=id, cause=effect.cause)
        if self.crash_after is not None and len(self.effects) == self.crash_after:
            raise Crash

    def run(self, rounds: int = 20, passed_ms: int = 500) -> None:
        for _ in range(rounds):
            self.tick(passed_ms)

    def facts(self, kind: type[Fact]) -> list[Fact]:
        return [entry.fact for entry in self.journal if isinstance(entry.fact, kind)]

    def outcomes(self) -> list[StepOutcome]:
        return [fact.outcome for fact in self.facts(RecoveryStepped)]

    def finished(self) -> RecoveryFinished:
        (fact,) = self.facts(RecoveryFinished)
        return fact


def in_recovery(**seen: Evidence) -> World:
    world = World()
    world.seen.update({Step[name]: evidence for name, evidence in seen.items()})
    world.append(CUT)
    world.append(Unknown(type="x", body={}))
    world.append(BACK)
    return world


def test_recovery_takes_its_steps_in_order_writes_the_report_and_finishes() -> None:
    world = in_recovery()
    world.run()
    types = [entry.fact.TYPE for entry in world.journal[3:] if entry.fact]
    assert types == [
        "recovery.started",
        *["recovery.stepped"] * 7,
        "disruption.reported",
        "recovery.stepped",
        "recovery.finished",
    ]
    assert [fact.step for fact in world.facts(RecoveryStepped)] == list(Step)
    assert world.finished().open_points == ()
    (started,) = world.facts(RecoveryStarted)
    assert (started.disruption, started.head_seq) == ("D1", 3)


def test_nothing_is_asked_of_anyone_while_the_site_is_not_in_recovery() -> None:
    world = World()
    world.append(CUT)
    assert world.tick() == []


def test_a_step_waits_until_its_condition_holds() -> None:
    world = in_recovery(JOURNAL_COPIED=WatermarkSeen(2))
    world.run(rounds=10)
    assert [fact.step for fact in world.facts(RecoveryStepped)] == [Step.LINK_STABLE]
    world.seen[Step.JOURNAL_COPIED] = WatermarkSeen(3)
    world.run()
    assert world.finished().open_points == ()


def test_at_the_bound_what_is_unsettled_is_named_and_the_site_returns() -> None:
    world = in_recovery(COMMANDS_TRIAGED=LanesSeen(("c1", "c2"), 0, 0))
    world.run(rounds=140)
    assert world.outcomes().count(StepOutcome.OPEN) == 3
    points = world.finished().open_points
    assert [point.step for point in points] == [
        Step.COMMANDS_TRIAGED,
        Step.CSMS_CAUGHT_UP,
        Step.DIGESTS_AGREE,
    ]
    assert points[0].what == "2 commands without disposition: c1, c2"
    (reported,) = world.facts(DisruptionReported)
    assert reported.open_points == points


def test_what_the_csms_refuses_is_open_at_once_and_holds_up_no_later_step() -> None:
    world = in_recovery(CSMS_CAUGHT_UP=REFUSING)
    world.run(rounds=15)
    assert world.mono_ms < POLICY.bound_ms / 2
    assert len(world.outcomes()) == 8
    assert world.outcomes().count(StepOutcome.OPEN) == 1
    (point,) = world.finished().open_points
    assert point.step is Step.CSMS_CAUGHT_UP
    assert "CP-03 is rejected by main" in point.what
    (reported,) = world.facts(DisruptionReported)
    assert reported.open_points == (point,)


def test_what_the_csms_refused_is_settled_once_it_is_gone_and_told_of_once_until_then() -> None:
    world = in_recovery(CSMS_CAUGHT_UP=REFUSING)
    world.run()
    world.append(DONE)
    world.read()
    told = len(world.journal)
    for evidence in (REFUSING, csms("another thing"), csms(read=False), Silent("the bridge")):
        world.seen[Step.CSMS_CAUGHT_UP] = evidence
        world.run(rounds=3, passed_ms=SETTLE_EVERY_MS)
    assert len(world.journal) == told
    assert world.state.settling is not None
    world.seen[Step.CSMS_CAUGHT_UP] = csms()
    world.run(rounds=3, passed_ms=SETTLE_EVERY_MS)
    assert world.state.settling is None
    assert world.facts(RecoveryStepped)[-1].outcome is StepOutcome.DONE
    assert len(world.journal) == told + 1


def test_the_bound_runs_on_the_monotonic_clock_and_survives_a_restart() -> None:
    world = in_recovery(LINK_STABLE=LinkSeen(False))
    world.run(rounds=2)
    for _ in range(30):  # the wall clock stands still, as after a step back
        world.mono_ms += 4_000
        tick = Tick(at_ms=1_000_000, mono_ms=world.mono_ms)
        world.state, effects = decide(POLICY, world.state, tick)
    assert isinstance(effects[0], Record)
    world.restart()
    tick = Tick(at_ms=5_000_000, mono_ms=3)  # the wall clock says: long over
    _, effects = decide(POLICY, world.state, tick)
    assert isinstance(effects[0], Record)


def test_leaving_recovery_abandons_the_attempt_and_the_next_begins_afresh() -> None:
    world = in_recovery(COMMANDS_TRIAGED=LanesSeen(("c1",), 0, 0))
    world.run(rounds=10)
    world.append(changed(Mode.RECOVERY, Mode.AUTONOMOUS))
    assert world.tick() == []
    world.append(BACK)
    world.seen = all_well()
    world.run()
    starts = world.facts(RecoveryStarted)
    assert [start.disruption for start in starts] == ["D1", "D1"]
    assert starts[1].head_seq > starts[0].head_seq
    assert [fact.step for fact in world.facts(RecoveryStepped)][-8:] == list(Step)
    assert world.finished().disruption == "D1"


def test_what_an_abandoned_attempt_wrote_late_is_no_part_of_the_next() -> None:
    world = in_recovery(LINK_STABLE=LinkSeen(False))
    world.run(rounds=2)
    first = world.state.procedure
    assert first is not None
    world.append(changed(Mode.RECOVERY, Mode.AUTONOMOUS))
    world.append(BACK)
    world.run(rounds=1)
    late = RecoveryStepped(
        disruption="D1", step=Step.LINK_STABLE, outcome=StepOutcome.DONE, evidence="old"
    )
    world.append(late, cause=first.id)
    world.read()
    assert world.state.procedure is not None
    assert world.state.procedure.id != first.id
    assert world.state.procedure.steps == ()


def test_an_answer_to_a_question_no_longer_open_is_dropped() -> None:
    world = in_recovery()
    world.tick()
    (ask,) = world.tick()
    assert isinstance(ask, Ask)
    late = Answered(step=ask.step, cause=ask.cause, evidence=LinkSeen(True), mono_ms=0)
    assert decide(POLICY, world.state, late)[1] == []


def test_open_points_are_settled_after_the_site_returned() -> None:
    world = in_recovery(JOURNAL_COPIED=WatermarkSeen(0))
    world.run(rounds=140)
    world.append(DONE)
    world.run(rounds=2)
    assert world.state.settling is not None
    world.seen = all_well()
    for _ in range(20):
        world.tick(SETTLE_EVERY_MS)
    assert world.state.settling is None
    world.restart()
    assert world.state.settling is None


def test_open_points_are_looked_at_no_more_often_than_the_uplink_bears() -> None:
    world = in_recovery(JOURNAL_COPIED=WatermarkSeen(0))
    world.run(rounds=140)
    world.append(DONE)
    world.effects.clear()
    world.run(rounds=100, passed_ms=500)
    assert len([effect for effect in world.effects if isinstance(effect, Ask)]) <= 6


def test_a_disruption_that_ends_without_recovery_is_reported_once() -> None:
    world = World()
    world.append(changed(Mode.CONNECTED, Mode.DEGRADED, Reason.PULSE_LATE))
    world.append(changed(Mode.DEGRADED, Mode.CONNECTED, Reason.IMPAIRMENT_OVER))
    world.run(rounds=3)
    world.restart()
    world.run(rounds=3)
    (reported,) = world.facts(DisruptionReported)
    assert (reported.from_seq, reported.to_seq, reported.entries) == (1, 2, 2)
    assert reported.reasons == ("pulse late", "impairment over")


def test_a_recovered_disruption_is_not_reported_a_second_time_on_return() -> None:
    world = in_recovery()
    world.run()
    world.append(DONE)
    world.run(rounds=3)
    assert len(world.facts(DisruptionReported)) == 1


def test_unreported_disruptions_are_bounded() -> None:
    world = World()
    for number in range(UNREPORTED_MAX + 5):
        world.append(changed(Mode.CONNECTED, Mode.DEGRADED, disruption=f"D{number}"))
        world.append(changed(Mode.DEGRADED, Mode.CONNECTED))
    world.read()
    assert len(world.state.unreported) == UNREPORTED_MAX


def decision(status: TokenStatus) -> DecisionMade:
    return DecisionMade(
        decision="d",
        charge_point="CP-01",
        rules_version=1,
        clause="authorise.autonomous.unknown",
        inputs=AuthoriseInputs(
            at_ms=1,
            mode=Mode.AUTONOMOUS,
            driver_token_hash="h",
            listed=None,
            list_version=1,
            cached=None,
            cloud=CloudAnswer.NOT_ASKED,
            cloud_status=None,
        ),
        verdict=AuthoriseVerdict(status=status, basis=Basis.UNKNOWN_POLICY),
        explanation="",
    )


def settled(disposition: Disposition) -> CommandSettled:
    command = Command(
        id="c", charge_point="CP-01", action="Reset", payload={}, issued_at_ms=0, deadline_ms=1
    )
    return CommandSettled(charge_point="CP-01", command=command, disposition=disposition)


def test_the_report_counts_what_drivers_and_commands_met_since_leaving_connected() -> None:
    world = World()
    world.append(decision(TokenStatus.ACCEPTED))  # before: not counted
    world.append(CUT)
    for fact in (
        decision(TokenStatus.ACCEPTED),
        decision(TokenStatus.ACCEPTED),
        decision(TokenStatus.INVALID),
        settled(Disposition.EXPIRED),
        settled(Disposition.EXPIRED),
        settled(Disposition.DELIVERED),
    ):
        world.append(fact)
    world.append(BACK)
    world.run()
    (reported,) = world.facts(DisruptionReported)
    assert reported.driver_impact.served == 2
    assert reported.driver_impact.refused_because == {"authorise.autonomous.unknown": 1}
    assert reported.commands == {"expired": 2, "delivered": 1}
    assert reported.modes == ("autonomous", "recovery")
    assert reported.entries == reported.to_seq - reported.from_seq + 1


@pytest.mark.parametrize("open_step", [None, Step.COMMANDS_TRIAGED, Step.LINK_STABLE, REFUSED])
def test_a_crash_after_any_effect_leaves_the_same_facts_in_the_end(open_step: Step | None) -> None:
    def prepared() -> World:
        world = in_recovery()
        if open_step is not None:
            world.seen[open_step] = REFUSING if open_step is REFUSED else Silent("somebody")
        return world

    plain = prepared()
    plain.run(rounds=140)
    total = len(plain.effects)
    assert total > 10
    for crash_after in range(1, total + 1):
        world = prepared()
        world.crash_after = crash_after
        try:
            world.run(rounds=140)
        except Crash:
            world.crash_after = None
            world.restart()
        world.run(rounds=140)
        told = [(entry.id, entry.cause) for entry in world.journal]
        assert told == [(entry.id, entry.cause) for entry in plain.journal], crash_after
        assert world.outcomes() == plain.outcomes(), crash_after


modes = st.sampled_from(list(Mode))


@given(st.lists(st.one_of(modes, st.just("tick"), st.just("restart")), max_size=60), st.data())
def test_whatever_the_modes_do_a_fold_of_the_journal_gives_the_state_again(
    doings: list[Mode | str], data: st.DataObject
) -> None:
    """And never two starts of one attempt, two finishes, or a step out of order."""
    world = World()
    mode, disruption = Mode.CONNECTED, 0
    for doing in doings:
        if isinstance(doing, Mode):
            if doing is mode:
                continue
            disruption += mode is Mode.CONNECTED
            world.append(changed(mode, doing, disruption=f"D{disruption}"))
            mode = doing
        elif doing == "restart":
            world.restart()
        else:
            step = data.draw(st.sampled_from(list(all_well())))
            spoilt = data.draw(st.sampled_from(({}, {step: Silent("x")}, {REFUSED: REFUSING})))
            world.seen = all_well() | spoilt
            world.tick(data.draw(st.sampled_from((0, 500, 70_000))))
    world.read()
    live = replace(world.state, live=Live())
    world.restart()
    assert replace(world.state, live=Live()) == live
    ids = [entry.id for entry in world.journal]
    assert len(ids) == len(set(ids))
    taken: dict[str | None, list[Step]] = {}
    for entry in world.journal:
        if isinstance(entry.fact, RecoveryStepped):
            taken.setdefault(entry.cause, []).append(entry.fact.step)
    for steps in taken.values():
        assert steps[:8] == list(Step)[: len(steps[:8])]
