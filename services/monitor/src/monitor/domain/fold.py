"""A site's journal to what the monitor shows of it.

    take(state, place, envelope, fact) -> state

Pure; a restart reads the journal again with the same function. Entries read before change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

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
    CommandHeld,
    CommandObserved,
    CommandReceived,
    CommandSettled,
    CommandWorded,
)
from holdfast.contracts.decision import AdmitInputs, AuthoriseVerdict, DecisionMade
from holdfast.contracts.driver_tokens import DriverTokensInstalled, DriverTokensRefused
from holdfast.contracts.envelope import Envelope, Fact, Unknown
from holdfast.contracts.journal import (
    Checkpoint,
    IncarnationOpened,
    JournalDamaged,
    MessageQuarantined,
    StorageLevelChanged,
)
from holdfast.contracts.mode import Mode, ModeChanged, OverrideBegun, OverrideEnded
from holdfast.contracts.recovery import (
    DisruptionReported,
    OpenPoint,
    RecoveryFinished,
    RecoveryStarted,
    RecoveryStepped,
    StepOutcome,
)
from holdfast.contracts.registry import (
    ChargePointRegistered,
    ChargePointUnregistered,
    DoorConditionsChanged,
    EntryProblem,
    EntryRefused,
    PendingEnded,
)
from holdfast.contracts.rules import RulesActivated, RulesRefused
from holdfast.contracts.session import SessionCapNotKept, SessionStarted, SessionStopped
from holdfast.local_state import History
from monitor.domain.rows import (
    CHARGE_POINTS_MAX,
    COMMANDS_MAX,
    CONNECTORS_MAX,
    DECISIONS_MAX,
    DISRUPTIONS_MAX,
    ENTRIES_MAX,
    KEPT_MAX,
    MODES_MAX,
    WORDS_MAX,
    Begun,
    ChargePointRow,
    CommandRow,
    ConnectorRow,
    DecisionRow,
    DisruptionRow,
    EntryKey,
    Life,
    ModeRow,
    Note,
    Place,
    RulesRow,
    SiteState,
)

Key = TypeVar("Key")
Value = TypeVar("Value")

MENDED_BY_COMING_IN = (EntryProblem.SECURITY_PROFILE, EntryProblem.CERTIFICATE)

CommandFact = CommandReceived | CommandDispatched | CommandSettled | CommandHeld
ConnectionFact = ChargePointConnected | ChargePointDisconnected | ChargePointBooted
ConnectorFact = ConnectorStatusChanged | AvailabilityChanged
RecoveryFact = RecoveryStarted | RecoveryStepped | RecoveryFinished | DisruptionReported
RulesFact = RulesActivated | RulesRefused | DriverTokensRefused | DriverTokensInstalled
JournalFact = (
    IncarnationOpened | StorageLevelChanged | Checkpoint | MessageQuarantined | JournalDamaged
)


def take(state: SiteState, place: Place, envelope: Envelope, fact: Fact) -> SiteState:
    if place.seq <= state.positions.get(place.incarnation, 0):
        return state
    state = _remembered(skip(state, place, envelope.at_ms), envelope.at_ms, fact)
    at_ms = envelope.at_ms
    match fact:
        case ModeChanged():
            return _mode_changed(state, place, at_ms, fact)
        case DecisionMade() | SessionStarted():
            return _decided(state, place, envelope, fact)
        case CommandReceived() | CommandDispatched() | CommandSettled() | CommandHeld():
            return _command(state, place, at_ms, fact)
        case CommandObserved() | CommandWorded():
            return _said_of(state, fact)
        case ChargePointConnected() | ChargePointDisconnected() | ChargePointBooted():
            return _connection(state, at_ms, fact)
        case ConnectorStatusChanged() | AvailabilityChanged():
            return _connector(state, at_ms, fact)
        case RecoveryStarted() | RecoveryStepped() | RecoveryFinished() | DisruptionReported():
            return _recovery(state, fact)
        case RulesActivated() | RulesRefused() | DriverTokensRefused() | DriverTokensInstalled():
            return _rules(state, place, at_ms, fact)
        case _:
            return _journal(state, place, at_ms, fact)


def skip(state: SiteState, place: Place, at_ms: int | None = None) -> SiteState:
    """Pass an entry that can't be read: the journal service quarantines it and says so."""
    positions = _put(state.positions, place.incarnation, place.seq, KEPT_MAX)
    return replace(state, positions=positions, at_ms=at_ms if at_ms is not None else state.at_ms)


# --- modes and disruptions ---


