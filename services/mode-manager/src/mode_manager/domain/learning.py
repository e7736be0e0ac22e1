"""What each event teaches about the site; nothing here changes the mode."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from holdfast.contracts.mode import Mode, Reason
from holdfast.contracts.rules import ModeRules
from mode_manager.domain import link, sync
from mode_manager.domain.events import (
    Lesson,
    LocallyBuffered,
    Moment,
    OverridesStand,
    PulseAnswered,
    PulseMissed,
    PulseSent,
    RecoveryEnded,
    RulesStand,
    StorageChanged,
    Tick,
)
from mode_manager.domain.impairments import LEAVES_SOMETHING_OPEN
from mode_manager.domain.state import Ended, State, impaired

_OF_SILENCE = (Reason.PULSE_LATE, Reason.PULSE_LOST)


def learn(policy: ModeRules, state: State, event: Lesson) -> State:
    """Take in what the event says."""
    mono_ms = event.moment.mono_ms
    match event:
        case PulseSent():
            state = _sent(state, event)
        case PulseAnswered():
            return _answered(policy, state, event)
        case PulseMissed():
            return replace(state, link=link.missed(policy, state.link, mono_ms))
        case StorageChanged() | RulesStand() | OverridesStand():
            state = _told(state, event)
        case RecoveryEnded(disruption=disruption):
            if state.mode is Mode.RECOVERY and disruption == state.disruption:
                ended = Ended(open_points=event.open_points, cause=event.cause)
                state = replace(state, ended=ended)
        case LocallyBuffered():
            state = replace(state, has_open=state.has_open or state.mode is not Mode.CONNECTED)
        case Tick():
            pass
        case _:
            assert_never(event)
    return replace(state, link=link.passed(policy, state.link, mono_ms))


def _told(state: State, event: StorageChanged | RulesStand | OverridesStand) -> State:
    """By an entry of the journal."""
    match event:
        case StorageChanged(level=level):
            return replace(state, storage=level)
        case RulesStand(version=version, valid_until_ms=until_ms):
            state = replace(state, rules_version=version, rules_valid_until_ms=until_ms)
            return _compare_rules(state, event.moment.mono_ms)
        case OverridesStand(seq=seq, overrides=said):
            is_newer = seq > state.overrides_seq
            return replace(state, overrides=said, overrides_seq=seq) if is_newer else state


def _sent(state: State, event: PulseSent) -> State:
    if event.head is None:
        return state
    return replace(state, head_seq=event.head.seq, head_ms=event.moment.mono_ms)


def _answered(policy: ModeRules, state: State, event: PulseAnswered) -> State:
    moment, reply = event.moment, event.reply
    watermark = reply.watermark if reply.incarnation == state.incarnation else 0
    head_seq = event.head.seq if event.head else None
    # The reply was written about half-way between sending and hearing.
    offset_ms = reply.at_ms - (event.sent_at_ms + moment.at_ms) // 2
    state = replace(
        state,
        link=link.answered(policy, state.link, moment.mono_ms),
        sync=sync.answered(policy, state.sync, head_seq, watermark, moment.mono_ms),
        csms=reply.csms,
        clock_offset_ms=offset_ms,
        desired_rules_version=reply.desired_rules_version,
        answered_at_ms=moment.at_ms,
    )
    return _compare_rules(state, moment.mono_ms)


def _compare_rules(state: State, mono_ms: int) -> State:
    """0 desired: the cloud has published none, so there is nothing to be behind."""
    if state.desired_rules_version in (0, state.rules_version):
        return replace(state, rules_differ_since_ms=None)
    if state.rules_differ_since_ms is None:
        return replace(state, rules_differ_since_ms=mono_ms)
    return state


def keep_account(
    state: State, reasons: tuple[Reason, ...], moment: Moment, *, planned: bool
) -> State:
    """Keep account of what stands: since when nothing does, what it left open, what is still waived."""
    waived = state.waived & frozenset(reasons)
    against = tuple(reason for reason in reasons if reason not in waived)
    state = replace(state, waived=waived)
    if state.mode is not Mode.CONNECTED and LEAVES_SOMETHING_OPEN & frozenset(reasons):
        state = replace(state, has_open=True)
    if impaired(state.mode):
        said = (*reasons, Reason.PLANNED) if planned else reasons
        state = replace(state, unmentioned=(*state.unmentioned, *_unsaid(state, said)))
    if against:
        return replace(state, clear_since_ms=None, clear_head_seq=None)
    if state.clear_since_ms is None:
        return replace(state, clear_since_ms=moment.mono_ms, clear_head_seq=state.head_seq)
    return state


def _unsaid(state: State, reasons: tuple[Reason, ...]) -> tuple[Reason, ...]:
    """That no pulse is answered goes without saying in autonomous."""
    implied = _OF_SILENCE if state.mode is Mode.AUTONOMOUS else ()
    named = (*state.reasons, *state.unmentioned, *implied)
    return tuple(reason for reason in reasons if reason not in named)
