"""The site's mode, and when it changes.

    decide(policy, state, event) -> (state, effects)

Learn first (`learning.py`: what the event says), then judge (`_judge`: what that means for the mode).
Changes for the worse happen at once. Improvements wait until they are sure (hysteresis), until a link that
relapsed has held for its latch, and, unless it was an ordinary cut, until the bound on changes has room.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from holdfast.contracts.mode import Mode, ModeChanged, Override, OverrideKind, Reason
from holdfast.contracts.rules import ModeRules
from mode_manager.domain import link, overrides
from mode_manager.domain.events import (
    ChangeMode,
    Effect,
    EndOverride,
    Event,
    Lesson,
    Moment,
    OverridesStand,
    RulesStand,
    Started,
    StorageChanged,
)
from mode_manager.domain.impairments import (
    BEYOND_RECOVERY,
    LEAVES_SOMETHING_OPEN,
    OF_THE_LINK,
    WAIVED_BY,
    is_planned,
    maintenance,
    sentence,
    standing,
)
from mode_manager.domain.learning import keep_account, learn
from mode_manager.domain.state import RELAPSE_FALLS, State, counts, falls, has_room
from mode_manager.domain.table import BETTER, TRANSITIONS


def decide(
    policy: ModeRules, state: State | None, event: Event
) -> tuple[State, tuple[Effect, ...]]:
    """`state` is None before `Started` only."""
    if isinstance(event, Started):
        return _start(event)
    assert state is not None, "the first event is Started"
    moment = event.moment
    state = learn(policy, state, event)
    state, over = _end_overrides(state, moment)
    reasons = standing(policy, state, moment)
    state = keep_account(state, reasons, moment, planned=is_planned(state, moment))
    verdict = _judge(policy, state, reasons, moment)
    if verdict is None:
        return state, over
    cause = verdict.cause or _entry_of(event) or _of_maintenance(over)
    state, effect = _change(policy, state, verdict, moment, cause)
    return state, (*over, effect)


# --- start ---


def _start(event: Started) -> tuple[State, tuple[Effect, ...]]:
    """In the mode last journaled, or autonomous: nothing is known yet."""
    moment, last = event.moment, event.last
    begun_ms = moment.mono_ms
    state = State(
        mode=last.mode if last else Mode.AUTONOMOUS,
        reasons=last.reasons if last else (Reason.STARTED,),
        since_at_ms=last.since_ms if last else moment.at_ms,
        disruption=last.disruption if last else moment.fresh_id,
        counted_ms=tuple(sorted(begun_ms - ago_ms for ago_ms in event.changed_ago_ms)),
        fell_ms=tuple(sorted(begun_ms - ago_ms for ago_ms in event.fell_ago_ms))[-RELAPSE_FALLS:],
        incarnation=event.incarnation,
        link=link.Link(heard_ms=begun_ms),
        head_ms=begun_ms,
        overrides=event.overrides,
        overrides_seq=event.overrides_seq,
        # Not known any more whether anything was kept back: assume it.
        has_open=last is None or last.mode is not Mode.CONNECTED,
    )
    if last:
        return state, ()
    fact = ModeChanged(
        previous=None,
        mode=state.mode,
        reasons=state.reasons,
        since_ms=state.since_at_ms,
        disruption=state.disruption,
        detail="no mode is journaled in this incarnation",
    )
    return state, (ChangeMode(id=moment.fresh_id, fact=fact),)


# --- overrides ---


def _end_overrides(state: State, moment: Moment) -> tuple[State, tuple[EndOverride, ...]]:
    """Those whose time is up are over at once; the entry follows."""
    over = tuple(one for one in state.overrides if overrides.is_over(one, moment.at_ms))
    if not over:
        return state, ()
    left = tuple(one for one in state.overrides if one not in over)
    effects = (
        EndOverride(id=overrides.ended_id(one), override=one, ended_at_ms=moment.at_ms)
        for one in over
    )
    return replace(state, overrides=left), tuple(effects)


def _of_maintenance(over: tuple[EndOverride, ...]) -> str | None:
    """What comes at the moment maintenance ends, came of that."""
    ends = (one.id for one in over if one.override.kind is OverrideKind.MAINTENANCE)
    return next(ends, None)


# --- judging ---


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    mode: Mode
    reasons: tuple[Reason, ...]
    cause: str | None = None
    waived: frozenset[Reason] = frozenset()


def _judge(
    policy: ModeRules, state: State, reasons: tuple[Reason, ...], moment: Moment
) -> _Verdict | None:
    """The change that is due now, if any."""
    kept_by = maintenance(state, moment)
    if state.mode is not Mode.AUTONOMOUS and (kept_by or Reason.PULSE_LOST in reasons):
        return _Verdict(mode=Mode.AUTONOMOUS, reasons=reasons, cause=_begin_of(kept_by))
    if kept_by:
        return None
    verdict: _Verdict | None
    match state.mode:
        case Mode.CONNECTED:
            return _of_connected(state, reasons)
        case Mode.DEGRADED:
            verdict = _of_degraded(policy, state, moment)
        case Mode.AUTONOMOUS:
            verdict = _of_autonomous(policy, state, reasons, moment)
        case Mode.RECOVERY:
            verdict = _of_recovery(state, reasons)
        case _:
            assert_never(state.mode)
    if verdict is None:
        return None
    waits = (state.mode, verdict.mode) in BETTER and not has_room(policy, state, moment.mono_ms)
    return None if waits else verdict


def _begin_of(override: Override | None) -> str | None:
    """An override's id is that of the entry which began it."""
    return override.id if override else None


