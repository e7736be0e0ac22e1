"""What is sent next on a connection where nothing is under way. One outstanding CALL, always.

the last boot > an authorise that somebody waits for > transactions and live messages, as journaled
              > replayed errors and messages of class G > the newest status of each connector, once
              > the newest of each key of class L, once > a heartbeat
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from csms_bridge.domain import authorising, deliveries, taking
from csms_bridge.domain.events import Effect, Happened, RelayAsked, Send
from csms_bridge.domain.kept import Attempt, handled, told_latest
from csms_bridge.domain.outgoing import Item, Part, Place, is_send, message_id_of
from csms_bridge.domain.payload import Malformed, with_transaction
from csms_bridge.domain.state import Outstanding, Policy, State
from csms_bridge.domain.talking import BOOT
from holdfast.contracts.csms import Phase
from holdfast.contracts.rules import Orphans
from holdfast.ocpp import frames

Step = tuple[State, list[Effect]]

SETTLE_MS = 1_000
"""Without a replayed fact for so long the replay is over: what counts only at its end is not told before."""
NO_TRANSACTION = -1
"""OCPP 1.6 errata 3.18: of a session whose start got no answer."""


def next_call(policy: Policy, state: State, now: Happened) -> Step:
    live = state.live
    if live.connection is None or live.outstanding is not None:
        return state, []
    if live.phase in (Phase.BOOTING, Phase.PENDING, Phase.REJECTED):
        return _boot(state, now) if now.mono_ms >= live.next_mono_ms else (state, [])
    if live.phase is not Phase.ACCEPTED:
        return state, []
    if live.asked:
        return _authorise(state, now)
    if now.mono_ms < live.next_mono_ms:
        return state, []
    if live.boot_due and state.boot is not None:
        return _boot(state, now)
    return _message(policy, state, now)


def waits_for_saving(state: State) -> bool:
    """The next message rests on what is not durable yet."""
    live, kept = state.live, state.kept
    if live.outstanding is not None or not live.queue:
        return False
    item = live.queue[0]
    if item.part is Part.START:
        return kept.attempt is not None and live.saved.attempt != kept.attempt
    if not isinstance(item.transaction, int):
        return False
    known = kept.transactions.get(item.transaction)
    return known is not None and live.saved.transactions.get(item.transaction) != known


def _message(policy: Policy, state: State, now: Happened) -> Step:
    """Those that are not this backend's are passed over, however many there are."""
    effects: list[Effect] = []
    while state.live.queue and state.live.queue[0].version is state.live.version:
        state, done, sent = _head(policy, state, state.live.queue[0], now)
        effects += sent
        if done:
            return state, effects
    if state.live.queue:
        return state, effects  # of another version: on a connection of its own
    state, sent = _after_transactions(policy, state, now)
    return state, [*effects, *sent]


def _after_transactions(policy: Policy, state: State, now: Happened) -> Step:
    live = state.live
    is_more_to_come = live.spilled_after is not None or (
        live.replayed_mono_ms is not None and now.mono_ms - live.replayed_mono_ms < SETTLE_MS
    )
    # Where errors alone leave no room to read on, they go before the transactions still in the stream.
    if live.errors and not (is_more_to_come and taking.is_to_refill(policy, state)):
        if live.errors[0].version is not live.version:
            return state, []
        return _item(state, live.errors[0], live.errors[0].raw, now)
    if is_more_to_come:
        return state, []
    for connector in state.untold:
        raw = state.kept.statuses[connector].raw
        return _own(state, "StatusNotification", raw, now, connector=connector)
    sends: list[Effect] = []
    for key in state.untold_latest:
        newest = state.kept.latest[key]
        if not is_send(newest.version, newest.action):
            state, sent = _own(
                state, newest.action, newest.raw, now, latest=key, place=newest.place
            )
            return state, [*sends, *sent]
        sends.append(_send(state, message_id_of(newest.place), newest.action, newest.raw))
        state = _with_unproven(state, key, newest.place)
        state = state.with_kept(told_latest(state.kept, key, newest.place))
    if sends:
        return state, sends
    # A CSMS that was silent is asked at once whether it is back, if there is nothing else to say.
    is_silent = live.silent_since_mono_ms is not None
    if is_silent or now.mono_ms - live.heard_mono_ms >= live.heartbeat_ms:
        return _own(state, "Heartbeat", "{}", now)
    return state, []


def _head(
    policy: Policy, state: State, item: Item, now: Happened
) -> tuple[State, bool, list[Effect]]:
    """(state, nothing more for now, effects)"""
    match item.part:
        case _ if item.is_send:
            state, sent = _for_good(state, item)
            return state, False, sent
        case Part.START:
            return _start(state, item, now)
        case Part.METER | Part.STOP if item.is_of_2x:
            return _of_transaction(policy, state, item, now)
        case Part.METER | Part.STOP:
            return _of_session(policy, state, item, now)
        case Part.BOOT if _is_said(state, item):
            state = state.with_kept(handled(state.kept, item, delivered=False))
            return state.with_live(queue=state.live.queue[1:]), False, []
        case _:
            state, sent = _item(state, item, item.raw, now)
            return state, True, sent


def _is_said(state: State, item: Item) -> bool:
    """The connection opened with this boot, or with a newer one."""
    boot = state.boot
    said = state.live.booted
    return boot is not None and said is not None and state.kept.is_past(item.place, said)


