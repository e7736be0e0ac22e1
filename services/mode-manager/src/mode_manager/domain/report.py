"""What `rpc.mode` answers: the mode in force and what it rests on at this moment."""

from __future__ import annotations

from holdfast.contracts.mode import Mode, ModeStatus, Reason
from holdfast.contracts.rules import ModeRules
from mode_manager.domain import link, overrides
from mode_manager.domain.events import Moment
from mode_manager.domain.impairments import is_planned, standing
from mode_manager.domain.state import State


def status(policy: ModeRules, state: State, moment: Moment, *, journaled: bool) -> ModeStatus:
    foremost = overrides.foremost(state.overrides, moment.at_ms)
    others = (one for one in state.overrides if one is not foremost)
    return ModeStatus(
        mode=state.mode,
        reasons=_with_planned(_reasons(policy, state, moment), state, moment),
        since_ms=state.since_at_ms,
        disruption=state.disruption,
        journaled=journaled,
        pulse_answered_at_ms=state.answered_at_ms,
        watermark=state.sync.watermark,
        head_seq=state.head_seq,
        desired_rules_version=state.desired_rules_version,
        csms=state.csms,
        override=foremost,
        overrides=(foremost, *others) if foremost else (),
        stable_link=link.is_stable(policy, state.link, moment.mono_ms),
    )


def _with_planned(reasons: tuple[Reason, ...], state: State, moment: Moment) -> tuple[Reason, ...]:
    """Said beside the others as long as it stands, and not as one that once did."""
    rest = tuple(reason for reason in reasons if reason is not Reason.PLANNED)
    planned = state.mode is not Mode.CONNECTED and is_planned(state, moment)
    return (*rest, Reason.PLANNED) if planned else rest


def _reasons(policy: ModeRules, state: State, moment: Moment) -> tuple[Reason, ...]:
    """Why it is (or is again) in this mode; while impaired, what stands now and not what stood at first."""
    if state.mode in (Mode.CONNECTED, Mode.RECOVERY):
        return state.reasons
    now = standing(policy, state, moment)
    if now:
        return now
    if link.is_latched(policy, state.link, moment.mono_ms):
        return (Reason.UPLINK_UNSTABLE,)
    return state.reasons