def _of_connected(state: State, reasons: tuple[Reason, ...]) -> _Verdict | None:
    against = tuple(reason for reason in reasons if reason not in state.waived)
    if not against:
        return None
    return _Verdict(mode=Mode.DEGRADED, reasons=_first(against, reasons))


def _of_degraded(policy: ModeRules, state: State, moment: Moment) -> _Verdict | None:
    mono_ms = moment.mono_ms
    clear_ms = 0 if state.clear_since_ms is None else mono_ms - state.clear_since_ms
    sure = state.clear_since_ms is not None and clear_ms >= policy.stable_for_ms
    if not sure or not _link_is_back(policy, state, mono_ms):
        return None
    if _something_is_open(state):
        return _Verdict(mode=Mode.RECOVERY, reasons=(Reason.IMPAIRMENT_OVER,))
    return _Verdict(mode=Mode.CONNECTED, reasons=(Reason.IMPAIRMENT_OVER,))


def _of_autonomous(
    policy: ModeRules, state: State, reasons: tuple[Reason, ...], moment: Moment
) -> _Verdict | None:
    if _link_is_back(policy, state, moment.mono_ms):
        beyond = tuple(reason for reason in reasons if reason in BEYOND_RECOVERY)
        if beyond:
            return _Verdict(mode=Mode.DEGRADED, reasons=_first(beyond, reasons))
        return _Verdict(mode=Mode.RECOVERY, reasons=(Reason.PULSES_STABLE, *reasons))
    if link.limps(policy, state.link, moment.mono_ms):
        unstable = (Reason.UPLINK_UNSTABLE,)
        return _Verdict(mode=Mode.DEGRADED, reasons=_first(unstable, reasons))
    return None


def _of_recovery(state: State, reasons: tuple[Reason, ...]) -> _Verdict | None:
    beyond = tuple(reason for reason in reasons if reason in BEYOND_RECOVERY)
    if beyond:
        return _Verdict(mode=Mode.DEGRADED, reasons=_first(beyond, reasons))
    if state.ended is None:
        return None
    points, cause = state.ended.open_points, state.ended.cause
    named = frozenset(WAIVED_BY[point.step] for point in points if point.step in WAIVED_BY)
    against = tuple(reason for reason in reasons if reason not in named)
    if against:
        return _Verdict(mode=Mode.DEGRADED, reasons=_first(against, reasons), cause=cause)
    result = Reason.OPEN_POINTS if points else Reason.RECOVERED
    waived = named & frozenset(reasons)
    return _Verdict(mode=Mode.CONNECTED, reasons=(result, *reasons), cause=cause, waived=waived)