def _start(state: State, item: Item, now: Happened) -> tuple[State, bool, list[Effect]]:
    kept = state.kept
    if kept.has_begun(item.transaction):
        state, noted = deliveries.skipped(state, item, "its session is there already")
        return state, False, noted
    if kept.attempt is None or kept.attempt.place != item.place:
        kept = replace(kept, attempt=Attempt(place=item.place, sent=False))
        return state.with_kept(kept), True, []
    if state.live.saved.attempt != kept.attempt:
        return state, True, []  # first it must be known that it may have been sent
    state, sent = _item(state, item, item.raw, now)
    return state, True, sent


def _of_session(
    policy: Policy, state: State, item: Item, now: Happened
) -> tuple[State, bool, list[Effect]]:
    assert isinstance(item.transaction, int)
    known = state.kept.transactions.get(item.transaction)
    if known is None:
        if state.kept.is_past(item.place, state.kept.attached):
            state, noted = deliveries.skipped(state, item, "begun before this backend came")
        else:
            why = "the start of its session never came"
            state, noted = deliveries.quarantined(state, item, why)
        return state, False, noted
    csms_id = known.csms_id
    if csms_id is None:
        if policy.rules.orphans is Orphans.HOLD:
            why = "the start of its session is in quarantine"
            state, noted = deliveries.quarantined(state, item, why)
            return state, False, noted
        csms_id = NO_TRANSACTION
    elif state.live.saved.transactions.get(item.transaction) != known:
        return state, True, []  # first the id must be safe
    try:
        raw = with_transaction(item.raw, csms_id)
    except Malformed as error:
        state, noted = deliveries.quarantined(state, item, f"its payload is {error}")
        return state, False, noted
    state, sent = _item(state, item, raw, now)
    return state, True, sent


def _of_transaction(
    policy: Policy, state: State, item: Item, now: Happened
) -> tuple[State, bool, list[Effect]]:
    """Of 2.x, as it came: the id is the station's own, whether or not its begin is known."""
    assert isinstance(item.transaction, str)
    known = state.kept.passed.get(item.transaction)
    if known is None and state.kept.is_past(item.place, state.kept.attached):
        state, noted = deliveries.skipped(state, item, "begun before this backend came")
        return state, False, noted
    if known is not None and known.lost and policy.rules.orphans is Orphans.HOLD:
        why = "the start of its session is in quarantine"
        state, noted = deliveries.quarantined(state, item, why)
        return state, False, noted
    state, sent = _item(state, item, item.raw, now)
    return state, True, sent


def _for_good(state: State, item: Item) -> tuple[State, list[Effect]]:
    """A SEND: written, and done; unless the connection ends before the CSMS is heard again."""
    send = _send(state, item.message_id, item.action, item.raw)
    if item.key is not None:
        state = _with_unproven(state, item.key, item.place)
    return deliveries.sent_for_good(state, item), [send]


def _send(state: State, message_id: str, action: str, raw: str) -> Send:
    assert state.live.connection is not None
    frame = frames.send(message_id, action, raw)
    return Send(connection=state.live.connection, frame=frame, what=action)


def _with_unproven(state: State, key: str, place: Place) -> State:
    """Only what is its key's newest still: else that one is told."""
    newest = state.kept.latest.get(key)
    if newest is None or newest.place != place or newest.told:
        return state
    return state.with_live(unproven={**state.live.unproven, key: newest})


def _boot(state: State, now: Happened) -> Step:
    boot = state.boot
    if boot is None:
        return state.with_live(phase=Phase.ACCEPTED, since_ms=now.at_ms, boot_due=False), []
    state = state.with_live(boot_due=False, booted=boot.place)
    return _own(state, BOOT, boot.raw, now)


def _authorise(state: State, now: Happened) -> Step:
    asked, *rest = state.live.asked
    state = state.with_live(asked=tuple(rest))
    if isinstance(asked, RelayAsked):
        return _own(state, asked.action, asked.raw, now, request=asked.request, is_relayed=True)
    payload = authorising.payload_of(asked)
    return _own(state, authorising.AUTHORIZE, payload, now, request=asked.request)


def _item(state: State, item: Item, raw: str, now: Happened) -> Step:
    outstanding = Outstanding(
        message_id=_message_id(state, item),
        action=item.action,
        since_mono_ms=now.mono_ms,
        item=item,
    )
    return _sent(state, outstanding, raw)


def _message_id(state: State, item: Item) -> str:
    """The entry's, however often it is sent, until it was answered: an id that was answered is spent (SteVe
    answers its repeat with CALLERROR whatever it says, and who deduplicates by id says the same again).
    """
    tried = state.live.tried
    refused = tried.refused if tried and tried.place == item.place else 0
    return f"{item.message_id}-r{refused}" if refused else item.message_id


def _own(
    state: State,
    action: str,
    raw: str,
    now: Happened,
    **meant: Any,
) -> Step:
    """A CALL of this connection, with an id that no other ever had; `meant`: what its answer is for."""
    number = state.live.calls + 1
    outstanding = Outstanding(
        message_id=f"hf-{state.live.connection}-{number}",
        action=action,
        since_mono_ms=now.mono_ms,
        **meant,
    )
    return _sent(state.with_live(calls=number), outstanding, raw)


def _sent(state: State, outstanding: Outstanding, raw: str) -> Step:
    assert state.live.connection is not None
    frame = frames.call(outstanding.message_id, outstanding.action, raw)
    send = Send(connection=state.live.connection, frame=frame, what=outstanding.action)
    return state.with_live(outstanding=outstanding), [send]
