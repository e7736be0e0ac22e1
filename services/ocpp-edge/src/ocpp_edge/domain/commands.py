"""The command lane of one charge point: one at a time, in order, each to exactly one disposition.

    received -> admitted -> dispatched -> sent -> delivered
                   |            |           `---> uncertain (no answer), settled by what is observed
                   |            `---------------> refused (the connection was gone before it was sent)
                   |----------------------------> answered from what is known, by rule
                   `----------------------------> refused | expired | superseded | obsolete
                                                  | uncertain (issued in an earlier life of the disk)

`advance` looks at the state and asks for what is due next; it is called after every event, so a restart
needs no other code. Received and dispatched are facts: whatever dies, nothing is forgotten or sent twice.
"""

from __future__ import annotations

import json

from holdfast.contracts.charge_point import FrameRefused
from holdfast.contracts.command import (
    Command,
    CommandDispatched,
    CommandReceived,
    CommandSettled,
    Disposition,
    Issuer,
)
from holdfast.contracts.decision import WaitsFor
from holdfast.ocpp import frames
from holdfast.ocpp.actions import Sender, row
from holdfast.ocpp.instead import why_not
from holdfast.ocpp.versions import OcppVersion
from ocpp_edge.domain import (
    arrivals,
    asking,
    consequences,
    energy_cap,
    from_known,
    parts,
    supersession,
    words,
)
from ocpp_edge.domain.dedupe import digest
from ocpp_edge.domain.events import (
    Admitted,
    CallAnswered,
    Effect,
    NotAdmitted,
    Sample,
    SendCall,
    Stored,
)
from ocpp_edge.domain.express import FRAME_CHARACTERS_MAX
from ocpp_edge.domain.known import Pending
from ocpp_edge.domain.state import Outstanding, Policy, State, record

Step = tuple[State, list[Effect]]


def message_id_of(command: Command) -> str:
    return digest("call", command.charge_point, command.id)


def settled_id(command: Command) -> str:
    return digest(CommandSettled.TYPE, command.charge_point, command.id)


def admitted(policy: Policy, state: State, event: Admitted) -> Step:
    state = state.with_live(admitting=None)
    pending = state.known.commands.get(event.command_id)
    if pending is None or pending.dispatched_ms is not None:
        return state, []
    if event.version is not state.version:
        return state, []  # another one came meanwhile, of another version: it is asked about anew
    command, verdict = pending.command, event.admission.verdict
    decision = event.admission.decision
    if pending.cancelled_by is not None or words.is_on_its_way(state, command.id):
        return state, []
    if verdict.waits_for is WaitsFor.WORD:
        return (state, []) if pending.confirmed_by else asking.held(state, event, command)
    if verdict.waits_for is WaitsFor.TIME:
        return asking.parked(policy, state, event, command), []
    if not verdict.admitted:
        disposition = verdict.disposition or Disposition.REFUSED
        return _settle(state, command, disposition, verdict.reason, decision=decision), []
    if event.at_ms > command.deadline_ms:
        return _settle(state, command, Disposition.EXPIRED, _PASSED, decision=decision), []
    if verdict.from_known:
        return _from_known(state, event, command), []
    if state.live.connection is None:
        return state.with_live(held=state.live.held | {command.id}), []
    return _dispatch(state, pending, decision)


def _dispatch(state: State, pending: Pending, decision: str) -> Step:
    command = pending.command
    if parts.is_gone(pending):  # while the rules were asked
        return _superseded(state, pending, decision), []
    fact = CommandDispatched(
        charge_point=state.charge_point,
        command=command,
        message_id=message_id_of(command),
        payload=parts.left_of(pending),
        reason=parts.without(pending),
    )
    state = state.with_live(sending=command.id)
    state, effect = record(state, fact, _dispatched_id(command), cause=decision)
    return state, [effect]


def _from_known(state: State, event: Admitted, command: Command) -> State:
    decision, told = (
        event.admission.decision,
        from_known.answer(state.known, state.version, command),
    )
    if told is None:  # forgotten while the rules were asked
        reason = "what it asks for is not known any more"
        return _settle(state, command, Disposition.REFUSED, reason, decision=decision)
    age_s = max(0, event.at_ms - told.told_ms) // 1000
    return _settle(
        state,
        command,
        Disposition.FROM_KNOWN,
        f"from what is known, {age_s} s old: the charge point was not asked",
        answer=told.raw(state.version, event.at_ms),
        decision=decision,
    )


def not_admitted(state: State, event: NotAdmitted) -> Step:
    state = state.with_live(admitting=None)
    pending = state.known.commands.get(event.command_id)
    if pending is None or event.reason is None:
        return state, []
    return _settle(state, pending.command, Disposition.REFUSED, event.reason), []


