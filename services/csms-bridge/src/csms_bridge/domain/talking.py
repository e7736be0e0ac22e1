"""One upstream connection: opened, booted, spoken on one CALL at a time, ended.

connecting -> booting -> accepted            pending, rejected: the boot is sent again when the CSMS said
                                             so, and nothing else before
"""

from __future__ import annotations

from csms_bridge.domain import authorising, deliveries
from csms_bridge.domain.events import (
    Close,
    Effect,
    Ended,
    FrameCame,
    Happened,
    Note,
    NotOpened,
    Opened,
)
from csms_bridge.domain.kept import told_latest, untold_again
from csms_bridge.domain.outgoing import NEWEST, Part
from csms_bridge.domain.payload import document_of, moment_ms, whole
from csms_bridge.domain.state import Outstanding, Policy, State
from holdfast.contracts.csms import Phase
from holdfast.ocpp import frames

Step = tuple[State, list[Effect]]

INTERVAL_S_MIN, INTERVAL_S_MAX = 1, 86_400
"""Whatever a CSMS says: neither does it flood itself, nor is it away for ever."""
HEARTBEAT_S = 300
"""Where it says none."""
BOOT = "BootNotification"
STEADY_MS = 10_000
"""A connection that was accepted and stood so long ended for no fault of this charge point's: the next one
comes soon."""


def opened(state: State, event: Opened) -> Step:
    boot = state.boot
    if boot is None:
        state = state.with_live(is_refused=False, problem="")  # its no was to the handshake
    state = state.with_live(
        phase=Phase.BOOTING if boot else Phase.ACCEPTED,
        since_ms=event.at_ms,
        connection=event.connection,
        opened_mono_ms=event.mono_ms,
        calls=0,
        calls_of_csms=0,
        next_mono_ms=0,
        heard_mono_ms=event.mono_ms,
        outstanding=None,
        boot_due=boot is not None,
        booted=None,
        told=frozenset(),
    )
    return state, []


def not_opened(policy: Policy, state: State, event: NotOpened) -> State:
    failures = state.live.failures + 1
    silent = state.live.silent_since_mono_ms
    if event.refused:
        silent = None  # it answers: with no; or it was not asked
    elif silent is None:
        silent = event.mono_ms
    return state.with_live(
        phase=Phase.REJECTED if event.refused and not event.local else Phase.CLOSED,
        since_ms=event.at_ms,
        connection=None,
        is_refused=event.refused,
        problem=event.why[:200],
        failures=failures,
        next_mono_ms=event.mono_ms + policy.back_off_ms(failures, event.jitter),
        silent_since_mono_ms=silent,
    )


def ended(policy: Policy, state: State, event: Ended) -> Step:
    live = state.live
    if event.connection == live.closing:
        return state.with_live(closing=None), []
    if event.connection != live.connection:
        return state, []
    stood_ms = event.mono_ms - live.opened_mono_ms
    is_steady = live.phase is Phase.ACCEPTED and stood_ms >= STEADY_MS
    failures = 0 if is_steady else live.failures + 1
    silent = live.silent_since_mono_ms
    state = state.with_live(
        problem=event.why[:200],
        failures=failures,
        next_mono_ms=event.mono_ms + policy.back_off_ms(failures, event.jitter),
        silent_since_mono_ms=event.mono_ms if silent is None else silent,
    )
    return _without_connection(policy, state, event, event.why)


def given_up(policy: Policy, state: State, now: Happened, why: str) -> Step:
    """As if it had ended by itself."""
    connection = state.live.connection
    assert connection is not None
    ended_now = Ended(
        at_ms=now.at_ms, mono_ms=now.mono_ms, connection=connection, why=why, jitter=state.spread
    )
    state, effects = ended(policy, state, ended_now)
    return _closing(state, now, connection), [Close(connection=connection, reason=why), *effects]


def closed(policy: Policy, state: State, now: Happened, why: str) -> Step:
    """Nobody needs it, and the CSMS has done nothing wrong."""
    connection = state.live.connection
    assert connection is not None
    state, effects = _without_connection(policy, state, now, why)
    state = state.with_live(silent_since_mono_ms=None, is_refused=False)
    return _closing(state, now, connection), [Close(connection=connection, reason=why), *effects]


def _closing(state: State, now: Happened, connection: str) -> State:
    return state.with_live(closing=connection, closing_since_mono_ms=now.mono_ms)


