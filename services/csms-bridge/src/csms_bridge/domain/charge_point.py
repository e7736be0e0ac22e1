"""One charge point at one backend: what its CSMS still has to hear, and how it hears it.

    decide(policy, state, event) -> (state, effects)

Each event is taken in, then `_advance` looks at the state and does what is due. `state.kept` is what must
be durable: the shell writes it whenever it differs from `state.live.saved`, and nothing is sent that rests on
what is not saved yet.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from csms_bridge.domain import (
    authorising,
    commanding,
    deliveries,
    refusals,
    sending,
    taking,
    talking,
)
from csms_bridge.domain.events import (
    AuthoriseAsked,
    CommandEnded,
    CommandNotTaken,
    CommandTaken,
    CommandWaits,
    Connect,
    Effect,
    Ended,
    Event,
    FrameCame,
    Happened,
    Journaled,
    Note,
    NotOpened,
    Opened,
    Refilled,
    RelayAsked,
    RoleChanged,
    Saved,
    Send,
    Settle,
    SiteReach,
    Tick,
)
from csms_bridge.domain.kept import Kept
from csms_bridge.domain.state import Live, Policy, State
from holdfast.contracts.csms import Phase
from holdfast.contracts.rules import Presence
from holdfast.ocpp import frames

Step = tuple[State, list[Effect]]


def restored(state: State, kept: Kept) -> State:
    """Taken over, or started again: a start that was about to be sent may have been."""
    attempt = replace(kept.attempt, sent=True) if kept.attempt else None
    live = Live(primary=state.live.primary, saved=kept)
    return replace(state, kept=replace(kept, attempt=attempt), live=live)


def decide(policy: Policy, state: State, event: Event) -> Step:
    state, effects = _take(policy, state, event)
    state, due = _advance(policy, state, event)
    return state, [*effects, *due]


def _take(policy: Policy, state: State, event: Event) -> Step:  # noqa: C901, PLR0912  one line per event
    match event:
        case Journaled():
            return taking.journaled(policy, state, event), []
        case Refilled():
            return taking.refilled(state, event)
        case Saved(kept=kept):
            return state.with_live(saved=kept), []
        case Opened():
            return talking.opened(state, event)
        case NotOpened():
            return talking.not_opened(policy, state, event), []
        case Ended():
            return talking.ended(policy, state, event)
        case FrameCame():
            return _frame(policy, state, event)
        case Tick():
            return state, []
        case SiteReach(reachable=reachable, behind=behind):
            since = state.live.away_since_mono_ms
            away = None if reachable else (event.mono_ms if since is None else since)
            return state.with_live(away_since_mono_ms=away, is_behind=behind), []
        case RoleChanged(primary=primary):
            state = state.with_live(primary=primary)
            return (state, []) if primary else authorising.unanswered(state)
        case AuthoriseAsked() | RelayAsked():
            return authorising.asked(state, event)
        case CommandTaken():
            return commanding.taken(state, event)
        case CommandNotTaken():
            return commanding.not_taken(state, event)
        case CommandWaits():
            return commanding.held(state, event)
        case CommandEnded():
            return commanding.ended(state, event)
        case Settle():
            return deliveries.settled(state, event)
        case _:
            assert_never(event)


def _frame(policy: Policy, state: State, event: FrameCame) -> Step:
    if event.connection != state.live.connection:
        return state, []
    parsed = frames.parse(event.frame)
    match parsed:
        case frames.Call():
            return commanding.called(policy, state, event, parsed)
        case frames.Result() | frames.Error():
            return talking.answered(policy, state, event, parsed)
        case frames.Send() | frames.ResultError():
            what = f"{type(parsed).__name__} of the CSMS left unread"
            return state, [Note(level="warning", what=what, names=())]
        case frames.Wrong(sentence=sentence):
            message_id = parsed.answered_id(state.live.version)
            note = Note(
                level="warning", what="frame of the CSMS refused", names=(("why", sentence),)
            )
            if message_id is None:
                return state, [note]
            frame = refusals.error(message_id, "GenericError", sentence)
            return state, [note, Send(connection=event.connection, frame=frame, what="answer")]
        case _:
            assert_never(parsed)


# --- what is due ---


def _advance(policy: Policy, state: State, now: Happened) -> Step:
    effects: list[Effect] = []
    for step in (authorising.expired, commanding.overdue):
        state, due = step(state, now)
        effects += due
    state, due = _connection(policy, state, now)
    effects += due
    state, due = _patience(policy, state, now)
    effects += due
    state, due = authorising.hopeless(state)
    effects += due
    state, due = sending.next_call(policy, state, now)
    effects += due
    state, due = taking.refill(policy, state)
    return state, [*effects, *due]


def _connection(policy: Policy, state: State, now: Happened) -> Step:
    live, wanted = state.live, is_wanted(policy, state, now)
    if live.connection is None:
        closed = live.phase in (Phase.CLOSED, Phase.REJECTED)
        if wanted and closed and _may_connect(policy, state, now):
            version = state.wanted_version
            state = state.with_live(
                phase=Phase.CONNECTING, since_ms=now.at_ms, closing=None, version=version
            )
            return state, [Connect(version=version)]
        if not wanted and closed:
            # Nobody waits for it: that it can't be reached says nothing now.
            return state.with_live(
                phase=Phase.CLOSED, silent_since_mono_ms=None, is_refused=False
            ), []
        return state, []
    if not wanted and live.outstanding is None:
        return talking.closed(policy, state, now, "the charge point is away")
    if state.wanted_version is not live.version and live.outstanding is None:
        why = f"the next messages are of OCPP {state.wanted_version.value}"
        return talking.closed(policy, state, now, why)
    return state, []


def _may_connect(policy: Policy, state: State, now: Happened) -> bool:
    """Never two connections of one charge point: the one before has ended, or is as good as dead."""
    live = state.live
    if now.mono_ms < live.next_mono_ms:
        return False
    return live.closing is None or now.mono_ms - live.closing_since_mono_ms >= policy.give_up_ms


def _patience(policy: Policy, state: State, now: Happened) -> Step:
    outstanding = state.live.outstanding
    if outstanding is None:
        return state, []
    waited_ms = now.mono_ms - outstanding.since_mono_ms
    if waited_ms >= policy.answer_ms and state.live.silent_since_mono_ms is None:
        state = state.with_live(silent_since_mono_ms=outstanding.since_mono_ms)
    if waited_ms < policy.give_up_ms:
        return state, []
    why = f"{outstanding.action} unanswered for {policy.give_up_ms} ms"
    return talking.given_up(policy, state, now, why)


def is_wanted(policy: Policy, state: State, now: Happened) -> bool:
    """Whether the CSMS should see this charge point, or still has to hear of it."""
    if state.has_backlog:
        return True
    live = state.live
    if live.away_since_mono_ms is not None:
        held = policy.rules.presence is Presence.HOLD
        away_ms = now.mono_ms - live.away_since_mono_ms
        if not held or away_ms >= policy.rules.hold_ms_max:
            return False
    if state.kept.connection is not None:
        return True
    left_ms = live.left_mono_ms
    return left_ms is not None and now.mono_ms - left_ms < policy.linger_ms
