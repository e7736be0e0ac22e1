"""The monitor's fold: what rows a journal leaves, that entries read again change nothing, and its bounds.

Method: tables for each kind of row; Hypothesis for any order of facts with any part read again.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.contracts.charge_point import (
    AvailabilityChanged,
    ChargePointBooted,
    ChargePointConnected,
    ChargePointDisconnected,
    ConnectorStatusChanged,
)
from holdfast.contracts.command import (
    Command,
    CommandDispatched,
    CommandObserved,
    CommandReceived,
    CommandSettled,
    Disposition,
)
from holdfast.contracts.decision import (
    AdmitInputs,
    AdmitVerdict,
    AuthoriseInputs,
    AuthoriseVerdict,
    Basis,
    CloudAnswer,
    ConnectorState,
    DecisionMade,
)
from holdfast.contracts.driver_tokens import TokenStatus
from holdfast.contracts.envelope import Envelope, Fact, Unknown, body_of
from holdfast.contracts.journal import (
    Checkpoint,
    IncarnationOpened,
    JournalDamaged,
    MessageQuarantined,
    StorageLevel,
    StorageLevelChanged,
)
from holdfast.contracts.mode import Mode, ModeChanged, Reason
from holdfast.contracts.recovery import (
    DisruptionReported,
    DriverImpact,
    OpenPoint,
    RecoveryFinished,
    RecoveryStarted,
    RecoveryStepped,
    Step,
    StepOutcome,
)
from holdfast.contracts.registry import (
    ChargePointRegistered,
    ChargePointUnregistered,
    EntryProblem,
    EntryRefused,
    PendingEnded,
)
from holdfast.contracts.rules import RulesActivated, RulesRefused
from monitor.domain.fold import outcome_of, skip, take
from monitor.domain.rows import DECISIONS_MAX, ENTRIES_MAX, MODES_MAX, Place, SiteState

LIFE = "aaaaaaaa"


def folded(*facts: Fact, state: SiteState | None = None, life: str = LIFE) -> SiteState:
    state = state or SiteState(site="berlin01")
    for fact in facts:
        place = Place(life, state.positions.get(life, 0) + 1)
        state = read(state, place, fact)
    return state


def read(state: SiteState, place: Place, fact: Fact) -> SiteState:
    envelope = Envelope(
        id=f"id-{place}",
        type="x" if isinstance(fact, Unknown) else fact.TYPE,
        at_ms=place.seq * 1000,
        site="berlin01",
        incarnation=place.incarnation,
        source="test",
        body=body_of(fact),
    )
    return take(state, place, envelope, fact)


def changed(mode: Mode, reason: Reason = Reason.PULSE_LOST, disruption: str = "D1") -> ModeChanged:
    return ModeChanged(
        previous=None,
        mode=mode,
        reasons=(reason,),
        since_ms=7,
        disruption=None if mode is Mode.CONNECTED else disruption,
    )


def command(id: str = "c1") -> Command:
    return Command(
        id=id,
        charge_point="CP-01",
        action="Reset",
        payload={"type": "Soft"},
        issued_at_ms=1,
        deadline_ms=9,
    )


def settled(disposition: Disposition, id: str = "c1") -> CommandSettled:
    return CommandSettled(
        charge_point="CP-01", command=command(id), disposition=disposition, reason="because"
    )


def authorised(status: TokenStatus = TokenStatus.ACCEPTED, id: str = "d1") -> DecisionMade:
    return DecisionMade(
        decision=id,
        charge_point="CP-01",
        rules_version=1,
        clause="c",
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
        verdict=AuthoriseVerdict(status=status, basis=Basis.LIST),
        explanation="so",
    )


def admitted(disposition: Disposition | None) -> DecisionMade:
    target = ConnectorState(connected=True, status=None, transaction_id=None, booted_at_ms=None)
    return DecisionMade(
        decision="d2",
        charge_point="CP-01",
        rules_version=1,
        clause="c",
        inputs=AdmitInputs(at_ms=1, mode=Mode.CONNECTED, command=command(), target=target),
        verdict=AdmitVerdict(admitted=disposition is None, disposition=disposition),
        explanation="so",
    )


def connected(connection: str, answered: bool = False) -> ChargePointConnected:
    return ChargePointConnected(
        charge_point="CP-01",
        connection=connection,
        protocol="ocpp1.6",
        remote="r",
        replaced_answered=answered,
    )


def disconnected(connection: str) -> ChargePointDisconnected:
    return ChargePointDisconnected(charge_point="CP-01", connection=connection, reason="closed")


def status_changed(connector: int, status: str) -> ConnectorStatusChanged:
    return ConnectorStatusChanged(
        charge_point="CP-01",
        connector=connector,
        status=status,
        error_code="NoError",
        message_id="m",
        raw="{}",
    )


def stepped(outcome: StepOutcome, step: Step = Step.LINK_STABLE) -> RecoveryStepped:
    return RecoveryStepped(disruption="D1", step=step, outcome=outcome, evidence="seen")


def test_a_disruption_runs_from_leaving_connected_to_returning() -> None:
    state = folded(changed(Mode.CONNECTED), changed(Mode.DEGRADED, Reason.PULSE_LATE))
    assert state.disruption is not None
    state = folded(changed(Mode.AUTONOMOUS), changed(Mode.RECOVERY), state=state)
    assert state.disruption is not None
    assert state.disruption.recovering
    assert state.disruption.reasons == ("pulse late", "pulse lost")
    state = folded(changed(Mode.CONNECTED), state=state)
    assert state.disruption is None
    assert len(state.disruptions) == 1


def test_a_new_attempt_at_recovery_shows_its_own_steps() -> None:
    begun = RecoveryStarted(disruption="D1", head_seq=1, bound_at_ms=2)
    state = folded(changed(Mode.AUTONOMOUS), begun, stepped(StepOutcome.DONE))
    assert len(state.disruptions[-1].steps) == 1
    assert folded(begun, state=state).disruptions[-1].steps == ()


def test_an_open_point_goes_when_a_later_step_settles_it() -> None:
    point = OpenPoint(step=Step.DIGESTS_AGREE, what="differ")
    finished = RecoveryFinished(disruption="D1", open_points=(point,))
    state = folded(changed(Mode.RECOVERY), finished, changed(Mode.CONNECTED))
    assert state.disruptions[-1].open_points == (point,)
    state = folded(stepped(StepOutcome.DONE, Step.DIGESTS_AGREE), state=state)
    assert state.disruptions[-1].open_points == ()


def test_a_later_recovery_looked_at_everything_anew() -> None:
    point = OpenPoint(step=Step.DIGESTS_AGREE, what="differ")
    state = folded(
        changed(Mode.RECOVERY),
        RecoveryFinished(disruption="D1", open_points=(point,)),
        changed(Mode.CONNECTED),
        changed(Mode.RECOVERY, disruption="D2"),
        RecoveryFinished(disruption="D2", open_points=()),
    )
    assert [row.open_points for row in state.disruptions] == [(), ()]


def test_a_command_stands_once_with_its_one_disposition() -> None:
    state = folded(
        CommandReceived(charge_point="CP-01", command=command(), downlink_seq=4),
        CommandDispatched(charge_point="CP-01", command=command(), message_id="m"),
        settled(Disposition.UNCERTAIN),
        settled(Disposition.DELIVERED),
    )
    (row,) = state.commands.values()
    assert (row.received_at_ms, row.dispatched_at_ms, row.settled_at_ms) == (1000, 2000, 3000)
    assert row.disposition is Disposition.UNCERTAIN
    assert row.is_open
    assert state.command_counts == {("Reset", "uncertain"): 1}
    observed = CommandObserved(
        charge_point="CP-01", command_id="c1", took_effect=True, evidence="it booted"
    )
    assert not folded(observed, state=state).commands["c1"].is_open


def test_decisions_are_counted_by_kind_outcome_and_mode() -> None:
    state = folded(
        authorised(), authorised(TokenStatus.INVALID), admitted(None), admitted(Disposition.EXPIRED)
    )
    assert state.decision_counts == {
        ("authorise", "Accepted", "autonomous"): 1,
        ("authorise", "Invalid", "autonomous"): 1,
        ("admit", "admitted", "connected"): 1,
        ("admit", "expired", "connected"): 1,
    }
    assert outcome_of(admitted(None)) == "admitted"


def test_a_late_close_of_an_old_connection_touches_nothing() -> None:
    state = folded(connected("one"), connected("two", answered=True), disconnected("one"))
    row = state.charge_points["CP-01"]
    assert row.connected
    assert row.identity_doubled_at_ms == 2000
    assert not folded(disconnected("two"), state=state).charge_points["CP-01"].connected


def test_what_happened_at_the_door_stands_until_the_charge_point_is_registered_anew() -> None:
    refused = EntryRefused(problem=EntryProblem.PENDING, claimed="CP-09", address="10.0.0.9")
    other = EntryRefused(problem=EntryProblem.DUPLICATE_IDENTITY, claimed="CP-01", address=None)
    state = folded(refused, other)
    pending = (EntryProblem.PENDING, "CP-09", "10.0.0.9")
    doubled = (EntryProblem.DUPLICATE_IDENTITY, "CP-01", None)
    assert state.entries_refused == {pending: (1000, refused), doubled: (2000, other)}
    assert set(folded(registered("CP-09"), state=state).entries_refused) == {doubled}
    assert set(folded(UNREGISTERED, state=state).entries_refused) == {pending}


def registered(charge_point: str, **more: Any) -> ChargePointRegistered:
    told = {"security_profile": 1, "password_changed": True, "by": "anna", **more}
    return ChargePointRegistered(charge_point=charge_point, **told)


UNREGISTERED = ChargePointUnregistered(charge_point="CP-01", by="anna")


def test_one_problem_at_the_door_hides_no_other_of_its_kind() -> None:
    refused = [
        EntryRefused(problem=EntryProblem.SECURITY_PROFILE, claimed=name, address="10.0.0.9")
        for name in ("CP-01", "CP-02", "CP-01")
    ]
    state = folded(*refused)
    assert [(key[1], at_ms) for key, (at_ms, _) in state.entries_refused.items()] == [
        ("CP-02", 2000),
        ("CP-01", 3000),
    ]
    for number in range(ENTRIES_MAX + 5):
        other = refused[0].model_copy(update={"claimed": f"X-{number}"})
        state = folded(other, state=state)
    assert len(state.entries_refused) == ENTRIES_MAX


def test_a_charge_point_that_waits_no_longer_asks_for_nobody() -> None:
    refused = [
        EntryRefused(problem=EntryProblem.PENDING, claimed=name, address="10.0.0.9")
        for name in ("CP-08", "CP-09")
    ]
    ended = PendingEnded(claimed="CP-09", why="rejected", by="anna")
    assert [key[1] for key in folded(*refused, ended).entries_refused] == ["CP-08"]


def test_coming_in_by_the_right_profile_from_there_mends_what_was_wrong_but_no_guessing() -> None:
    refused = [
        EntryRefused(problem=problem, claimed="CP-01", address=address)
        for problem in (EntryProblem.SECURITY_PROFILE, EntryProblem.TOO_MANY_FAILURES)
        for address in ("::1", "10.0.0.9")
    ]
    came = connected("one").model_copy(update={"remote": "::1:4711"})
    assert set(folded(*refused, came).entries_refused) == {
        (EntryProblem.SECURITY_PROFILE, "CP-01", "10.0.0.9"),
        (EntryProblem.TOO_MANY_FAILURES, "CP-01", "::1"),
        (EntryProblem.TOO_MANY_FAILURES, "CP-01", "10.0.0.9"),
    }


def test_who_is_registered_stands_there_before_it_ever_came_and_who_is_taken_out_no_more() -> None:
    state = folded(registered("CP-09", security_profile=2, next_security_profile=3))
    row = state.charge_points["CP-09"]
    assert (row.registered, row.connected, row.since_ms) == (True, False, None)
    assert (row.security_profile, row.next_security_profile) == (2, 3)
    # Its connection is closed for it, and told afterwards.
    state = folded(connected("one"), UNREGISTERED, disconnected("one"), state=state)
    assert not state.charge_points["CP-01"].registered
    assert folded(registered("CP-01"), state=state).charge_points["CP-01"].registered


def test_a_charge_point_is_put_together_from_what_it_said() -> None:
    booted = ChargePointBooted(
        charge_point="CP-01",
        message_id="m",
        vendor="V",
        model="M",
        serial=None,
        firmware="1",
        status="Accepted",
        raw="{}",
    )
    off = AvailabilityChanged(
        charge_point="CP-01", connector=2, availability="Inoperative", command_id="c"
    )
    state = folded(booted, status_changed(1, "Charging"), off)
    row = state.charge_points["CP-01"]
    assert (row.vendor, row.connectors[1].status) == ("V", "Charging")
    assert row.connectors[2].availability == "Inoperative"


def test_the_journals_own_facts_are_kept() -> None:
    state = folded(
        IncarnationOpened(cause="new disk", previous=None),
        StorageLevelChanged(level=StorageLevel.SOFT, bytes=8, bytes_max=10),
        Checkpoint(seq=2, hash="h", signature="s"),
        MessageQuarantined(stream="S", seq=1, subject="s", reason="not JSON", data_base64=""),
        JournalDamaged(what="missing", from_seq=1, to_seq=2),
        RulesActivated(version=3, hash="h", text="t", previous_version=2),
        RulesRefused(version=4, reason="bad signature"),
        Unknown(type="x", body={}),
    )
    assert state.storage_level is StorageLevel.SOFT
    assert (state.checkpoint_seq, state.quarantined_count, state.unknown_count) == (2, 1, 1)
    assert state.rules[-1].version == 3
    assert "version 4: bad signature" in state.rules_refused[-1].what
    assert len(state.damage) == 1
    fresh = folded(IncarnationOpened(cause="new disk", previous=LIFE), state=state, life="bbbbbbbb")
    assert fresh.damage == ()


def test_lists_are_bounded_and_the_oldest_goes() -> None:
    state = folded(*(authorised(id=f"d{n}") for n in range(DECISIONS_MAX + 5)))
    assert len(state.decisions) == DECISIONS_MAX
    assert state.decisions[0].fact.decision == "d5"
    modes = (Mode.DEGRADED, Mode.AUTONOMOUS)
    state = folded(*(changed(modes[n % 2]) for n in range(MODES_MAX + 5)))
    assert len(state.modes) == MODES_MAX


def test_an_unreadable_entry_is_passed() -> None:
    state = skip(SiteState(site="berlin01"), Place(LIFE, 4))
    assert state.positions == {LIFE: 4}


reports = DisruptionReported(
    disruption="D1",
    began_ms=1,
    ended_ms=2,
    modes=(),
    reasons=(),
    from_seq=1,
    to_seq=2,
    entries=2,
    sessions_started=0,
    sessions_stopped=0,
    commands={},
    driver_impact=DriverImpact(served=0, refused=0, refused_because={}),
    open_points=(),
)
facts = st.sampled_from(
    [
        *(changed(mode, disruption=d) for mode in Mode for d in ("D1", "D2")),
        CommandReceived(charge_point="CP-01", command=command(), downlink_seq=1),
        settled(Disposition.UNCERTAIN),
        settled(Disposition.EXPIRED, "c2"),
        CommandObserved(charge_point="CP-01", command_id="c1", took_effect=False, evidence="e"),
        authorised(),
        admitted(None),
        connected("one"),
        connected("two"),
        disconnected("one"),
        status_changed(1, "Faulted"),
        stepped(StepOutcome.DONE),
        stepped(StepOutcome.OPEN),
        reports,
        RecoveryStarted(disruption="D1", head_seq=1, bound_at_ms=2),
        RecoveryFinished(disruption="D2", open_points=()),
    ]
)


@given(
    st.lists(st.tuples(facts, st.sampled_from(("aaaaaaaa", "bbbbbbbb"))), max_size=40), st.data()
)
def test_entries_read_again_change_nothing(
    told: list[tuple[Fact, str]], data: st.DataObject
) -> None:
    once = again = SiteState(site="berlin01")
    entries: list[tuple[Place, Fact]] = []
    for fact, life in told:
        place = Place(life, once.positions.get(life, 0) + 1)
        entries.append((place, fact))
        once = read(once, place, fact)
        again = read(again, place, fact)
        back = data.draw(st.integers(0, len(entries)))
        for old, said in entries[len(entries) - back :]:
            again = read(again, old, said)
    assert again == once


@settings(max_examples=40, deadline=None)
@given(st.lists(facts, max_size=60))
def test_at_most_one_disruption_runs_and_it_is_the_newest(told: list[Fact]) -> None:
    state = SiteState(site="berlin01")
    for fact in told:
        state = folded(fact, state=state)
        running = [row for row in state.disruptions if row.ended_ms is None]
        assert len(running) <= 1
        assert not running or running == [state.disruption]
