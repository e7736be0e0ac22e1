"""The part of the fold that is about commands: what waits, what was said about it, how it ended, what follows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import islice
from typing import TypeVar

from holdfast.contracts.command import (
    Command,
    CommandDispatched,
    CommandHeld,
    CommandObserved,
    CommandReceived,
    CommandSettled,
    CommandWorded,
    Disposition,
    Issuer,
    Word,
)
from holdfast.contracts.envelope import Fact
from holdfast.contracts.session import SessionMetered, SessionStopped
from holdfast.local_state.late import in_its_place
from holdfast.records import replace
from ocpp_edge.domain import consequences, energy_cap, identity, installed, parts, supersession
from ocpp_edge.domain.known import UNCERTAIN_MAX, Known, Pending

Key = TypeVar("Key")
Value = TypeVar("Value")


def command_folded(
    known: Known, at_ms: int, fact: CommandReceived | CommandDispatched | CommandSettled
) -> Known:
    command = fact.command
    pending = known.commands.get(command.id, Pending(command=command))
    match fact:
        case CommandReceived():
            known = replace(known, downlink_seq=max(known.downlink_seq, fact.downlink_seq))
            if command.issuer is Issuer.SITE:
                known = _with_stop(known, at_ms, fact)
            if command.id in known.settled or command.id in known.commands:
                return known
            known = _overtaking(known, command)
        case CommandDispatched():
            pending = replace(
                pending, dispatched_ms=at_ms, sent=fact.payload, sent_without=fact.reason
            )
        case CommandSettled():
            if command.issuer is Issuer.SITE:
                known = _with_stop(known, at_ms, fact)
            return watched(settled(known, fact), fact)
    return replace(known, commands={**known.commands, command.id: pending})


def _overtaking(known: Known, newer: Command) -> Known:
    """Of what waits, the parts that this one sets anew."""
    changed = {}
    for id, pending in known.commands.items():
        parts_taken = parts.shared(pending.command, newer)
        waits = pending.dispatched_ms is None
        if parts_taken and waits and supersession.may_supersede(pending.command, newer):
            overtaken = {**pending.overtaken, **dict.fromkeys(sorted(parts_taken), newer.id)}
            changed[id] = replace(pending, overtaken=overtaken)
    return replace(known, commands={**known.commands, **changed}) if changed else known


def _with_stop(known: Known, at_ms: int, fact: CommandReceived | CommandSettled) -> Known:
    """The site's own, at an energy cap."""
    transaction_id = fact.command.payload.get("transactionId")
    session = known.sessions.get(transaction_id) if isinstance(transaction_id, int | str) else None
    if session is None:
        return known
    match fact:
        case CommandReceived():
            session = energy_cap.given(session, fact.command)
        case CommandSettled():
            session = energy_cap.ended(session, at_ms, fact)
    return replace(known, sessions={**known.sessions, session.transaction_id: session})


def worded(known: Known, fact: CommandHeld | CommandWorded) -> Known:
    id = fact.command.id if isinstance(fact, CommandHeld) else fact.command_id
    pending = known.commands.get(id)
    if pending is None:
        return known
    match fact:
        case CommandHeld():
            pending = replace(pending, held=True)
        case CommandWorded(taken=False):
            return known
        case CommandWorded(word=Word.CONFIRM):
            pending = replace(pending, confirmed_by=fact.by)
        case CommandWorded():
            pending = replace(pending, cancelled_by=fact.by)
    return replace(known, commands={**known.commands, id: pending})


def settled(known: Known, fact: CommandSettled) -> Known:
    command = fact.command
    pending = known.commands.get(command.id, Pending(command=command))
    known = replace(
        known,
        commands=without(known.commands, command.id),
        settled=known.settled.remembering(command.id, fact.disposition),
        contents=known.contents.remembering(command.id, identity.content(command)),
        installed=installed.after_command(known.installed, fact),
        read_only=_read_only(known, fact),
    )
    if fact.disposition is Disposition.UNCERTAIN:
        uncertain = {**known.uncertain, command.id: pending}
        return replace(known, uncertain=newest(uncertain, UNCERTAIN_MAX))
    return _due(known, consequences.of_settled(fact))


READ_ONLY_MAX = 512


def _read_only(known: Known, fact: CommandSettled) -> frozenset[str]:
    """Beyond the bound new ones count as writable: a wrong write is refused by the charge point itself."""
    is_told = (
        fact.command.action == "GetConfiguration" and fact.disposition is Disposition.DELIVERED
    )
    if not is_told:
        return known.read_only
    keys = consequences.answered(fact.answer).get("configurationKey")
    told = [one for one in (keys if isinstance(keys, list) else []) if isinstance(one, dict)]
    names = {
        name for one in told if one.get("readonly") is True for name in [str(one.get("key"))[:50]]
    }
    return (
        frozenset(islice({*known.read_only, *names}, READ_ONLY_MAX)) if names else known.read_only
    )


def observed(known: Known, fact: CommandObserved) -> Known:
    """A late answer leaves at the charge point what one in time would have left: under what came later."""
    first, later = in_its_place(known.local.late, fact)
    known = replace(known, uncertain=without(known.uncertain, fact.command_id))
    if first is None:
        return known
    left = installed.after_command(known.installed, first)
    for one in later:
        match one:
            case CommandSettled():
                left = installed.after_command(left, one)
            case SessionStopped():
                left = installed.after_stop(left, one.connector, one.transaction_id)
    known = replace(known, installed=left, read_only=_read_only(known, first))
    newer = [one for one in later if isinstance(one, CommandSettled)]
    if any(supersession.is_undone(first.command, one) for one in newer):
        return known
    return _due(known, consequences.of_settled(first))


def watched(known: Known, fact: Fact) -> Known:
    """Does this settle a command that was uncertain?"""
    for pending in known.uncertain.values():
        if pending.dispatched_ms is None and isinstance(fact, SessionMetered):
            continue  # an earlier life may have sent it at any time, after this reading, too
        # One that an earlier life of the disk may have sent was sent after it was issued.
        sent_ms = pending.dispatched_ms or pending.command.issued_at_ms
        seen = consequences.observed(pending.as_sent, sent_ms, fact)
        known = _due(known, seen)
    return known


def _due(known: Known, follows: consequences.Consequence | None) -> Known:
    if follows is None:
        return known
    return replace(known, due={**known.due, consequences.id_of(follows): follows})


def without(mapping: Mapping[Key, Value], key: Key) -> dict[Key, Value]:
    return {one: value for one, value in mapping.items() if one != key}


def without_all(mapping: Mapping[Key, Value], keys: Collection[Key]) -> dict[Key, Value]:
    return {one: value for one, value in mapping.items() if one not in keys}


def newest(mapping: Mapping[Key, Value], limit: int) -> dict[Key, Value]:
    return dict(islice(mapping.items(), max(0, len(mapping) - limit), None))