def dispatched(policy: Policy, state: State, event: Stored, fact: CommandDispatched) -> Step:
    """Stored: now, and only now, it may be sent. At a restart nobody is `sending`."""
    command, connection = fact.command, state.live.connection
    if state.live.sending != command.id:
        return state, []
    state = state.with_live(sending=None)
    if connection is None:
        return _settle(state, command, Disposition.REFUSED, _GONE), []
    if event.at_ms > command.deadline_ms:
        return _settle(state, command, Disposition.EXPIRED, _PASSED), []
    version = state.version
    has_it_not = why_not(version, command.action) if version else None
    if has_it_not:
        return _settle(state, command, Disposition.REFUSED, has_it_not), []
    message_id = message_id_of(command)
    outstanding = Outstanding(
        command_id=command.id,
        message_id=message_id,
        since_mono_ms=event.mono_ms,
        answer_ms_max=policy.answer_ms_max * _patience(version, command.action),
    )
    sent = command.payload if fact.payload is None else fact.payload
    payload = json.dumps(sent, separators=(",", ":"))
    frame = frames.call(message_id, command.action, payload)
    send = SendCall(connection=connection, frame=frame, command=command)
    return state.with_live(outstanding=outstanding), [send]


def settled(state: State, fact: CommandSettled) -> State:
    settling = {id: one for id, one in state.live.settling.items() if id != fact.command.id}
    parked = {id: one for id, one in state.live.parked.items() if id != fact.command.id}
    held = state.live.held - {fact.command.id}
    return state.with_live(settling=settling, held=held, parked=parked)


def answered(state: State, event: CallAnswered) -> Step:
    outstanding = state.live.outstanding
    message_id = event.answer.message_id
    if outstanding is None or outstanding.message_id != message_id:
        return _answered_late(state, event)
    state = state.with_live(
        outstanding=None,
        answered=state.live.answered.remembering(message_id, outstanding.command_id),
    )
    pending = state.known.commands[outstanding.command_id]
    command = pending.command
    match event.answer:
        case frames.Result(raw=raw):
            without = pending.sent_without
            return _settle(state, command, Disposition.DELIVERED, without, answer=raw), []
        case frames.Error(code=code, description=description):
            reason = f"the charge point answered {code} {description}".strip()[:500]
            return _settle(state, command, Disposition.DELIVERED, reason), []


def timed_out(state: State, mono_ms: int) -> State:
    outstanding = state.live.outstanding
    if outstanding is None or mono_ms - outstanding.since_mono_ms < outstanding.answer_ms_max:
        return state
    because = f"no answer within {outstanding.answer_ms_max} ms"
    return state.with_live(outstanding=None, uncertain_because=because)


def advance(policy: Policy, state: State, at_ms: int, mono_ms: int) -> Step:
    """What is due next."""
    state, effects = _of_the_site(state, at_ms)
    if not (state.known.commands or state.known.due or state.live.settling):
        return state, effects
    state = _pointless(policy, _of_an_earlier_life(policy, _uncertain(state)))
    for command_id, fact in state.live.settling.items():
        id = settled_id(fact.command)
        if id not in state.live.recording:
            state, effect = record(state, fact, id, cause=fact.decision or command_id)
            effects.append(effect)
    for id, follows in state.known.due.items():
        if id not in state.live.recording:
            state, effect = record(state, follows, id, cause=follows.command_id)
            effects.append(effect)
    state, asked = asking.ask_next(policy, state, at_ms, mono_ms)
    return state, [*effects, *asked]


def _of_the_site(state: State, at_ms: int) -> Step:
    """What the site issues by its own rules."""
    effects: list[Effect] = []
    if not energy_cap.watches(state):
        return state, effects
    for command in energy_cap.due(state, at_ms):
        if arrivals.received_id(command) not in state.live.recording:
            fact = CommandReceived(charge_point=state.charge_point, command=command, downlink_seq=0)
            state, effect = record(state, fact, arrivals.received_id(command), cause=command.id)
            effects.append(effect)
    for not_kept in energy_cap.given_up(state):
        id = energy_cap.id_of(not_kept)
        if id not in state.live.recording:
            cause = energy_cap.command_id(state.charge_point, not_kept.transaction_id)
            state, effect = record(state, not_kept, id, cause=cause)
            effects.append(effect)
    return state, effects


def _patience(version: OcppVersion | None, action: str) -> int:
    found = row(version, Sender.CSMS, action) if version else None
    return found.patience if found else 1


_PASSED = "the deadline passed before it could be sent"
_GONE = "the charge point went away before it was sent"
_EARLIER_LIFE = "issued before this disk's life began: an earlier life may have executed it"


def _dispatched_id(command: Command) -> str:
    return digest(CommandDispatched.TYPE, command.charge_point, command.id)


