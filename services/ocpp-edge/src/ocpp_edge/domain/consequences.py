"""Facts that follow from other facts: what an accepted command changed, and what settles an uncertain one.

A consequence is due from the moment its reason is stored until it is stored itself: a crash in between
only delays it.
"""

from __future__ import annotations

import json
from typing import Any, assert_never

from holdfast.contracts.charge_point import (
    AvailabilityChanged,
    ChargePointBooted,
    ChargingProfileInstalled,
    ConnectorStatusChanged,
)
from holdfast.contracts.command import Command, CommandObserved, CommandSettled, Disposition
from holdfast.contracts.envelope import Fact
from holdfast.contracts.session import SessionMetered, SessionStarted, SessionStopped
from holdfast.ocpp import frames, payloads
from holdfast.ocpp.actions import same_as
from holdfast.ocpp.moments import moment_ms
from ocpp_edge.domain.dedupe import digest
from ocpp_edge.domain.text import plain

Consequence = CommandObserved | AvailabilityChanged | ChargingProfileInstalled

CLOCK_TOLERANCE_MS = 60_000
"""A charge point's clock may be so far behind ours and its start still count as later than a command; or so far
ahead, and a reading of before a stop does not count as one after it."""


EVIDENCE_CHARACTERS_MAX = 500


def id_of(fact: Consequence) -> str:
    match fact:
        case CommandObserved():
            return digest("observed", fact.charge_point, fact.command_id)
        case AvailabilityChanged() | ChargingProfileInstalled():
            return digest("changed", fact.charge_point, fact.command_id)
        case _:
            assert_never(fact)


def of_settled(fact: CommandSettled) -> Consequence | None:
    """State that an accepted command left at the charge point."""
    if fact.disposition is not Disposition.DELIVERED:
        return None
    command, status = fact.command, answered_status(fact.answer)
    match command.action:
        case "ChangeAvailability" if status in ("Accepted", "Scheduled"):
            return AvailabilityChanged(
                charge_point=fact.charge_point,
                connector=_place(command),
                availability="Inoperative"
                if payloads.takes_out_of_service(command.payload)
                else "Operative",
                command_id=command.id,
            )
        case "SetChargingProfile" if status == "Accepted":
            return ChargingProfileInstalled(
                charge_point=fact.charge_point,
                connector=_place(command),
                profile=json.dumps(payloads.profile_in(command.payload)),
                command_id=command.id,
            )
        case _:
            return None


def observed(command: Command, sent_ms: int, fact: Fact) -> CommandObserved | None:
    """Does this fact show that the command took effect, or that it did not? Its absence shows nothing."""
    means = same_as(command.action)
    match fact:
        case SessionStarted() if means == "RemoteStartTransaction":
            same = _is_its_start(command, fact)
            # A start from an offline queue happened before the command: it is no news.
            began_ms = moment_ms(fact.at)
            later = began_ms is not None and began_ms >= sent_ms - CLOCK_TOLERANCE_MS
            return _seen(command, f"session {fact.session} started") if same and later else None
        case SessionMetered(trigger="RemoteStart") if means == "RemoteStartTransaction":
            token = fact.authorised.driver_token if fact.authorised else None
            same = token is not None and token == payloads.driver_token_of(command.payload)
            return _seen(command, f"session {fact.session} was claimed") if same else None
        case SessionStopped() if means == "RemoteStopTransaction":
            same = command.payload.get("transactionId") == fact.transaction_id
            return _seen(command, f"session {fact.session} stopped") if same else None
        case SessionMetered() if means == "RemoteStopTransaction" and fact.readings:
            same = command.payload.get("transactionId") == fact.transaction_id
            read = fact.readings[-1].at
            read_ms = moment_ms(read)
            later = read_ms is not None and read_ms >= sent_ms + CLOCK_TOLERANCE_MS
            evidence = f"session {fact.session} goes on: a reading of {plain(read)}"
            return _told(command, False, evidence) if same and later else None
        case SessionStopped() if command.action == "UnlockConnector" and "UnlockCommand" in (
            fact.reason,
            fact.trigger,
        ):
            return _seen(command, f"session {fact.session} stopped by unlocking")
        case ConnectorStatusChanged():
            return _seen_in_status(command, fact)
        case CommandSettled(disposition=Disposition.DELIVERED):
            return _seen_in_answer(command, fact)
        case ChargePointBooted() if command.action == "Reset":
            return _seen(command, "the charge point booted")
        case _:
            return None


_SHOWS = {
    ("ChangeAvailability", "Inoperative"): {"Unavailable"},
    ("ChangeAvailability", "Operative"): {"Available", "Preparing", "Charging", "Occupied"},
    ("ReserveNow", None): {"Reserved"},
    ("UnlockConnector", None): {"Available", "Finishing"},
}
"""Statuses that a connector has only once the command took effect; or, unlocked, when there is nothing left to do."""


