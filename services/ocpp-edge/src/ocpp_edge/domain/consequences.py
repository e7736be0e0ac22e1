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
from ocpp_edge.domain.dedupe import digest
from ocpp_edge.domain.text import plain, said_at_ms

Consequence = CommandObserved | AvailabilityChanged | ChargingProfileInstalled

CLOCK_TOLERANCE_MS = 60_000
"""A charge point's clock may be so far behind ours and its start still count as later than a command; or so far
ahead, and a reading of before a stop does not count as one after it."""


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
                connector=command.payload["connectorId"],
                availability=command.payload["type"],
                command_id=command.id,
            )
        case "SetChargingProfile" if status == "Accepted":
            return ChargingProfileInstalled(
                charge_point=fact.charge_point,
                connector=command.payload["connectorId"],
                profile=json.dumps(command.payload["csChargingProfiles"]),
                command_id=command.id,
            )
        case _:
            return None


def observed(command: Command, sent_ms: int, fact: Fact) -> CommandObserved | None:
    """Does this fact show that the command took effect, or that it did not? Its absence shows nothing."""
    match fact:
        case SessionStarted() if command.action == "RemoteStartTransaction":
            connector = command.payload.get("connectorId", fact.connector)
            same = (connector, command.payload.get("idTag")) == (fact.connector, fact.driver_token)
            # A start from an offline queue happened before the command: it is no news.
            began_ms = said_at_ms(fact.at)
            later = began_ms is not None and began_ms >= sent_ms - CLOCK_TOLERANCE_MS
            return _seen(command, f"session {fact.session} started") if same and later else None
        case SessionStopped() if command.action == "RemoteStopTransaction":
            same = command.payload.get("transactionId") == fact.transaction_id
            return _seen(command, f"session {fact.session} stopped") if same else None
        case SessionMetered() if command.action == "RemoteStopTransaction" and fact.readings:
            same = command.payload.get("transactionId") == fact.transaction_id
            read = fact.readings[-1].at
            read_ms = said_at_ms(read)
            later = read_ms is not None and read_ms >= sent_ms + CLOCK_TOLERANCE_MS
            evidence = f"session {fact.session} goes on: a reading of {plain(read)}"
            return _told(command, False, evidence) if same and later else None
        case SessionStopped(reason="UnlockCommand") if command.action == "UnlockConnector":
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
    ("ChangeAvailability", "Operative"): {"Available", "Preparing", "Charging"},
    ("ReserveNow", None): {"Reserved"},
    ("UnlockConnector", None): {"Available", "Finishing"},
}
"""Statuses that a connector has only once the command took effect; or, unlocked, when there is nothing left to do."""


def _seen_in_status(command: Command, fact: ConnectorStatusChanged) -> CommandObserved | None:
    statuses = _SHOWS.get((command.action, command.payload.get("type")))
    if not statuses or fact.status not in statuses:
        return None
    if command.payload.get("connectorId") != fact.connector:
        return None
    return _seen(command, f"connector {fact.connector} is {fact.status}")


def _seen_in_answer(command: Command, fact: CommandSettled) -> CommandObserved | None:
    """What the charge point answers to a later question about just this."""
    answer = answered(fact.answer)
    match command.action, fact.command.action:
        case "ChangeConfiguration", "GetConfiguration":
            return _seen_in_configuration(command, answer)
        case "SendLocalList", "GetLocalListVersion":
            version, wanted = answer.get("listVersion"), command.payload.get("listVersion")
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


def late_answer(command: Command, raw: str) -> CommandObserved:
    """The charge point did answer, after we had given up waiting."""
    status = answered_status(raw)
    return CommandObserved(
        charge_point=command.charge_point,
        command_id=command.id,
        took_effect=status in ("Accepted", "Scheduled"),
        evidence=f"late answer: {status or 'without status'}",
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