def _settle(
    state: State,
    command: Command,
    disposition: Disposition,
    reason: str,
    *,
    answer: str | None = None,
    decision: str | None = None,
) -> State:
    fact = CommandSettled(
        charge_point=state.charge_point,
        command=command,
        disposition=disposition,
        reason=reason,
        answer=answer,
        decision=decision,
    )
    return state.with_live(settling={**state.live.settling, command.id: fact})


def _superseded(state: State, pending: Pending, decision: str | None = None) -> State:
    """Part by part."""
    by = list(dict.fromkeys(pending.overtaken.values()))
    reason = f"by command{'s' if len(by) > 1 else ''} {', '.join(by[: parts.NAMED_MAX])}"
    command = pending.command
    return _settle(state, command, Disposition.SUPERSEDED, reason, decision=decision)


def _answered_late(state: State, event: CallAnswered) -> Step:
    """By its message id it is the answer of a command that was given up; else nobody asked for it. Never an error."""
    answer = event.answer
    command = _given_up(state, answer.message_id)
    if command is None:
        was_answered = answer.message_id in state.live.answered
        return state, [_unasked(state, answer, SECOND if was_answered else UNASKED)]
    state = state.with_live(answered=state.live.answered.remembering(answer.message_id, command.id))
    fact = consequences.late_answer(command, answer)
    id = consequences.id_of(fact)
    if id in state.live.recording:
        return state, [_unasked(state, answer, SECOND)]
    state, effect = record(state, fact, id, cause=fact.command_id)
    return state, [effect]


def _given_up(state: State, message_id: str) -> Command | None:
    """Settled as uncertain, or about to be: that fact is on its way before the one that comes of this answer."""
    for pending in state.known.uncertain.values():
        if message_id_of(pending.command) == message_id:
            return pending.command
    for fact in state.live.settling.values():
        is_uncertain = fact.disposition is Disposition.UNCERTAIN
        if is_uncertain and message_id_of(fact.command) == message_id:
            return fact.command
    return None


SECOND, UNASKED = "second answer", "answer to nothing"


def _unasked(state: State, answer: frames.Result | frames.Error, reason: str) -> Sample:
    match answer:
        case frames.Result(message_id=message_id, raw=raw):
            frame = frames.result(message_id, raw)
        case frames.Error(message_id=message_id, code=code, description=description):
            parts = ",".join(frames.text(part) for part in (message_id, code, description))
            frame = f"[4,{parts},{{}}]"
    fact = FrameRefused(
        charge_point=state.charge_point,
        reason=reason,
        code=None,
        frame=frame[:FRAME_CHARACTERS_MAX],
        version=state.live.version,
    )
    return Sample(fact=fact, cause=message_id)


def _uncertain(state: State) -> State:
    """Dispatched, and nobody waits for its answer any more: it is never sent again."""
    live = state.live
    for command_id, pending in state.known.commands.items():
        if pending.dispatched_ms is None or command_id in live.settling:
            continue
        waited_for = live.outstanding is not None and live.outstanding.command_id == command_id
        if not waited_for and live.sending != command_id:
            without = f"; sent {pending.sent_without}" if pending.sent_without else ""
            reason = live.uncertain_because + without
            state = _settle(state, pending.command, Disposition.UNCERTAIN, reason)
    return state


def _of_an_earlier_life(policy: Policy, state: State) -> State:
    """DOWNLINK brings old commands again to a new disk, which does not know what became of them. The
    operator at the site commands this disk, now.
    """
    for pending in asking.waiting(state):
        command = pending.command
        is_old = command.issued_at_ms < policy.opened_at_ms
        if is_old and command.issuer not in supersession.AT_THE_SITE:
            state = _settle(state, command, Disposition.UNCERTAIN, _EARLIER_LIFE)
    return state


def _pointless(policy: Policy, state: State) -> State:
    """What waits, and an operator's word, a newer command or the bound ends."""
    for pending in asking.waiting(state):
        if pending.cancelled_by is not None:
            reason = f"cancelled by {pending.cancelled_by}"
            state = _settle(state, pending.command, Disposition.SUPERSEDED, reason)
        elif parts.is_gone(pending):
            state = _superseded(state, pending)
    waiting = [pending.command for pending in asking.waiting(state)]
    ends = supersession.ends(state.known, waiting)
    kept = 0
    for command in waiting:
        end = ends.get(command.id)
        if end:
            state = _settle(state, command, end.disposition, end.reason)
            continue
        kept += 1
        if kept > policy.commands_max and command.issuer is not Issuer.SITE:
            reason = f"{policy.commands_max} commands wait for this charge point already"
            state = _settle(state, command, Disposition.REFUSED, reason)
    return state