def _mode_changed(state: SiteState, place: Place, at_ms: int, fact: ModeChanged) -> SiteState:
    row = ModeRow(place=place, at_ms=at_ms, fact=fact)
    state = replace(state, modes=(*state.modes, row)[-MODES_MAX:])
    running = state.disruption
    if fact.mode is Mode.CONNECTED:
        if running is None:
            return state
        ended = replace(running, ended_ms=fact.since_ms, recovering=False)
        return _with_disruption(state, ended)
    disruption = fact.disruption or (running.disruption if running else str(place))
    reasons = tuple(reason.value for reason in fact.reasons)
    if running is None or running.disruption != disruption:
        begun = DisruptionRow(
            place=place, disruption=disruption, began_ms=fact.since_ms, reasons=reasons
        )
        if (
            running is not None
        ):  # another incarnation names its own: the old one ended with its disk
            state = _with_disruption(state, replace(running, ended_ms=fact.since_ms))
        return replace(state, disruptions=(*state.disruptions, begun)[-DISRUPTIONS_MAX:])
    met = tuple(dict.fromkeys((*running.reasons, *reasons)))
    recovering = fact.mode is Mode.RECOVERY
    return _with_disruption(state, replace(running, reasons=met, recovering=recovering))


def _recovery(state: SiteState, fact: RecoveryFact) -> SiteState:
    rows = reversed(state.disruptions)
    row = next((row for row in rows if row.disruption == fact.disruption), None)
    if row is None:
        return state
    match fact:
        case RecoveryStarted():
            return _with_disruption(state, replace(row, recovering=True, steps=()))
        case RecoveryStepped():
            return _with_disruption(state, _stepped(row, fact))
        case RecoveryFinished(open_points=points):
            # A later recovery looked at everything anew: what an earlier one left open is in its report.
            before = tuple(replace(old, open_points=()) for old in state.disruptions)
            state = replace(state, disruptions=before)
            return _with_disruption(state, replace(row, recovering=False, open_points=points))
        case DisruptionReported():
            return _with_disruption(state, replace(row, report=fact))


def _stepped(row: DisruptionRow, fact: RecoveryStepped) -> DisruptionRow:
    others = tuple(step for step in row.steps if step.step is not fact.step)
    points: tuple[OpenPoint, ...] = row.open_points
    if fact.outcome is not StepOutcome.OPEN:
        points = tuple(point for point in points if point.step is not fact.step)
    return replace(row, steps=(*others, fact), open_points=points)


def _with_disruption(state: SiteState, row: DisruptionRow) -> SiteState:
    rows = tuple(row if old.place == row.place else old for old in state.disruptions)
    return replace(state, disruptions=rows)


# --- decisions and commands ---


def outcome_of(fact: DecisionMade) -> str:
    verdict = fact.verdict
    if isinstance(verdict, AuthoriseVerdict):
        return verdict.status.value
    if verdict.waits_for is not None:
        return f"waits for {verdict.waits_for}"
    return "admitted" if verdict.admitted else (verdict.disposition or "refused")


def _decided(
    state: SiteState, place: Place, envelope: Envelope, fact: DecisionMade | SessionStarted
) -> SiteState:
    """A decision, or the session that began by one."""
    if isinstance(fact, SessionStarted):
        if fact.decision is None:  # no driver token came with it (2.x)
            return state
        begun = Begun(session=fact.session, connector=fact.connector, at_ms=envelope.at_ms)
        return replace(state, begun=_put(state.begun, fact.decision, begun, DECISIONS_MAX))
    if isinstance(fact.inputs, AdmitInputs):
        state = _with_decision(state, fact.inputs.command.id, fact.decision)
    row = DecisionRow(place=place, at_ms=envelope.at_ms, cause=envelope.cause, fact=fact)
    counted = (fact.inputs.kind, str(outcome_of(fact)), fact.inputs.mode.value)
    return replace(
        state,
        decisions=(*state.decisions, row)[-DECISIONS_MAX:],
        decision_counts=_counted(state.decision_counts, counted),
    )


def _with_decision(state: SiteState, command: str, decision: str) -> SiteState:
    """The newest about a command that has no disposition yet: what `explain` is asked about."""
    row = state.commands.get(command)
    if row is None or row.disposition is not None:
        return state
    row = replace(row, decision=decision)
    return replace(state, commands=_put(state.commands, command, row, COMMANDS_MAX))