def _link_is_back(policy: ModeRules, state: State, mono_ms: int) -> bool:
    return (
        link.is_stable(policy, state.link, mono_ms)
        and not link.is_unstable(policy, state.link, mono_ms)
        and not link.is_latched(policy, state.link, mono_ms)
    )


def _something_is_open(state: State) -> bool:
    """Decided or kept back locally, or written while impaired and not yet confirmed by the cloud."""
    head_seq = state.clear_head_seq
    return state.has_open or head_seq is None or state.sync.watermark < head_seq


def _first(bringing: tuple[Reason, ...], all_standing: tuple[Reason, ...]) -> tuple[Reason, ...]:
    return (*bringing, *(reason for reason in all_standing if reason not in bringing))


# --- changing ---


def _entry_of(event: Lesson) -> str | None:
    """The journal entry that this event came from; pulses and time have none, their reason says it all."""
    return event.cause if isinstance(event, StorageChanged | RulesStand | OverridesStand) else None


def _change(
    policy: ModeRules, state: State, verdict: _Verdict, moment: Moment, cause: str | None
) -> tuple[State, ChangeMode]:
    transition = (state.mode, verdict.mode)
    assert transition in TRANSITIONS, f"{transition} is in no table"
    connected = verdict.mode is Mode.CONNECTED
    # Named by the entry that begins it; none once the site is connected again.
    begun = moment.fresh_id if state.mode is Mode.CONNECTED else state.disruption
    disruption = None if connected else begun
    reasons = _with_unmentioned(state, verdict)
    if not connected and is_planned(state, moment):
        reasons = (*(reason for reason in reasons if reason is not Reason.PLANNED), Reason.PLANNED)
    fact = ModeChanged(
        previous=state.mode,
        mode=verdict.mode,
        reasons=reasons,
        since_ms=moment.at_ms,
        disruption=disruption,
        detail=sentence(reasons[0], state, moment),
    )
    counted_ms = state.counted_ms
    if counts(verdict.mode):
        counted_ms = (*counted_ms, moment.mono_ms)[-policy.changes_max :]
    fell_ms = state.fell_ms
    if falls(state.mode, verdict.mode, reasons):
        fell_ms = (*fell_ms, moment.mono_ms)[-RELAPSE_FALLS:]
    changed = replace(
        state,
        mode=verdict.mode,
        reasons=reasons,
        since_at_ms=moment.at_ms,
        disruption=disruption,
        unmentioned=(),
        counted_ms=counted_ms,
        fell_ms=fell_ms,
        link=_link_after(state, verdict, better=transition in BETTER),
        has_open=not connected and _opens(state, verdict),
        waived=verdict.waived,
        ended=None,
    )
    return changed, ChangeMode(id=moment.fresh_id, fact=fact, cause=cause)


def _with_unmentioned(state: State, verdict: _Verdict) -> tuple[Reason, ...]:
    """No impairment goes unsaid: what came, or came and went, is named when the mode next changes."""
    said = verdict.reasons
    late_was_lost = Reason.PULSE_LOST in said
    rest = (
        reason
        for reason in state.unmentioned
        if reason not in said and not (late_was_lost and reason is Reason.PULSE_LATE)
    )
    return (*said, *rest)


def _link_after(state: State, verdict: _Verdict, *, better: bool) -> link.Link:
    if better:
        return link.trusted(state.link)
    return link.fell(state.link) if OF_THE_LINK & frozenset(verdict.reasons) else state.link


def _opens(state: State, verdict: _Verdict) -> bool:
    """Once open, open until connected; and leaving connected may open something by itself."""
    return state.has_open or bool(LEAVES_SOMETHING_OPEN & frozenset(verdict.reasons))
