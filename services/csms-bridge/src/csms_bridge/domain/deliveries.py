"""What the CSMS's answer to one message means, and what becomes of a message that it does not take."""

from __future__ import annotations

import json
from dataclasses import replace

from csms_bridge.domain.events import Effect, Happened, Note, Send, SendToSite, Settle
from csms_bridge.domain.kept import (
    Kept,
    Passed,
    Transaction,
    handled,
    joined,
    told_latest,
    with_open,
    with_passed,
    with_transaction,
    without_refusals_of,
)
from csms_bridge.domain.outgoing import NEWEST, TRANSACTIONAL, Item, Part, Place
from csms_bridge.domain.payload import Malformed, object_of, whole
from csms_bridge.domain.state import Policy, State, Tried
from holdfast.contracts.command import Command, Issuer
from holdfast.contracts.csms import OpenDelivery, Trouble
from holdfast.contracts.rules import RefusedStart
from holdfast.contracts.transaction import TransactionId
from holdfast.ocpp import frames
from holdfast.ocpp.versions import OcppVersion

Step = tuple[State, list[Effect]]

STOP_WITHIN_MS = 900_000
"""A session that the CSMS refused is stopped within this, or by whoever reads the open point."""
ACCEPTED, CONCURRENT = "Accepted", "ConcurrentTx"


class Unusable(Exception):
    """An answer that does not say what it must: the message is sent again, as if there were none."""


def answered(
    policy: Policy,
    state: State,
    now: Happened,
    item: Item,
    answer: frames.Result | frames.Error,
) -> Step:
    if isinstance(answer, frames.Error):
        why = f"the CSMS answers {answer.code[:40]} {answer.description[:160]}".strip()
        if item.part in NEWEST:
            return skipped(state, item, why)
        return _failed(policy, state, item, now, why, was_answered=True)
    try:
        return delivered(policy, state, item, answer.raw, now)
    except Unusable as error:
        # It may have been taken: under the same id, who recognises repeats by it says so again.
        effects = _result_error(state, answer.message_id, str(error))
        state, failed = _failed(policy, _maybe_taken(state, item), item, now, str(error))
        return state, [*effects, *failed]


def _result_error(state: State, message_id: str, why: str) -> list[Effect]:
    """OCPP-J 2.1 has a word for an answer that can't be read."""
    live = state.live
    if live.version is not OcppVersion.V21 or live.connection is None:
        return []
    said = [5, message_id, "FormatViolation", why[:255], {}]
    frame = json.dumps(said, separators=(",", ":"))
    return [Send(connection=live.connection, frame=frame, what="CALLRESULTERROR")]


def unanswered(policy: Policy, state: State, item: Item, now: Happened, why: str) -> Step:
    """The connection ended before; a start may all the same have been taken."""
    state = _maybe_taken(state, item)
    return _failed(policy, state, item, now, f"no answer: {why}")


def delivered(policy: Policy, state: State, item: Item, raw: str, now: Happened) -> Step:
    """Raise Unusable."""
    match item.part:
        case part if item.is_of_2x and part in TRANSACTIONAL:
            return _event_taken(policy, state, item, raw, now)
        case Part.START:
            return _started(policy, state, item, raw, now)
        case Part.STOP:
            return _done(_ended(state, item), item)
        case _:
            return _done(state, item)


def quarantined(state: State, item: Item, why: str) -> Step:
    """Kept in the journal as before, named here; the messages behind it go on."""
    delivery = _open(state, item, Trouble.QUARANTINED, f"{item.action}: {why}")
    kept = with_open(state.kept, delivery)
    if item.part is Part.START and item.transaction is not None:
        kept = replace(_with_lost(kept, item.transaction), attempt=None)
    state = _gone(state.with_kept(handled(kept, item, delivered=False)), item)
    if item.part is Part.STOP:
        state = _ended(state, item)
    return state, [_note("warning", "quarantined", item, why=why)]


def _with_lost(kept: Kept, transaction: TransactionId) -> Kept:
    if isinstance(transaction, str):
        known = kept.passed.get(transaction, Passed())
        return with_passed(kept, transaction, replace(known, lost=True))
    return with_transaction(kept, transaction, Transaction(csms_id=None, status=""))


def skipped(state: State, item: Item, why: str) -> Step:
    """Not for this backend."""
    state = _gone(state.with_kept(handled(state.kept, item, delivered=False)), item)
    return state, [_note("info", "skipped", item, why=why)]


