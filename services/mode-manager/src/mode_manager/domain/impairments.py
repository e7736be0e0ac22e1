"""What stands against `connected` at a moment: the named reasons, gravest first, each with its sentence."""

from __future__ import annotations

from holdfast.contracts.journal import StorageLevel
from holdfast.contracts.mode import CsmsState, Override, OverrideKind, Reason
from holdfast.contracts.recovery import Step
from holdfast.contracts.rules import ModeRules
from mode_manager.domain import link, overrides
from mode_manager.domain.events import Moment
from mode_manager.domain.state import State

GRAVEST_FIRST = (
    Reason.MAINTENANCE,
    Reason.PULSE_LOST,
    Reason.PULSE_LATE,
    Reason.UPLINK_UNSTABLE,
    Reason.JOURNAL,
    Reason.STORAGE,
    Reason.CSMS,
    Reason.SYNC_STALLED,
    Reason.CLOCK,
    Reason.RULES_EXPIRED,
    Reason.RULES_STALE,
)

BEYOND_RECOVERY = frozenset(
    {Reason.MAINTENANCE, Reason.JOURNAL, Reason.STORAGE, Reason.CSMS, Reason.CLOCK}
)
"""The recovery procedure can't heal these: while one stands the site is degraded instead."""

LEAVES_SOMETHING_OPEN = frozenset(
    {Reason.MAINTENANCE, Reason.PULSE_LOST, Reason.CSMS, Reason.SYNC_STALLED}
)
"""While one of these stood, something was kept back for others."""

OF_THE_LINK = frozenset({Reason.PULSE_LOST, Reason.PULSE_LATE, Reason.UPLINK_UNSTABLE})

WAIVED_BY = {Step.JOURNAL_COPIED: Reason.SYNC_STALLED, Step.RULES_CURRENT: Reason.RULES_STALE}
"""A recovery step left open names the impairment: it is known, and takes nobody out of connected again."""


def standing(policy: ModeRules, state: State, moment: Moment) -> tuple[Reason, ...]:
    return tuple(reason for reason in GRAVEST_FIRST if _stands(reason, policy, state, moment))


def is_planned(state: State, moment: Moment) -> bool:
    """This disruption was announced: named beside the reasons, and none itself."""
    kind = OverrideKind.PLANNED_DISRUPTION
    return overrides.standing(state.overrides, kind, moment.at_ms) is not None


def maintenance(state: State, moment: Moment) -> Override | None:
    return overrides.standing(state.overrides, OverrideKind.MAINTENANCE, moment.at_ms)


def _stands(reason: Reason, policy: ModeRules, state: State, moment: Moment) -> bool:
    if reason in OF_THE_LINK:
        return _link_stands(reason, policy, state, moment.mono_ms)
    if reason in (Reason.RULES_EXPIRED, Reason.RULES_STALE):
        return _rules_stand(reason, policy, state, moment)
    match reason:
        case Reason.MAINTENANCE:
            return maintenance(state, moment) is not None
        case Reason.JOURNAL:
            return moment.mono_ms - state.head_ms >= policy.degraded_after_ms
        case Reason.STORAGE:
            return state.storage is not StorageLevel.OK
        case Reason.CSMS:
            return state.csms is CsmsState.DOWN
        case Reason.SYNC_STALLED:
            return state.sync.is_stalled
        case Reason.CLOCK:
            return abs(state.clock_offset_ms) > policy.clock_offset_ms_max
        case _:
            raise AssertionError(f"{reason} is no impairment")


def _link_stands(reason: Reason, policy: ModeRules, state: State, mono_ms: int) -> bool:
    lost = link.is_lost(policy, state.link, mono_ms)
    if reason is Reason.PULSE_LOST:
        return lost
    if reason is Reason.PULSE_LATE:
        return not lost and link.is_late(policy, state.link, mono_ms)
    return link.is_unstable(policy, state.link, mono_ms)


def _rules_stand(reason: Reason, policy: ModeRules, state: State, moment: Moment) -> bool:
    if reason is Reason.RULES_EXPIRED:
        until_ms = state.rules_valid_until_ms
        return until_ms is not None and moment.at_ms >= until_ms
    since_ms = state.rules_differ_since_ms
    return since_ms is not None and moment.mono_ms - since_ms >= policy.rules_stale_after_ms


def sentence(reason: Reason, state: State, moment: Moment) -> str:
    """For the operator: what this reason rests on now."""
    if reason in OF_THE_LINK:
        return _link_sentence(reason, state, moment.mono_ms)
    match reason:
        case Reason.MAINTENANCE:
            override = maintenance(state, moment)
            return overrides.said(override) if override else ""
        case Reason.JOURNAL:
            return f"the journal service gives no head since {moment.mono_ms - state.head_ms} ms"
        case Reason.STORAGE:
            return f"storage level {state.storage.value}"
        case Reason.CSMS:
            return "the cloud reports the CSMS as down"
        case Reason.SYNC_STALLED:
            return (
                f"the watermark {state.sync.watermark} has not reached {state.sync.due_seq} in time"
            )
        case Reason.CLOCK:
            return f"the cloud's clock is {state.clock_offset_ms} ms from ours"
        case Reason.RULES_EXPIRED:
            return f"rules {state.rules_version} were valid until {state.rules_valid_until_ms}"
        case Reason.RULES_STALE:
            return f"rules {state.rules_version} are active, the cloud wants {state.desired_rules_version}"
        case _:
            return ""


def _link_sentence(reason: Reason, state: State, mono_ms: int) -> str:
    if reason is Reason.UPLINK_UNSTABLE:
        return f"the uplink broke {len(state.link.breaks_ms)} times in the last window"
    return f"no answered pulse for {mono_ms - state.link.heard_ms} ms"
