"""CALLs of the CSMS: to the site with a deadline, and back as what became of them. Never a yes that nobody keeps.

CALL -> command in DOWNLINK -> the site's disposition -> the charge point's own answer, or the negative one
                            -> its site is away: the answer of what is kept, or the negative one at once
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast, get_args

from pydantic import ValidationError

from csms_bridge.domain import deliveries, refusals, transactions
from csms_bridge.domain.events import (
    CommandEnded,
    CommandNotTaken,
    CommandTaken,
    CommandWaits,
    Effect,
    FrameCame,
    Happened,
    Note,
    Send,
    SendToSite,
)
from csms_bridge.domain.payload import whole
from csms_bridge.domain.state import FromCsms, Policy, State
from holdfast.contracts.command import Action, Command, Disposition, Issuer
from holdfast.contracts.command_rules import keys_of
from holdfast.contracts.csms import Phase
from holdfast.contracts.envelope import first_problem
from holdfast.ocpp import frames
from holdfast.ocpp.versions import OcppVersion

Step = tuple[State, list[Effect]]

TAKEN = frozenset(get_args(Action))
"""What a site can do with a command. Any other action of the version gets its negative answer."""
NOT_WHILE_PENDING = frozenset(
    {
        "RemoteStartTransaction",
        "RemoteStopTransaction",
        "RequestStartTransaction",
        "RequestStopTransaction",
    }
)
"""OCPP 1.6 4.2; 2.x B02."""
OF_CSMS = "csms-"
"""How the ids of its commands begin."""
TOLD_NO_MAX = 64
"""Commands that the CSMS was told a no about before they had ended; the oldest are forgotten."""
KEPT_MS = 86_000_000
"""Desired state waits so long for its site: just below what rule-service takes."""


def called(policy: Policy, state: State, event: FrameCame, call: frames.Call) -> Step:
    silence = _silence(state, call)
    if silence:
        names = (("action", call.action[:40]), ("why", silence))
        return state, [Note(level="warning", what="CALL not answered", names=names)]
    state = state.with_live(calls_of_csms=state.live.calls_of_csms + 1)
    read = frames.payload_of(call.raw)
    payload = {} if isinstance(read, frames.Wrong) else read
    why, command = _examined(policy, state, event, call, read)
    version = state.live.version
    if command is None:
        frame = _no(state, version, call.message_id, call.action, payload, why)
        return state, [_answer(event.connection, frame)]
    is_away = state.live.away_since_mono_ms is not None
    waits = FromCsms(
        connection=event.connection,
        message_id=call.message_id,
        action=call.action,
        until_mono_ms=event.mono_ms + policy.rules.command_ms_max,
        version=version,
        payload=payload,
        kept=refusals.of(version)[call.action].kept if is_away else None,
    )
    commands = {**state.live.commands, command.id: waits}
    return state.with_live(commands=commands), [SendToSite(command=command)]


def taken(state: State, event: CommandTaken) -> Step:
    """What is kept for a site that is away is said to be so once it is, and not before."""
    waits = state.live.commands.get(event.command_id)
    if waits is None or waits.kept is None:
        return state, []
    frame = frames.result(waits.message_id, f'{{"status":"{waits.kept}"}}')
    return _forgotten(state, event.command_id), [_answer(waits.connection, frame)]


def ended(state: State, event: CommandEnded) -> Step:
    """Whoever asked is told, if it is still there to hear."""
    waits = state.live.commands.get(event.command_id)
    reason = (
        f"{event.disposition.value}: {event.reason}" if event.reason else event.disposition.value
    )
    is_delivered = event.disposition in (Disposition.DELIVERED, Disposition.FROM_KNOWN)
    if waits is None:
        if is_delivered:
            return state, _delivered_late(state, event)
        return _ended_otherwise(state, event, reason)
    if not is_delivered:
        return _negative(state, event.command_id, waits, reason)
    if event.answer is None:
        frame = refusals.error(waits.message_id, "GenericError", event.reason)
    elif waits.action == transactions.ACTION:
        told = transactions.status(state, waits.payload, event.answer)
        frame = frames.result(waits.message_id, told)
    else:
        whole = event.answer
        if event.reason and waits.action == "SetVariables":
            whole = refusals.completed(whole, waits.payload, event.reason)
        frame = frames.result(waits.message_id, whole)
    return _forgotten(state, event.command_id), [_answer(waits.connection, frame)]


def held(state: State, event: CommandWaits) -> Step:
    """For an operator's word. The CSMS is kept waiting as long as for any other, and then told no."""
    waits = state.live.commands.get(event.command_id)
    if waits is None:
        return state, []
    waiting = replace(waits, held=f"it waits for an operator's word: {event.reason}")
    return state.with_live(commands={**state.live.commands, event.command_id: waiting}), []


def _delivered_late(state: State, event: CommandEnded) -> list[Effect]:
    if event.command_id not in state.live.told_no:
        return []
    names = (("command", event.command_id), ("answer", event.answer or event.reason))
    what = "command of the CSMS carried out after it was told no"
    return [Note(level="warning", what=what, names=names)]


def _ended_otherwise(state: State, event: CommandEnded, reason: str) -> Step:
    """Nobody waits for it any more, and it did not come to what was hoped, or promised."""
    state, noted = deliveries.not_stopped(state, event.command_id, reason)
    if noted or not event.command_id.startswith(OF_CSMS):
        return state, noted
    names = (("command", event.command_id), ("why", reason))
    return state, [Note(level="warning", what="command of the CSMS not carried out", names=names)]