def _seen_in_status(command: Command, fact: ConnectorStatusChanged) -> CommandObserved | None:
    wanted = command.payload.get("type", command.payload.get("operationalStatus"))
    statuses = _SHOWS.get((command.action, wanted))
    if not statuses or fact.status not in statuses:
        return None
    if payloads.connector_of(command.action, command.payload) != fact.connector:
        return None
    return _seen(command, f"connector {fact.connector} is {fact.status}")


def _seen_in_answer(command: Command, fact: CommandSettled) -> CommandObserved | None:
    """What the charge point answers to a later question about just this."""
    answer = answered(fact.answer)
    match command.action, fact.command.action:
        case "ChangeConfiguration", "GetConfiguration":
            return _seen_in_configuration(command, answer)
        case "SetVariables", "GetVariables":
            return _seen_in_variables(command, answer)
        case "SendLocalList", "GetLocalListVersion":
            version = payloads.list_version_of(answer)
            wanted = payloads.list_version_of(command.payload)
            return _told(command, version == wanted, f"the charge point has list version {version}")
        case _:
            return None


def _seen_in_configuration(command: Command, answer: dict[str, Any]) -> CommandObserved | None:
    keys = answer.get("configurationKey")
    key, wanted = command.payload.get("key"), command.payload.get("value")
    for one in keys if isinstance(keys, list) else []:
        if isinstance(one, dict) and str(one.get("key")).casefold() == str(key).casefold():
            is_set = one.get("value") == wanted
            has = "has that value" if is_set else "has another value"
            return _told(command, is_set, f"{plain(str(key))} {has}")
    return None


def _seen_in_variables(command: Command, answer: dict[str, Any]) -> CommandObserved | None:
    """Only where the answer names each of them; a value that is write-only nobody sees."""
    results, asked = answer.get("getVariableResult"), command.payload.get("setVariableData")
    if not isinstance(results, list) or not isinstance(asked, list):
        return None
    has = {
        payloads.variable_name(one): one.get("attributeValue")
        for one in results
        if isinstance(one, dict) and one.get("attributeStatus") == "Accepted"
    }
    wanted = {payloads.variable_name(one): one.get("attributeValue") for one in asked}
    if not wanted or not wanted.keys() <= has.keys():
        return None
    is_set = all(has[name] == value for name, value in wanted.items())
    says = "have those values" if is_set else "have other values"
    return _told(command, is_set, f"{plain(', '.join(wanted))[:200]} {says}")


def _is_its_start(command: Command, fact: SessionStarted) -> bool:
    """2.x: the id that it gave decides, where the start names one."""
    if fact.remote_start_id is not None:
        return fact.remote_start_id == command.payload.get("remoteStartId")
    named = payloads.connector_of(command.action, command.payload)
    connector = fact.connector if named is None else named
    token = payloads.driver_token_of(command.payload)
    return (connector, token) == (fact.connector, fact.driver_token)


def _place(command: Command) -> int:
    connector = payloads.connector_of(command.action, command.payload)
    return payloads.WHOLE if connector is None else connector


def late_answer(command: Command, answer: frames.Result | frames.Error) -> CommandObserved:
    """The charge point did answer, after we had given up waiting."""
    kept: str | None = None
    match answer:
        case frames.Result(raw=raw):
            kept, status = raw, answered_status(raw)
            taken = status in (None, "Accepted", "Scheduled", "RebootRequired", "Unlocked")
            evidence = f"late answer: {status or 'without status'}"
        case frames.Error(code=code, description=description):
            taken = False
            evidence = f"late answer: {plain(code)} {plain(description)}".strip()
    return CommandObserved(
        charge_point=command.charge_point,
        command_id=command.id,
        took_effect=taken,
        evidence=evidence[:EVIDENCE_CHARACTERS_MAX],
        answer=kept,
    )


def answered_status(raw: str | None) -> str | None:
    """The `status` of a CALLRESULT payload; None when there is none to read."""
    status = answered(raw).get("status")
    return plain(status) if isinstance(status, str) else None


def answered(raw: str | None) -> dict[str, Any]:
    """A CALLRESULT's payload; empty when there is none to read."""
    try:
        payload = json.loads(raw or "{}")
    except (ValueError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}


def _seen(command: Command, evidence: str) -> CommandObserved:
    return _told(command, True, evidence)


def _told(command: Command, took_effect: bool, evidence: str) -> CommandObserved:
    return CommandObserved(
        charge_point=command.charge_point,
        command_id=command.id,
        took_effect=took_effect,
        evidence=evidence,
    )