def _command(state: SiteState, place: Place, at_ms: int, fact: CommandFact) -> SiteState:
    command: Command = fact.command
    row = state.commands.get(command.id) or CommandRow(
        place=place, charge_point=fact.charge_point, command=command
    )
    match fact:
        case CommandReceived():
            row = replace(row, received_at_ms=at_ms)
        case CommandDispatched():
            row = replace(row, dispatched_at_ms=at_ms, held="")
        case CommandHeld():
            row = replace(row, held=fact.reason)
        case CommandSettled():
            if row.settled_at_ms is not None:  # exactly one disposition: the first
                return state
            row = replace(
                row,
                held="",
                settled_at_ms=at_ms,
                disposition=fact.disposition,
                reason=fact.reason,
                answer=fact.answer,
                decision=fact.decision or row.decision,
            )
            counts = _counted(state.command_counts, (command.action, fact.disposition.value))
            state = replace(state, command_counts=counts)
    return replace(state, commands=_put(state.commands, command.id, row, COMMANDS_MAX))


def _said_of(state: SiteState, fact: CommandObserved | CommandWorded) -> SiteState:
    """What observation, or an operator, said of a command."""
    row = state.commands.get(fact.command_id)
    if row is None:
        return state
    match fact:
        case CommandObserved():
            row = replace(row, took_effect=fact.took_effect, evidence=fact.evidence)
        case CommandWorded():
            said = f"{fact.word} by {fact.by}"
            if fact.taken:
                row = replace(row, held="")
            else:
                said += f", not taken: {fact.reason or 'too late'}"
            row = replace(row, words=(*row.words, said)[-WORDS_MAX:])
    return replace(state, commands=_put(state.commands, fact.command_id, row, COMMANDS_MAX))


# --- charge points ---


def _remembered(state: SiteState, at_ms: int, fact: Fact) -> SiteState:
    charge_point = getattr(fact, "charge_point", None)
    if charge_point is None:
        return state
    before = state.histories.get(charge_point) or History()
    after = before.taking(at_ms, fact)
    if after is before:
        return state
    return replace(state, histories=_put(state.histories, charge_point, after, CHARGE_POINTS_MAX))


def _connection(state: SiteState, at_ms: int, fact: ConnectionFact) -> SiteState:
    row = _charge_point(state, fact.charge_point)
    match fact:
        case ChargePointConnected():
            row = replace(
                row,
                connected=True,
                version=fact.version,
                since_ms=at_ms,
                connection=fact.connection,
                reason="",
            )
            if fact.replaced_answered:
                row = replace(row, identity_doubled_at_ms=at_ms)
        case ChargePointDisconnected():
            if fact.connection != row.connection:  # a late close of an old one touches nothing
                return state
            row = replace(row, connected=False, since_ms=at_ms, reason=fact.reason)
        case ChargePointBooted():
            row = replace(
                row,
                vendor=fact.vendor,
                model=fact.model,
                firmware=fact.firmware,
                booted_at_ms=at_ms,
            )
    state = _with_charge_point(state, row)
    return _came_in(state, fact) if isinstance(fact, ChargePointConnected) else state


def _connector(state: SiteState, at_ms: int, fact: ConnectorFact) -> SiteState:
    charge_point = _charge_point(state, fact.charge_point)
    row = charge_point.connectors.get(fact.connector, ConnectorRow())
    match fact:
        case ConnectorStatusChanged():
            row = replace(row, status=fact.status, error_code=fact.error_code, since_ms=at_ms)
        case AvailabilityChanged():
            row = replace(row, availability=fact.availability)
    connectors = _put(charge_point.connectors, fact.connector, row, CONNECTORS_MAX)
    return _with_charge_point(state, replace(charge_point, connectors=connectors))


def _charge_point(state: SiteState, charge_point: str) -> ChargePointRow:
    return state.charge_points.get(charge_point, ChargePointRow(charge_point=charge_point))


def _with_charge_point(state: SiteState, row: ChargePointRow) -> SiteState:
    rows = _put(state.charge_points, row.charge_point, row, CHARGE_POINTS_MAX)
    return replace(state, charge_points=rows)


# --- rules, storage, the journal's own ---


def _rules(state: SiteState, place: Place, at_ms: int, fact: RulesFact) -> SiteState:
    match fact:
        case RulesActivated():
            row = RulesRow(place=place, at_ms=at_ms, version=fact.version, hash=fact.hash)
            rows = (*state.rules, row)[-KEPT_MAX:]
            return replace(state, rules=rows, rules_text=fact.text)
        case RulesRefused():
            which = "a bundle" if fact.version is None else f"version {fact.version}"
            note = Note(place=place, at_ms=at_ms, what=f"{which}: {fact.reason}")
            return replace(state, rules_refused=(*state.rules_refused, note)[-KEPT_MAX:])
        case DriverTokensRefused():
            return replace(state, tokens_refused=fact)
        case DriverTokensInstalled():
            return replace(state, tokens_refused=None)