def not_taken(state: State, event: CommandNotTaken) -> Step:
    waits = state.live.commands.get(event.command_id)
    if waits is None:
        note = Note(level="warning", what="command not taken", names=(("why", event.why),))
        state, noted = deliveries.not_stopped(state, event.command_id, event.why)
        return state, noted or [note]
    return _negative(state, event.command_id, waits, event.why)


def overdue(state: State, now: Happened) -> Step:
    """The CSMS is not kept waiting. The command's own deadline has passed: the site begins it no more."""
    effects: list[Effect] = []
    for command_id, waits in state.live.commands.items():
        if now.mono_ms >= waits.until_mono_ms:
            why = waits.held or "no answer from the site in time"
            state, said = _negative(state, command_id, waits, why)
            told_no = (*state.live.told_no, command_id)[-TOLD_NO_MAX:]
            state = state.with_live(told_no=told_no)
            effects += said
    return state, effects


def _examined(
    policy: Policy,
    state: State,
    event: FrameCame,
    call: frames.Call,
    payload: dict[str, Any] | frames.Wrong,
) -> tuple[str, Command | None]:
    """The command, or why there is none."""
    why = _obstacle(policy, state, call)
    if why:
        return why, None
    if isinstance(payload, frames.Wrong):
        return payload.sentence, None
    is_16 = state.live.version is OcppVersion.V16
    mapped = _mapped(state, call.action, payload) if is_16 else payload
    if mapped is None:
        return "no session is known by that transactionId", None
    try:
        command = Command(
            id=_command_id(state, event.connection),
            charge_point=state.charge_point,
            action=cast(Action, call.action),  # one of TAKEN: `_obstacle` looked
            payload=mapped,
            issued_at_ms=event.at_ms,
            deadline_ms=event.at_ms,
            issuer=Issuer.CSMS,
        )
    except ValidationError as error:
        return first_problem(error), None
    deadline_ms = event.at_ms + _within_ms(policy, state, command)
    return "", command.model_copy(update={"deadline_ms": deadline_ms})


def _within_ms(policy: Policy, state: State, command: Command) -> int:
    """By class. Never longer than the CSMS waits: a command that it was told a no about is begun no more. But for what
    is only ever begun on an operator's word: it waits as long as the rules let it.
    """
    if state.live.away_since_mono_ms is not None:
        return KEPT_MS
    longest_ms = policy.rules.command_ms_max
    row = next((key for key in keys_of(command) if key in policy.held_ms), None)
    if row is not None:
        return max(longest_ms, policy.held_ms[row])
    row_here = refusals.of(state.live.version)[command.action]
    return min(longest_ms, row_here.within_ms or longest_ms)


def _silence(state: State, call: frames.Call) -> str:
    """Why this CALL gets no answer of its own."""
    if state.live.phase is Phase.REJECTED:
        return "the CSMS rejects this charge point"  # OCPP 1.6 4.2: it shall not respond
    if any(waits.message_id == call.message_id for waits in state.live.commands.values()):
        return "its message id waits for an answer already"
    return ""


def _obstacle(policy: Policy, state: State, call: frames.Call) -> str:
    live = state.live
    row = refusals.of(live.version).get(call.action)
    if call.action not in TAKEN or row is None:
        return f"{call.action[:40]} is not carried out at this site"
    if not live.primary:
        return "this backend follows; another one is in charge"
    if live.phase is not Phase.ACCEPTED and call.action in NOT_WHILE_PENDING:
        return "the charge point is not accepted yet"
    if live.version is not state.kept.speaks:
        return f"the charge point speaks OCPP {state.kept.speaks.value} by now"
    if live.away_since_mono_ms is not None and row.kept is None:
        return "the site can't be reached"
    if len(live.commands) >= policy.commands_max:
        return f"{policy.commands_max} commands of this charge point have no end yet"
    return ""


def _mapped(state: State, action: str, payload: dict[str, Any]) -> dict[str, Any] | None:
    """With the local transaction id where the CSMS named its own; None: that is no session of ours."""
    if action == "RemoteStopTransaction":
        local = _local(state, payload.get("transactionId"))
        return None if local is None else {**payload, "transactionId": local}
    profile_field = (
        "chargingProfile" if action == "RemoteStartTransaction" else "csChargingProfiles"
    )
    profile = payload.get(profile_field)
    if isinstance(profile, dict) and "transactionId" in profile:
        local = _local(state, profile["transactionId"])
        if local is None:
            return None
        return {**payload, profile_field: {**profile, "transactionId": local}}
    return payload


def _local(state: State, csms_id: object) -> int | None:
    known = whole(csms_id)
    return None if known is None else state.kept.local_id(known)


def _command_id(state: State, connection: str) -> str:
    """Of this CALL and no other: a CSMS may use a message id again once it was answered."""
    number = str(state.live.calls_of_csms)
    parts = (state.backend, state.site, state.charge_point, connection, number)
    return OF_CSMS + hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:24]


def _negative(state: State, command_id: str, waits: FromCsms, why: str) -> Step:
    frame = _no(state, waits.version, waits.message_id, waits.action, waits.payload, why)
    return _forgotten(state, command_id), [_answer(waits.connection, frame)]


def _no(
    state: State,
    version: OcppVersion,
    message_id: str,
    action: str,
    payload: Mapping[str, Any],
    why: str,
) -> str:
    """The negative answer; or what is known here of what was asked."""
    if action == transactions.ACTION and version is not OcppVersion.V16:
        return frames.result(message_id, transactions.status(state, payload))
    return refusals.negative(version, message_id, action, payload, why)


def _forgotten(state: State, command_id: str) -> State:
    left = {id: one for id, one in state.live.commands.items() if id != command_id}
    return state.with_live(commands=left)


def _answer(connection: str, frame: str) -> Send:
    return Send(connection=connection, frame=frame, what="answer")