def _failed(
    policy: Policy,
    state: State,
    item: Item,
    now: Happened,
    why: str,
    *,
    was_answered: bool = False,
) -> Step:
    """Tried again later; so often at a CSMS that took this charge point's boot that it is this message."""
    before = state.live.tried
    if before is None or before.place != item.place:
        before = Tried(place=item.place, count=0, refused=0)
    tried = replace(before, count=before.count + 1, refused=before.refused + was_answered)
    if tried.count >= policy.rules.attempts_max:
        return quarantined(state, item, f"{tried.count} attempts, the last: {why}")
    if state.live.connection is not None:
        wait_ms = policy.back_off_ms(tried.count, state.spread)
        state = state.with_live(next_mono_ms=now.mono_ms + wait_ms)
    return state.with_live(tried=tried), []


def _maybe_taken(state: State, item: Item) -> State:
    attempt = state.kept.attempt
    if item.part is not Part.START or attempt is None or attempt.place != item.place:
        return state
    return state.with_kept(replace(state.kept, attempt=replace(attempt, sent=True)))


# --- a start and its answer ---


def _started(policy: Policy, state: State, item: Item, raw: str, now: Happened) -> Step:
    csms_id, status = _read_start(raw)
    assert isinstance(item.transaction, int)
    attempt = state.kept.attempt
    twice = attempt is not None and attempt.sent
    kept = with_transaction(
        state.kept, item.transaction, Transaction(csms_id=csms_id, status=status)
    )
    kept = replace(kept, attempt=None)
    if twice and (status == CONCURRENT or not policy.deduplicates_starts):
        what = (
            f"its start was sent twice, the first answer never came; the CSMS now answers {status} "
            f"and transaction {csms_id}: look there for a second one"
        )
        kept = with_open(kept, _open(state, item, Trouble.DOUBLE_START, what))
    state = state.with_kept(kept)
    effects: list[Effect] = []
    if not status:
        effects.append(_note("warning", "start answered without idTagInfo.status", item))
    elif item.was_accepted and status != ACCEPTED and not (twice and status == CONCURRENT):
        state, effects = _refused(policy, state, item, status, now)
    state, noted = _done(state, item)
    return state, [*noted, *effects]


def _read_start(raw: str) -> tuple[int, str]:
    """Without a status nothing was refused; sent again for it, the start would be one transaction more."""
    try:
        answer = object_of(raw)
    except Malformed as error:
        raise Unusable(f"the answer is no object: {error}") from error
    csms_id, info = whole(answer.get("transactionId")), answer.get("idTagInfo")
    if csms_id is None:
        raise Unusable("the answer to StartTransaction has no transactionId")
    status = info.get("status") if isinstance(info, dict) else None
    return csms_id, status[:40] if isinstance(status, str) else ""


# --- an event of 2.x and its answer ---


def _event_taken(policy: Policy, state: State, item: Item, raw: str, now: Happened) -> Step:
    """The ids are the station's own: nothing is learned but what the CSMS says of the driver. Raise Unusable."""
    status = _read_event(raw)
    assert isinstance(item.transaction, str)
    attempt = state.kept.attempt
    twice = item.part is Part.START and attempt is not None and attempt.sent
    known = state.kept.passed.get(item.transaction, Passed())
    told = replace(
        known,
        status=status or known.status,
        begun=known.begun or item.part is Part.START,
        left_out=joined(known.left_out, item.left_out),
        uncounted=joined(known.uncounted, item.uncounted),
    )
    kept = with_passed(state.kept, item.transaction, told)
    state = state.with_kept(replace(kept, attempt=None) if item.part is Part.START else kept)
    if item.part is Part.STOP:
        return _done(_ended(state, item), item)
    effects: list[Effect] = []
    if item.was_accepted and not status:
        effects.append(_note("warning", "event answered without idTokenInfo.status", item))
    elif item.was_accepted and status != ACCEPTED and not (twice and status == CONCURRENT):
        state, effects = _refused(policy, state, item, status, now)
    state, noted = _done(state, item)
    return state, [*noted, *effects]


def _read_event(raw: str) -> str:
    """What it says of the idToken; empty: nothing."""
    try:
        info = object_of(raw).get("idTokenInfo")
    except Malformed as error:
        raise Unusable(f"the answer is no object: {error}") from error
    status = info.get("status") if isinstance(info, dict) else None
    return status[:40] if isinstance(status, str) else ""


# --- a start that the CSMS refuses ---


def _refused(policy: Policy, state: State, item: Item, status: str, now: Happened) -> Step:
    stops = policy.rules.refused_start is RefusedStart.STOP and state.live.primary
    # Replayed, its session may be over: then there is nothing to stop.
    is_over = any(
        one.part is Part.STOP and one.transaction == item.transaction for one in state.live.queue
    )
    done = "it has ended" if is_over else "it is being stopped" if stops else "it goes on, flagged"
    what = f"the CSMS answers {status} to a session that the site had accepted: {done}"
    kept = with_open(state.kept, _open(state, item, Trouble.REFUSED_START, what))
    effects: list[Effect] = [_note("warning", "start refused", item, status=status)]
    if stops and not is_over:
        effects.append(SendToSite(command=_stop(state, item, now)))
    return state.with_kept(kept), effects