def _at_the_door(state: SiteState, at_ms: int, fact: Fact) -> SiteState:
    match fact:
        case EntryRefused():
            key = (fact.problem, fact.claimed, fact.address)
            before = {one: told for one, told in state.entries_refused.items() if one != key}
            refused = _put(before, key, (at_ms, fact), ENTRIES_MAX)
            return replace(state, entries_refused=refused)
        case ChargePointRegistered():
            row = replace(
                _charge_point(state, fact.charge_point),
                registered=True,
                security_profile=fact.security_profile,
                next_security_profile=fact.next_security_profile,
            )
            return _seen_to(_with_charge_point(state, row), fact.charge_point)
        case ChargePointUnregistered():
            row = replace(
                _charge_point(state, fact.charge_point),
                registered=False,
                security_profile=None,
                next_security_profile=None,
            )
            return _seen_to(_with_charge_point(state, row), fact.charge_point)
        case PendingEnded():
            return _without_entries(
                state, lambda key: key[:2] == (EntryProblem.PENDING, fact.claimed)
            )
        case DoorConditionsChanged():
            return replace(state, door=fact.conditions)
        case _:
            return state


def _seen_to(state: SiteState, charge_point: str) -> SiteState:
    """Whatever was wrong about it at the door, an operator has seen to it."""
    return _without_entries(state, lambda key: key[1] == charge_point)


def _came_in(state: SiteState, fact: ChargePointConnected) -> SiteState:
    """By what is registered, from where it was refused for showing something else: that is mended. That passwords were
    tried there is not: the last guess may have been right.
    """
    address = fact.remote.rpartition(":")[0]
    mended = {(problem, fact.charge_point, address) for problem in MENDED_BY_COMING_IN}
    return _without_entries(state, mended.__contains__)


def _without_entries(state: SiteState, is_over: Callable[[EntryKey], bool]) -> SiteState:
    left = {key: told for key, told in state.entries_refused.items() if not is_over(key)}
    if len(left) == len(state.entries_refused):
        return state
    return replace(state, entries_refused=left)


def _journal(state: SiteState, place: Place, at_ms: int, fact: Fact) -> SiteState:
    match fact:
        case IncarnationOpened():
            life = Life(incarnation=place.incarnation, opened_at_ms=at_ms, cause=fact.cause)
            # A new disk knows no override, and has refused nothing yet.
            lives = (*state.lives, life)[-KEPT_MAX:]
            return replace(state, lives=lives, overrides=(), tokens_refused=None, door=())
        case OverrideBegun() | OverrideEnded():
            return replace(state, overrides=fact.standing)
        case SessionCapNotKept():
            put = _put(state.uncapped, fact.session, fact, KEPT_MAX)
            return replace(state, uncapped=put)
        case SessionStopped():
            left = {one: row for one, row in state.uncapped.items() if one != fact.session}
            return replace(state, uncapped=left)
        case StorageLevelChanged():
            return replace(state, storage_level=fact.level, storage_since_ms=at_ms)
        case Checkpoint():
            return replace(state, checkpoint_seq=fact.seq, checkpoint_at_ms=at_ms)
        case MessageQuarantined():
            what = f"{fact.stream} {fact.seq}: {fact.reason}"
            note = Note(place=place, at_ms=at_ms, what=what)
            return replace(
                state,
                quarantined=(*state.quarantined, note)[-KEPT_MAX:],
                quarantined_count=state.quarantined_count + 1,
            )
        case JournalDamaged():
            what = f"entries {fact.from_seq} to {fact.to_seq} {fact.what}"
            note = Note(place=place, at_ms=at_ms, what=what)
            return replace(state, damaged=(*state.damaged, note)[-KEPT_MAX:])
        case Unknown():
            return replace(state, unknown_count=state.unknown_count + 1)
        case _:
            return _at_the_door(state, at_ms, fact)


def _put(rows: Mapping[Key, Value], key: Key, value: Value, at_most: int) -> dict[Key, Value]:
    """With one row more or another; at the bound the one that came first goes."""
    changed = {**rows, key: value}
    if len(changed) > at_most:
        del changed[next(iter(changed))]
    return changed


def _counted(counts: Mapping[Any, int], key: Any) -> dict[Any, int]:
    return {**counts, key: counts.get(key, 0) + 1}