def _without_connection(policy: Policy, state: State, now: Happened, why: str) -> Step:
    """Whatever was under way is nobody's answer any more; a start may all the same have been taken."""
    live = state.live
    outstanding = live.outstanding
    state, effects = authorising.unanswered(state)
    state = state.with_kept(untold_again(state.kept, live.unproven))
    state = state.with_live(
        unproven={},
        phase=Phase.CLOSED,
        since_ms=now.at_ms,
        connection=None,
        outstanding=None,
        commands={},
        queue=tuple(item for item in live.queue if item.part not in NEWEST),
    )
    item = outstanding.item if outstanding is not None else None
    if item is None or item.part in NEWEST or item.part is Part.BOOT:
        return state, effects  # said anew by the next connection
    state, failed = deliveries.unanswered(policy, state, item, now, why)
    return state, [*effects, *failed]


def answered(
    policy: Policy, state: State, event: FrameCame, answer: frames.Result | frames.Error
) -> Step:
    outstanding = state.live.outstanding
    if outstanding is None or outstanding.message_id != answer.message_id:
        names = (("message_id", answer.message_id[:40]),)
        return state, [Note(level="warning", what="answer to nothing asked", names=names)]
    state = state.with_live(
        outstanding=None, silent_since_mono_ms=None, heard_mono_ms=event.mono_ms
    )
    if state.live.unproven:
        state = state.with_live(unproven={})  # they went before the CALL that is answered now
    if outstanding.request is not None:
        return state, [authorising.answered(state, outstanding, answer)]
    if outstanding.action == BOOT:
        return _booted(policy, state, event, outstanding, answer)
    if outstanding.item is not None:
        return deliveries.answered(policy, state, event, outstanding.item, answer)
    if outstanding.connector is not None:
        told = state.live.told | {outstanding.connector}
        return state.with_live(told=told), []
    if outstanding.latest is not None and outstanding.place is not None:
        kept = told_latest(state.kept, outstanding.latest, outstanding.place)
        return state.with_kept(kept), []
    return _clock(state, event, answer), []


# --- boot ---


def _booted(
    policy: Policy,
    state: State,
    event: FrameCame,
    outstanding: Outstanding,
    answer: frames.Result | frames.Error,
) -> Step:
    document = document_of(answer)
    status, interval_s = document.get("status"), whole(document.get("interval")) or 0
    effects: list[Effect] = []
    if outstanding.item is not None:
        state, effects = deliveries.delivered(policy, state, outstanding.item, "{}", event)
    state = _clock(state, event, answer)
    if status == "Accepted":
        state = state.with_live(
            phase=Phase.ACCEPTED,
            since_ms=state.live.since_ms if state.live.phase is Phase.ACCEPTED else event.at_ms,
            is_refused=False,
            problem="",
            next_mono_ms=0,
            heartbeat_ms=_bounded_s(interval_s if interval_s > 0 else HEARTBEAT_S) * 1000,
        )
        return state, effects
    return _not_accepted(policy, state, event, status, interval_s, answer), effects


def _not_accepted(
    policy: Policy,
    state: State,
    event: FrameCame,
    status: object,
    interval_s: int,
    answer: frames.Result | frames.Error,
) -> State:
    """Asked again when the CSMS said, or by our own back-off where it did not say."""
    phase = {"Pending": Phase.PENDING, "Rejected": Phase.REJECTED}.get(str(status))
    if phase is None:
        code = answer.code if isinstance(answer, frames.Error) else "no status"
        phase, problem = Phase.REJECTED, f"the CSMS answers BootNotification with {code[:40]}"
    else:
        problem = f"the CSMS answers BootNotification with {status}"
    failures = state.live.failures + 1
    wait_ms = (
        _bounded_s(interval_s) * 1000
        if interval_s > 0
        else policy.back_off_ms(failures, state.spread)
    )
    return state.with_live(
        phase=phase,
        since_ms=state.live.since_ms if state.live.phase is phase else event.at_ms,
        problem=problem,
        is_refused=phase is Phase.REJECTED,
        failures=failures,
        next_mono_ms=event.mono_ms + wait_ms,
        boot_due=True,
    )


def _bounded_s(seconds: int) -> int:
    return max(INTERVAL_S_MIN, min(INTERVAL_S_MAX, seconds))


def _clock(state: State, event: Happened, answer: frames.Result | frames.Error) -> State:
    """Measured, and nothing else: timestamps of the charge point are its own."""
    at_ms = moment_ms(document_of(answer).get("currentTime"))
    return state if at_ms is None else state.with_live(clock_offset_ms=at_ms - event.at_ms)