def not_stopped(state: State, command_id: str, why: str) -> Step:
    """The command for a refused session came to nothing: its open point says so instead of a promise."""

    def is_meant(one: OpenDelivery) -> bool:
        return one.trouble is Trouble.REFUSED_START and command_id == _stop_id(
            Place(one.incarnation, one.seq)
        )

    told = tuple(
        one.model_copy(
            update={"what": f"{one.what.split(':')[0]}: it could not be stopped ({why[:160]})"}
        )
        if is_meant(one)
        else one
        for one in state.kept.open
    )
    if told == state.kept.open:
        return state, []
    note = Note(level="warning", what="refused session not stopped", names=(("why", why),))
    return state.with_kept(replace(state.kept, open=told)), [note]


BY_RULE = "upstream.refused_start"
"""No remote command like another: where running sessions are protected, the site stops this one all the same."""


def _stop_id(place: Place) -> str:
    return f"refused-{place.incarnation}-{place.seq}"


def _stop(state: State, item: Item, now: Happened) -> Command:
    return Command(
        id=_stop_id(item.place),
        charge_point=state.charge_point,
        action="RequestStopTransaction" if item.is_of_2x else "RemoteStopTransaction",
        payload={"transactionId": item.transaction},
        issued_at_ms=now.at_ms,
        deadline_ms=now.at_ms + STOP_WITHIN_MS,
        issuer=Issuer.CSMS,
        by_rule=BY_RULE,
    )


def _ended(state: State, item: Item) -> State:
    transaction, kept = item.transaction, state.kept
    assert transaction is not None
    if isinstance(transaction, str):
        passed = kept.passed.get(transaction, Passed())
        kept = with_passed(kept, transaction, replace(passed, ended=True))
    elif transaction in kept.transactions:
        known = replace(kept.transactions[transaction], ended=True)
        kept = with_transaction(kept, transaction, known)
    return state.with_kept(without_refusals_of(kept, transaction))


# --- what a person has seen to ---


def is_about(one: OpenDelivery, event: Settle) -> bool:
    said = (event.trouble, event.incarnation, event.seq)
    return (one.trouble, one.incarnation, one.seq) == said


def settled(state: State, event: Settle) -> Step:
    """No longer open; nothing is sent for it. Those that are only counted go with the charge point as a whole."""
    kept = state.kept
    left = tuple(one for one in kept.open if not is_about(one, event))
    is_of_the_counted = event.trouble is Trouble.QUARANTINED and event.seq == 0
    unnamed = 0 if is_of_the_counted else kept.open_unnamed
    if (left, unnamed) == (kept.open, kept.open_unnamed):
        return state, []
    entry = f"hf-{event.incarnation}-{event.seq}" if event.seq else ""
    names = (("trouble", event.trouble.value), ("entry", entry), ("by", event.by))
    note = Note(level="warning", what="open delivery settled", names=names)
    return state.with_kept(replace(kept, open=left, open_unnamed=unnamed)), [note]


# --- out of the queue ---


def sent_for_good(state: State, item: Item) -> State:
    """A SEND: nobody answers it, so it is delivered once it is given to the socket."""
    return _done(state, item)[0]


def _done(state: State, item: Item) -> Step:
    """Delivered: the CSMS gets somewhere with this charge point, however often it breaks off."""
    state = state.with_live(failures=0)
    return _gone(state.with_kept(handled(state.kept, item)), item), []


def _gone(state: State, item: Item) -> State:
    """The connection's trouble with it is forgotten; between connections the wait is for the next one."""
    live = state.live
    queue = live.queue[1:] if live.queue and live.queue[0] is item else live.queue
    errors = live.errors[1:] if live.errors and live.errors[0] is item else live.errors
    due_ms = live.next_mono_ms if live.connection is None else 0
    state = state.with_live(queue=queue, errors=errors, tried=None, next_mono_ms=due_ms)
    if item.key is not None and item.part in (Part.STATUS, Part.ERROR):
        newest = state.kept.statuses.get(item.key)
        if newest is not None and newest.place == item.place:
            state = state.with_live(told=state.live.told | {item.key})
    if item.key is not None and item.part is Part.LATEST:
        state = state.with_kept(told_latest(state.kept, item.key, item.place))
    return state


def _open(state: State, item: Item, trouble: Trouble, what: str) -> OpenDelivery:
    return OpenDelivery(
        backend=state.backend,
        charge_point=state.charge_point,
        trouble=trouble,
        what=what,
        transaction=item.transaction,
        incarnation=item.place.incarnation,
        seq=item.place.seq,
    )


def _note(level: str, what: str, item: Item, **names: object) -> Note:
    pairs = (("action", item.action), ("entry", item.message_id), *names.items())
    return Note(level="warning" if level == "warning" else "info", what=what, names=pairs)
